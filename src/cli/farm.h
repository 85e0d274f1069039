// Parts that `lre up`, `lre serve` and `lre worker` share: what is printed once they serve, and a
// worker made from the configuration, which CheckConfig has passed. For the main thread. Errors:
// kInvalidArgument when a worker has no folder, kFailedPrecondition what this machine lacks for its
// sandbox; others are those of the parts.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/metrics.h"
#include "base/status.h"
#include "rpc/server.h"
#include "sandbox/sandbox.h"
#include "server/config.h"
#include "server/server.h"
#include "service/health_service.h"
#include "store/blob_store.h"
#include "worker/worker.h"

namespace lre::cli {

// The flags that make Bazel use a server on these addresses.
std::string BazelFlags(const server::Config& config, const std::vector<std::string>& addresses);
// The lines at the start: what is served where, to whom, and the flags for Bazel.
void PrintServing(const server::Config& config, const std::vector<std::string>& addresses);
// Writes {"pid", "addresses", "bazel_flags"} as JSON, for scripts that wait for the server.
Status WriteReadyFile(const std::string& path, const server::Config& config,
                      const std::vector<std::string>& addresses);

// The sandbox launcher; forks, so it comes before the first thread.
Result<std::unique_ptr<sandbox::Launcher>> StartLauncher(const server::Config& config);

// What the worker is told of the configuration, but for where its userland is.
worker::WorkerOptions WorkerOptionsOf(const server::Config& config);

// A worker and what it owns. Dropping it ends the worker.
struct WorkerHandle {
  std::unique_ptr<worker::LinkConnector> connector;
  std::shared_ptr<worker::StorePathSource> store_paths;  // also the userland finder's
  std::unique_ptr<worker::Worker> worker;
};
struct WorkerSetup {
  store::BlobStore& cas;
  sandbox::Launcher& launcher;
  Metrics& metrics;
  worker::ReadActionResult read_result;  // of the index of store paths
  worker::ReadTenantResult read_tenant_result = {};
};
Result<WorkerHandle> StartWorker(const server::Config& config, WorkerSetup setup,
                                 std::unique_ptr<worker::LinkConnector> connector);
// What monitoring sees of `lre worker` at worker.status_listen: a status page, /metrics, /healthz;
// nullptr when that is empty. `metrics` and `health` outlive it.
Result<std::unique_ptr<rpc::Server>> ServeWorkerStatus(const server::Config& config,
                                                       Metrics& metrics,
                                                       const service::HealthState& health);
// The worker's end of the server in this process.
std::unique_ptr<worker::LinkConnector> NewLocalLinkConnector(server::Server& server);

int WorkerSlots(const server::Config& config);
// One line about the userland that actions get, or why they get none.
std::string DescribeUserland(const server::Config& config);

}  // namespace lre::cli

// lre worker: runs actions for a server elsewhere.
#include <atomic>
#include <condition_variable>

#include "base/freed_memory.h"
#include "base/log.h"
#include "base/thread_group.h"
#include "cli/commands.h"
#include "cli/config_flags.h"
#include "cli/farm.h"
#include "cli/remote_server.h"
#include "cli/signals.h"
#include "cli/terminal.h"
#include "rpc/client.h"
#include "server/options.h"
#include "store/partition_name.h"
#include "store/remote_store.h"
#include "worker/grpc_link.h"

namespace lre::cli {
namespace {

// How the worker ended, set on one thread and waited for on another.
class End {
 public:
  void Set(Status status) {
    {
      std::lock_guard lock(mutex_);
      status_ = std::move(status);
    }
    ready_.notify_all();
  }
  bool WaitFor(Duration patience) {
    std::unique_lock lock(mutex_);
    return ready_.wait_for(lock, patience, [&] { return status_.has_value(); });
  }
  Status status() {
    std::lock_guard lock(mutex_);
    return status_.value_or(Status());
  }

 private:
  std::mutex mutex_;
  std::condition_variable ready_;
  std::optional<Status> status_;
};

Status Run(const server::Config& config) {
  if (config.worker_server.empty()) {
    return Status(Code::kInvalidArgument, "say which server: --worker-server HOST:PORT");
  }
  SetLogLevel(server::LogLevelOf(config));
  // The process that spawns actions, forked while this one has no threads.
  TRY_ASSIGN(auto launcher, StartLauncher(config));
  RaiseFileLimit();
  BlockEndSignals();
  const FreedMemory freed_memory(config.freed_memory_interval);

  // Two channels: blobs must not hold up the link.
  rpc::ChannelOptions options{.tls_ca_path = config.tls_client_ca,
                              .tls_certificate_path = config.tls_certificate,
                              .tls_key_path = config.tls_key};
  TRY_ASSIGN(auto link_channel, rpc::Channel::Create(config.worker_server, options));
  options.connections = 2;
  TRY_ASSIGN(auto blob_channel, rpc::Channel::Create(config.worker_server, options));
  auto cas = store::NewRemoteStore(blob_channel, {.instance_name = config.instance_name});
  RemoteServer server(blob_channel, config.instance_name);

  Metrics metrics;
  auto read_result = [&server](const Digest& action) { return server.GetResult(action); };
  auto read_tenant_result = [&blob_channel](const worker::StorePathTenant& tenant,
                                            const Digest& action) {
    return RemoteServer(blob_channel,
                        store::InstanceWithPartition(tenant.instance_name, tenant.partition))
        .GetResult(action);
  };
  TRY_ASSIGN(WorkerHandle worker,
             StartWorker(config, {*cas, *launcher, metrics, read_result, read_tenant_result},
                         worker::NewGrpcLinkConnector(link_channel)));
  service::HealthState health(std::set<std::string>{});
  TRY_ASSIGN(const auto status, ServeWorkerStatus(config, metrics, health));
  PrintLine(fmt::format("lre {} works for {}: {} slots, {}; userland: {}", Version(),
                        config.worker_server, WorkerSlots(config),
                        config.worker_sandbox == "none" ? "no sandbox" : "sandboxed",
                        DescribeUserland(config)));
  if (status) PrintLine(fmt::format("  status    http://{}/", status->addresses().front()));

  // The server may end the worker; SIGTERM drains it: what runs is finished and reported, for at
  // most drain_max.
  End end;
  ThreadGroup waiter;
  waiter.Add("wait", [&](std::stop_token stop) { end.Set(worker.worker->WaitForEnd(stop)); });
  while (!end.WaitFor(Duration(0)) && !WaitForEndSignal(std::chrono::milliseconds(200))) {
  }
  if (!end.WaitFor(Duration(0))) {
    PrintLine("ending: running actions may finish; once more ends at once");
    health.SetServing(false);
    worker.worker->Drain("SIGTERM");
    if (!end.WaitFor(config.drain_max)) return Status();
  }
  return end.status();
}

}  // namespace

void AddWorkerCommand(App& app) {
  CLI::App* command = app.cli.add_subcommand("worker", "Run actions for a server elsewhere");
  command->footer(
      "Examples:\n"
      "  lre worker --worker-server cache.example:50052 --worker-directory /var/lib/lre-worker\n"
      "  lre worker --worker-server 127.0.0.1:50052 --data-dir /tmp/w --worker-slots 4 \\\n"
      "      --worker-properties ISA=x86-64,OSFamily=linux,pool=big");
  auto flags = std::make_shared<std::optional<ConfigFlags>>();
  DeclareLate(app, *command, [command, flags] {
    // What only a server reads.
    flags->emplace(*command, std::vector<std::string>{
                                 "listen", "insecure", "loops", "io_", "connections.", "http.",
                                 "store.", "action_cache.", "cas.", "byte_stream.", "chunks.",
                                 "partitions.", "upstream.", "asset.", "execution.", "operations.",
                                 "worker_link.", "scheduler.", "log_streams."});
  });
  command->callback([&app, flags] {
    app.action = [flags]() -> Status {
      TRY_ASSIGN(server::Config config, (*flags)->Read());
      return Run(config);
    };
  });
}

}  // namespace lre::cli

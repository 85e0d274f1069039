// The server's side of lre.worker.v1.WorkerLink: the same protocol over a gRPC stream and in
// process (`lre up`). Protocol: proto/lre/worker/v1/worker.proto.
//
// A worker says hello, gets a welcome and then assignments; each of its messages counts as a sign
// of life and each of its heartbeats is answered. A message out of order, of another version or
// about an attempt of another worker ends the link with a Quit that says why. A worker beyond
// workers_max is told in the Quit's status when to come back (google.rpc.RetryInfo in its details).
//
// Thread-safe. What it borrows (the scheduler thread) must outlive every link. Limits:
// WorkerLinkOptions.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/metrics.h"
#include "base/status.h"
#include "lre/worker/v1/worker.pb.h"
#include "rpc/call.h"
#include "service/scheduler_thread.h"

namespace lre::service {

inline constexpr int kWorkerLinkVersion = 1;

struct WorkerLinkOptions {
  Duration heartbeat_interval = std::chrono::seconds(5);
  // Told to the worker; the same as SchedulerOptions::worker_silence_max.
  Duration silence_max = std::chrono::seconds(30);
  size_t message_bytes_max = 16 << 20;  // of one message from a worker
  size_t running_max = 4096;            // attempts in one hello
  size_t properties_max = 1000;         // of one worker
};

// lre.worker.v1.WorkerLink/Connect.
std::vector<rpc::Method> WorkerLinkMethods(SchedulerThread& scheduler, WorkerLinkOptions options);

// The worker's end of a link in process. Dropping it is a broken connection. Thread-safe.
class LocalWorkerLink {
 public:
  virtual ~LocalWorkerLink() = default;
  virtual void Send(const worker::v1::FromWorker& message) = 0;
};
struct LocalWorkerCallbacks {
  // Called on the scheduler's thread or inside Send, never after `closed` or after the link was
  // dropped and its destructor returned; must not block.
  std::function<void(const worker::v1::ToWorker& message)> receive;
  std::function<void(Status status)> closed;  // the server ended the link
};
std::unique_ptr<LocalWorkerLink> ConnectLocalWorker(SchedulerThread& scheduler,
                                                    WorkerLinkOptions options,
                                                    LocalWorkerCallbacks callbacks);

}  // namespace lre::service

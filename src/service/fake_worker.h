// For tests: a worker in process that runs nothing. It says hello, keeps what it is sent until the
// test asks for it, and reports what the test says; or answers every assignment by itself.
// Thread-safe; every wait is bounded, so that a test fails instead of hanging.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/mailbox.h"
#include "lre/worker/v1/worker.pb.h"
#include "service/scheduler_thread.h"
#include "service/worker_link.h"

namespace lre::service {

struct FakeWorkerOptions {
  std::string id = "w1";
  int slots = 1;
  std::vector<std::pair<std::string, std::string>> properties;
  std::vector<std::pair<std::string, int64_t>> running;  // operation, attempt
  std::vector<worker::v1::Assignment> held = {};         // of `running`
  int version = kWorkerLinkVersion;
  // Set: every assignment is answered with this at once.
  std::function<worker::v1::Report(const worker::v1::Assignment&)> answer;
};

class FakeWorker {
 public:
  // Connects, says hello and, unless the version is wrong, has got its welcome.
  explicit FakeWorker(SchedulerThread& scheduler, FakeWorkerOptions options = {});
  ~FakeWorker();

  // The next message, heartbeats included; none within 20 s is a failure of the test.
  worker::v1::ToWorker Next();
  worker::v1::Assignment NextAssignment();  // what comes before it is dropped
  worker::v1::CancelAttempt NextCancel();
  void Send(const worker::v1::FromWorker& message) { sender_->Send(message); }
  void SendReport(worker::v1::Report report);
  // The connection breaks.
  void Disconnect() { link_.reset(); }

 private:
  void Receive(const worker::v1::ToWorker& message);

  const FakeWorkerOptions options_;
  Mailbox<worker::v1::ToWorker> inbox_;
  std::unique_ptr<LocalWorkerLink> link_;
  // The same, for callbacks that run while the link is being dropped.
  LocalWorkerLink* sender_ = nullptr;
};

// The report of a command that ended with `exit_code`.
worker::v1::Report ReportOf(const worker::v1::Assignment& assignment, int exit_code = 0);

}  // namespace lre::service

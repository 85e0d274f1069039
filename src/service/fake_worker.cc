#include "service/fake_worker.h"

#include <gtest/gtest.h>

namespace lre::service {

using worker::v1::FromWorker;
using worker::v1::ToWorker;

FakeWorker::FakeWorker(SchedulerThread& scheduler, FakeWorkerOptions options)
    : options_(std::move(options)), inbox_(100000) {
  link_ = ConnectLocalWorker(
      scheduler, {},
      {.receive = [this](const ToWorker& message) { Receive(message); }, .closed = nullptr});
  sender_ = link_.get();
  FromWorker hello;
  hello.mutable_hello()->set_version(options_.version);
  hello.mutable_hello()->set_worker_id(options_.id);
  hello.mutable_hello()->set_name("name of " + options_.id);
  hello.mutable_hello()->set_slots(options_.slots);
  for (const auto& [name, value] : options_.properties) {
    auto* property = hello.mutable_hello()->mutable_platform()->add_properties();
    property->set_name(name);
    property->set_value(value);
  }
  for (const auto& [operation, number] : options_.running) {
    auto* attempt = hello.mutable_hello()->add_running();
    attempt->set_operation(operation);
    attempt->set_number(number);
  }
  for (const auto& held : options_.held) {
    *hello.mutable_hello()->add_running() = held.attempt();
    *hello.mutable_hello()->add_held() = held;
  }
  sender_->Send(hello);
  if (options_.version == kWorkerLinkVersion) {
    EXPECT_TRUE(Next().has_welcome());
  }
  scheduler.Flush();
}

FakeWorker::~FakeWorker() = default;

void FakeWorker::Receive(const ToWorker& message) {
  if (message.has_assignment() && options_.answer) {
    SendReport(options_.answer(message.assignment()));
    return;
  }
  inbox_.Push(message);
}

ToWorker FakeWorker::Next() {
  auto message = inbox_.Pop({}, SystemClock().Now() + std::chrono::seconds(20));
  EXPECT_TRUE(message) << "nothing came for worker " << options_.id;
  return message.value_or(ToWorker());
}

worker::v1::Assignment FakeWorker::NextAssignment() {
  while (true) {
    ToWorker message = Next();
    const auto kind = message.message_case();
    if (kind == ToWorker::kAssignment || kind == ToWorker::MESSAGE_NOT_SET) {
      return message.assignment();
    }
  }
}

worker::v1::CancelAttempt FakeWorker::NextCancel() {
  while (true) {
    ToWorker message = Next();
    const auto kind = message.message_case();
    if (kind == ToWorker::kCancel || kind == ToWorker::MESSAGE_NOT_SET) return message.cancel();
  }
}

void FakeWorker::SendReport(worker::v1::Report report) {
  FromWorker message;
  *message.mutable_report() = std::move(report);
  sender_->Send(message);
}

worker::v1::Report ReportOf(const worker::v1::Assignment& assignment, int exit_code) {
  worker::v1::Report report;
  *report.mutable_attempt() = assignment.attempt();
  report.mutable_status();
  report.mutable_result()->set_exit_code(exit_code);
  return report;
}

}  // namespace lre::service

// The message google.longrunning.Operation that stands for one of the scheduler's operations.
// Free functions, thread-safe.
#pragma once

#include <memory>
#include <string>

#include "build/bazel/remote/execution/v2/remote_execution.pb.h"
#include "google/longrunning/operations.pb.h"
#include "scheduler/scheduler.h"

namespace lre::service {

// What StageChanged, Answer and OperationView have in common.
struct OperationFacts {
  std::string name;
  scheduler::Stage stage = scheduler::Stage::kQueued;
  std::shared_ptr<const scheduler::ActionRequest> request;
  std::string worker;  // its name, for people
  std::shared_ptr<const void> progress;
  Status status;                       // when completed
  std::shared_ptr<const void> answer;  // when completed
  size_t queue_position = 0;           // when queued
  int64_t attempt = 0;
};
OperationFacts FactsOf(const scheduler::StageChanged& change);
OperationFacts FactsOf(const scheduler::Answer& answer);
OperationFacts FactsOf(const scheduler::OperationView& view);

google::longrunning::Operation MakeOperation(const OperationFacts& facts);
// The finished operation of a result that was found in the action cache.
google::longrunning::Operation MakeCachedOperation(
    std::string name, const Digest& action,
    build::bazel::remote::execution::v2::ActionResult result);

}  // namespace lre::service

// What execution puts into the scheduler's opaque pointers. Constant once shared, so any thread may
// read them.
//
//   ActionRequest::payload                         const ExecutionPayload
//   WorkerProgressed::progress, OperationView      const ExecutedActionMetadata
//   every `answer`                                 const ExecuteResponse
#pragma once

#include <memory>
#include <string>

#include "build/bazel/remote/execution/v2/remote_execution.pb.h"
#include "lre/worker/v1/worker.pb.h"

namespace lre::service {

namespace pb = ::build::bazel::remote::execution::v2;

struct ExecutionPayload {
  // Everything but the attempt and the timeout.
  worker::v1::Assignment assignment;
  // Of InputLeases: what the action needs is kept as long as the request, that is until it has run.
  std::shared_ptr<void> inputs{};
};

inline std::shared_ptr<const ExecutionPayload> PayloadOf(const std::shared_ptr<const void>& p) {
  return std::static_pointer_cast<const ExecutionPayload>(p);
}
inline std::shared_ptr<const pb::ExecuteResponse> ResponseOf(const std::shared_ptr<const void>& p) {
  return std::static_pointer_cast<const pb::ExecuteResponse>(p);
}
inline std::shared_ptr<const pb::ExecutedActionMetadata> ProgressOf(
    const std::shared_ptr<const void>& p) {
  return std::static_pointer_cast<const pb::ExecutedActionMetadata>(p);
}

}  // namespace lre::service

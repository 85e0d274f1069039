// build.bazel.remote.execution.v2.Execution: Execute and WaitExecution. Validates the request,
// loads Action and Command, answers from the action cache when it may, else queues the action and
// streams its stages and its answer.
//
// What goes wrong before there is an operation is the status of the call: INVALID_ARGUMENT,
// FAILED_PRECONDITION with the missing blobs (clients upload them and ask again),
// RESOURCE_EXHAUSTED. What goes wrong later is ExecuteResponse.status. Blocking reads run on the
// given pool. What ExecutionParts borrows must outlive every call. Limits: action_bytes_max and
// command_bytes_max. Thread-safe.
// Specification: comments of Execution in the published remote_execution.proto.
#pragma once

#include <vector>

#include "action_cache/action_cache.h"
#include "base/clock.h"
#include "base/thread_pool.h"
#include "rpc/call.h"
#include "service/input_leases.h"
#include "service/partitions.h"
#include "service/scheduler_thread.h"
#include "store/blob_store.h"

namespace lre::service {

struct ExecutionParts {
  store::BlobStore& cas;
  action_cache::ActionCache& action_cache;
  SchedulerThread& scheduler;
  ThreadPool& io;
  const Clock& clock;
  const Partitions& partitions = Partitions::None();
  InputLeases* inputs = nullptr;  // keeps what actions need; none: the leases of clients must do
};
struct ExecutionOptions {
  size_t action_bytes_max = 1 << 20;
  size_t command_bytes_max = 16 << 20;
  size_t inline_bytes_max = 1 << 20;  // of one stdout, stderr or file that a client wants inline
};

// The methods Execute and WaitExecution.
std::vector<rpc::Method> ExecutionMethods(ExecutionParts parts, ExecutionOptions options = {});

// Writes results into the action cache, on `io`: only complete ones, with exit code 0, of actions
// that may be cached. A result whose blobs are absent is the worker's failure, and the action runs
// again. Both must outlive the scheduler thread that is given this.
Publisher NewResultPublisher(action_cache::ActionCache& action_cache, ThreadPool& io);

}  // namespace lre::service

// google.longrunning.Operations: Get, List, Cancel, Delete and Wait over the scheduler's operations
// (queued, running, and finished ones while they are retained).
//
// List takes `page_size` (at most operations_page_max) and a filter: empty, or one of
// "stage=queued", "stage=executing", "stage=completed". Cancel answers every waiting client with
// CANCELLED. Delete forgets a finished operation; a client's interest in a running one is not
// changed by it. All answers come from the scheduler's thread; nothing blocks. NOT_FOUND for a name
// that is not known.
#pragma once

#include <vector>

#include "base/clock.h"
#include "rpc/call.h"
#include "service/scheduler_thread.h"

namespace lre::service {

struct OperationsOptions {
  size_t operations_page_max = 1000;
  Duration wait_max = std::chrono::minutes(1);  // of WaitOperation without a timeout
};
std::vector<rpc::Method> OperationsMethods(SchedulerThread& scheduler,
                                           OperationsOptions options = {});

}  // namespace lre::service

// google.longrunning.Operations: Get, List, Cancel, Delete and Wait over the scheduler's operations
// (queued, running, and finished ones while they are retained).
//
// A caller sees the operations of its tenant, or, when it has none of its own, those of partitions
// that are nobody's own (service/partitions.h); others are unknown to it.
//
// List takes as `name` an instance name, whose operations it lists (empty or "operations": those of
// every instance name in the caller's partition), `page_size` (at most operations_page_max are
// looked at for one page) and a `filter` (kOperationFilterHelp). Cancel answers every waiting
// client with CANCELLED. Delete forgets a finished operation; a client's interest in a running one
// is not changed by it. All answers come from the scheduler's thread; nothing blocks. NOT_FOUND for
// a name that is not known.
#pragma once

#include <vector>

#include "base/clock.h"
#include "rpc/call.h"
#include "service/partitions.h"
#include "service/scheduler_thread.h"

namespace lre::service {

// For people; also the end of the error about a filter that is not understood.
inline constexpr const char* kOperationFilterHelp =
    "empty, or conditions joined by \" AND \", each one of stage=queued, stage=executing, "
    "stage=completed, worker=NAME, action=HASH, instance=NAME, invocation=ID, user=IDENTITY";

struct OperationsOptions {
  size_t operations_page_max = 1000;
  Duration wait_max = std::chrono::minutes(1);  // of WaitOperation without a timeout
};
// Both must outlive every call.
std::vector<rpc::Method> OperationsMethods(SchedulerThread& scheduler,
                                           const Partitions& partitions = Partitions::None(),
                                           OperationsOptions options = {});

}  // namespace lre::service

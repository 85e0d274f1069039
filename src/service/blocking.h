// Handing the rest of a request to the I/O pool: event loops never block, so what memory and page
// cache cannot answer moves whole to a thread that may wait. Free functions, thread-safe.
#pragma once

#include <functional>
#include <memory>

#include "base/thread_pool.h"
#include "rpc/call.h"

namespace lre::service {

// Runs `work` on the pool; ends the call with RESOURCE_EXHAUSTED (and a delay to retry after) when
// the pool's queue is full. `work` is skipped when the client has left by then.
void RunBlocking(ThreadPool& io, std::shared_ptr<rpc::ServerCall> call, std::function<void()> work);
// The status of a full queue.
Status BusyStatus();

}  // namespace lre::service

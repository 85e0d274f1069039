// ParallelFor: the same work for many items on a few threads, the first error wins. Returns when
// all threads are done. `work` must not throw and may run on any of the threads at once.
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>

#include "base/guarded.h"
#include "base/status.h"
#include "base/thread_group.h"

namespace lre::toolchain {

// After an error no further item is started. With errors on several items the lowest index is
// reported, so that the message does not depend on timing more than it must.
Status ParallelFor(size_t count, int threads, const std::function<Status(size_t)>& work);

}  // namespace lre::toolchain

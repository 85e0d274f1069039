// FreedMemory: what the C library's allocator does with memory that this process has freed, while
// an object of this class lives (one is enough; the settings stay).
//
// Messages of some hundred KiB come and go all the time. Left to itself the allocator gives such
// memory back to the kernel each time, and half of what a large FindMissingBlobs costs is getting
// it again: so an arena (there is about one per thread) keeps up to 8 MiB at its end. What lies
// before a piece that stays, it never gives back: so every `return_interval` all whole pages that
// are free are returned, in a thread of its own. That stops allocations of one arena at a time, for
// about a millisecond per 10 MB. Sources: mallopt(3), malloc_trim(3).
#pragma once

#include "base/clock.h"
#include "base/thread_group.h"

namespace lre {

class FreedMemory {
 public:
  // 0: nothing is returned but by the allocator.
  explicit FreedMemory(Duration return_interval);

 private:
  ThreadGroup thread_;
};

}  // namespace lre

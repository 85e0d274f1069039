#include "base/freed_memory.h"

#include <malloc.h>

#include <condition_variable>
#include <mutex>

namespace lre {

FreedMemory::FreedMemory(Duration return_interval) {
  mallopt(M_MMAP_THRESHOLD, 4 << 20);
  mallopt(M_TRIM_THRESHOLD, 8 << 20);
  if (return_interval <= Duration(0)) return;
  thread_.Add("freed-memory", [return_interval](std::stop_token stop) {
    std::mutex mutex;
    std::unique_lock lock(mutex);
    std::condition_variable_any never;
    while (!never.wait_for(lock, stop, return_interval, [] { return false; }) &&
           !stop.stop_requested())
      malloc_trim(0);
  });
}

}  // namespace lre

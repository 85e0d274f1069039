#include "worker/patience.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>

#include "base/log.h"

namespace lre::worker {

Status Patience::Do(const std::function<Status()>& step) {
  std::mutex mutex;
  std::condition_variable_any never;
  Instant first{};
  for (Duration wait = options_.wait_min;; wait = std::min(wait * 2, options_.wait_max)) {
    Status status = step();
    if (status.code() != Code::kUnavailable) return status;
    Instant now = clock_.Now();
    if (first == Instant()) {
      first = now;
      Log(kInfo, "worker_waits_for_server", {{"error", status.ToString()}});
    }
    const Duration left = options_.away_max - (now - first);
    if (left <= Duration(0)) return status;
    std::unique_lock lock(mutex);
    never.wait_for(lock, stop_, std::min(wait, left), [] { return false; });
    if (stop_.stop_requested())
      return ErrorStatus(Code::kCancelled, "stopped while waiting for the server: {}",
                         status.message());
  }
}

}  // namespace lre::worker

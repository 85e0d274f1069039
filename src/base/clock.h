// Clock: the only way LRE reads time. Instants are monotonic and mean nothing outside the process;
// wall times go into protocol messages and logs. Implementations are thread-safe.
#pragma once

#include <atomic>
#include <chrono>

namespace lre {

using Duration = std::chrono::nanoseconds;
using Instant = std::chrono::time_point<std::chrono::steady_clock, Duration>;
using WallTime = std::chrono::time_point<std::chrono::system_clock, Duration>;

class Clock {
 public:
  virtual ~Clock() = default;
  virtual Instant Now() const = 0;
  virtual WallTime WallNow() const = 0;
};

// The machine's clock. Lives as long as the process.
const Clock& SystemClock();

// A clock that moves only when told to. Starts one hour after the epoch.
class FakeClock : public Clock {
 public:
  Instant Now() const override { return Instant(Duration(now_.load())); }
  WallTime WallNow() const override { return WallTime(Duration(now_.load())); }
  void Advance(Duration duration) { now_.fetch_add(duration.count()); }

 private:
  std::atomic<int64_t> now_{std::chrono::duration_cast<Duration>(std::chrono::hours(1)).count()};
};

}  // namespace lre

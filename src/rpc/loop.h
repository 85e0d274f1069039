// Loop: one epoll instance and the thread that runs it. Everything attached to a loop (sockets,
// timers, deferred flushes) is confined to that thread; Post and Stop may be called from any
// thread. A loop is held by shared_ptr because calls outlive connections and servers: posting to a
// stopped loop drops the work. One iteration is: socket events, posted work, due timers, then
// deferred flushes, so that all answers produced in an iteration leave in as few writes as
// possible.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "base/clock.h"
#include "base/file.h"

namespace lre::rpc {

class Loop;

// A callback at an instant. Confined to the loop it is armed on; destroying it cancels it.
class Timer {
 public:
  explicit Timer(std::function<void()> action) : action_(std::move(action)) {}
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  ~Timer() { Cancel(); }

  // Arms or moves it.
  void Set(Loop& loop, Instant when);
  void Cancel();
  bool armed() const { return loop_ != nullptr; }

 private:
  friend class Loop;
  std::function<void()> action_;
  Loop* loop_ = nullptr;
  Instant when_{};
  size_t index_ = 0;  // in the loop's heap
};

class Loop {
 public:
  // Something with a file descriptor. A source must survive until the end of the iteration in which
  // it is unwatched (see Dispose), and ignore events that arrive after that.
  class Source {
   public:
    virtual ~Source() = default;
    virtual void OnEvents(uint32_t epoll_events) = 0;
  };
  // Something that wants to run once at the end of the iteration.
  class Deferred {
   public:
    virtual ~Deferred() = default;
    virtual void OnIterationEnd() = 0;

   private:
    friend class Loop;
    bool deferred_ = false;
  };

  // Socket reads of all connections share one buffer of this size: also the most that one
  // connection is served before the next has its turn.
  static constexpr size_t kTurnBytes = 256 << 10;
  // What an iteration moves for connections that have more than a turn, together: those that ask
  // for little wait for that at most. Beyond, a turn is kTurnBytesMin, so that all go on.
  static constexpr size_t kIterationBytes = 1 << 20;
  static constexpr size_t kTurnBytesMin = 32 << 10;

  explicit Loop(const Clock& clock);
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;
  ~Loop();

  // Serves on the calling thread until Stop. Posted work that has not run by then is dropped.
  void Run();
  void Stop();
  bool InLoopThread() const { return current_ == this; }
  // Runs `work` on the loop thread, in the order of posting. Never runs it inside the call.
  void Post(std::function<void()> work);
  // Now if on the loop thread, else posted.
  template <typename F>
  void RunInLoop(F&& work) {
    if (InLoopThread()) {
      work();
    } else {
      Post(std::forward<F>(work));
    }
  }

  // Below: loop thread only (or before Run).
  // The time at which the current iteration began.
  Instant now() const { return now_; }
  const Clock& clock() const { return clock_; }
  void Watch(int fd, uint32_t events, Source& source);
  void Change(int fd, uint32_t events, Source& source);
  void Unwatch(int fd);
  void Defer(const std::shared_ptr<Deferred>& deferred);
  // Drops `object` when the iteration has ended.
  void Dispose(std::shared_ptr<void> object) { disposed_.push_back(std::move(object)); }
  char* read_buffer() { return read_buffer_.get(); }
  // How many bytes a connection may read or write now: an equal share of the iteration for each
  // that had more in the last one.
  size_t TurnBytes() const;
  // Counts a turn; `more`: its connection could have gone on.
  void CountTurn(size_t bytes, bool more);

 private:
  friend class Timer;
  class Wakeup;

  int WaitMillis() const;
  void BeginIteration();
  void RunPosted();
  void RunTimers();
  void RunDeferred();
  void SiftUp(size_t index);
  void SiftDown(size_t index);
  void PlaceTimer(size_t index, Timer* timer);

  static thread_local Loop* current_;

  const Clock& clock_;
  UniqueFd epoll_, event_;
  std::unique_ptr<Wakeup> wakeup_;
  std::unique_ptr<char[]> read_buffer_;
  std::atomic<bool> stop_{false};

  std::mutex mutex_;
  std::vector<std::function<void()>> posted_;  // under mutex_
  bool closed_ = false;                        // under mutex_

  // Loop thread only.
  Instant now_;
  size_t turns_left_bytes_ = kIterationBytes;  // of this iteration
  size_t turn_share_bytes_ = kTurnBytes;
  size_t turns_with_more_ = 0;
  std::vector<Timer*> timers_;  // a heap, earliest first
  std::vector<std::shared_ptr<Deferred>> deferred_;
  std::vector<std::shared_ptr<void>> disposed_;
};

}  // namespace lre::rpc

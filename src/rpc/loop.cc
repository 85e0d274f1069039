#include "rpc/loop.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/check.h"

namespace lre::rpc {

thread_local Loop* Loop::current_ = nullptr;

// The eventfd by which other threads wake the loop; what it carries is in posted_.
class Loop::Wakeup final : public Loop::Source {
 public:
  explicit Wakeup(Loop& loop) : loop_(loop) {}
  void OnEvents(uint32_t) override {
    uint64_t count;
    [[maybe_unused]] ssize_t n = read(loop_.event_.get(), &count, sizeof count);
  }

 private:
  Loop& loop_;
};

Loop::Loop(const Clock& clock)
    : clock_(clock),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      event_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      wakeup_(std::make_unique<Wakeup>(*this)),
      read_buffer_(std::make_unique_for_overwrite<char[]>(kTurnBytes)),
      now_(clock.Now()) {
  CHECK(epoll_ && event_, "epoll_create1 and eventfd (raise the limit of open files)");
  Watch(event_.get(), EPOLLIN, *wakeup_);
}

Loop::~Loop() {
  for (Timer* timer : timers_) timer->loop_ = nullptr;
}

void Loop::Run() {
  current_ = this;
  epoll_event events[64];
  while (!stop_.load(std::memory_order_acquire)) {
    int n = epoll_wait(epoll_.get(), events, std::size(events), WaitMillis());
    CHECK(n >= 0 || errno == EINTR, "epoll_wait");
    BeginIteration();
    for (int i = 0; i < n; ++i) {
      static_cast<Source*>(events[i].data.ptr)->OnEvents(events[i].events);
    }
    RunPosted();
    RunTimers();
    RunDeferred();
    disposed_.clear();
  }
  std::vector<std::function<void()>> dropped;
  {
    std::lock_guard lock(mutex_);
    closed_ = true;
    dropped.swap(posted_);
  }
  dropped.clear();
  deferred_.clear();
  disposed_.clear();
  current_ = nullptr;
}

void Loop::Stop() {
  stop_.store(true, std::memory_order_release);
  uint64_t one = 1;
  [[maybe_unused]] ssize_t n = write(event_.get(), &one, sizeof one);
}

void Loop::Post(std::function<void()> work) {
  {
    std::lock_guard lock(mutex_);
    if (closed_) return;  // `work` is destroyed by the caller, outside the lock
    posted_.push_back(std::move(work));
    // One wake-up serves all that is posted until the loop takes the list.
    if (posted_.size() > 1) return;
  }
  uint64_t one = 1;
  [[maybe_unused]] ssize_t n = write(event_.get(), &one, sizeof one);
}

int Loop::WaitMillis() const {
  if (!deferred_.empty()) return 0;
  if (timers_.empty()) return -1;
  Duration wait = timers_.front()->when_ - clock_.Now();
  if (wait <= Duration(0)) return 0;
  auto millis = std::chrono::ceil<std::chrono::milliseconds>(wait).count();
  return static_cast<int>(std::min<int64_t>(millis, 3'600'000));
}

void Loop::BeginIteration() {
  now_ = clock_.Now();
  const size_t shares = std::max<size_t>(1, std::exchange(turns_with_more_, 0));
  turn_share_bytes_ = std::clamp(kIterationBytes / shares, kTurnBytesMin, kTurnBytes);
  turns_left_bytes_ = kIterationBytes;
}

size_t Loop::TurnBytes() const {
  return std::max(kTurnBytesMin, std::min(turn_share_bytes_, turns_left_bytes_));
}

void Loop::CountTurn(size_t bytes, bool more) {
  turns_left_bytes_ -= std::min(turns_left_bytes_, bytes);
  if (more) ++turns_with_more_;
}

void Loop::RunPosted() {
  std::vector<std::function<void()>> work;
  {
    std::lock_guard lock(mutex_);
    work.swap(posted_);
  }
  for (auto& item : work) {
    item();
    item = nullptr;  // what it held ends before the next runs
  }
}

void Loop::RunTimers() {
  while (!timers_.empty() && timers_.front()->when_ <= now_) {
    Timer* timer = timers_.front();
    timer->Cancel();
    timer->action_();
  }
}

void Loop::RunDeferred() {
  if (deferred_.empty()) return;
  std::vector<std::shared_ptr<Deferred>> due;
  due.swap(deferred_);
  for (auto& item : due) {
    item->deferred_ = false;
    item->OnIterationEnd();  // may defer itself again, for the next iteration
  }
  due.clear();
  if (deferred_.empty()) deferred_.swap(due);  // keeps the memory
}

void Loop::Watch(int fd, uint32_t events, Source& source) {
  epoll_event event{.events = events, .data = {.ptr = &source}};
  CHECK(epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0, "epoll_ctl add");
}

void Loop::Change(int fd, uint32_t events, Source& source) {
  epoll_event event{.events = events, .data = {.ptr = &source}};
  CHECK(epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) == 0, "epoll_ctl change");
}

void Loop::Unwatch(int fd) { epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr); }

void Loop::Defer(const std::shared_ptr<Deferred>& deferred) {
  if (deferred->deferred_) return;
  deferred->deferred_ = true;
  deferred_.push_back(deferred);
}

void Timer::Set(Loop& loop, Instant when) {
  if (loop_ != nullptr) Cancel();
  loop_ = &loop;
  when_ = when;
  loop.timers_.push_back(this);
  index_ = loop.timers_.size() - 1;
  loop.SiftUp(index_);
}

void Timer::Cancel() {
  if (loop_ == nullptr) return;
  Loop& loop = *std::exchange(loop_, nullptr);
  Timer* last = loop.timers_.back();
  loop.timers_.pop_back();
  if (last == this) return;
  loop.PlaceTimer(index_, last);
  loop.SiftUp(last->index_);
  loop.SiftDown(last->index_);
}

void Loop::PlaceTimer(size_t index, Timer* timer) {
  timers_[index] = timer;
  timer->index_ = index;
}

void Loop::SiftUp(size_t index) {
  Timer* timer = timers_[index];
  while (index > 0) {
    size_t parent = (index - 1) / 2;
    if (timers_[parent]->when_ <= timer->when_) break;
    PlaceTimer(index, timers_[parent]);
    index = parent;
  }
  PlaceTimer(index, timer);
}

void Loop::SiftDown(size_t index) {
  Timer* timer = timers_[index];
  for (;;) {
    size_t child = 2 * index + 1;
    if (child >= timers_.size()) break;
    if (child + 1 < timers_.size() && timers_[child + 1]->when_ < timers_[child]->when_) ++child;
    if (timer->when_ <= timers_[child]->when_) break;
    PlaceTimer(index, timers_[child]);
    index = child;
  }
  PlaceTimer(index, timer);
}

}  // namespace lre::rpc

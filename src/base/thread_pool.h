// ThreadPool: a bounded pool for work that may block (disk, decompression, remote stores). Event
// loops hand such work here and get the answer posted back. Thread-safe.
#pragma once

#include <functional>
#include <memory>

#include "base/mailbox.h"
#include "base/thread_group.h"

namespace lre {

struct ThreadPoolOptions {
  const char* name = "io";
  int threads = 8;
  size_t queue_items_max = 65536;
};

class ThreadPool {
 public:
  explicit ThreadPool(ThreadPoolOptions options);
  ~ThreadPool();

  // Runs `work` on some thread of the pool; false when the queue is full (answer
  // RESOURCE_EXHAUSTED).
  [[nodiscard]] bool TryRun(std::function<void()> work);
  // Lets queued work finish, then stops.
  void Stop();

 private:
  Mailbox<std::function<void()>> queue_;
  ThreadGroup threads_;
};

}  // namespace lre

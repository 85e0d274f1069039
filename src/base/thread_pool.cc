#include "base/thread_pool.h"

#include <fmt/format.h>

namespace lre {

ThreadPool::ThreadPool(ThreadPoolOptions options) : queue_(options.queue_items_max) {
  for (int i = 0; i < options.threads; ++i) {
    threads_.Add(fmt::format("{}-{}", options.name, i), [this](std::stop_token) {
      // Not the group's stop token: closing the mailbox lets accepted work finish first.
      while (auto work = queue_.Pop(std::stop_token())) (*work)();
    });
  }
}

ThreadPool::~ThreadPool() { Stop(); }

bool ThreadPool::TryRun(std::function<void()> work) { return queue_.TryPush(std::move(work)); }

void ThreadPool::Stop() {
  queue_.Close();
  threads_.Stop();
}

}  // namespace lre

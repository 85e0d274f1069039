// Mailbox<T>: a bounded queue between threads, first in first out. Push and Pop are thread-safe.
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <stop_token>

#include "base/clock.h"

namespace lre {

template <typename T>
class Mailbox {
 public:
  explicit Mailbox(size_t items_max) : items_max_(items_max) {}

  // False when full or closed; `item` is then untouched and the caller says so to whoever asked.
  bool TryPush(T&& item) {
    {
      std::lock_guard lock(mutex_);
      if (closed_ || items_.size() >= items_max_) return false;
      items_.push_back(std::move(item));
    }
    ready_.notify_one();
    return true;
  }
  // Takes the item whatever the bound: for effects of accepted work, which is bounded elsewhere.
  void Push(T item) {
    {
      std::lock_guard lock(mutex_);
      items_.push_back(std::move(item));
    }
    ready_.notify_one();
  }
  // Waits for an item; empty when `stop` was requested, the mailbox closed, or `deadline` passed.
  std::optional<T> Pop(std::stop_token stop, std::optional<Instant> deadline = std::nullopt) {
    std::unique_lock lock(mutex_);
    auto ready = [&] { return !items_.empty() || closed_; };
    if (deadline) {
      ready_.wait_until(lock, stop, *deadline, ready);
    } else {
      ready_.wait(lock, stop, ready);
    }
    if (items_.empty()) return std::nullopt;
    std::optional<T> item(std::move(items_.front()));
    items_.pop_front();
    return item;
  }
  void Close() {
    {
      std::lock_guard lock(mutex_);
      closed_ = true;
    }
    ready_.notify_all();
  }

 private:
  const size_t items_max_;
  std::mutex mutex_;
  std::condition_variable_any ready_;
  std::deque<T> items_;
  bool closed_ = false;
};

}  // namespace lre

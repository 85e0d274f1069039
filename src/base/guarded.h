// Guarded<T>: a value that can only be reached with its mutex held.
//
//   Guarded<State> state_;
//   state_.With([&](State& s) { s.count++; });
//
// Never call a store, an RPC or a callback inside With: collect effects, leave, then act.
#pragma once

#include <condition_variable>
#include <mutex>
#include <utility>

namespace lre {

template <typename T>
class Guarded {
 public:
  template <typename... Args>
  explicit Guarded(Args&&... args) : value_(std::forward<Args>(args)...) {}

  template <typename F>
  decltype(auto) With(F&& f) {
    std::lock_guard lock(mutex_);
    return std::forward<F>(f)(value_);
  }
  template <typename F>
  decltype(auto) With(F&& f) const {
    std::lock_guard lock(mutex_);
    return std::forward<F>(f)(value_);
  }

 private:
  mutable std::mutex mutex_;
  T value_;
};

}  // namespace lre

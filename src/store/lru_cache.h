// LruCache: values by a pair of numbers, the least recently used given up when their bytes pass a
// bound. Thread-safe. Values are copied out, so make them cheap to copy (shared_ptr, Bytes).
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <optional>
#include <utility>

#include "base/guarded.h"

namespace lre::store {

template <typename Value>
class LruCache {
 public:
  using Key = std::pair<uint64_t, uint64_t>;
  explicit LruCache(uint64_t bytes_max) : bytes_max_(bytes_max) {}

  std::optional<Value> Find(const Key& key) {
    return state_.With([&](State& state) -> std::optional<Value> {
      auto it = state.by_key.find(key);
      if (it == state.by_key.end()) return std::nullopt;
      state.by_use.splice(state.by_use.begin(), state.by_use, it->second);
      return it->second->value;
    });
  }
  // One that is larger than the whole cache is not kept.
  void Put(const Key& key, Value value, uint64_t bytes) {
    if (bytes > bytes_max_) return;
    state_.With([&](State& state) {
      if (state.by_key.count(key) != 0) return;
      state.by_use.push_front({key, std::move(value), bytes});
      state.by_key[key] = state.by_use.begin();
      state.bytes += bytes;
      while (state.bytes > bytes_max_) {
        state.bytes -= state.by_use.back().bytes;
        state.by_key.erase(state.by_use.back().key);
        state.by_use.pop_back();
      }
    });
  }

 private:
  struct Entry {
    Key key;
    Value value;
    uint64_t bytes;
  };
  struct State {
    std::list<Entry> by_use;  // the last used first
    std::map<Key, typename std::list<Entry>::iterator> by_key;
    uint64_t bytes = 0;
  };
  const uint64_t bytes_max_;
  Guarded<State> state_;
};

}  // namespace lre::store

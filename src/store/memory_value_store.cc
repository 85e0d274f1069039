#include <list>
#include <string>
#include <unordered_map>

#include "base/guarded.h"
#include "store/value_store.h"

namespace lre::store {

Status CheckValue(std::string_view key, size_t value_bytes) {
  if (key.empty() || key.size() > ValueStore::kKeyBytesMax) {
    return ErrorStatus(Code::kInvalidArgument, "value with a key of {} bytes; 1 to {} are allowed",
                       key.size(), ValueStore::kKeyBytesMax);
  }
  if (value_bytes > ValueStore::kValueBytesMax) {
    return ErrorStatus(Code::kInvalidArgument, "value of {} bytes; at most {} are allowed",
                       value_bytes, ValueStore::kValueBytesMax);
  }
  return {};
}

namespace {

class MemoryValueStore final : public ValueStore {
 public:
  explicit MemoryValueStore(MemoryValueStoreOptions options) : options_(options) {}

  Result<Bytes> GetValue(std::string_view key) override {
    Bytes value;
    bool found = state_.With([&](State& state) {
      auto it = state.index.find(key);
      if (it == state.index.end()) return false;
      state.entries.splice(state.entries.begin(), state.entries, it->second);
      value = it->second->value;
      return true;
    });
    if (!found) return Error(Code::kNotFound, "no value under this key");
    return value;
  }

  Status PutValue(std::string_view key, std::string_view value) override {
    TRY(CheckValue(key, value.size()));
    if (key.size() + value.size() > options_.size_bytes_max) {
      return ErrorStatus(Code::kResourceExhausted,
                         "value of {} bytes: larger than the {} bytes "
                         "this store holds; raise its size limit",
                         value.size(), options_.size_bytes_max);
    }
    std::list<Entry> gone, fresh;  // made before the lock, freed after it
    fresh.push_front({std::string(key), Bytes(std::string(value))});
    state_.With([&](State& state) {
      state.Remove(key, gone);
      state.size_bytes += key.size() + value.size();
      state.entries.splice(state.entries.begin(), fresh);
      state.index.emplace(state.entries.front().key, state.entries.begin());
      while (state.size_bytes > options_.size_bytes_max && !state.entries.empty())
        state.Remove(state.entries.back().key, gone);
    });
    return {};
  }

  Status RemoveValue(std::string_view key) override {
    std::list<Entry> gone;
    state_.With([&](State& state) { state.Remove(key, gone); });
    return {};
  }

  std::optional<Result<Bytes>> TryGetValue(std::string_view key) override { return GetValue(key); }
  std::optional<Status> TryPutValue(std::string_view key, std::string_view value) override {
    return PutValue(key, value);
  }

 private:
  struct Entry {
    std::string key;
    Bytes value;
  };
  struct State {
    void Remove(std::string_view key, std::list<Entry>& gone) {
      auto it = index.find(key);
      if (it == index.end()) return;
      auto entry = it->second;
      size_bytes -= entry->key.size() + entry->value.size();
      index.erase(it);
      gone.splice(gone.end(), entries, entry);
    }
    std::list<Entry> entries;  // most recently used first
    // Keys are views of the entries' own.
    std::unordered_map<std::string_view, std::list<Entry>::iterator> index;
    uint64_t size_bytes = 0;
  };

  const MemoryValueStoreOptions options_;
  Guarded<State> state_;
};

}  // namespace

std::unique_ptr<ValueStore> NewMemoryValueStore(MemoryValueStoreOptions options) {
  return std::make_unique<MemoryValueStore>(options);
}

}  // namespace lre::store

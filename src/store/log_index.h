// LogIndex: from 128-bit key to place in the log, in memory, 38 to 47 bytes per entry. Thread-safe:
// 1024 shards, each with locks of its own that are held for one table operation; lookups on
// different cores do not meet. Lookups of many keys should be announced with Prefetch some keys
// ahead.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "store/log_format.h"

namespace lre::store {

class LogIndex {
 public:
  static constexpr size_t kShards = 1024;

  LogIndex();
  LogIndex(const LogIndex&) = delete;
  LogIndex& operator=(const LogIndex&) = delete;
  ~LogIndex();

  void Prefetch(const LogKey& key) const;
  std::optional<LogEntry> Find(const LogKey& key) const;
  // As Find; when the touch tick is at least `step` behind, it becomes `tick` and `*moved` true.
  std::optional<LogEntry> Touch(const LogKey& key, uint32_t tick, uint32_t step, bool* moved);
  // Inserts or replaces. Returns what was there.
  std::optional<LogEntry> Put(const LogEntry& entry);
  // Removes the entry if it is (still) at `location`.
  bool Erase(const LogKey& key, uint64_t location);
  // Sets `location` if the entry is still at `from`; touch tick and size stay.
  bool Move(const LogKey& key, uint64_t from, uint64_t to);
  void SetVerified(const LogKey& key, uint64_t location);

  // Calls `visit` on every entry of a shard, in key order, under the shard's lock; entries for
  // which it says true are erased. `visit` must be quick and must not use the index.
  void Visit(size_t shard, const std::function<bool(const LogEntry&)>& visit);
  // Appends a copy of the shard's entries, in key order.
  void Copy(size_t shard, std::vector<LogEntry>* entries) const;
  // Fills an empty shard with entries in key order, all of that shard. For opening.
  void Fill(size_t shard, std::span<const LogEntry> entries);
  static size_t ShardOf(const LogKey& key) { return key.high >> 54; }

  uint64_t size() const;
  uint64_t memory_bytes() const;

 private:
  class Lock;
  class ReadGuard;
  class WriteGuard;
  struct Shard;
  Lock& LockOf(size_t stripe, size_t shard) const;

  const size_t stripes_;
  const std::unique_ptr<Lock[]> locks_;  // by stripe, then shard
  const std::unique_ptr<Shard[]> shards_;
};

}  // namespace lre::store

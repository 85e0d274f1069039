// LogIndex: from 128-bit key to place in the log, in memory, 38 to 47 bytes per entry. Thread-safe:
// 1024 shards, each with locks of its own that are held for one table operation; lookups on
// different cores do not meet, and who looks at everything (recycling, checkpoints) holds up none.
// Lookups of many keys should be announced with Prefetch some keys
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
  // Removes the entry if it is (still) at `location` and its touch tick is before `since`. False:
  // it is there and was touched since.
  bool EraseUntouched(const LogKey& key, uint64_t location, uint32_t since);
  // Sets `location` if the entry is still at `from`; touch tick and size stay.
  bool Move(const LogKey& key, uint64_t from, uint64_t to);
  void SetVerified(const LogKey& key, uint64_t location);

  // Calls `visit` on a copy of every entry of a shard, in key order. So many are copied under a
  // lock that lookups do not take; what changes meanwhile may be seen or not.
  static constexpr size_t kCopiedAtOnce = 256;
  void ForEach(size_t shard, const std::function<void(const LogEntry&)>& visit) const;
  // Erases the entries of a shard for which `drop`, which must not use the index, says true; the
  // shard is locked all the time. For opening.
  void EraseIf(size_t shard, const std::function<bool(const LogEntry&)>& drop);
  // Appends a copy of the shard's entries, in key order.
  void Copy(size_t shard, std::vector<LogEntry>* entries) const;
  // Fills an empty shard with entries in key order, all of that shard. For opening.
  void Fill(size_t shard, std::span<const LogEntry> entries);
  static size_t ShardOf(const LogKey& key) { return key.high >> 54; }

  uint64_t size() const;
  uint64_t memory_bytes() const;

 private:
  class Lock;
  class WriteGuard;
  struct Shard;
  Lock& LockOf(size_t stripe, size_t shard) const;
  Lock& ReaderLock(size_t shard) const;

  const size_t stripes_;
  const std::unique_ptr<Lock[]> locks_;  // by stripe, then shard; the last stripe is ForEach's
  const std::unique_ptr<Shard[]> shards_;
};

}  // namespace lre::store

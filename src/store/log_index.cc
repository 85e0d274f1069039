// Each shard is an array sorted by key, with gaps: a key's home is its share of the key space times
// the capacity, an entry lies at its home or after it with no gap between (linear probing, kept in
// order). So a miss ends at the first larger key, growing copies the array once from front to back,
// and a checkpoint is the arrays as they lie. Capacities grow by a quarter at 85 % load, so that
// the slack never passes 47 bytes an entry; keys are outputs of a keyed hash, hence uniform.
//
// A shard has one lock for each of a few stripes, as many as there are cores. Who reads takes the
// one of the core it runs on, who adds, removes or moves entries takes them all: lookups, of which
// there are a thousand for each write, then share no cache line that anyone changes, and touch
// entries with one atomic step. One more stripe is for who looks at the whole index: it keeps
// writers away for a few microseconds, and readers not at all.
#include "store/log_index.h"

#include <sched.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <thread>

#include "base/check.h"

namespace lre::store {
namespace {

// Slots after the last home, for entries that are pushed past it.
constexpr uint32_t kOverflow = 24;
constexpr uint32_t kCapacityMin = 8;

constexpr size_t kStripesMax = 16;

size_t StripesOfThisMachine() {
  return std::bit_ceil(std::clamp<size_t>(std::thread::hardware_concurrency(), 1, kStripesMax));
}

// Who looks an entry up may change its state, being one of many: touches and "verified" are no
// reason to keep other readers waiting.
std::atomic_ref<uint64_t> StateOf(LogEntry& slot) { return std::atomic_ref(slot.state); }
LogEntry Load(const LogEntry& slot) {
  const uint64_t state = StateOf(const_cast<LogEntry&>(slot)).load(std::memory_order_relaxed);
  return {slot.key, slot.location, state};
}

bool IsEmpty(const LogEntry& slot) { return (slot.key.high | slot.key.low) == 0; }

}  // namespace

// One word; sleeps in the kernel only when the lock stays taken. A mutex is five times as large,
// and its calls cost as much as the lookup.
class LogIndex::Lock {
 public:
  void lock() {
    for (int i = 0; i < 100; ++i) {
      uint32_t free = 0;
      if (word_.compare_exchange_weak(free, 1, std::memory_order_acquire)) return;
    }
    while (word_.exchange(2, std::memory_order_acquire) != 0) word_.wait(2);
  }
  void unlock() {
    if (word_.exchange(0, std::memory_order_release) == 2) word_.notify_one();
  }

 private:
  std::atomic<uint32_t> word_{0};
};

// Ends with its scope.
class LogIndex::WriteGuard {
 public:
  WriteGuard(const LogIndex& index, size_t shard) : index_(index), shard_(shard) {
    // From the last: who waits for ForEach must not keep readers waiting.
    for (size_t i = index_.stripes_ + 1; i-- > 0;) index_.LockOf(i, shard_).lock();
  }
  ~WriteGuard() {
    for (size_t i = 0; i <= index_.stripes_; ++i) index_.LockOf(i, shard_).unlock();
  }
  WriteGuard(const WriteGuard&) = delete;
  WriteGuard& operator=(const WriteGuard&) = delete;

 private:
  const LogIndex& index_;
  const size_t shard_;
};

struct LogIndex::Shard {
  uint32_t count = 0;
  // Written under the locks; read without it only to prefetch.
  std::atomic<uint32_t> capacity{0};
  std::atomic<LogEntry*> slots{nullptr};

  ~Shard() { std::free(slots.load()); }

  LogEntry* table() const { return slots.load(std::memory_order_relaxed); }
  uint32_t homes() const { return capacity.load(std::memory_order_relaxed); }
  uint32_t end() const { return homes() == 0 ? 0 : homes() + kOverflow; }

  static uint32_t Home(const LogKey& key, uint32_t homes) {
    // The ten top bits chose the shard; the next 32 choose the home.
    return static_cast<uint32_t>((key.high << 10 >> 32) * homes >> 32);
  }

  // The place of `key`: where it is, or where it would be inserted (may be end()).
  uint32_t Place(const LogKey& key) const {
    const LogEntry* at = table();
    uint32_t i = Home(key, homes()), stop = end();
    while (i < stop && !IsEmpty(at[i]) && at[i].key < key) ++i;
    return i;
  }
  LogEntry* Find(const LogKey& key) const {
    if (count == 0) return nullptr;
    uint32_t i = Place(key);
    return i < end() && table()[i].key == key ? &table()[i] : nullptr;
  }

  // Copies all entries into a table of `wanted` homes or more.
  void Rehash(uint32_t wanted) {
    for (;; wanted += wanted / 4 + 1) {
      auto* fresh = static_cast<LogEntry*>(std::calloc(wanted + kOverflow, sizeof(LogEntry)));
      CHECK(fresh != nullptr, "memory for the index");
      uint32_t next = 0;
      const LogEntry* old = table();
      bool fits = true;
      for (uint32_t i = 0; i < end() && fits; ++i) {
        if (IsEmpty(old[i])) continue;
        next = std::max(next, Home(old[i].key, wanted));
        fits = next < wanted + kOverflow;
        if (fits) fresh[next++] = old[i];
      }
      if (!fits) {
        std::free(fresh);
        continue;
      }
      std::free(slots.exchange(fresh, std::memory_order_relaxed));
      capacity.store(wanted, std::memory_order_relaxed);
      return;
    }
  }

  void Insert(const LogEntry& entry) {
    if ((count + 1) * 20ull > homes() * 17ull)
      Rehash(std::max(kCapacityMin, homes() + homes() / 4));
    for (;;) {
      uint32_t i = Place(entry.key), gap = i;
      LogEntry* at = table();
      while (gap < end() && !IsEmpty(at[gap])) ++gap;
      if (gap == end()) {
        Rehash(homes() + homes() / 4);
        continue;
      }
      std::memmove(static_cast<void*>(at + i + 1), at + i, (gap - i) * sizeof(LogEntry));
      at[i] = entry;
      ++count;
      return;
    }
  }

  void Remove(uint32_t i) {
    LogEntry* at = table();
    for (; i + 1 < end() && !IsEmpty(at[i + 1]) && Home(at[i + 1].key, homes()) <= i; ++i)
      at[i] = at[i + 1];
    at[i] = LogEntry();
    --count;
  }
};

LogIndex::LogIndex()
    : stripes_(StripesOfThisMachine()),
      locks_(new Lock[(stripes_ + 1) * kShards]),
      shards_(new Shard[kShards]) {}
LogIndex::~LogIndex() = default;

LogIndex::Lock& LogIndex::LockOf(size_t stripe, size_t shard) const {
  return locks_[stripe * kShards + shard];
}

LogIndex::Lock& LogIndex::ReaderLock(size_t shard) const {
  // Another core than the one that goes on with it costs time, nothing else.
  return LockOf(static_cast<size_t>(std::max(0, sched_getcpu())) % stripes_, shard);
}

void LogIndex::Prefetch(const LogKey& key) const {
  const Shard& shard = shards_[ShardOf(key)];
  // Both may be about to change: a prefetch of a wrong place is slow, never wrong.
  uint32_t homes = shard.capacity.load(std::memory_order_relaxed);
  const LogEntry* slots = shard.slots.load(std::memory_order_relaxed);
  const char* at = reinterpret_cast<const char*>(slots) +
                   static_cast<size_t>(Shard::Home(key, homes)) * sizeof(LogEntry);
  __builtin_prefetch(at);
  __builtin_prefetch(at + 64);
}

std::optional<LogEntry> LogIndex::Find(const LogKey& key) const {
  const Shard& shard = shards_[ShardOf(key)];
  std::lock_guard guard(ReaderLock(ShardOf(key)));
  const LogEntry* entry = shard.Find(key);
  if (entry == nullptr) return std::nullopt;
  return Load(*entry);
}

std::optional<LogEntry> LogIndex::Touch(const LogKey& key, uint32_t tick, uint32_t step,
                                        bool* moved) {
  Shard& shard = shards_[ShardOf(key)];
  *moved = false;
  std::lock_guard guard(ReaderLock(ShardOf(key)));
  LogEntry* slot = shard.Find(key);
  if (slot == nullptr) return std::nullopt;
  LogEntry entry = Load(*slot);
  while (entry.tick() + step <= tick) {
    LogEntry touched = entry;
    touched.set_tick(tick);
    *moved =
        StateOf(*slot).compare_exchange_weak(entry.state, touched.state, std::memory_order_relaxed);
    if (*moved) return touched;
  }
  return entry;
}

std::optional<LogEntry> LogIndex::Put(const LogEntry& entry) {
  Shard& shard = shards_[ShardOf(entry.key)];
  WriteGuard guard(*this, ShardOf(entry.key));
  if (LogEntry* old = shard.Find(entry.key)) return std::exchange(*old, entry);
  shard.Insert(entry);
  return std::nullopt;
}

bool LogIndex::Erase(const LogKey& key, uint64_t location) {
  Shard& shard = shards_[ShardOf(key)];
  WriteGuard guard(*this, ShardOf(key));
  LogEntry* entry = shard.Find(key);
  if (entry == nullptr || entry->location != location) return false;
  shard.Remove(static_cast<uint32_t>(entry - shard.table()));
  return true;
}

bool LogIndex::EraseUntouched(const LogKey& key, uint64_t location, uint32_t since) {
  Shard& shard = shards_[ShardOf(key)];
  WriteGuard guard(*this, ShardOf(key));
  LogEntry* entry = shard.Find(key);
  if (entry == nullptr || entry->location != location) return true;
  if (entry->tick() >= since) return false;
  shard.Remove(static_cast<uint32_t>(entry - shard.table()));
  return true;
}

bool LogIndex::Move(const LogKey& key, uint64_t from, uint64_t to) {
  Shard& shard = shards_[ShardOf(key)];
  WriteGuard guard(*this, ShardOf(key));
  LogEntry* entry = shard.Find(key);
  if (entry == nullptr || entry->location != from) return false;
  entry->location = to;
  return true;
}

void LogIndex::SetVerified(const LogKey& key, uint64_t location) {
  Shard& shard = shards_[ShardOf(key)];
  std::lock_guard guard(ReaderLock(ShardOf(key)));
  LogEntry* entry = shard.Find(key);
  if (entry == nullptr || entry->location != location) return;
  LogEntry verified;
  verified.set_verified();
  StateOf(*entry).fetch_or(verified.state, std::memory_order_relaxed);
}

void LogIndex::ForEach(size_t index, const std::function<void(const LogEntry&)>& visit) const {
  const Shard& shard = shards_[index];
  std::array<LogEntry, kCopiedAtOnce> some;
  for (std::optional<LogKey> after;;) {
    size_t count = 0;
    {
      std::lock_guard guard(LockOf(stripes_, index));
      const LogEntry* at = shard.table();
      // Keys only grow from here on, wherever the table has been moved to meanwhile.
      uint32_t i = after ? shard.Place(*after) : 0;
      if (after && i < shard.end() && at[i].key == *after) ++i;
      for (; i < shard.end() && count < some.size(); ++i)
        if (!IsEmpty(at[i])) some[count++] = Load(at[i]);
    }
    for (size_t i = 0; i < count; ++i) visit(some[i]);
    if (count < some.size()) return;
    after = some.back().key;
  }
}

void LogIndex::EraseIf(size_t index, const std::function<bool(const LogEntry&)>& drop) {
  Shard& shard = shards_[index];
  WriteGuard guard(*this, index);
  LogEntry* at = shard.table();
  for (uint32_t i = 0; i < shard.end();) {
    // After a removal another entry may have moved to this place.
    if (!IsEmpty(at[i]) && drop(at[i]))
      shard.Remove(i);
    else
      ++i;
  }
}

void LogIndex::Copy(size_t index, std::vector<LogEntry>* entries) const {
  ForEach(index, [entries](const LogEntry& entry) { entries->push_back(entry); });
}

void LogIndex::Fill(size_t index, std::span<const LogEntry> entries) {
  Shard& shard = shards_[index];
  WriteGuard guard(*this, index);
  CHECK(shard.count == 0);
  uint32_t homes = std::max(kCapacityMin, static_cast<uint32_t>(entries.size() * 4 / 3));
  shard.Rehash(homes);
  uint32_t next = 0;
  for (const LogEntry& entry : entries) {
    next = std::max(next, Shard::Home(entry.key, shard.homes()));
    if (next < shard.end()) {
      shard.table()[next++] = entry;
      ++shard.count;
    } else {
      shard.Insert(entry);
    }
  }
}

uint64_t LogIndex::size() const {
  uint64_t total = 0;
  for (size_t i = 0; i < kShards; ++i) {
    std::lock_guard guard(ReaderLock(i));
    total += shards_[i].count;
  }
  return total;
}

uint64_t LogIndex::memory_bytes() const {
  uint64_t total = kShards * (sizeof(Shard) + (stripes_ + 1) * sizeof(Lock));
  for (size_t i = 0; i < kShards; ++i) {
    std::lock_guard guard(ReaderLock(i));
    total += shards_[i].end() * sizeof(LogEntry);
  }
  return total;
}

}  // namespace lre::store

// Leases: how long what was touched is kept, and who holds how much of it.
#include <algorithm>
#include <vector>

#include "base/log.h"
#include "reapi/retry_delay.h"
#include "store/lease_holder.h"
#include "store/log_store_impl.h"

namespace lre::store {

uint32_t LogStoreImpl::KeepSince(uint64_t keep_bytes) {
  // Ages in ticks up to a year, older ones together.
  constexpr size_t kAges = 365 * 24 * 15;
  std::vector<uint64_t> bytes_by_age(kAges + 1);
  uint32_t now = NowTick();
  for (size_t shard = 0; shard < LogIndex::kShards; ++shard) {
    index_.ForEach(shard, [&](const LogEntry& entry) {
      uint32_t age = now - std::min(now, entry.tick());
      bytes_by_age[std::min<size_t>(age, kAges)] += DiskBytes(entry);
    });
  }
  // The oldest age at which everything up to it fits `bytes`.
  auto age_that_fits = [&](uint64_t bytes) {
    uint64_t total = 0;
    for (uint32_t age = 0; age <= kAges; ++age) {
      total += bytes_by_age[age];
      if (total > bytes) return age == 0 ? 0 : age - 1;
    }
    return static_cast<uint32_t>(kAges);
  };
  auto ticks = [&](Duration lease) { return LeaseTicks(lease); };
  // The next leases that end are those of the oldest, unless even these have ended.
  uint32_t shortest =
      ticks(options_.lease_policy == LeasePolicy::kStrict ? options_.lease : options_.lease_min);
  uint32_t oldest = kAges;
  while (oldest > 0 && bytes_by_age[oldest] == 0) --oldest;
  Duration wait = LogEntry::kTick * (shortest - std::min(shortest, oldest));
  retry_delay_seconds_ = std::clamp<int64_t>(wait / std::chrono::seconds(1), 1, 300);

  uint64_t limit = SpaceLimit(kFresh);
  uint32_t age = age_that_fits(keep_bytes);
  if (age < ticks(options_.lease) && options_.lease_policy == LeasePolicy::kStrict) {
    age = ticks(options_.lease);
  } else if (age < ticks(options_.lease)) {
    uint32_t shrunk =
        age_that_fits(limit / 100 * static_cast<uint64_t>(100 - options_.reserve_percent));
    age = std::clamp(shrunk, ticks(options_.lease_min), ticks(options_.lease));
    bool is_short = age < ticks(options_.lease);
    if (is_short) lease_shrunk_.Add();
    // One warning each time it begins.
    if (is_short && !std::exchange(lease_is_short_, true)) {
      Log(kWarning, "store_lease_shrunk",
          {{"directory", options_.directory},
           {"lease_minutes", age * (LogEntry::kTick / std::chrono::minutes(1))}});
    }
    if (!is_short) lease_is_short_ = false;
  } else {
    lease_is_short_ = false;
  }
  NoteLease(std::min(age, ticks(options_.lease)));
  return now - std::min(now, age);
}

void LogStoreImpl::NoteLease(uint32_t ticks) {
  lease_ticks_ = ticks;
  uint32_t noted = ticks - std::min(ticks, 1 + touch_step_);
  Duration lease = std::min<Duration>(options_.lease, LogEntry::kTick * noted);
  lease_gauge_.Set(lease / std::chrono::seconds(1));
}

Status LogStoreImpl::FullStatus(std::string message) const {
  return reapi::WithRetryDelay(Status(Code::kResourceExhausted, std::move(message)),
                               std::chrono::seconds(retry_delay_seconds_));
}

Status LogStoreImpl::CheckShare(uint64_t bytes) {
  if (ledger_ == nullptr) [[likely]]
    return {};
  std::string_view identity = LeaseHolder::Current();
  uint32_t now = NowTick(), ticks = lease_ticks_;
  auto held = ledger_->HeldBy(identity, now - std::min(now, ticks));
  uint64_t share =
      options_.size_bytes_max / 100 * static_cast<uint64_t>(options_.lease_share_percent);
  if (held.bytes + bytes <= share) return {};
  share_refused_.Add();
  Duration wait = held.bytes == 0 ? Duration(std::chrono::minutes(5))
                                  : LogEntry::kTick * (held.oldest_tick + ticks + 1 - now);
  return reapi::WithRetryDelay(
      ErrorStatus(Code::kResourceExhausted,
                  "store {}: `{}` holds {} bytes of leases and may hold {}, {} % of the store; "
                  "raise its lease share or try again later",
                  options_.directory, identity, held.bytes, share, options_.lease_share_percent),
      std::clamp<Duration>(wait, std::chrono::seconds(1), std::chrono::minutes(5)));
}

void LogStoreImpl::AppendTouches(JournalState& state) {
  if (!touches_wait_.load(std::memory_order_relaxed)) return;
  std::vector<JournalEntry> touches;
  {
    std::lock_guard lock(touches_mutex_);
    touches.swap(touches_);
    touches_wait_ = false;
  }
  // A disk that takes no more writes costs leases across a restart, nothing now.
  if (touches.empty() || !state.journal->Append(touches).ok()) return;
  state.appended += touches.size();
  journal_bytes_ += touches.size() * sizeof(JournalEntry);
}

void LogStoreImpl::TouchLoop(std::stop_token stop) {
  for (;;) {
    {
      std::unique_lock lock(touches_mutex_);
      if (!touches_ready_.wait(lock, stop, [this] { return !touches_.empty(); })) return;
    }
    journal_.With([this](JournalState& state) { AppendTouches(state); });
  }
}

void LogStoreImpl::NoteHolder(std::span<const JournalEntry> touched) {
  if (ledger_ == nullptr) [[likely]]
    return;
  for (const JournalEntry& touch : touched) {
    const LogEntry& entry = touch.entry;
    ledger_->Note(LeaseHolder::Current(), entry.key, entry.size(), entry.tick());
  }
}

}  // namespace lre::store

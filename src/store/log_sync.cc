// Syncing and checkpoints. A sync notes where the journal ends, puts the segments that entries
// before that place point to on the disk, appends the mark "synced up to there" and puts the
// journal on the disk. After a power loss only marked entries count, and each of those was sound
// and had its data on the disk before the mark was written.
#include <string>

#include "base/log.h"
#include "store/log_store_impl.h"

namespace lre::store {

Status LogStoreImpl::SyncDirtySegments(const std::vector<SegmentPtr>& dirty) {
  for (const SegmentPtr& segment : dirty) TRY(segment->file().Sync());
  if (directory_dirty_.exchange(false)) {
    TRY(files_.SyncDirectory(options_.directory + "/segments"));
    TRY(files_.SyncDirectory(options_.directory));
  }
  return {};
}

Status LogStoreImpl::SyncLocked(uint64_t* covered) {
  TRY(CheckWritable());
  uint64_t tail = 0, sequence = 0;
  std::vector<SegmentPtr> dirty;
  Journal* journal = journal_.With([&](JournalState& state) {
    AppendTouches(state);
    tail = state.journal->tail();
    sequence = state.appended;
    dirty.swap(state.dirty);
    for (const SegmentPtr& segment : dirty) segment->dirty = false;
    return state.journal.get();  // replaced only under sync_mutex_
  });
  *covered = sequence;
  if (sequence == synced_sequence_ && dirty.empty()) return {};
  Status status = SyncDirtySegments(dirty);
  if (status.ok()) {
    JournalEntry mark{.type = JournalEntry::kSynced};
    mark.entry.location = tail;
    status = journal_.With([&](JournalState& state) { return state.journal->Append({&mark, 1}); });
    // No room for the mark: nothing is wrong with what was synced, and the next sync tries again.
    if (!status.ok()) {
      journal_.With([&](JournalState& state) {
        for (const SegmentPtr& segment : dirty)
          if (!segment->dirty.exchange(true)) state.dirty.push_back(segment);
      });
      return status;
    }
    status = journal->Sync();
  }
  if (!status.ok()) {
    // The kernel may have thrown the pages away and will not report them again.
    sync_failed_ = true;
    Log(kError, "store_sync_failed",
        {{"directory", options_.directory}, {"error", status.message()}});
    return status.WithContext("store " + options_.directory);
  }
  synced_sequence_ = sequence;
  return {};
}

Status LogStoreImpl::Sync() {
  std::lock_guard lock(sync_mutex_);
  uint64_t covered = 0;
  return SyncLocked(&covered);
}

Status LogStoreImpl::Checkpoint() {
  std::lock_guard lock(sync_mutex_);
  uint64_t covered = 0;
  TRY(SyncLocked(&covered));
  // A new journal begins; what happens from now on is replayed over the checkpoint.
  uint64_t number = journal_.With([](JournalState& state) { return state.number + 1; });
  TRY_ASSIGN(auto next, Journal::Create(files_, PathOf("journal", number), options_.boot_id));
  directory_dirty_ = true;
  std::unique_ptr<Journal> old;
  uint64_t old_tail = 0;
  std::vector<SegmentPtr> dirty;
  journal_.With([&](JournalState& state) {
    old_tail = state.journal->tail();
    old = std::exchange(state.journal, std::move(next));
    state.number = number;
    journal_bytes_ = 0;
    for (const SegmentPtr& segment : state.dirty) segment->dirty = false;
    dirty.swap(state.dirty);
  });
  // The few entries since the sync above, lest a power loss before the checkpoint is whole forget
  // them for longer than sync_interval.
  auto finish = [&]() -> Status {
    TRY(SyncDirtySegments(dirty));
    JournalEntry mark{.type = JournalEntry::kSynced};
    mark.entry.location = old_tail;
    TRY(old->Append({&mark, 1}));
    return old->Sync();
  };
  Status status = finish();
  if (!status.ok()) {
    sync_failed_ = true;
    return status.WithContext("store " + options_.directory);
  }

  std::string path = PathOf("checkpoint", number), beside = path + ".tmp";
  auto file = WriteCheckpoint(files_, beside, index_);
  if (!file) {
    (void)files_.Remove(beside).ok();
    return std::move(file).error();
  }
  // The copy of a shard may hold entries younger than the journal's start: their data must be on
  // the disk before the checkpoint is.
  TRY(SyncLocked(&covered));
  TRY((*file)->Sync());
  TRY(files_.Rename(beside, path));
  TRY(files_.SyncDirectory(options_.directory));
  for (; journal_first_ < number; ++journal_first_) {
    (void)files_.Remove(PathOf("journal", journal_first_)).ok();
    (void)files_.Remove(PathOf("checkpoint", journal_first_)).ok();
  }
  return {};
}

bool LogStoreImpl::Pause(std::stop_token stop, Duration duration) {
  std::unique_lock lock(pause_mutex_);
  pause_.wait_for(lock, stop, duration, [] { return false; });
  return !stop.stop_requested();
}

void LogStoreImpl::SyncLoop(std::stop_token stop) {
  while (Pause(stop, options_.sync_interval)) {
    // A failure is logged where it happens and ends syncing for good.
    if (!sync_failed_) (void)Sync().ok();
  }
}

void LogStoreImpl::MaintainLoop(std::stop_token stop) {
  std::string last_error;
  // After a start without a clean end the replayed journal is checkpointed first of all.
  bool checkpoint = open_stats_.replayed > 0;
  constexpr Duration kPause = std::chrono::milliseconds(200), kPauseMax = std::chrono::seconds(10);
  Duration pause = kPause;
  do {
    Status status;
    if ((checkpoint || journal_bytes_ >= options_.checkpoint_interval_bytes) && !sync_failed_) {
      status = Checkpoint();
      checkpoint = !status.ok();
    }
    DropRetired();
    if (status.ok() && !sync_failed_) status = PrepareSpare();
    // A full disk or store is tried again, but not all the time.
    pause = status.ok() ? kPause : std::min(2 * pause, kPauseMax);
    if (!status.ok() && status.message() != last_error) {
      Log(kWarning, "store_maintenance",
          {{"directory", options_.directory}, {"error", status.message()}});
    }
    last_error = status.message();
  } while (Pause(stop, pause));
}

// Recycles ahead of need, so that writers on event loops find a fresh segment.
Status LogStoreImpl::PrepareSpare() {
  bool wanted = spare_.With([](SegmentPtr& spare) { return spare == nullptr; }) &&
                heads_[kFresh].With([](Head& head) { return head.segment != nullptr; });
  if (!wanted) return {};
  TRY_ASSIGN(SegmentPtr segment, CreateSegment(options_.segment_bytes, kFresh));
  spare_.With([&](SegmentPtr& spare) {
    if (spare == nullptr) spare = std::move(segment);
  });
  return {};
}

}  // namespace lre::store

// Journals and checkpoints of the log store: how its index outlives the process. A journal is a
// file of fixed-size entries in the order in which they happened; a checkpoint holds the whole
// index as it was when journal N began, so that opening means: load the newest checkpoint, replay
// journals from N on. Formats: docs/formats/log-store.md. Not thread-safe: the store locks.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "base/file.h"
#include "base/status.h"
#include "store/log_index.h"

namespace lre::store {

class Journal {
 public:
  static constexpr uint64_t kHeaderBytes = 64;

  // A new file; `boot_id` says which run of the kernel may still hold it in its page cache.
  static Result<std::unique_ptr<Journal>> Create(FileSystem& files, const std::string& path,
                                                 const std::string& boot_id);
  // Seals and writes the entries in one write. After an error nothing was appended.
  Status Append(std::span<JournalEntry> entries);
  Status Sync() { return file_->Sync(); }
  uint64_t tail() const { return tail_; }

 private:
  Journal(std::unique_ptr<File> file, uint64_t generation)
      : file_(std::move(file)), generation_(generation) {}
  std::unique_ptr<File> file_;
  uint64_t generation_;
  uint64_t tail_ = kHeaderBytes;
};

struct ReplayResult {
  uint64_t applied = 0;  // entries
  uint64_t dropped = 0;  // sound ones after the last completed sync of another boot
};
// Calls `apply` on the entries that count, in order: all up to the first torn one when the journal
// is of this boot, else those that the last completed sync covers.
Result<ReplayResult> ReplayJournal(FileSystem& files, const std::string& path,
                                   const std::string& boot_id,
                                   const std::function<void(const JournalEntry&)>& apply);

// Writes the index to `path`, without syncing or renaming. The index may change meanwhile: each
// shard is as it was at some moment.
Result<std::unique_ptr<File>> WriteCheckpoint(FileSystem& files, const std::string& path,
                                              const LogIndex& index);
struct LoadResult {
  uint64_t loaded = 0;         // entries
  uint64_t damaged_pages = 0;  // whose entries are lost
};
// Loads it into an empty index.
Result<LoadResult> LoadCheckpoint(FileSystem& files, const std::string& path, LogIndex* index);

}  // namespace lre::store

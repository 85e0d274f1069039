#include "store/log_journal.h"

#include <sys/random.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/check.h"
#include "store/crc32c.h"

namespace lre::store {
namespace {

struct JournalHeader {
  static constexpr uint64_t kMagic = 0x31304C4E4A455231;
  uint64_t magic = kMagic;
  uint32_t crc = 0;  // of all that follows
  uint32_t version = 1;
  uint64_t generation = 0;
  char boot_id[40] = {};

  uint32_t Crc() const { return Crc32c({reinterpret_cast<const char*>(this) + 12, 52}); }
};
static_assert(sizeof(JournalHeader) == Journal::kHeaderBytes);

struct CheckpointHeader {
  static constexpr uint64_t kMagic = 0x3130504B43455231;
  uint64_t magic = kMagic;
  uint32_t crc = 0;  // of all that follows
  uint32_t version = 1;
  char reserved[48] = {};

  uint32_t Crc() const { return Crc32c({reinterpret_cast<const char*>(this) + 12, 52}); }
};
static_assert(sizeof(CheckpointHeader) == 64);

struct CheckpointPage {
  static constexpr size_t kEntries = 2047;
  uint32_t crc = 0;    // of all that follows
  uint32_t count = 0;  // of entries; the rest is zero
  char reserved[24] = {};
  LogEntry entries[kEntries];

  std::string_view bytes() const { return {reinterpret_cast<const char*>(this), sizeof *this}; }
  uint32_t Crc() const { return Crc32c(bytes().substr(4)); }
};
static_assert(sizeof(CheckpointPage) == 65536);

template <typename T>
std::string_view BytesOf(const T& value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

}  // namespace

Result<std::unique_ptr<Journal>> Journal::Create(FileSystem& files, const std::string& path,
                                                 const std::string& boot_id) {
  TRY_ASSIGN(auto file, files.Open(path, OpenMode::kCreateExclusive));
  JournalHeader header;
  CHECK(getrandom(&header.generation, sizeof header.generation, 0) == sizeof header.generation);
  std::memcpy(header.boot_id, boot_id.data(), std::min(boot_id.size(), sizeof header.boot_id));
  header.crc = header.Crc();
  Status status = file->WriteAt(BytesOf(header), 0);
  if (!status.ok()) {
    (void)files.Remove(path).ok();
    return std::unexpected(std::move(status));
  }
  return std::unique_ptr<Journal>(new Journal(std::move(file), header.generation));
}

Status Journal::Append(std::span<JournalEntry> entries) {
  for (JournalEntry& entry : entries) entry.Seal(generation_);
  // The tail moves only past what was written whole, so a torn write is written over.
  TRY(file_->WriteAt({reinterpret_cast<const char*>(entries.data()), entries.size_bytes()}, tail_));
  tail_ += entries.size_bytes();
  return {};
}

Result<ReplayResult> ReplayJournal(FileSystem& files, const std::string& path,
                                   const std::string& boot_id,
                                   const std::function<void(const JournalEntry&)>& apply) {
  ReplayResult result;
  TRY_ASSIGN(auto file, files.Open(path, OpenMode::kRead));
  JournalHeader header;
  TRY_ASSIGN(size_t read, file->ReadAt(reinterpret_cast<char*>(&header), sizeof header, 0));
  // A journal whose header never reached the disk holds nothing that was promised.
  if (read != sizeof header || header.magic != JournalHeader::kMagic ||
      header.crc != header.Crc()) {
    return result;
  }
  if (header.version != 1) {
    return Error(Code::kFailedPrecondition, "journal {}: format version {} is newer than this lre",
                 path, header.version);
  }
  TRY_ASSIGN(uint64_t size, file->Size());
  std::vector<JournalEntry> entries((size - sizeof header) / sizeof(JournalEntry));
  TRY_ASSIGN(read, file->ReadAt(reinterpret_cast<char*>(entries.data()),
                                entries.size() * sizeof(JournalEntry), sizeof header));
  size_t sound = 0, synced = 0;
  for (size_t end = read / sizeof(JournalEntry); sound < end; ++sound) {
    const JournalEntry& entry = entries[sound];
    if (!entry.IsSound(header.generation)) break;
    if (entry.type == JournalEntry::kSynced)
      synced = (entry.entry.location - sizeof header) / sizeof(JournalEntry);
  }
  std::string boot(header.boot_id, strnlen(header.boot_id, sizeof header.boot_id));
  size_t counts = !boot.empty() && boot == boot_id ? sound : std::min(sound, synced);
  for (size_t i = 0; i < sound; ++i) {
    if (entries[i].type == JournalEntry::kSynced) continue;
    ++(i < counts ? result.applied : result.dropped);
    if (i < counts) apply(entries[i]);
  }
  return result;
}

Result<std::unique_ptr<File>> WriteCheckpoint(FileSystem& files, const std::string& path,
                                              const LogIndex& index) {
  TRY_ASSIGN(auto file, files.Open(path, OpenMode::kCreate));
  TRY(file->Truncate(0));
  CheckpointHeader header;
  header.crc = header.Crc();
  TRY(file->WriteAt(BytesOf(header), 0));
  uint64_t offset = sizeof header;
  auto page = std::make_unique<CheckpointPage>();
  auto flush = [&]() -> Status {
    std::memset(static_cast<void*>(page->entries + page->count), 0,
                (CheckpointPage::kEntries - page->count) * sizeof(LogEntry));
    page->crc = page->Crc();
    TRY(file->WriteAt(page->bytes(), offset));
    offset += sizeof *page;
    page->count = 0;
    return {};
  };
  std::vector<LogEntry> entries;
  for (size_t shard = 0; shard < LogIndex::kShards; ++shard) {
    entries.clear();
    index.Copy(shard, &entries);
    for (const LogEntry& entry : entries) {
      page->entries[page->count++] = entry;
      if (page->count == CheckpointPage::kEntries) TRY(flush());
    }
  }
  // An empty page ends it, so that a file cut at a page is known.
  if (page->count > 0) TRY(flush());
  TRY(flush());
  return file;
}

Result<LoadResult> LoadCheckpoint(FileSystem& files, const std::string& path, LogIndex* index) {
  LoadResult result;
  TRY_ASSIGN(auto file, files.Open(path, OpenMode::kRead));
  CheckpointHeader header;
  TRY_ASSIGN(size_t read, file->ReadAt(reinterpret_cast<char*>(&header), sizeof header, 0));
  if (read != sizeof header || header.magic != CheckpointHeader::kMagic ||
      header.crc != header.Crc()) {
    return Error(Code::kDataLoss, "checkpoint {}: its header is damaged", path);
  }
  if (header.version != 1) {
    return Error(Code::kFailedPrecondition,
                 "checkpoint {}: format version {} is newer than this lre", path, header.version);
  }
  auto page = std::make_unique<CheckpointPage>();
  std::vector<LogEntry> entries;
  size_t shard = 0;
  for (uint64_t offset = sizeof header;; offset += sizeof *page) {
    TRY_ASSIGN(read, file->ReadAt(reinterpret_cast<char*>(page.get()), sizeof *page, offset));
    bool sound =
        read == sizeof *page && page->crc == page->Crc() && page->count <= CheckpointPage::kEntries;
    if (sound && page->count == 0) break;
    if (!sound) ++result.damaged_pages;
    if (read < sizeof *page) break;
    if (!sound) continue;
    for (uint32_t i = 0; i < page->count; ++i) {
      LogEntry& entry = page->entries[i];
      entry.state &= ~(1ull << 24);  // nothing is verified since this start
      if (LogIndex::ShardOf(entry.key) != shard) {
        index->Fill(shard, entries);
        entries.clear();
        shard = LogIndex::ShardOf(entry.key);
      }
      entries.push_back(entry);
      ++result.loaded;
    }
  }
  index->Fill(shard, entries);
  return result;
}

}  // namespace lre::store

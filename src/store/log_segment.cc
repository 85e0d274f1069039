#include "store/log_segment.h"

#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "base/check.h"
#include "store/crc32c.h"

namespace lre::store {
namespace {

struct SegmentHeader {
  static constexpr uint64_t kMagic = 0x3130474553455231;
  uint64_t magic = kMagic;
  uint32_t crc = 0;  // of all that follows
  uint32_t version = 1;
  uint64_t generation = 0;
  uint32_t number = 0;
  char reserved[36] = {};

  uint32_t Crc() const { return Crc32c({reinterpret_cast<const char*>(this) + 12, 52}); }
};
static_assert(sizeof(SegmentHeader) == Segment::kHeaderBytes);

constexpr uint64_t kPage = 4096;

}  // namespace

Status Segment::Map() {
  void* at = mmap(nullptr, capacity(), PROT_READ, MAP_SHARED, file_->fd(), 0);
  if (at == MAP_FAILED) return ErrnoStatus(errno, "map " + place_.path);
  data_ = static_cast<const char*>(at);
  mapped_bytes_ = capacity();
  warm_until_ = std::make_unique<std::atomic<uint32_t>[]>(mapped_bytes_ / kWarmBytes + 1);
  return {};
}

Segment::~Segment() {
  if (data_ != nullptr) munmap(const_cast<char*>(data_), mapped_bytes_);
  place_.used_bytes->fetch_sub(capacity());
}

Result<std::shared_ptr<Segment>> Segment::Create(FileSystem& files, Place place,
                                                 uint64_t capacity) {
  TRY_ASSIGN(auto file, files.Open(place.path, OpenMode::kCreateExclusive));
  std::shared_ptr<Segment> segment(new Segment(std::move(file), place));
  auto fill = [&]() -> Status {
    SegmentHeader header;
    header.number = place.number;
    CHECK(getrandom(&header.generation, sizeof header.generation, 0) == sizeof header.generation);
    header.crc = header.Crc();
    segment->generation_ = header.generation;
    // Space first, so that a full disk is known before bytes are taken; then the size, so that the
    // mapping covers what will be written.
    TRY(segment->file_->Allocate(capacity));
    TRY(segment->file_->Truncate(capacity));
    segment->capacity_ = capacity;
    place.used_bytes->fetch_add(capacity);
    TRY(segment->Map());
    return segment->file_->WriteAt({reinterpret_cast<const char*>(&header), sizeof header}, 0);
  };
  Status status = fill();
  if (status.ok()) return segment;
  (void)files.Remove(place.path).ok();
  return std::unexpected(std::move(status));
}

Result<std::shared_ptr<Segment>> Segment::Open(FileSystem& files, Place place) {
  TRY_ASSIGN(auto file, files.Open(place.path, OpenMode::kReadWrite));
  std::shared_ptr<Segment> segment(new Segment(std::move(file), place));
  SegmentHeader header;
  TRY_ASSIGN(size_t read,
             segment->file_->ReadAt(reinterpret_cast<char*>(&header), sizeof header, 0));
  if (read != sizeof header || header.magic != SegmentHeader::kMagic ||
      header.crc != header.Crc() || header.number != place.number) {
    return Error(Code::kDataLoss, "segment {}: its header is damaged", place.path);
  }
  if (header.version != 1) {
    return Error(Code::kFailedPrecondition, "segment {}: format version {} is newer than this lre",
                 place.path, header.version);
  }
  segment->generation_ = header.generation;
  TRY_ASSIGN(uint64_t size, segment->file_->Size());
  segment->capacity_ = size;
  place.used_bytes->fetch_add(size);
  TRY(segment->Map());
  return segment;
}

Status Segment::Seal(uint64_t tail) {
  tail = std::max(tail, kHeaderBytes);
  uint64_t before = capacity();
  if (tail >= before) return {};
  TRY(file_->Truncate(tail));
  capacity_ = tail;
  place_.used_bytes->fetch_sub(before - tail);
  return {};
}

bool Segment::IsResident(uint64_t offset, uint64_t size) const {
  uint64_t from = offset / kPage * kPage, to = (offset + size + kPage - 1) / kPage * kPage;
  unsigned char pages[512];
  while (from < to) {
    uint64_t part = std::min(to - from, sizeof pages * kPage);
    if (mincore(const_cast<char*>(data_) + from, part, pages) != 0) return false;
    for (uint64_t i = 0; i < part / kPage; ++i)
      if ((pages[i] & 1) == 0) return false;
    from += part;
  }
  return true;
}

bool Segment::IsWarm(uint64_t offset, uint64_t size, Instant now) const {
  if (size == 0) return true;
  const auto tick = static_cast<uint32_t>(now.time_since_epoch() / kWarmTick);
  const uint64_t end = offset + size;
  for (uint64_t piece = offset / kWarmBytes; piece * kWarmBytes < end; ++piece) {
    std::atomic<uint32_t>& until = warm_until_[piece];
    if (tick < until.load(std::memory_order_relaxed)) continue;
    const uint64_t from = piece * kWarmBytes, to = std::min(from + kWarmBytes, capacity());
    if (from < to && IsResident(from, to - from)) {
      until.store(tick + kWarmTicks, std::memory_order_relaxed);
    } else if (!IsResident(std::max(from, offset), std::min(to, end) - std::max(from, offset))) {
      return false;  // the end of a segment that is being filled is never there as a whole
    }
  }
  return true;
}

bool Segment::Populate(uint64_t offset, uint64_t size) const {
  uint64_t from = offset / kPage * kPage, to = (offset + size + kPage - 1) / kPage * kPage;
  while (madvise(const_cast<char*>(data_) + from, to - from, MADV_POPULATE_READ) != 0) {
    if (errno == EINTR || errno == EAGAIN) continue;
    // The disk cannot give it, or the file is cut off.
    if (errno == EFAULT || errno == EHWPOISON || errno == EIO) return false;
    // Linux before 5.14, or short of memory: read(2) brings the pages in and says when it cannot.
    std::string buffer(std::min<uint64_t>(size, 1 << 20), '\0');
    for (uint64_t at = offset; at < offset + size; at += buffer.size()) {
      size_t part = std::min<uint64_t>(buffer.size(), offset + size - at);
      auto read = file_->ReadAt(buffer.data(), part, at);
      if (!read || *read != part) return false;
    }
    return true;
  }
  return true;
}

}  // namespace lre::store

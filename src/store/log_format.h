// What the log store writes, byte for byte (docs/formats/log-store.md): records in segments,
// entries in journals, pages in checkpoints, and the 128-bit keys they share. Plain values and pure
// functions. All integers little-endian, as they lie in memory on every machine LRE runs on.
#pragma once

#include <bit>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "digest/digest.h"
#include "store/blob_store.h"

namespace lre::store {

static_assert(std::endian::native == std::endian::little);

// The name of a blob or value inside one store. Never all zero.
struct LogKey {
  uint64_t high = 0;
  uint64_t low = 0;
  friend bool operator==(const LogKey&, const LogKey&) = default;
  friend auto operator<=>(const LogKey&, const LogKey&) = default;
};

// Per store and random, so that nobody can make two blobs meet in one key.
struct LogSecret {
  uint64_t words[2] = {0, 0};
};

LogKey KeyOfBlob(const LogSecret& secret, const Digest& digest, Partition partition);
LogKey KeyOfValue(const LogSecret& secret, std::string_view key);

// Where a record begins, how large its payload is, when it was last touched.
struct LogEntry {
  static constexpr uint64_t kSizeMax = (1ull << 39) - 1;
  static constexpr uint64_t kSegmentMax = (1ull << 28) - 1;
  static constexpr uint64_t kOffsetMax = (1ull << 39) - 1;
  // Of a touch: a tick. 24 bits of them reach from 1970 to 2097.
  static constexpr Duration kTick = std::chrono::minutes(4);

  LogKey key;
  uint64_t location = 0;  // segment number: 28 bits, is a list: 1 bit, offset / 16: 35 bits
  uint64_t state = 0;  // size: 39 bits, verified since start: 1 bit, touched at: 24 bits of ticks

  static LogEntry Make(const LogKey& key, uint32_t segment, uint64_t offset, uint64_t size) {
    return {key, static_cast<uint64_t>(segment) << 36 | offset / 16, size << 25};
  }
  uint32_t segment() const { return static_cast<uint32_t>(location >> 36); }
  uint64_t offset() const { return (location & ((1ull << 35) - 1)) * 16; }
  // Of the payload as it is stored, which is the blob's own only when it is stored as it is.
  uint64_t size() const { return state >> 25; }
  // Whether the record names the chunks of a blob.
  bool is_list() const { return (location >> 35 & 1) != 0; }
  void set_list() { location |= 1ull << 35; }
  bool verified() const { return (state >> 24 & 1) != 0; }
  void set_verified() { state |= 1ull << 24; }
  uint32_t tick() const { return static_cast<uint32_t>(state & 0xFFFFFF); }
  void set_tick(uint32_t tick) { state = (state & ~0xFFFFFFull) | (tick & 0xFFFFFF); }
};
static_assert(sizeof(LogEntry) == 32);

// Records: header, key (values only), payload, then for payloads of several chunks one checksum
// each; padded to 16 bytes.
inline constexpr uint64_t kChunkBytes = 64 << 10;

// kList: the payload names the chunks that together are the blob; kZstd: the payload is the blob in
// frames (log_encoded.h).
enum class RecordKind : uint8_t { kBlob = 1, kValue = 2, kList = 3, kZstd = 4 };

struct RecordHeader {
  static constexpr uint32_t kMagic = 0x3172524C;  // "LRr1"
  uint32_t magic = kMagic;
  uint32_t header_crc = 0;  // of all that follows in the header
  uint64_t generation = 0;  // of the segment
  uint64_t size = 0;        // of the payload
  uint32_t chunk_crc = 0;   // of the payload when it is one chunk, else of the table
  uint32_t partition = 0;
  uint16_t key_bytes = 0;  // of the key that follows the header
  RecordKind kind = RecordKind::kBlob;
  DigestFunction function = DigestFunction::kUnknown;
  uint32_t key_crc = 0;
  char hash[Digest::kHashSizeMax] = {};
  uint64_t content_size = 0;  // of the blob, in kinds kList and kZstd; else 0

  // Sets header_crc, once all else is set.
  void Seal();
  bool IsSound() const;
  // Whether this is the record of a blob with this key.
  bool IsOf(const BlobKey& key) const;

  // Of the blob, however it is stored.
  uint64_t blob_bytes() const { return kind == RecordKind::kBlob ? size : content_size; }
  uint64_t chunks() const { return (size + kChunkBytes - 1) / kChunkBytes; }
  uint64_t payload_offset() const { return sizeof(RecordHeader) + key_bytes; }
  uint64_t table_bytes() const { return chunks() > 1 ? chunks() * 4 : 0; }
  uint64_t record_bytes() const { return (payload_offset() + size + table_bytes() + 15) / 16 * 16; }
};
static_assert(sizeof(RecordHeader) == 112);

// About what a record takes on the disk.
inline uint64_t DiskBytes(const LogEntry& entry) {
  return sizeof(RecordHeader) + entry.size() + 15 + entry.size() / kChunkBytes * 4;
}

RecordHeader BlobHeader(const BlobKey& key);
RecordHeader ValueHeader(std::string_view key, std::string_view value);

struct JournalEntry {
  enum Type : uint32_t {
    kPut = 1,    // the key is at `location`
    kTouch = 2,  // the key, if there, was touched at the tick in `state`
    kDrop = 3,   // the key is gone if it is still at `location`
    kSynced = 4  // all entries before byte `location` of this file, and their data, are on disk
  };
  uint32_t crc = 0;  // of all that follows, continuing the file's generation
  uint32_t type = 0;
  LogEntry entry;

  void Seal(uint64_t generation);
  bool IsSound(uint64_t generation) const;
};
static_assert(sizeof(JournalEntry) == 40);

}  // namespace lre::store

// BlobStore: immutable bytes by digest. Everything that holds blobs is one: memory, the log on
// disk, a remote server, and decorators over another store. Implementations are thread-safe.
//
// Plain methods may block on disk or network, so only I/O threads call them. The Try* methods never
// block: they answer from memory and page cache, or say nullopt ("would block"), and then the
// caller moves the whole request to an I/O thread. Event loops call only Try*.
//
// Keys carry a partition (a tenant; 0 for all who have none): the same digest in two partitions is
// two blobs. The empty blob of every digest function is present in every store.
//
// A blob that was found, read or written is kept at least for the store's lease. "Absent" is a
// value in FindMissing, kNotFound in Read. kResourceExhausted: the store is full of leased blobs,
// or the disk is.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "digest/digest.h"

namespace lre::store {

using Partition = uint32_t;

struct BlobKey {
  Digest digest;
  Partition partition = 0;
  friend bool operator==(const BlobKey&, const BlobKey&) = default;
};

// Half-open: [offset, end). The default is everything. `end` past the size means the size.
struct ByteRange {
  uint64_t offset = 0;
  uint64_t end = UINT64_MAX;
};

// What a blob is made of: smaller blobs in order, of its own digest function.
struct Chunking {
  int function = 0;  // how it was cut: a number of ChunkingFunction.Value, 0 when not known
  std::vector<Digest> chunks;
};

// Part of a blob as it lies compressed in the store: a zstd frame of its own.
struct ZstdFrame {
  BytesList compressed;
  uint64_t plain_bytes = 0;
};

// Takes the bytes of one blob in order, hashing as they come. Confined to one thread at a time.
// Dropping it uncommitted leaves nothing behind.
class BlobWriter {
 public:
  virtual ~BlobWriter() = default;
  // kInvalidArgument when more bytes come than the digest says. May keep a reference to `bytes`.
  virtual Status Append(Bytes bytes) = 0;
  // How many bytes were taken.
  virtual uint64_t size() const = 0;
  // Makes the blob readable by everyone; kInvalidArgument (naming both digests) when the bytes are
  // not those of the digest. Call once, last.
  virtual Status Commit() = 0;
};

class BlobStore {
 public:
  virtual ~BlobStore() = default;

  // Indices into `digests` of the absent, ascending; touching extends the lease of those present.
  virtual Result<std::vector<uint32_t>> FindMissing(Partition partition,
                                                    std::span<const Digest> digests) = 0;
  // The bytes of `range`, valid while held; kNotFound if absent; kOutOfRange when the range starts
  // past the end. kDataLoss is never answered: a blob whose bytes are damaged becomes absent.
  virtual Result<BytesList> Read(const BlobKey& key, ByteRange range) = 0;
  // A writer for a blob of this digest, which need not be absent (writing it again renews the
  // lease).
  virtual Result<std::unique_ptr<BlobWriter>> Write(const BlobKey& key) = 0;

  // Whole blobs, one answer each in the same order, as Read and Put have them; for callers with
  // many small ones. The default asks one after another; a remote store sends batches.
  virtual std::vector<Result<BytesList>> ReadMany(Partition partition,
                                                  std::span<const Digest> digests);
  virtual std::vector<Status> PutMany(Partition partition,
                                      std::span<const std::pair<Digest, Bytes>> blobs);

  // Makes a blob of chunks that are there, as if their bytes were written one after another; one
  // that is there already stays as it is unless `verified`, which says that the chunks are known to
  // be the blob. kNotFound names an absent chunk; kInvalidArgument: the chunks are not the blob.
  // The default copies the bytes; a store that can keep them once keeps the list.
  virtual Status Splice(const BlobKey& key, const Chunking& chunking, bool verified);
  // The chunks that the blob is kept as, their leases renewed with its own; nullopt when it is kept
  // whole (or may be absent: the default).
  virtual Result<std::optional<Chunking>> Chunks(const BlobKey&) {
    return std::optional<Chunking>();
  }
  // The frame that begins at `offset` of the blob; nullopt when the blob is not kept compressed, or
  // no frame begins there.
  virtual Result<std::optional<ZstdFrame>> ReadZstd(const BlobKey&, uint64_t /*offset*/) {
    return std::optional<ZstdFrame>();
  }

  virtual std::optional<Result<std::vector<uint32_t>>> TryFindMissing(Partition,
                                                                      std::span<const Digest>) {
    return std::nullopt;
  }
  virtual std::optional<Result<BytesList>> TryRead(const BlobKey&, ByteRange) {
    return std::nullopt;
  }
  // As ReadMany; nullopt: one of them would block. The default tries one after another.
  virtual std::optional<std::vector<Result<BytesList>>> TryReadMany(
      Partition partition, std::span<const Digest> digests);
  // Writes a whole blob; `bytes` are already known to hash to the digest when `verified`.
  virtual std::optional<Status> TryPut(const BlobKey&, const Bytes& /*bytes*/, bool /*verified*/) {
    return std::nullopt;
  }
  // As PutMany; the default tries one after another. After nullopt some may have been stored;
  // storing them again is harmless.
  virtual std::optional<std::vector<Status>> TryPutMany(
      Partition partition, std::span<const std::pair<Digest, Bytes>> blobs, bool verified);
};

// Whole blobs, for callers that need all the bytes at once. `size_bytes_max` bounds memory:
// kResourceExhausted beyond it.
Result<std::string> ReadAll(BlobStore& store, const BlobKey& key,
                            uint64_t size_bytes_max = 64 << 20);
Status Put(BlobStore& store, const BlobKey& key, Bytes bytes);

// For implementations.
// Whether this is the digest of no bytes, which every store has.
bool IsEmptyBlob(const Digest& digest);
// OK when `actual`, the digest of the bytes that came, is `expected`; else kInvalidArgument naming
// both.
Status CheckDigest(const Digest& expected, const Digest& actual);
// kInvalidArgument when `digest` has no known function or a negative size.
Status CheckKey(const BlobKey& key);
// kInvalidArgument when the blob is larger than the store takes.
Status CheckBlobSize(const BlobKey& key, uint64_t blob_bytes_max);
// `range` cut to a blob of `size_bytes`; kOutOfRange when it starts past the end.
Result<ByteRange> ClampRange(const BlobKey& key, uint64_t size_bytes, ByteRange range);

struct BlobKeyHash {
  size_t operator()(const BlobKey& key) const {
    return DigestHash()(key.digest) + key.partition * 0x9E3779B97F4A7C15;
  }
};

}  // namespace lre::store

// LogStore: blobs and values on disk in a log of segments, with an index in memory. A BlobStore
// and a ValueStore over one directory, one bound and one log. Thread-safe.
//
// Promises. Acknowledged means that the kernel has the record and its journal entry: a process that
// dies at any instruction loses nothing acknowledged. A power loss loses at most the last
// `sync_interval` (nothing with Durability::kSynced) and never serves a wrong byte. What was found,
// read or written is kept for `lease`; when leased bytes come near the bound the lease shrinks,
// oldest first, to no less than `lease_min`; below that writes answer kResourceExhausted, with a
// RetryInfo that says when the next leases end. What a pin names is kept as long as the pin. Bytes
// that were read stay valid while held and count against the bound until they are dropped.
// Errors of the disk: writes answer them, reads go on; a blob whose bytes are damaged becomes
// absent, is counted and logged. After fdatasync failed, writes are refused until the next start,
// because the kernel no longer says what reached the disk.
//
// Formats: docs/formats/log-store.md.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/file.h"
#include "base/metrics.h"
#include "store/blob_store.h"
#include "store/value_store.h"

namespace lre::store {

// When a write is acknowledged: in the kernel, or on the disk (waits for a shared fdatasync).
enum class Durability { kBuffered, kSynced };

// What happens when leases fill the store: they shrink to `lease_min`, or writes are refused.
enum class LeasePolicy { kShrink, kStrict };

// How blobs lie on the disk: as they are, or in zstd frames where that saves an eighth or more.
// What is there already stays as it is and can be read under either.
enum class AtRest { kIdentity, kZstd };

struct LogStoreOptions {
  std::string directory;  // made when missing
  // Of segments, those included that readers still hold; journals and checkpoints come on top
  // (about 32 bytes per blob, twice). At least 1 MiB.
  uint64_t size_bytes_max = 10ull << 30;
  // Of one blob: kInvalidArgument beyond. What is there already can be read.
  uint64_t blob_bytes_max = UINT64_MAX;
  uint64_t segment_bytes = 0;  // 0: a 256th of the store, between 1 MiB and 512 MiB
  Duration lease = std::chrono::hours(3);
  Duration lease_min = std::chrono::minutes(15);
  LeasePolicy lease_policy = LeasePolicy::kShrink;
  int reserve_percent = 10;  // of the bound, that leases may not fill before they shrink
  // Of the bound, what the leases of one identity (lease_holder.h) may hold: its writes answer
  // kResourceExhausted beyond. 100: no such bound. Counted since the start.
  int lease_share_percent = 100;
  // Pins together: share of the bound, their number, and the blobs they name (16 bytes each).
  int pinned_percent_max = 50;
  size_t pins_max = 1000;
  size_t pinned_blobs_max = 2'000'000;
  AtRest at_rest = AtRest::kIdentity;
  std::map<Partition, AtRest> at_rest_partitions;  // those that differ
  uint64_t frame_cache_bytes = 32 << 20;  // memory for frames that are being read in pieces
  // A blob of more chunks than this is kept whole.
  size_t chunks_per_blob_max = 65'536;
  uint64_t chunk_list_cache_bytes = 16 << 20;  // memory for the lists of blobs kept as chunks
  Duration sync_interval = std::chrono::seconds(1);
  uint64_t checkpoint_interval_bytes = 64 << 20;  // of journal
  // In the background everything is read and checked once per `scrub_interval`, at no more than
  // this rate; 0: never.
  uint64_t scrub_bytes_per_second = 16 << 20;
  Duration scrub_interval = std::chrono::hours(7 * 24);
  // Blobs up to this size are taken by TryPut, and kept in memory until their Commit.
  uint64_t small_blob_bytes_max = 128 << 10;
  Durability durability = Durability::kBuffered;
  // Without it nothing is synced, checkpointed or recycled ahead of need: for tests, which call.
  bool background = true;
  FileSystem* files = nullptr;  // SystemFiles() when not given
  std::string boot_id;          // the kernel's when empty
  Metrics* metrics = nullptr;   // one of its own when not given
};

struct LogStoreStats {
  uint64_t entries = 0;     // blobs and values
  uint64_t used_bytes = 0;  // of segments on disk
  uint64_t segments = 0;
  uint64_t memory_bytes = 0;  // of the index
  uint64_t replayed = 0;      // journal entries at open
  uint64_t dropped = 0;       // at open: not covered by the last sync before a power loss
  uint64_t damaged = 0;       // since open: blobs that became absent
  uint64_t carried_bytes = 0, recycled_segments = 0;
  Duration lease{};             // as long as recycling last could keep it
  uint64_t scrubbed_bytes = 0;  // since open
};

// A named set of blobs that is kept: what a root needs, flattened by whoever pins it.
struct Pin {
  static constexpr size_t kNameBytesMax = 1024;
  std::string name;
  uint64_t blobs = 0;
  uint64_t size_bytes = 0;
  WallTime until = WallTime::max();  // to the second; then the pin is gone
};

// One blob or value, for `lre store list`.
struct LogRecord {
  bool is_value = false;
  BlobKey blob;     // of a blob
  std::string key;  // of a value
  uint64_t size_bytes = 0;
  WallTime touched;  // to the nearest 4 minutes
};

class LogStore : public BlobStore, public ValueStore {
 public:
  // Puts everything acknowledged so far on the disk.
  virtual Status Sync() = 0;
  // Writes the index so that opening replays nothing older.
  virtual Status Checkpoint() = 0;
  // Frees at least `bytes` by giving up blobs whose lease has ended, least recently used first;
  // kResourceExhausted when leases forbid it.
  virtual Status Recycle(uint64_t bytes) = 0;
  // Keeps the blobs until `pin.until`, or until the pin is removed; replaces one of the same name.
  // Returns once blobs and pin are on the disk. kNotFound names a blob that is absent;
  // kResourceExhausted when the pins would pass their bounds. `pin`'s counts are filled in here.
  virtual Status SetPin(Pin pin, Partition partition, std::span<const Digest> digests) = 0;
  // Absent is fine.
  virtual Status RemovePin(const std::string& name) = 0;
  // By name.
  virtual std::vector<Pin> Pins() const = 0;
  // Makes a blob absent, whatever leases or pins it has; absent is fine. For operators.
  virtual Status Evict(const BlobKey& key) = 0;
  virtual LogStoreStats Stats() const = 0;
  // Calls `visit` for every record that is there, in no order; reads headers only.
  virtual Status List(const std::function<void(const LogRecord&)>& visit) = 0;
  // Reads everything and checks it; what is damaged becomes absent. Returns how many.
  virtual Result<uint64_t> Verify() = 0;
};

// kFailedPrecondition when another process has the directory. `clock` must outlive the store.
Result<std::unique_ptr<LogStore>> OpenLogStore(const Clock& clock, LogStoreOptions options);

}  // namespace lre::store

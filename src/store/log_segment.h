// Segment: one file of records, append-only, never overwritten in place, unlinked when it is
// recycled. Mapped for reading while anyone holds it, so that slices of it stay valid after that.
// Thread-safe: writers write at places of their own, the rest is constant or atomic. Owned by
// shared_ptr: the store, writers and readers end at unknown times.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/file.h"
#include "base/status.h"
#include "store/log_format.h"

namespace lre::store {

class Segment {
 public:
  static constexpr uint64_t kHeaderBytes = 64;

  struct Place {
    std::string path;
    uint32_t number = 0;
    // Bytes on disk of all segments, held ones that are unlinked included.
    std::shared_ptr<std::atomic<uint64_t>> used_bytes;
  };
  // A new file with room for `capacity` bytes, header included. kResourceExhausted when the disk
  // is full, and then nothing is left behind.
  static Result<std::shared_ptr<Segment>> Create(FileSystem& files, Place place, uint64_t capacity);
  // An existing one. kDataLoss when its header is not one of ours.
  static Result<std::shared_ptr<Segment>> Open(FileSystem& files, Place place);
  ~Segment();

  uint32_t number() const { return place_.number; }
  uint64_t generation() const { return generation_; }
  const std::string& path() const { return place_.path; }
  File& file() const { return *file_; }
  uint64_t capacity() const { return capacity_.load(std::memory_order_relaxed); }
  // The mapping. Bytes that were not read through the file first may fault.
  const char* data() const { return data_; }

  // Gives disk space after `tail` back; nothing is written from then on.
  Status Seal(uint64_t tail);
  // Whether [offset, offset + size) lies in memory, as far as the kernel says.
  bool IsResident(uint64_t offset, uint64_t size) const;
  // The same from memory where the kernel said so lately: of a piece of 64 KiB it is asked at most
  // once a second while all of it is there, which spares a system call for each small record. What
  // the kernel drops meanwhile makes a reader wait for the disk once. Read it with MappedCopy.
  // `now` is the clock's.
  bool IsWarm(uint64_t offset, uint64_t size, Instant now) const;
  // Brings it there; false when the disk gave an error. Blocks. Pages may be dropped again later:
  // write(2) and sendfile(2) of one that then cannot be read fail with EFAULT, which the transport
  // treats as a broken connection.
  bool Populate(uint64_t offset, uint64_t size) const;

  std::atomic<int> writers{0};     // with a place of their own that is not published yet
  std::atomic<bool> dirty{false};  // written since the last sync; changed under the journal's lock

 private:
  static constexpr uint64_t kWarmBytes = 64 << 10;
  static constexpr Duration kWarmTick = std::chrono::milliseconds(100);
  static constexpr uint32_t kWarmTicks = 10;

  Segment(std::unique_ptr<File> file, Place place) : file_(std::move(file)), place_(place) {}
  Status Map();

  const std::unique_ptr<File> file_;
  const Place place_;
  uint64_t generation_ = 0;
  std::atomic<uint64_t> capacity_{0};
  const char* data_ = nullptr;
  uint64_t mapped_bytes_ = 0;
  // Until which tick a piece of kWarmBytes counts as in memory; 0: not known.
  std::unique_ptr<std::atomic<uint32_t>[]> warm_until_;
};

}  // namespace lre::store

// UploadTable: uploads by resource name, those that are being written and those whose connection
// broke and that wait to be resumed ("parked"). Thread-safe: one mutex, held for one table
// operation. Bounds: parked_max, idle_max. An upload that is parked beyond these is dropped, and
// with it what was written.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/clock.h"
#include "base/guarded.h"
#include "base/status.h"
#include "store/blob_store.h"

namespace lre::service {

// What an upload is called in the table: a resource name means another upload in each partition.
std::string UploadName(std::string_view resource_name, store::Partition partition);

// The writer belongs to the stream that has the upload open.
struct Upload {
  std::unique_ptr<store::BlobWriter> writer;
  std::atomic<int64_t> committed{0};  // plain bytes that the writer has taken
};

class UploadTable {
 public:
  // `clock` must outlive the table.
  UploadTable(const Clock& clock, size_t parked_max, Duration idle_max)
      : clock_(clock), parked_max_(parked_max), idle_max_(idle_max) {}

  // An upload to be written from `offset`. Offset 0 starts anew, whatever there was; another must
  // be what is committed (else kInvalidArgument), and nobody may be writing it (else kAborted).
  Result<std::shared_ptr<Upload>> Open(std::string_view name, int64_t offset);
  // Keeps the upload for later. An upload that another has replaced is dropped.
  void Park(std::string_view name, const std::shared_ptr<Upload>& upload);
  // Forgets the upload: it is complete or worthless.
  void Close(std::string_view name, const std::shared_ptr<Upload>& upload);
  // Committed bytes; nullopt when the name is unknown.
  std::optional<int64_t> Committed(std::string_view name);
  size_t size() const {
    return entries_.With([](const auto& entries) { return entries.size(); });
  }

 private:
  struct Entry {
    std::shared_ptr<Upload> upload;
    std::optional<Instant> parked;
  };
  using Entries = std::unordered_map<std::string, Entry>;
  // Takes out what nobody came back for; the caller drops it outside the lock.
  void TakeExpired(Entries& entries, Entries* expired) const;

  const Clock& clock_;
  const size_t parked_max_;
  const Duration idle_max_;
  Guarded<Entries> entries_;
};

}  // namespace lre::service

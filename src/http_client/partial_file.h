// PartialFile: the file beside its destination into which what comes is written and hashed. Only
// one holder at a time, across processes: when the usual name is taken, a private one is used, so
// that two downloads of the same thing are merely wasteful. Confined to one thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/file.h"
#include "base/status.h"
#include "digest/hasher.h"

namespace lre {

class PartialFile {
 public:
  // Opens `<path>.partial`. With `resume` what is there is hashed and kept, else dropped.
  static Result<std::unique_ptr<PartialFile>> Open(const std::string& path, bool resume);
  // Makes the file `path` of what `fill` appends; where that fails, nothing stays of it, and the
  // file that was there does.
  static Status Make(const std::string& path, const std::function<Status(PartialFile&)>& fill);
  // Leaves the file where a later Open finds it, unless it is private or empty.
  ~PartialFile();

  uint64_t size_bytes() const { return size_bytes_; }
  Status Append(std::string_view bytes);
  // Forgets all bytes.
  Status Restart();
  // The hash of all bytes in lower-case hex; call once, last.
  std::string Sha256();
  // Makes the bytes durable and the file appear under its own name.
  Status Commit();
  void Discard();

 private:
  PartialFile(std::string path, std::string partial, UniqueFd fd, bool is_private);
  Status HashWhatIsThere();

  const std::string path_;
  const std::string partial_;
  UniqueFd fd_;
  const bool private_;
  bool done_ = false;
  uint64_t size_bytes_ = 0;
  Hasher hasher_;
};

}  // namespace lre

// OutputTree: what an action left behind, seen as the action saw it: the upper layer of its overlay
// over the lower one, or one plain directory. Links are never followed, so nothing outside can be
// named. Used by one thread, after every process of the action is gone.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/status.h"

namespace lre::worker {

class OutputTree {
 public:
  enum class Kind { kAbsent, kFile, kDirectory, kSymlink, kOther };
  struct Entry {
    Kind kind = Kind::kAbsent;
    std::string path;        // on the host; of a directory: in the upper layer, may be empty
    std::string lower_path;  // of a directory that continues in the lower layer
    bool is_input = false;   // untouched: it lies in the lower layer
    uint64_t size_bytes = 0;
    uint32_t mode = 0;
    int64_t mtime_ns = 0;
    bool executable() const { return (mode & 0111) != 0; }
  };

  // `lower` may be empty.
  OutputTree(std::string upper, std::string lower);

  // `path` relative to the root; "" is the root. Something below a file or a link is absent.
  Result<Entry> Find(std::string_view path) const;
  // Names in a directory, sorted, without those that are absent.
  Result<std::vector<std::pair<std::string, Entry>>> List(const Entry& directory) const;
  static Result<std::string> ReadLink(const Entry& symlink);
  // What the link at `path` points to, links on the way followed inside the tree; kAbsent when it
  // dangles, leaves the tree or is absolute.
  Result<Kind> KindOfTarget(std::string_view path) const;

 private:
  Result<Entry> Child(const Entry& directory, std::string_view name) const;

  const Entry root_;
};

}  // namespace lre::worker

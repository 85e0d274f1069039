// LowerTree: the input root of an execution slot on disk, kept between actions and changed by the
// difference of Directory messages: what two roots share is not touched. Files are hard links into
// the FileCache. Actions see it through an overlay, or get a copy where overlays are refused.
//
// Confined to the slot's thread. Idea: the tree in memory knows the digest of every directory on
// disk; an update first fetches every message and file that is new (touching nothing on disk), then
// applies the difference. When that fails half-way the tree is dropped and the next update starts
// from nothing.
//
// Errors: those of DirectoryCache and FileCache; RESOURCE_EXHAUSTED when the disk is full or a root
// has too many entries (directories that share a digest are counted wherever they are: a small
// upload can name a tree of any size), INVALID_ARGUMENT when it is too deep.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/status.h"
#include "worker/directory_cache.h"
#include "worker/file_cache.h"

namespace lre::worker {

struct LowerTreeOptions {
  std::string directory;           // made by Update
  uint32_t owner = 0;              // set only when the program is root
  size_t entries_max = 4'000'000;  // files, links and directories that one update adds
  int depth_max = 512;
  std::string store_prefix = "/lre/store";  // the references that are looked for in link targets
  // link(2); tests put one here that reaches the file system's limit at once.
  int (*link_file)(const char* from, const char* to) = nullptr;
};

class LowerTree {
 public:
  // `directories` and `files` must outlive the tree.
  LowerTree(DirectoryCache& directories, FileCache& files, LowerTreeOptions options);
  ~LowerTree();

  // Nothing of one tenant's tree is taken over into another's.
  Status Update(const store::BlobKey& root);
  // A copy that the caller owns, for an action that may write to it; `target` must not exist.
  Status CopyTo(const std::string& target) const;
  const std::string& directory() const { return options_.directory; }
  // Toolchain store paths that input files and the targets of links name, each with the number of
  // these.
  const std::map<std::string, int>& store_paths() const { return store_paths_; }
  // How many files, links and directories the last Update made or removed.
  size_t last_changes() const { return changes_; }

 private:
  struct Node;
  struct Wanted;
  Status CollectFiles(const Node& node, const Digest& digest, int depth, Wanted& wanted) const;
  Status Apply(Node& node, const Digest& digest, const std::string& path, const Wanted& wanted);
  Status ApplyFiles(Node& node, const reapi::Directory& directory, const std::string& path,
                    const Wanted& wanted);
  Status ApplySymlinks(Node& node, const reapi::Directory& directory, const std::string& path);
  Status ApplyDirectories(Node& node, const reapi::Directory& directory, const std::string& path,
                          const Wanted& wanted);
  Status RemoveOthers(Node& node, const reapi::Directory& directory, const std::string& path);
  Status MakeDirectory(const std::string& path);
  Status LinkFile(const CachedFile& file, const std::string& path);
  Status CopyFile(const CachedFile& file, const std::string& path) const;
  Status CopyNode(const Node& node, const std::string& target) const;
  void Forget(const Node& node);
  std::vector<std::string> NamedBy(std::string_view target) const;
  void Count(const std::vector<std::string>& store_paths, int change);
  Status Reset();

  DirectoryCache& directories_;
  FileCache& files_;
  const LowerTreeOptions options_;
  std::unique_ptr<Node> root_;  // null: the directory on disk is unknown
  store::Partition partition_ = 0;
  std::map<std::string, int> store_paths_;
  size_t changes_ = 0;
};

}  // namespace lre::worker

#include "worker/lower_tree.h"

#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <set>

#include "base/file.h"
#include "toolchain/root/toolchain_store.h"

namespace lre::worker {

struct LowerTree::Node {
  Digest digest;
  std::map<std::string, std::shared_ptr<const CachedFile>, std::less<>> files;
  std::map<std::string, std::string, std::less<>> symlinks;
  std::map<std::string, std::unique_ptr<Node>, std::less<>> directories;
};

// What an update needs, all of it fetched before the disk is touched.
struct LowerTree::Wanted {
  store::Partition partition = 0;
  DirectoryMap directories;
  std::unordered_map<FileKey, std::shared_ptr<const CachedFile>, FileKeyHash> files;
  size_t entries = 0;
};

LowerTree::LowerTree(DirectoryCache& directories, FileCache& files, LowerTreeOptions options)
    : directories_(directories), files_(files), options_(std::move(options)) {}
LowerTree::~LowerTree() = default;

Status LowerTree::Update(const store::BlobKey& key) {
  const Digest& root = key.digest;
  changes_ = 0;
  if (root_ && partition_ == key.partition && root_->digest == root) return {};
  if (!root_ || partition_ != key.partition) TRY(Reset());
  partition_ = key.partition;
  Wanted wanted{.partition = key.partition, .directories = {}, .files = {}};
  TRY_ASSIGN(wanted.directories, directories_.GetTree(key));
  TRY(CollectFiles(*root_, root, 1, wanted));
  std::vector<FileKey> keys;
  for (const auto& [key, file] : wanted.files) keys.push_back(key);
  TRY_ASSIGN(auto files, files_.Get(keys));
  for (size_t i = 0; i < keys.size(); ++i) wanted.files[keys[i]] = std::move(files[i]);
  Status status = Apply(*root_, root, options_.directory, wanted);
  if (!status.ok()) {
    root_.reset();
    store_paths_.clear();
  }
  return status;
}

Status LowerTree::Reset() {
  TRY(RemoveTree(options_.directory));
  TRY(MakeDirectory(options_.directory));
  root_ = std::make_unique<Node>();
  store_paths_.clear();
  return {};
}

// The files that are in the tree `digest` and not at the same place in `node`.
Status LowerTree::CollectFiles(const Node& node, const Digest& digest, int depth,
                               Wanted& wanted) const {
  if (node.digest == digest) return {};
  const reapi::Directory& directory = *wanted.directories.at(digest);
  wanted.entries +=
      1 + directory.files.size() + directory.directories.size() + directory.symlinks.size();
  if (wanted.entries > options_.entries_max)
    return ErrorStatus(Code::kResourceExhausted, "the input root has more than {} entries",
                       options_.entries_max);
  if (depth > options_.depth_max)
    return ErrorStatus(Code::kInvalidArgument, "the input root is deeper than {} directories",
                       options_.depth_max);
  for (const reapi::FileNode& file : directory.files) {
    FileKey key{file.digest, file.is_executable, wanted.partition};
    auto it = node.files.find(file.name);
    if (it == node.files.end() || it->second->key != key) wanted.files.try_emplace(key);
  }
  static const Node kNothing;
  for (const reapi::DirectoryNode& child : directory.directories) {
    auto it = node.directories.find(child.name);
    const Node& before = it == node.directories.end() ? kNothing : *it->second;
    TRY(CollectFiles(before, child.digest, depth + 1, wanted));
  }
  return {};
}

Status LowerTree::Apply(Node& node, const Digest& digest, const std::string& path,
                        const Wanted& wanted) {
  if (node.digest == digest) return {};
  const reapi::Directory& directory = *wanted.directories.at(digest);
  TRY(RemoveOthers(node, directory, path));
  TRY(ApplyFiles(node, directory, path, wanted));
  TRY(ApplySymlinks(node, directory, path));
  TRY(ApplyDirectories(node, directory, path, wanted));
  node.digest = digest;
  return {};
}

// Removes what the new directory does not have under the same name and kind.
Status LowerTree::RemoveOthers(Node& node, const reapi::Directory& directory,
                               const std::string& path) {
  std::set<std::string_view> files, symlinks, directories;
  for (const auto& file : directory.files) files.insert(file.name);
  for (const auto& link : directory.symlinks) symlinks.insert(link.name);
  for (const auto& child : directory.directories) directories.insert(child.name);
  auto unlink_at = [&](const std::string& name) -> Status {
    ++changes_;
    std::string file = path + "/" + name;
    return unlink(file.c_str()) == 0 ? Status() : ErrnoStatus(errno, file);
  };
  for (auto it = node.files.begin(); it != node.files.end();) {
    if (files.contains(it->first)) {
      ++it;
      continue;
    }
    TRY(unlink_at(it->first));
    Count(it->second->store_paths, -1);
    it = node.files.erase(it);
  }
  for (auto it = node.symlinks.begin(); it != node.symlinks.end();) {
    if (symlinks.contains(it->first)) {
      ++it;
      continue;
    }
    TRY(unlink_at(it->first));
    Count(NamedBy(it->second), -1);
    it = node.symlinks.erase(it);
  }
  for (auto it = node.directories.begin(); it != node.directories.end();) {
    if (directories.contains(it->first)) {
      ++it;
      continue;
    }
    ++changes_;
    TRY(RemoveTree(path + "/" + it->first));
    Forget(*it->second);
    it = node.directories.erase(it);
  }
  return {};
}

Status LowerTree::ApplyFiles(Node& node, const reapi::Directory& directory, const std::string& path,
                             const Wanted& wanted) {
  for (const reapi::FileNode& file : directory.files) {
    FileKey key{file.digest, file.is_executable, wanted.partition};
    std::string place = path + "/" + file.name;
    auto it = node.files.find(file.name);
    if (it != node.files.end()) {
      if (it->second->key == key) continue;
      if (unlink(place.c_str()) != 0) return ErrnoStatus(errno, place);
      Count(it->second->store_paths, -1);
      node.files.erase(it);
    }
    const auto& cached = wanted.files.at(key);
    TRY(LinkFile(*cached, place));
    ++changes_;
    Count(cached->store_paths, 1);
    node.files.emplace(file.name, cached);
  }
  return {};
}

Status LowerTree::ApplySymlinks(Node& node, const reapi::Directory& directory,
                                const std::string& path) {
  for (const reapi::SymlinkNode& link : directory.symlinks) {
    std::string place = path + "/" + link.name;
    auto it = node.symlinks.find(link.name);
    if (it != node.symlinks.end()) {
      if (it->second == link.target) continue;
      if (unlink(place.c_str()) != 0) return ErrnoStatus(errno, place);
      Count(NamedBy(it->second), -1);
      node.symlinks.erase(it);
    }
    ++changes_;
    if (symlink(link.target.c_str(), place.c_str()) != 0) return ErrnoStatus(errno, place);
    if (geteuid() == 0 && lchown(place.c_str(), options_.owner, options_.owner) != 0)
      return ErrnoStatus(errno, place);
    Count(NamedBy(link.target), 1);
    node.symlinks.emplace(link.name, link.target);
  }
  return {};
}

Status LowerTree::ApplyDirectories(Node& node, const reapi::Directory& directory,
                                   const std::string& path, const Wanted& wanted) {
  for (const reapi::DirectoryNode& child : directory.directories) {
    std::string place = path + "/" + child.name;
    auto it = node.directories.find(child.name);
    if (it == node.directories.end()) {
      ++changes_;
      TRY(MakeDirectory(place));
      it = node.directories.emplace(child.name, std::make_unique<Node>()).first;
    }
    TRY(Apply(*it->second, child.digest, place, wanted));
  }
  return {};
}

void LowerTree::Forget(const Node& node) {
  for (const auto& [name, file] : node.files) Count(file->store_paths, -1);
  for (const auto& [name, target] : node.symlinks) Count(NamedBy(target), -1);
  for (const auto& [name, child] : node.directories) Forget(*child);
}

std::vector<std::string> LowerTree::NamedBy(std::string_view target) const {
  return toolchain::FindAllReferences(target, options_.store_prefix);
}

void LowerTree::Count(const std::vector<std::string>& store_paths, int change) {
  for (const std::string& path : store_paths) {
    auto it = store_paths_.try_emplace(path, 0).first;
    it->second += change;
    if (it->second <= 0) store_paths_.erase(it);
  }
}

Status LowerTree::MakeDirectory(const std::string& path) {
  if (mkdir(path.c_str(), 0755) != 0) return ErrnoStatus(errno, path);
  if (geteuid() == 0 && chown(path.c_str(), options_.owner, options_.owner) != 0)
    return ErrnoStatus(errno, path);
  return {};
}

Status LowerTree::LinkFile(const CachedFile& file, const std::string& path) {
  auto link_file = options_.link_file != nullptr ? options_.link_file : ::link;
  if (link_file(file.path.c_str(), path.c_str()) == 0) return {};
  // Too many links for this file system: a copy serves as well.
  if (errno == EMLINK) return CopyFile(file, path);
  return ErrnoStatus(errno, path);
}

Status LowerTree::CopyFile(const CachedFile& file, const std::string& path) const {
  UniqueFd from(open(file.path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!from) return ErrnoStatus(errno, file.path);
  UniqueFd to(open(path.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600));
  if (!to) return ErrnoStatus(errno, path);
  auto left = static_cast<size_t>(file.key.digest.size_bytes);
  while (left > 0) {
    ssize_t n = sendfile(to.get(), from.get(), nullptr, left);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus(errno, path);
    if (n == 0) return ErrorStatus(Code::kInternal, "{} is shorter than its digest", file.path);
    left -= static_cast<size_t>(n);
  }
  struct stat info;
  if (fstat(from.get(), &info) != 0) return ErrnoStatus(errno, file.path);
  timespec times[2] = {info.st_atim, info.st_mtim};
  if (fchmod(to.get(), info.st_mode & 0777) != 0 || futimens(to.get(), times) != 0 ||
      (geteuid() == 0 && fchown(to.get(), info.st_uid, info.st_gid) != 0))
    return ErrnoStatus(errno, path);
  return {};
}

Status LowerTree::CopyTo(const std::string& target) const {
  if (!root_) return ErrorStatus(Code::kInternal, "the input root {} is not made", target);
  return CopyNode(*root_, target);
}

Status LowerTree::CopyNode(const Node& node, const std::string& target) const {
  if (mkdir(target.c_str(), 0755) != 0) return ErrnoStatus(errno, target);
  if (geteuid() == 0 && chown(target.c_str(), options_.owner, options_.owner) != 0)
    return ErrnoStatus(errno, target);
  for (const auto& [name, file] : node.files) TRY(CopyFile(*file, target + "/" + name));
  for (const auto& [name, link] : node.symlinks) {
    std::string place = target + "/" + name;
    if (symlink(link.c_str(), place.c_str()) != 0) return ErrnoStatus(errno, place);
    if (geteuid() == 0 && lchown(place.c_str(), options_.owner, options_.owner) != 0)
      return ErrnoStatus(errno, place);
  }
  for (const auto& [name, child] : node.directories) TRY(CopyNode(*child, target + "/" + name));
  return {};
}

}  // namespace lre::worker

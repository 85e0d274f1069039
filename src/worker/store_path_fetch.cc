#include "worker/store_path_fetch.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <set>

#include "base/file.h"
#include "reapi/store_index.h"
#include "toolchain/root/parallel.h"
#include "worker/directory_cache.h"

namespace lre::worker {
namespace {

using toolchain::StorePath;
using toolchain::TreeListing;

constexpr uint64_t kStreamPieceBytes = 4 << 20;

bool IsPathOf(std::string_view prefix, std::string_view path) {
  if (toolchain::IsNixPath(path)) return true;
  return path.size() > prefix.size() + 1 && path.starts_with(prefix) &&
         path[prefix.size()] == '/' && toolchain::IsStoreName(path.substr(prefix.size() + 1));
}

// One path being made in a staging folder.
class Fetch {
 public:
  Fetch(store::BlobStore& cas, std::string staging, const StorePathFetchOptions& options)
      : cas_(cas), staging_(std::move(staging)), options_(options) {}

  Result<TreeListing> Run(const Digest& root) {
    DirectoryCache directories(cas_, {.tree_directories_max = options_.entries_max});
    Result<DirectoryMap> tree = directories.GetTree({root, options_.partition});
    // A violation is for clients that can upload; here nobody can but `lre push`.
    if (!tree && tree.error().code() == Code::kFailedPrecondition)
      return Error(Code::kNotFound, "directories of tree {} are no longer in the CAS", root);
    TRY(ToStatus(tree));
    tree_ = std::move(*tree);
    TRY(MakeFolder(root, "", 0));
    TRY(FetchFiles());
    std::sort(listing_.files.begin(), listing_.files.end(),
              [](const auto& a, const auto& b) { return a.path < b.path; });
    std::sort(listing_.symlinks.begin(), listing_.symlinks.end(),
              [](const auto& a, const auto& b) { return a.path < b.path; });
    std::sort(listing_.folders.begin(), listing_.folders.end());
    return std::move(listing_);
  }

 private:
  // Makes folders and links, and notes the files. `below` is empty or ends in '/'.
  Status MakeFolder(const Digest& digest, const std::string& below, int depth) {
    if (depth > options_.depth_max)
      return ErrorStatus(Code::kResourceExhausted, "the tree is deeper than {} folders",
                         options_.depth_max);
    const reapi::Directory& directory = *tree_.at(digest);
    const bool empty =
        directory.files.empty() && directory.symlinks.empty() && directory.directories.empty();
    if (empty && !below.empty()) listing_.folders.push_back(below.substr(0, below.size() - 1));
    entries_ += 1 + directory.files.size() + directory.symlinks.size();
    if (entries_ > options_.entries_max)
      return ErrorStatus(Code::kResourceExhausted, "the tree has more than {} entries",
                         options_.entries_max);
    for (const reapi::FileNode& file : directory.files) {
      listing_.files.push_back({below + file.name, file.digest, file.is_executable});
      places_[file.digest].push_back(staging_ + "/" + below + file.name);
    }
    for (const reapi::SymlinkNode& link : directory.symlinks) {
      std::string place = staging_ + "/" + below + link.name;
      if (symlink(link.target.c_str(), place.c_str()) != 0) return ErrnoStatus(errno, place);
      listing_.symlinks.push_back({below + link.name, link.target});
    }
    for (const reapi::DirectoryNode& child : directory.directories) {
      std::string place = staging_ + "/" + below + child.name;
      if (mkdir(place.c_str(), 0755) != 0) return ErrnoStatus(errno, place);
      TRY(MakeFolder(child.digest, below + child.name + "/", depth + 1));
    }
    return {};
  }

  // Large files first, each alone, then batches.
  Status FetchFiles() {
    executable_.clear();
    for (const toolchain::CasFile& file : listing_.files)
      if (file.executable) executable_.insert(staging_ + "/" + file.path);
    std::vector<Digest> digests;
    for (const auto& [digest, places] : places_) digests.push_back(digest);
    std::stable_sort(digests.begin(), digests.end(),
                     [](const Digest& a, const Digest& b) { return a.size_bytes > b.size_bytes; });
    std::vector<std::vector<Digest>> tasks;
    uint64_t bytes = 0;
    for (const Digest& digest : digests) {
      auto size = static_cast<uint64_t>(digest.size_bytes);
      if (tasks.empty() || bytes + size > options_.batch_bytes_max ||
          tasks.back().size() >= options_.batch_files_max) {
        tasks.emplace_back();
        bytes = 0;
      }
      tasks.back().push_back(digest);
      bytes += size;
    }
    return toolchain::ParallelFor(tasks.size(), options_.threads, [&](size_t i) -> Status {
      const std::vector<Digest>& task = tasks[i];
      if (static_cast<uint64_t>(task[0].size_bytes) > options_.batch_bytes_max)
        return FetchStream(task[0]);
      std::vector<Result<BytesList>> blobs = cas_.ReadMany(options_.partition, task);
      for (size_t k = 0; k < task.size(); ++k) {
        TRY(blobs[k]);
        for (const std::string& place : places_.at(task[k])) TRY(WriteFile(place, *blobs[k]));
      }
      return {};
    });
  }

  Status FetchStream(const Digest& digest) {
    for (const std::string& place : places_.at(digest)) {
      TRY_ASSIGN(UniqueFd fd, Create(place));
      auto size = static_cast<uint64_t>(digest.size_bytes);
      for (uint64_t offset = 0; offset < size; offset += kStreamPieceBytes) {
        TRY_ASSIGN(BytesList pieces,
                   cas_.Read({digest, options_.partition},
                             {offset, std::min(size, offset + kStreamPieceBytes)}));
        TRY(Append(fd.get(), pieces, place));
      }
    }
    return {};
  }

  Result<UniqueFd> Create(const std::string& place) const {
    mode_t mode = executable_.contains(place) ? 0755 : 0644;
    UniqueFd fd(open(place.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, mode));
    if (!fd) return ErrnoError(errno, place);
    return fd;
  }
  Status WriteFile(const std::string& place, const BytesList& pieces) const {
    TRY_ASSIGN(UniqueFd fd, Create(place));
    return Append(fd.get(), pieces, place);
  }
  static Status Append(int fd, const BytesList& pieces, const std::string& place) {
    for (const Bytes& piece : pieces) {
      std::string_view left = piece.view();
      while (!left.empty()) {
        ssize_t n = write(fd, left.data(), left.size());
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return ErrnoStatus(errno, place);
        left.remove_prefix(static_cast<size_t>(n));
      }
    }
    return {};
  }

  store::BlobStore& cas_;
  const std::string staging_;
  const StorePathFetchOptions& options_;
  DirectoryMap tree_;
  TreeListing listing_;
  std::map<Digest, std::vector<std::string>> places_;  // where each blob goes
  std::set<std::string> executable_;
  size_t entries_ = 0;
};

}  // namespace

Result<StorePath> LookUpStorePath(const ReadActionResult& read, std::string_view prefix,
                                  std::string_view path) {
  Result<Bytes> bytes = read(reapi::StorePathKey(path).action);
  if (!bytes && bytes.error().code() == Code::kNotFound)
    return Error(Code::kNotFound, "{} is not in the index of the CAS", path);
  TRY(bytes);
  auto refuse = [&](std::string_view why) {
    return Error(Code::kDataLoss, "the index entry of {} {}", path, why);
  };
  auto entry = reapi::ParseStoreIndexEntry(bytes->view());
  if (!entry) return refuse(entry.error().message());
  auto manifest = toolchain::ParseManifest(entry->record);
  if (!manifest) return refuse(manifest.error().message());
  if (manifest->paths.size() != 1 || manifest->paths[0].path != path)
    return refuse("describes something else");
  StorePath& record = manifest->paths[0];
  if (!entry->root || record.tree != toolchain::TreeDigestText(*entry->root))
    return refuse("names another tree than its record");
  for (const std::string& reference : record.references)
    if (!IsPathOf(prefix, reference)) return refuse("references " + reference);
  return std::move(record);
}

Status FetchStorePath(store::BlobStore& cas, toolchain::ToolchainStore& store,
                      const StorePath& record, const StorePathFetchOptions& options) {
  TRY_ASSIGN(Digest root, toolchain::ParseTreeDigest(record.tree));
  TRY_ASSIGN(std::string staging, store.NewStaging(record.path));
  Result<TreeListing> listing = Fetch(cas, staging, options).Run(root);
  Status status = ToStatus(listing);
  if (status.ok() && listing->TotalBytes() != record.size_bytes)
    status = ErrorStatus(Code::kDataLoss, "the tree has {} bytes, its record says {}",
                         listing->TotalBytes(), record.size_bytes);
  if (status.ok()) status = store.Add(staging, record, *listing, /*rehash=*/true);
  // After success only when another process was quicker.
  (void)RemoveTree(staging).ok();
  return status.ok() ? status : status.WithContext(record.path);
}

}  // namespace lre::worker

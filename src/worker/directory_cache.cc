#include "worker/directory_cache.h"

#include "reapi/error_details.h"

namespace lre::worker {

DirectoryPtr DirectoryCache::Find(const Digest& digest) {
  std::lock_guard lock(mutex_);
  auto it = entries_.find(digest);
  if (it == entries_.end()) return nullptr;
  lru_.splice(lru_.end(), lru_, it->second.position);
  return it->second.directory;
}

void DirectoryCache::Insert(const Digest& digest, DirectoryPtr directory) {
  std::lock_guard lock(mutex_);
  auto [it, is_new] = entries_.try_emplace(digest);
  if (!is_new) return;
  it->second = {std::move(directory), lru_.insert(lru_.end(), digest)};
  size_bytes_ += static_cast<uint64_t>(digest.size_bytes);
  while (size_bytes_ > options_.size_bytes_max && lru_.size() > 1) {
    size_bytes_ -= static_cast<uint64_t>(lru_.front().size_bytes);
    entries_.erase(lru_.front());
    lru_.pop_front();
  }
}

Result<DirectoryMap> DirectoryCache::GetTree(const Digest& root) {
  DirectoryMap tree;
  std::vector<Digest> level = {root}, missing;
  while (!level.empty()) {
    std::vector<Digest> next, fetch;
    auto add = [&](const Digest& digest, DirectoryPtr directory) {
      for (const reapi::DirectoryNode& child : directory->directories) {
        if (tree.try_emplace(child.digest).second) next.push_back(child.digest);
      }
      tree[digest] = std::move(directory);
    };
    for (const Digest& digest : level) {
      if (DirectoryPtr found = Find(digest)) {
        add(digest, std::move(found));
      } else {
        fetch.push_back(digest);
      }
    }
    std::vector<Result<BytesList>> blobs;
    if (!fetch.empty()) blobs = cas_.ReadMany(options_.partition, fetch);
    for (size_t i = 0; i < fetch.size(); ++i) {
      if (!blobs[i] && blobs[i].error().code() == Code::kNotFound) {
        missing.push_back(fetch[i]);
        continue;
      }
      if (!blobs[i]) return std::unexpected(blobs[i].error());
      auto parsed = reapi::ParseDirectory(Flatten(*blobs[i]), fetch[i].function);
      if (!parsed) {
        return std::unexpected(
            parsed.error().WithContext(fmt::format("input directory {}", fetch[i])));
      }
      auto directory = std::make_shared<const reapi::Directory>(std::move(*parsed));
      Insert(fetch[i], directory);
      add(fetch[i], std::move(directory));
    }
    if (tree.size() > options_.tree_directories_max) {
      return Error(Code::kResourceExhausted, "input root {} has more than {} directories", root,
                   options_.tree_directories_max);
    }
    level = std::move(next);
  }
  if (!missing.empty()) return std::unexpected(reapi::MissingBlobsStatus(missing));
  return tree;
}

}  // namespace lre::worker

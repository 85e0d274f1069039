#include "worker/directory_cache.h"

#include "build/bazel/remote/execution/v2/remote_execution.pb.h"
#include "reapi/error_details.h"

namespace lre::worker {
namespace {

constexpr std::string_view kToolProperty = "bazel_tool_input";

// Most messages have no such property: only those that do are parsed once more.
std::vector<std::string> ToolsOf(const std::string& bytes) {
  std::vector<std::string> tools;
  if (bytes.find(kToolProperty) == bytes.npos) return tools;
  build::bazel::remote::execution::v2::Directory message;
  if (!message.ParseFromString(bytes)) return tools;
  for (const auto& file : message.files()) {
    for (const auto& property : file.node_properties().properties()) {
      if (property.name() != kToolProperty) continue;
      tools.push_back(file.name());
      break;
    }
  }
  return tools;
}

}  // namespace

DirectoryPtr DirectoryCache::Find(const store::BlobKey& key) {
  std::lock_guard lock(mutex_);
  auto it = entries_.find(key);
  if (it == entries_.end()) return nullptr;
  lru_.splice(lru_.end(), lru_, it->second.position);
  return it->second.directory;
}

void DirectoryCache::Insert(const store::BlobKey& key, DirectoryPtr directory) {
  std::lock_guard lock(mutex_);
  auto [it, is_new] = entries_.try_emplace(key);
  if (!is_new) return;
  it->second = {std::move(directory), lru_.insert(lru_.end(), key)};
  size_bytes_ += static_cast<uint64_t>(key.digest.size_bytes);
  while (size_bytes_ > options_.size_bytes_max && lru_.size() > 1) {
    size_bytes_ -= static_cast<uint64_t>(lru_.front().digest.size_bytes);
    entries_.erase(lru_.front());
    lru_.pop_front();
  }
}

Result<DirectoryMap> DirectoryCache::GetTree(const store::BlobKey& root) {
  DirectoryMap tree;
  std::vector<Digest> level = {root.digest}, missing;
  while (!level.empty()) {
    std::vector<Digest> next, fetch;
    auto add = [&](const Digest& digest, DirectoryPtr directory) {
      for (const reapi::DirectoryNode& child : directory->directories) {
        if (tree.try_emplace(child.digest).second) next.push_back(child.digest);
      }
      tree[digest] = std::move(directory);
    };
    for (const Digest& digest : level) {
      if (DirectoryPtr found = Find({digest, root.partition})) {
        add(digest, std::move(found));
      } else {
        fetch.push_back(digest);
      }
    }
    std::vector<Result<BytesList>> blobs;
    if (!fetch.empty()) blobs = cas_.ReadMany(root.partition, fetch);
    for (size_t i = 0; i < fetch.size(); ++i) {
      if (!blobs[i] && blobs[i].error().code() == Code::kNotFound) {
        missing.push_back(fetch[i]);
        continue;
      }
      if (!blobs[i]) return std::unexpected(blobs[i].error());
      std::string bytes = Flatten(*blobs[i]);
      auto parsed = reapi::ParseDirectory(bytes, fetch[i].function);
      if (!parsed) {
        return std::unexpected(
            parsed.error().WithContext(fmt::format("input directory {}", fetch[i])));
      }
      auto directory = std::make_shared<const InputDirectory>(
          InputDirectory{std::move(*parsed), ToolsOf(bytes)});
      Insert({fetch[i], root.partition}, directory);
      add(fetch[i], std::move(directory));
    }
    if (tree.size() > options_.tree_directories_max) {
      return Error(Code::kResourceExhausted, "input root {} has more than {} directories",
                   root.digest, options_.tree_directories_max);
    }
    level = std::move(next);
  }
  if (!missing.empty()) return std::unexpected(reapi::MissingBlobsStatus(missing));
  return tree;
}

}  // namespace lre::worker

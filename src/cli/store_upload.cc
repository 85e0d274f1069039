#include "cli/store_upload.h"

#include <algorithm>
#include <map>
#include <mutex>

#include "base/file.h"
#include "cli/cas_blobs.h"
#include "cli/remote_server.h"
#include "toolchain/root/cas_tree.h"
#include "toolchain/root/parallel.h"

namespace lre::cli {
namespace {

// Where the bytes of a blob come from.
struct Source {
  std::string file;   // when set
  std::string bytes;  // else
};
using Sources = std::map<Digest, Source>;

struct IndexEntry {
  reapi::StoreIndexKey key;
  std::string result;
};

class Uploader {
 public:
  Uploader(const toolchain::ToolchainStore& store, const UploadParts& parts,
           const UploadOptions& options)
      : store_(store), parts_(parts), options_(options) {}

  Status Add(const toolchain::StorePath& path) {
    TRY_ASSIGN(toolchain::TreeListing listing, store_.Listing(path.path));
    TRY_ASSIGN(toolchain::CasDirectories directories, toolchain::EncodeDirectories(listing));
    for (const toolchain::CasFile& file : listing.files)
      sources_.try_emplace(file.digest, Source{path.path + "/" + file.path, {}});
    std::vector<std::string_view> ordered = {directories.blobs.at(directories.root)};
    for (const auto& [digest, bytes] : directories.blobs)
      if (digest != directories.root) ordered.push_back(bytes);
    reapi::NewBlob tree = reapi::MakeTree(ordered);
    reapi::StoreIndexEntry entry{
        .record = toolchain::PrintManifest({.name = path.path.substr(path.path.rfind('/') + 1),
                                            .prefix = store_.prefix(),
                                            .paths = {path}}),
        .root = directories.root,
        .tree = tree.digest};
    for (auto& [digest, bytes] : directories.blobs)
      sources_.try_emplace(digest, Source{{}, std::move(bytes)});
    sources_.try_emplace(tree.digest, Source{{}, std::move(tree.bytes)});
    reapi::StoreIndexKey key = reapi::StorePathKey(path.path);
    for (reapi::NewBlob& blob : key.blobs)
      sources_.try_emplace(blob.digest, Source{{}, std::move(blob.bytes)});
    key.blobs.clear();  // they go with the others
    entries_.push_back({std::move(key), reapi::EncodeStoreIndexEntry(entry)});
    return {};
  }

  Result<UploadReport> Send() {
    std::vector<Digest> all;
    for (const auto& [digest, source] : sources_) {
      all.push_back(digest);
      report_.bytes += static_cast<uint64_t>(digest.size_bytes);
    }
    report_.blobs = all.size();
    TRY_ASSIGN(std::vector<uint32_t> missing, parts_.cas.FindMissing(0, all));
    std::vector<Digest> wanted;
    for (uint32_t i : missing) wanted.push_back(all[i]);
    TRY(SendBlobs(std::move(wanted)));
    for (const IndexEntry& entry : entries_)
      TRY(UploadEntry(entry.key, entry.result, parts_, report_));
    return std::move(report_);
  }

 private:
  // Large ones first, each alone; then batches of small ones.
  Status SendBlobs(std::vector<Digest> wanted) {
    std::stable_sort(wanted.begin(), wanted.end(),
                     [](const Digest& a, const Digest& b) { return a.size_bytes > b.size_bytes; });
    std::vector<std::vector<Digest>> tasks;
    uint64_t batch_bytes = 0, total = 0;
    bool batch_open = false;
    for (const Digest& digest : wanted) {
      auto size = static_cast<uint64_t>(digest.size_bytes);
      total += size;
      bool alone = size > options_.batch_bytes_max;
      if (alone || !batch_open || batch_bytes + size > options_.batch_bytes_max) {
        tasks.emplace_back();
        batch_bytes = 0;
      }
      batch_open = !alone;
      tasks.back().push_back(digest);
      batch_bytes += size;
    }
    return toolchain::ParallelFor(tasks.size(), options_.threads, [&](size_t i) -> Status {
      const std::vector<Digest>& task = tasks[i];
      bool alone = static_cast<uint64_t>(task[0].size_bytes) > options_.batch_bytes_max;
      TRY(alone ? SendStream(task[0]) : SendBatch(task));
      uint64_t bytes = 0;
      for (const Digest& digest : task) bytes += static_cast<uint64_t>(digest.size_bytes);
      std::lock_guard lock(mutex_);
      report_.sent_blobs += task.size();
      report_.sent_bytes += bytes;
      if (options_.progress) options_.progress(report_.sent_bytes, total);
      return {};
    });
  }

  static Status Damaged(const Source& source, const Status& status) {
    if (status.code() != Code::kInvalidArgument || source.file.empty()) return status;
    return ErrorStatus(Code::kDataLoss,
                       "{} is not what was recorded ({}); `lre store verify` says what else",
                       source.file, status.message());
  }

  Status SendBatch(const std::vector<Digest>& digests) {
    std::vector<std::pair<Digest, Bytes>> blobs;
    for (const Digest& digest : digests) {
      const Source& source = sources_.at(digest);
      std::string bytes = source.bytes;
      if (!source.file.empty()) {
        TRY_ASSIGN(bytes, ReadFile(source.file));
        // Said here, with the file's name, and not by the server with the digest's.
        Digest found = ComputeDigest(digest.function, bytes);
        TRY(Damaged(source, store::CheckDigest(digest, found)));
      }
      blobs.emplace_back(digest, Bytes(std::move(bytes)));
    }
    for (Status& status : parts_.cas.PutMany(0, blobs)) TRY(status);
    return {};
  }

  Status SendStream(const Digest& digest) {
    const Source& source = sources_.at(digest);
    if (!source.file.empty())
      return Damaged(source, PutFile(parts_.cas, digest, source.file, options_.stream_piece_bytes));
    TRY_ASSIGN(auto writer, parts_.cas.Write({digest}));
    TRY(writer->Append(Bytes(source.bytes)));
    return writer->Commit();
  }

  const toolchain::ToolchainStore& store_;
  const UploadParts& parts_;
  const UploadOptions& options_;
  Sources sources_;
  std::vector<IndexEntry> entries_;
  std::mutex mutex_;  // of report_ while blobs are sent
  UploadReport report_;
};

}  // namespace

UploadParts PartsOf(RemoteServer& server) {
  return {server.cas(), [&server](const Digest& action) { return server.GetResult(action); },
          [&server](const Digest& action, std::string_view result) {
            return server.PutResult(action, result);
          }};
}

Status UploadEntry(const reapi::StoreIndexKey& key, const std::string& result,
                   const UploadParts& parts, UploadReport& report) {
  report.actions.push_back(key.action);
  const Result<Bytes> there = parts.get_result(key.action);
  if (there && there->view() == result) return {};
  if (!there && there.error().code() != Code::kNotFound) return there.error();
  std::vector<std::pair<Digest, Bytes>> blobs;
  for (const reapi::NewBlob& blob : key.blobs) blobs.emplace_back(blob.digest, Bytes(blob.bytes));
  for (Status& status : parts.cas.PutMany(0, blobs)) TRY(status);
  ++report.new_entries;
  return parts.put_result(key.action, result);
}

Result<UploadReport> UploadPaths(const toolchain::ToolchainStore& store,
                                 const std::vector<toolchain::StorePath>& paths,
                                 const UploadParts& parts, const UploadOptions& options) {
  Uploader uploader(store, parts, options);
  for (const toolchain::StorePath& path : paths) TRY(uploader.Add(path));
  return uploader.Send();
}

Result<bool> PinUpload(RemoteServer& server, const std::string& name, const UploadReport& report) {
  const Status status = ToStatus(server.SetPin(name, report.actions));
  if (status.ok()) return true;
  if (status.code() == Code::kUnimplemented) return false;
  if (status.code() != Code::kResourceExhausted) return std::unexpected(status);
  return Error(Code::kResourceExhausted,
               "{} was sent and is not pinned, so the server may evict it: {}; `lre push --list` "
               "says what is pinned, `lre push --retire NAME` lets go of it",
               name, status.message());
}

Status UploadManifest(const toolchain::Manifest& manifest, const std::string& name,
                      const UploadParts& parts, UploadReport& report) {
  reapi::StoreIndexEntry entry{
      .record = toolchain::PrintManifest(manifest), .root = {}, .tree = {}};
  return UploadEntry(reapi::ToolchainKey(name), reapi::EncodeStoreIndexEntry(entry), parts, report);
}

}  // namespace lre::cli

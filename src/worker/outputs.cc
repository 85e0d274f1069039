#include "worker/outputs.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <unordered_set>

#include "base/file.h"
#include "digest/hasher.h"
#include "reapi/digest_proto.h"
#include "reapi/tree.h"
#include "reapi/wire/field_reader.h"
#include "toolchain/root/toolchain_store.h"

namespace lre::worker {
namespace {

namespace pb = ::build::bazel::remote::execution::v2;
using Entry = OutputTree::Entry;
using Kind = OutputTree::Kind;

constexpr size_t kPieceBytes = 1 << 20;
constexpr uint64_t kBatchBytesMax = 3 << 20;
constexpr size_t kBatchBlobsMax = 1000;

Result<UniqueFd> OpenOutput(const std::string& path) {
  constexpr int kFlags = O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;
  UniqueFd fd(open(path.c_str(), kFlags));
  if (!fd && errno == EACCES && chmod(path.c_str(), 0644) == 0)
    fd = UniqueFd(open(path.c_str(), kFlags));
  if (!fd) return ErrnoError(errno, path);
  return fd;
}

// Calls `take` with consecutive pieces of the file.
template <typename F>
Status ReadPieces(const std::string& path, F take) {
  TRY_ASSIGN(UniqueFd fd, OpenOutput(path));
  for (;;) {
    std::string piece(kPieceBytes, '\0');
    ssize_t size = read(fd.get(), piece.data(), piece.size());
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return ErrnoStatus(errno, path);
    if (size == 0) return {};
    piece.resize(static_cast<size_t>(size));
    TRY(take(std::move(piece)));
  }
}

class Collector {
 public:
  Collector(const reapi::Command& command, const OutputTree& tree, const CollectOptions& options)
      : command_(command), tree_(tree), options_(options) {}

  Status Add(const std::string& path, bool old_list_of_directories, bool old_list) {
    std::string full = command_.working_directory;
    if (!full.empty() && !path.empty()) full += '/';
    full += path;
    TRY_ASSIGN(Entry entry, tree_.Find(full));
    switch (entry.kind) {
      case Kind::kFile:
        return AddFile(path, entry);
      case Kind::kDirectory:
        return AddDirectory(path, entry);
      case Kind::kSymlink: {
        bool is_directory = old_list_of_directories;
        if (old_list) {
          TRY_ASSIGN(Kind target, tree_.KindOfTarget(full));
          if (target != Kind::kAbsent) is_directory = target == Kind::kDirectory;
        }
        return AddSymlink(path, entry, old_list, is_directory);
      }
      case Kind::kAbsent:
      case Kind::kOther:
        return {};
    }
    return {};
  }
  Collected Take() { return std::move(collected_); }

 private:
  Status Count() {
    if (++entries_ <= options_.entries_max) return {};
    return ErrorStatus(Code::kResourceExhausted, "the outputs have more than {} entries",
                       options_.entries_max);
  }
  Result<Digest> Hash(const Entry& entry) {
    CollectOptions options = options_;
    options.kept_file_bytes_max =
        std::min(options_.kept_file_bytes_max, options_.kept_bytes_max - kept_bytes_);
    TRY_ASSIGN(OutputBlob blob, HashFile(entry.path, options));
    kept_bytes_ += blob.bytes.size();
    blob.adoptable = !entry.is_input;
    blob.executable = entry.executable();
    Digest digest = blob.digest;
    collected_.blobs.push_back(std::move(blob));
    return digest;
  }
  void SetProperties(const Entry& entry, pb::NodeProperties* properties) {
    for (const std::string& name : command_.output_node_properties) {
      if (name == "unix_mode") properties->mutable_unix_mode()->set_value(entry.mode);
      if (name == "mtime") {
        properties->mutable_mtime()->set_seconds(entry.mtime_ns / 1'000'000'000);
        properties->mutable_mtime()->set_nanos(static_cast<int>(entry.mtime_ns % 1'000'000'000));
      }
    }
  }
  Status AddFile(const std::string& path, const Entry& entry) {
    TRY(Count());
    TRY_ASSIGN(Digest digest, Hash(entry));
    pb::OutputFile* file = collected_.result.add_output_files();
    file->set_path(path);
    file->set_is_executable(entry.executable());
    reapi::ToProto(digest, file->mutable_digest());
    if (!command_.output_node_properties.empty())
      SetProperties(entry, file->mutable_node_properties());
    return {};
  }
  Status AddSymlink(const std::string& path, const Entry& entry, bool old_list, bool is_directory) {
    TRY(Count());
    TRY_ASSIGN(std::string target, OutputTree::ReadLink(entry));
    if (!reapi::wire::IsUtf8(target))
      return ErrorStatus(Code::kInvalidArgument, "the target of output link {} is not UTF-8", path);
    // Clients of REAPI 2.0 ask with the old lists and look in the old fields only.
    pb::OutputSymlink* link = !old_list      ? collected_.result.add_output_symlinks()
                              : is_directory ? collected_.result.add_output_directory_symlinks()
                                             : collected_.result.add_output_file_symlinks();
    link->set_path(path);
    link->set_target(target);
    return {};
  }
  Status AddDirectory(const std::string& path, const Entry& entry) {
    reapi::TreeBuilder builder(options_.function);
    TRY(AddBelow(entry, "", builder));
    reapi::TreeBuilder::Built built = builder.Build();
    pb::OutputDirectory* directory = collected_.result.add_output_directories();
    directory->set_path(path);
    directory->set_is_topologically_sorted(true);
    if (command_.output_directory_format != reapi::OutputDirectoryFormat::kDirectoryOnly) {
      reapi::ToProto(built.tree.digest, directory->mutable_tree_digest());
      AddBlob(std::move(built.tree));
    }
    if (command_.output_directory_format != reapi::OutputDirectoryFormat::kTreeOnly) {
      reapi::ToProto(built.root, directory->mutable_root_directory_digest());
      for (reapi::NewBlob& blob : built.directories) AddBlob(std::move(blob));
    }
    return {};
  }
  void AddBlob(reapi::NewBlob blob) {
    OutputBlob& added = collected_.blobs.emplace_back();
    added.digest = blob.digest;
    added.bytes = Bytes(std::move(blob.bytes));
  }
  Status AddBelow(const Entry& top, const std::string& prefix, reapi::TreeBuilder& builder) {
    // Not recursive: an action may nest directories deeper than our stack.
    std::vector<std::pair<std::string, Entry>> todo = {{prefix, top}};
    while (!todo.empty()) {
      auto [directory, entry] = std::move(todo.back());
      todo.pop_back();
      TRY_ASSIGN(auto children, tree_.List(entry));
      for (auto& [name, child] : children) {
        TRY(Count());
        if (!reapi::wire::IsUtf8(name))
          return ErrorStatus(Code::kInvalidArgument, "an output file name below {} is not UTF-8",
                             directory);
        std::string path = directory.empty() ? name : directory + "/" + name;
        if (child.kind == Kind::kFile) {
          TRY_ASSIGN(Digest digest, Hash(child));
          TRY(builder.AddFile(path, digest, child.executable()));
        } else if (child.kind == Kind::kSymlink) {
          TRY_ASSIGN(std::string target, OutputTree::ReadLink(child));
          TRY(builder.AddSymlink(path, target));
        } else if (child.kind == Kind::kDirectory) {
          TRY(builder.AddDirectory(path));
          todo.emplace_back(std::move(path), std::move(child));
        }
      }
    }
    return {};
  }

  const reapi::Command& command_;
  const OutputTree& tree_;
  const CollectOptions& options_;
  Collected collected_;
  size_t entries_ = 0;
  uint64_t kept_bytes_ = 0;
};

Status UploadFile(store::BlobStore& cas, const store::BlobKey& key, const std::string& path) {
  TRY_ASSIGN(auto writer, cas.Write(key));
  TRY(ReadPieces(path, [&](std::string piece) { return writer->Append(Bytes(std::move(piece))); }));
  return writer->Commit();
}

Result<Bytes> ReadWhole(const std::string& path) {
  TRY_ASSIGN(std::string bytes, ReadFile(path));
  return Bytes(std::move(bytes));
}

}  // namespace

Result<OutputBlob> HashFile(const std::string& path, const CollectOptions& options) {
  OutputBlob blob;
  blob.path = path;
  Hasher hasher(options.function);
  toolchain::StoreReferenceScanner scanner(options.store_prefix);
  std::string kept;
  bool keep = true;
  TRY(ReadPieces(path, [&](std::string piece) -> Status {
    hasher.Update(piece);
    scanner.Update(piece);
    keep = keep && kept.size() + piece.size() <= options.kept_file_bytes_max;
    if (keep) {
      kept += piece;
    } else {
      kept = {};
    }
    return {};
  }));
  blob.digest = hasher.Finish();
  blob.store_paths = scanner.Finish();
  if (keep) blob.bytes = Bytes(std::move(kept));
  return blob;
}

Result<Collected> CollectOutputs(const reapi::Command& command, const OutputTree& tree,
                                 const CollectOptions& options) {
  Collector collector(command, tree, options);
  if (!command.output_paths.empty()) {
    for (const std::string& path : command.output_paths) TRY(collector.Add(path, false, false));
    return collector.Take();
  }
  for (const std::string& path : command.output_files) TRY(collector.Add(path, false, true));
  for (const std::string& path : command.output_directories) TRY(collector.Add(path, true, true));
  return collector.Take();
}

Status UploadBlobs(store::BlobStore& cas, store::Partition partition,
                   const std::vector<OutputBlob>& blobs) {
  std::vector<Digest> digests;
  std::vector<const OutputBlob*> distinct;
  std::unordered_set<Digest> seen;
  for (const OutputBlob& blob : blobs) {
    if (!seen.insert(blob.digest).second) continue;
    digests.push_back(blob.digest);
    distinct.push_back(&blob);
  }
  if (digests.empty()) return {};
  TRY_ASSIGN(std::vector<uint32_t> missing, cas.FindMissing(partition, digests));
  std::vector<std::pair<Digest, Bytes>> batch;
  uint64_t batch_bytes = 0;
  auto flush = [&]() -> Status {
    for (const Status& status : cas.PutMany(partition, batch)) TRY(status);
    batch.clear();
    batch_bytes = 0;
    return {};
  };
  for (uint32_t index : missing) {
    const OutputBlob& blob = *distinct[index];
    auto size = static_cast<uint64_t>(blob.digest.size_bytes);
    if (size > kBatchBytesMax) {
      if (blob.bytes.size() == size) {
        TRY(store::Put(cas, {blob.digest, partition}, blob.bytes));
      } else {
        TRY(UploadFile(cas, {blob.digest, partition}, blob.path));
      }
      continue;
    }
    if (batch_bytes + size > kBatchBytesMax || batch.size() >= kBatchBlobsMax) TRY(flush());
    Bytes bytes = blob.bytes;
    if (bytes.size() != size) {
      TRY_ASSIGN(bytes, ReadWhole(blob.path));
    }
    batch.emplace_back(blob.digest, std::move(bytes));
    batch_bytes += size;
  }
  return batch.empty() ? Status() : flush();
}

}  // namespace lre::worker

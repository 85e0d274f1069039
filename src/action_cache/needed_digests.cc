#include "action_cache/needed_digests.h"

#include <google/protobuf/arena.h>

#include <algorithm>
#include <unordered_set>

#include "reapi/digest_proto.h"
#include "store/blob_store.h"

namespace lre::action_cache {
namespace {

namespace pb = ::build::bazel::remote::execution::v2;

class Flattener {
 public:
  explicit Flattener(const NeededDigestsOptions& options) : options_(options) {}

  Status AddResult(std::string_view bytes) {
    auto* result = google::protobuf::Arena::CreateMessage<pb::ActionResult>(&arena_);
    if (!result->ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
      return ErrorStatus(Code::kInvalidArgument, "ActionResult does not parse");
    for (const pb::OutputFile& file : result->output_files())
      TRY(Add(file.digest(), "output file", file.path()));
    if (result->has_stdout_digest() && !result->stdout_digest().hash().empty())
      TRY(Add(result->stdout_digest(), "stdout_digest", ""));
    if (result->has_stderr_digest() && !result->stderr_digest().hash().empty())
      TRY(Add(result->stderr_digest(), "stderr_digest", ""));
    for (const pb::OutputDirectory& directory : result->output_directories()) {
      bool has_tree = !directory.tree_digest().hash().empty();
      bool has_root = !directory.root_directory_digest().hash().empty();
      if (has_tree) TRY(AddTree(directory));
      if (has_root) TRY(AddDirectories(directory));
      if (!has_tree && !has_root) {
        return ErrorStatus(Code::kInvalidArgument,
                           "output directory {:.200}: neither tree_digest nor "
                           "root_directory_digest",
                           directory.path());
      }
    }
    return {};
  }

  bool would_block() const { return would_block_; }
  // Leaves the digests sorted and distinct, or says that they are too many.
  Status DropRepeats() {
    std::sort(digests_.begin(), digests_.end());
    digests_.erase(std::unique(digests_.begin(), digests_.end()), digests_.end());
    if (digests_.size() <= options_.digests_max) return {};
    return ErrorStatus(Code::kInvalidArgument, "ActionResult names more than {} blobs",
                       options_.digests_max);
  }
  std::vector<Digest> Take() { return std::move(digests_); }

 private:
  Status Add(const Digest& digest) {
    if (store::IsEmptyBlob(digest)) return {};
    digests_.push_back(digest);
    // Repeats are dropped when the list is twice its bound, so that each costs one sort in
    // digests_max of them.
    return digests_.size() > 2 * options_.digests_max ? DropRepeats() : Status();
  }

  Status Add(const pb::Digest& message, std::string_view what, const std::string& name) {
    auto digest = reapi::FromProto(message, options_.function);
    if (!digest) return digest.error().WithContext(fmt::format("{} {:.200}", what, name));
    return Add(*digest);
  }

  // The bytes of a Tree or Directory that the result names; kFailedPrecondition when absent.
  Result<std::string> Read(const Digest& digest) {
    if (store::IsEmptyBlob(digest)) return std::string();
    auto bytes = options_.read(digest);
    if (!bytes.has_value()) {
      would_block_ = true;
      return Error(Code::kUnavailable, "would block");
    }
    if (!*bytes && bytes->error().code() == Code::kNotFound)
      return Error(Code::kFailedPrecondition, "blob {} is missing", digest);
    return *std::move(bytes);
  }

  Status AddTree(const pb::OutputDirectory& directory) {
    TRY_ASSIGN(Digest digest, reapi::FromProto(directory.tree_digest(), options_.function));
    TRY(Add(digest));
    TRY_ASSIGN(std::string bytes, Read(digest));
    auto* tree = google::protobuf::Arena::CreateMessage<pb::Tree>(&arena_);
    if (!tree->ParseFromString(bytes)) {
      return ErrorStatus(Code::kInvalidArgument, "output directory {:.200}: {} is not a Tree",
                         directory.path(), digest);
    }
    TRY(AddFiles(tree->root()));
    for (const pb::Directory& child : tree->children()) TRY(AddFiles(child));
    return {};
  }

  Status AddFiles(const pb::Directory& directory) {
    for (const pb::FileNode& file : directory.files()) TRY(Add(file.digest(), "file", file.name()));
    return {};
  }

  // Breadth first and each Directory once: depth and sharing cost no stack and no time.
  Status AddDirectories(const pb::OutputDirectory& output) {
    TRY_ASSIGN(Digest root, reapi::FromProto(output.root_directory_digest(), options_.function));
    std::vector<Digest> queue = {root};
    std::unordered_set<Digest> seen = {root};
    for (size_t next = 0; next < queue.size(); ++next) {
      Digest digest = queue[next];
      TRY(Add(digest));
      TRY_ASSIGN(std::string bytes, Read(digest));
      pb::Directory directory;
      if (!directory.ParseFromString(bytes)) {
        return ErrorStatus(Code::kInvalidArgument,
                           "output directory {:.200}: {} is not a Directory", output.path(),
                           digest);
      }
      TRY(AddFiles(directory));
      for (const pb::DirectoryNode& child : directory.directories()) {
        TRY_ASSIGN(Digest child_digest, reapi::FromProto(child.digest(), options_.function));
        if (seen.insert(child_digest).second) queue.push_back(child_digest);
      }
    }
    return {};
  }

  const NeededDigestsOptions& options_;
  google::protobuf::Arena arena_;
  std::vector<Digest> digests_;
  bool would_block_ = false;
};

}  // namespace

std::optional<Result<std::vector<Digest>>> NeededDigests(std::string_view result,
                                                         const NeededDigestsOptions& options) {
  Flattener flattener(options);
  Status status = flattener.AddResult(result);
  if (flattener.would_block()) return std::nullopt;
  if (status.ok()) status = flattener.DropRepeats();
  if (!status.ok()) return std::unexpected(std::move(status));
  return flattener.Take();
}

}  // namespace lre::action_cache

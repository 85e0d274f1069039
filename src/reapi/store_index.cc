#include "reapi/store_index.h"

#include "reapi/action.h"
#include "reapi/digest_proto.h"

namespace lre::reapi {
namespace {

constexpr DigestFunction kFunction = DigestFunction::kSha256;
constexpr char kTreePath[] = "tree";

StoreIndexKey KeyOf(std::string_view kind, std::string_view name) {
  StoreIndexKey key;
  auto add = [&](std::string bytes) {
    Digest digest = ComputeDigest(kFunction, bytes);
    key.blobs.push_back({digest, std::move(bytes)});
    return digest;
  };
  Action action;
  action.command = add(EncodeCommand(
      {.arguments = {std::string(kind), std::string(name)}, .output_paths = {kTreePath}}));
  action.input_root = add(EncodeDirectory({}));
  key.action = add(EncodeAction(action));
  return key;
}

}  // namespace

StoreIndexKey StorePathKey(std::string_view path) { return KeyOf("lre-store-path", path); }
StoreIndexKey ToolchainKey(std::string_view name) { return KeyOf("lre-toolchain", name); }
StoreIndexKey FileKey(std::string_view sha256) { return KeyOf("lre-file", sha256); }

std::string EncodeFileEntry(const Digest& file) {
  pb::ActionResult result;
  pb::OutputFile& output = *result.add_output_files();
  output.set_path(kTreePath);
  ToProto(file, output.mutable_digest());
  return SerializeDeterministically(result);
}

Result<Digest> ParseFileEntry(std::string_view action_result) {
  pb::ActionResult result;
  if (!result.ParseFromArray(action_result.data(), static_cast<int>(action_result.size())) ||
      result.output_files_size() != 1)
    return Error(Code::kInvalidArgument, "store index entry: no result with one file");
  return FromProto(result.output_files(0).digest(), kFunction);
}

std::string EncodeStoreIndexEntry(const StoreIndexEntry& entry) {
  pb::ActionResult result;
  result.set_stdout_raw(entry.record);
  if (entry.root || entry.tree) {
    pb::OutputDirectory& directory = *result.add_output_directories();
    directory.set_path(kTreePath);
    if (entry.root) ToProto(*entry.root, directory.mutable_root_directory_digest());
    if (entry.tree) ToProto(*entry.tree, directory.mutable_tree_digest());
  }
  return SerializeDeterministically(result);
}

Result<StoreIndexEntry> ParseStoreIndexEntry(std::string_view action_result) {
  pb::ActionResult result;
  if (!result.ParseFromArray(action_result.data(), static_cast<int>(action_result.size())))
    return Error(Code::kInvalidArgument, "store index entry: no ActionResult");
  StoreIndexEntry entry{.record = result.stdout_raw(), .root = {}, .tree = {}};
  if (entry.record.empty())
    return Error(Code::kInvalidArgument, "store index entry: stdout_raw has no record");
  for (const pb::OutputDirectory& directory : result.output_directories()) {
    if (directory.path() != kTreePath)
      return Error(Code::kInvalidArgument, "store index entry: output directory \"{:.200}\"",
                   directory.path());
    if (directory.has_root_directory_digest()) {
      TRY_ASSIGN(entry.root, FromProto(directory.root_directory_digest(), kFunction));
    }
    if (directory.has_tree_digest()) {
      TRY_ASSIGN(entry.tree, FromProto(directory.tree_digest(), kFunction));
    }
  }
  return entry;
}

NewBlob MakeTree(const std::vector<std::string_view>& directories) {
  pb::Tree tree;
  for (size_t i = 0; i < directories.size(); ++i) {
    pb::Directory* directory = i == 0 ? tree.mutable_root() : tree.add_children();
    directory->ParseFromArray(directories[i].data(), static_cast<int>(directories[i].size()));
  }
  NewBlob blob;
  blob.bytes = SerializeDeterministically(tree);
  blob.digest = ComputeDigest(kFunction, blob.bytes);
  return blob;
}

}  // namespace lre::reapi

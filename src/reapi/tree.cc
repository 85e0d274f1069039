#include "reapi/tree.h"

#include <algorithm>
#include <unordered_set>

#include "reapi/digest_proto.h"

namespace lre::reapi {

struct TreeBuilder::Node {
  std::map<std::string, FileNode, std::less<>> files;
  std::map<std::string, std::string, std::less<>> symlinks;
  std::map<std::string, std::unique_ptr<Node>, std::less<>> directories;

  bool Has(std::string_view name) const {
    return files.contains(name) || symlinks.contains(name) || directories.contains(name);
  }
  // The digest of the subtree; its directories go to `all`, children before parents.
  Digest Encode(DigestFunction function, std::vector<NewBlob>* all,
                std::unordered_set<Digest>* seen) const;
};

Digest TreeBuilder::Node::Encode(DigestFunction function, std::vector<NewBlob>* all,
                                 std::unordered_set<Digest>* seen) const {
  Directory directory;
  for (const auto& [name, file] : files) directory.files.push_back(file);
  for (const auto& [name, target] : symlinks) directory.symlinks.push_back({name, target});
  for (const auto& [name, node] : directories) {
    directory.directories.push_back({name, node->Encode(function, all, seen)});
  }
  std::string bytes = EncodeDirectory(std::move(directory));
  Digest digest = ComputeDigest(function, bytes);
  if (seen->insert(digest).second) all->push_back({digest, std::move(bytes)});
  return digest;
}

TreeBuilder::TreeBuilder(DigestFunction function)
    : function_(function), root_(std::make_unique<Node>()) {}
TreeBuilder::TreeBuilder(TreeBuilder&&) noexcept = default;
TreeBuilder& TreeBuilder::operator=(TreeBuilder&&) noexcept = default;
TreeBuilder::~TreeBuilder() = default;

Result<TreeBuilder::Node*> TreeBuilder::MakeParents(std::string_view path, std::string_view* name) {
  TRY(CheckRelativePath(path, "path in a tree"));
  Node* node = root_.get();
  for (;;) {
    size_t slash = path.find('/');
    if (slash == std::string_view::npos) {
      *name = path;
      return node;
    }
    std::string segment(path.substr(0, slash));
    path.remove_prefix(slash + 1);
    auto found = node->directories.find(segment);
    if (found == node->directories.end()) {
      if (node->Has(segment)) {
        return Error(Code::kInvalidArgument, "path in a tree: \"{}\" is no directory", segment);
      }
      found = node->directories.emplace(segment, std::make_unique<Node>()).first;
    }
    node = found->second.get();
  }
}

Status TreeBuilder::AddFile(std::string_view path, const Digest& digest, bool is_executable) {
  std::string_view name;
  TRY_ASSIGN(Node * parent, MakeParents(path, &name));
  if (parent->Has(name)) {
    return ErrorStatus(Code::kInvalidArgument, "path in a tree: \"{}\" is taken", path);
  }
  parent->files[std::string(name)] = {
      .name = std::string(name), .digest = digest, .is_executable = is_executable};
  return Status();
}

Status TreeBuilder::AddSymlink(std::string_view path, std::string_view target) {
  std::string_view name;
  TRY_ASSIGN(Node * parent, MakeParents(path, &name));
  if (parent->Has(name)) {
    return ErrorStatus(Code::kInvalidArgument, "path in a tree: \"{}\" is taken", path);
  }
  parent->symlinks[std::string(name)] = std::string(target);
  return Status();
}

Status TreeBuilder::AddDirectory(std::string_view path) {
  std::string_view name;
  TRY_ASSIGN(Node * parent, MakeParents(path, &name));
  if (parent->directories.contains(name)) return Status();
  if (parent->Has(name)) {
    return ErrorStatus(Code::kInvalidArgument, "path in a tree: \"{}\" is no directory", path);
  }
  parent->directories[std::string(name)] = std::make_unique<Node>();
  return Status();
}

TreeBuilder::Built TreeBuilder::Build() const {
  Built built;
  std::unordered_set<Digest> seen;
  built.root = root_->Encode(function_, &built.directories, &seen);
  std::reverse(built.directories.begin(), built.directories.end());
  // The bytes are those whose digests the nodes name: parsed into the message only to be wrapped.
  pb::Tree tree;
  for (size_t i = 0; i < built.directories.size(); i++) {
    pb::Directory* message = i == 0 ? tree.mutable_root() : tree.add_children();
    message->ParseFromString(built.directories[i].bytes);
  }
  built.tree.digest = DigestOfMessage(function_, tree, &built.tree.bytes);
  return built;
}

Result<Tree> ParseTree(std::string_view bytes, DigestFunction function) {
  pb::Tree message;
  if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return Error(Code::kInvalidArgument, "tree: its {} bytes are no Tree message", bytes.size());
  }
  Tree tree;
  std::unordered_set<Digest> known;
  auto add = [&](const pb::Directory& directory) -> Result<std::pair<Digest, Directory>> {
    // The bytes of a part of a message are those it had when it was parsed: protobuf keeps unknown
    // fields and the order of fields is that of the canonical encoding.
    std::string encoded = SerializeDeterministically(directory);
    TRY_ASSIGN(Directory parsed, ParseDirectory(encoded, function));
    Digest digest = ComputeDigest(function, encoded);
    tree.encoded.emplace_back(digest, std::move(encoded));
    known.insert(digest);
    return std::pair(digest, std::move(parsed));
  };
  TRY_ASSIGN(auto root, add(message.root()));
  tree.root = std::move(root.second);
  for (const pb::Directory& child : message.children()) {
    TRY_ASSIGN(auto parsed, add(child));
    tree.children.push_back(std::move(parsed));
  }
  auto check = [&](const Directory& directory) -> Status {
    for (const DirectoryNode& node : directory.directories) {
      if (!known.contains(node.digest)) {
        return ErrorStatus(Code::kInvalidArgument,
                           "tree: directory \"{}\" ({}) is not among the children", node.name,
                           node.digest.ToString());
      }
    }
    return Status();
  };
  TRY(check(tree.root));
  for (const auto& [digest, directory] : tree.children) TRY(check(directory));
  return tree;
}

}  // namespace lre::reapi

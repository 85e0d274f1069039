// Trees of directories: built in memory from paths (the outputs of an action, the inputs of a
// test), taken apart again from a Tree message. Confined to one thread.
// Errors: kInvalidArgument for paths and messages that are not well formed.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "digest/digest.h"
#include "reapi/action.h"

namespace lre::reapi {

// A blob that is not yet anywhere.
struct NewBlob {
  Digest digest;
  std::string bytes;
};

// Collects files, symlinks and empty directories by path and makes the Directory messages.
class TreeBuilder {
 public:
  explicit TreeBuilder(DigestFunction function);
  TreeBuilder(TreeBuilder&&) noexcept;
  TreeBuilder& operator=(TreeBuilder&&) noexcept;
  ~TreeBuilder();

  // Parents are made. kInvalidArgument when the path is not relative and plain, or is taken.
  Status AddFile(std::string_view path, const Digest& digest, bool is_executable);
  Status AddSymlink(std::string_view path, std::string_view target);
  // A directory that may stay empty; being there already is fine.
  Status AddDirectory(std::string_view path);

  struct Built {
    Digest root;
    std::vector<NewBlob> directories;  // every distinct Directory, the root first, parents first
    NewBlob tree;                      // the Tree message: root, children parents first, each once
  };
  Built Build() const;

 private:
  struct Node;
  Result<Node*> MakeParents(std::string_view path, std::string_view* name);

  DigestFunction function_;
  std::unique_ptr<Node> root_;
};

// A Tree message, validated: every directory that is named is among the children.
struct Tree {
  Directory root;
  std::vector<std::pair<Digest, Directory>> children;   // as they came, each digest once
  std::vector<std::pair<Digest, std::string>> encoded;  // the same directories as bytes, root first
};
Result<Tree> ParseTree(std::string_view bytes, DigestFunction function);

}  // namespace lre::reapi

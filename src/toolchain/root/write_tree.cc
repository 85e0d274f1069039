#include "toolchain/root/write_tree.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <set>

#include "base/file.h"
#include "base/guarded.h"
#include "toolchain/root/parallel.h"
#include "toolchain/root/toolchain_store.h"

namespace lre::toolchain {
namespace {

Status WriteNewFile(const std::string& path, std::string_view bytes) {
  UniqueFd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (!fd) return ErrnoStatus(errno, "create " + path);
  while (!bytes.empty()) {
    ssize_t count = write(fd.get(), bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return ErrnoStatus(errno, "write " + path);
    bytes.remove_prefix(static_cast<size_t>(count));
  }
  return {};
}

Status MakeFolders(const FileTree& tree, const std::string& directory) {
  std::set<std::string_view> made = {""};
  for (const auto& [path, node] : tree) {
    for (size_t end = path.find('/'); end != path.npos; end = path.find('/', end + 1)) {
      std::string_view folder = std::string_view(path).substr(0, end);
      if (!made.insert(folder).second) continue;
      std::string full = directory + "/" + std::string(folder);
      if (mkdir(full.c_str(), 0755) != 0) return ErrnoStatus(errno, "make directory " + full);
    }
  }
  return {};
}

}  // namespace

Result<WrittenTree> WriteTree(const FileTree& tree, const std::string& directory,
                              const WriteTreeOptions& options) {
  TRY(MakeFolders(tree, directory));
  WrittenTree written;
  std::vector<const FileNode*> nodes;
  Guarded<std::set<std::string>> references;
  auto scan = [&](std::string_view text) {
    std::vector<std::string> found = FindStoreReferences(text, options.prefix);
    if (!found.empty()) references.With([&](auto& all) { all.insert(found.begin(), found.end()); });
  };
  for (const auto& [path, node] : tree) {
    std::string full = directory + "/" + path;
    if (node.symlink) {
      if (symlink(node.content.c_str(), full.c_str()) != 0)
        return ErrnoError(errno, "symlink " + full);
      written.listing.symlinks.push_back({path, node.content});
      scan(node.content);
    } else {
      written.listing.files.push_back({path, Digest{}, node.executable});
      nodes.push_back(&node);
    }
  }
  TRY(ParallelFor(nodes.size(), options.threads, [&](size_t i) -> Status {
    CasFile& file = written.listing.files[i];
    file.digest = ComputeDigest(DigestFunction::kSha256, nodes[i]->content);
    scan(nodes[i]->content);
    return WriteNewFile(directory + "/" + file.path, nodes[i]->content);
  }));
  references.With([&](auto& all) { written.references.assign(all.begin(), all.end()); });
  return written;
}

}  // namespace lre::toolchain

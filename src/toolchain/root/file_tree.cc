#include "toolchain/root/file_tree.h"

#include <algorithm>
#include <optional>

namespace lre::toolchain {
namespace {

constexpr std::string_view kMerged[] = {"bin", "lib", "lib32", "lib64", "libx32", "sbin"};
constexpr int kLinksMax = 40;  // as the kernel follows

std::vector<std::string_view> Components(std::string_view path) {
  std::vector<std::string_view> components;
  while (!path.empty()) {
    size_t end = std::min(path.find('/'), path.size());
    std::string_view name = path.substr(0, end);
    path.remove_prefix(std::min(end + 1, path.size()));
    if (name == "..") {
      if (!components.empty()) components.pop_back();
    } else if (!name.empty() && name != ".") {
      components.push_back(name);
    }
  }
  return components;
}

std::string Join(const std::vector<std::string_view>& components) {
  std::string path;
  for (std::string_view name : components) {
    if (!path.empty()) path += '/';
    path += name;
  }
  return path;
}

// The path that a link's target means, from the root of its tree.
std::string RootedTarget(std::string_view link, std::string_view target) {
  if (target.starts_with('/')) return NormalPath(target);
  return NormalPath(std::string(ParentPath(link)) + "/" + std::string(target));
}

template <typename Map>
bool HasBelow(const Map& map, std::string_view path) {
  std::string folder(path);
  folder += '/';
  auto it = map.lower_bound(folder);
  return it != map.end() && it->first.starts_with(folder);
}

bool ReferenceHas(const Reference& reference, std::string_view path) {
  return reference.files.contains(path) || reference.symlinks.contains(path) ||
         HasBelow(reference.files, path) || HasBelow(reference.symlinks, path);
}

// Recipes make such links; they are final.
bool PointsInto(std::string_view target, const std::vector<const Reference*>& references) {
  return std::any_of(references.begin(), references.end(),
                     [&](const Reference* r) { return target.starts_with(r->path + "/"); });
}

}  // namespace

Reference MakeReference(std::string role, std::string path, TreeListing listing) {
  Reference reference{
      .role = std::move(role), .path = std::move(path), .listing = std::move(listing)};
  for (const CasFile& file : reference.listing.files) reference.files[file.path] = file.executable;
  for (const CasSymlink& symlink : reference.listing.symlinks)
    reference.symlinks[symlink.path] = symlink.target;
  return reference;
}

std::string NormalPath(std::string_view path) { return Join(Components(path)); }

std::string_view ParentPath(std::string_view path) {
  size_t slash = path.rfind('/');
  return slash == path.npos ? std::string_view() : path.substr(0, slash);
}

std::string_view BaseName(std::string_view path) { return path.substr(path.rfind('/') + 1); }

std::string RelativeTarget(std::string_view link, std::string_view target) {
  std::vector<std::string_view> from = Components(ParentPath(link)), to = Components(target);
  size_t common = 0;
  while (common < from.size() && common < to.size() && from[common] == to[common]) ++common;
  std::string relative;
  for (size_t i = common; i < from.size(); ++i) relative += "../";
  for (size_t i = common; i < to.size(); ++i) {
    relative += to[i];
    if (i + 1 < to.size()) relative += '/';
  }
  if (relative.ends_with('/')) relative.pop_back();
  return relative.empty() ? "." : relative;
}

std::string FoldUsr(std::string_view path) {
  std::string_view first = path.substr(0, path.find('/'));
  bool merged = std::find(std::begin(kMerged), std::end(kMerged), first) != std::end(kMerged);
  return merged ? "usr/" + std::string(path) : std::string(path);
}

bool HasFolder(const FileTree& tree, std::string_view path) {
  return path.empty() || HasBelow(tree, path);
}

std::string Resolve(const FileTree& tree, std::string_view path) {
  std::string rest = NormalPath(path);
  for (int links = 0; links <= kLinksMax; ++links) {
    // The first symlink on the way, if any, is put in place of what leads to it.
    bool followed = false;
    for (size_t end = rest.find('/');; end = rest.find('/', end + 1)) {
      std::string_view head = std::string_view(rest).substr(0, end);
      auto it = tree.find(head);
      if (it != tree.end() && it->second.symlink) {
        std::string tail = end == rest.npos ? "" : rest.substr(end);
        rest = NormalPath(RootedTarget(head, it->second.content) + tail);
        followed = true;
        break;
      }
      if (end == rest.npos) break;
    }
    if (followed) continue;
    return tree.contains(rest) || HasFolder(tree, rest) ? rest : "";
  }
  return "";
}

Status MergeTree(FileTree& into, FileTree from, std::string_view from_name) {
  for (auto& [path, node] : from) {
    auto [it, inserted] = into.try_emplace(path, std::move(node));
    // A failed try_emplace leaves `node` as it was.
    if (!inserted && it->second != node)
      return ErrorStatus(Code::kAlreadyExists, "package {} and another have different files at {}",
                         from_name, path);
  }
  for (auto it = into.begin(); it != into.end(); ++it)
    if (HasBelow(into, it->first))
      return ErrorStatus(Code::kAlreadyExists,
                         "package {} and another disagree whether {} is a folder", from_name,
                         it->first);
  return {};
}

std::vector<std::string> LinkTargets(FileTree& tree,
                                     const std::vector<const Reference*>& references) {
  std::vector<std::string> left_out;
  for (std::string_view folder : kMerged) {
    std::string below = "usr/" + std::string(folder);
    if (HasFolder(tree, below)) tree[std::string(folder)] = {.content = below, .symlink = true};
  }
  // Decided on the tree as it was: a link that goes must not change how others resolve.
  std::vector<std::pair<std::string, std::optional<std::string>>> decisions;
  for (const auto& [path, node] : tree) {
    if (!node.symlink || PointsInto(node.content, references)) continue;
    std::string target = RootedTarget(path, node.content);
    if (!Resolve(tree, target).empty()) {
      decisions.emplace_back(path, RelativeTarget(path, target));
      continue;
    }
    std::string folded = FoldUsr(target);
    auto holder = std::find_if(references.begin(), references.end(),
                               [&](const Reference* r) { return ReferenceHas(*r, folded); });
    if (holder != references.end())
      decisions.emplace_back(path, (*holder)->path + "/" + folded);
    else
      decisions.emplace_back(path, std::nullopt);
  }
  for (auto& [path, target] : decisions) {
    if (target) {
      tree[path].content = std::move(*target);
    } else {
      tree.erase(path);
      left_out.push_back(path);
    }
  }
  return left_out;
}

}  // namespace lre::toolchain

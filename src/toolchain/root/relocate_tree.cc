// Which directories go into a file's rpath: for each library it needs, the first place that has it,
// in the order that the loader would look: the file's own $ORIGIN entries, its other rpath entries
// seen in the tree, the default directories of the tree, those of the references, then any other
// folder of the tree. Only
// directories that are needed are named, so a path names no other path without a reason, and
// nothing is searched in vain at every start.
//
// Paths that stay in the bytes are sent where nothing can ever be, by edits of the same length:
// "/usr/lib/..." becomes "/lre/lib/...", as /lre holds nothing but the store; the loader's two
// files in /etc become names in the store that no store path can have (they have no hash).
// Otherwise a host with other files there would change what our programs do.
#include "toolchain/root/relocate_tree.h"

#include <sys/utsname.h>

#include <algorithm>
#include <map>

#include "toolchain/elf/relocate.h"
#include "toolchain/root/parallel.h"

namespace lre::toolchain {
namespace {

constexpr size_t kShebangMax = 127;  // older kernels cut longer lines off

struct StringEdit {
  std::string_view from, to;
  bool prefix = false;
};
constexpr StringEdit kLoaderEdits[] = {{"/etc/ld.so.cache", "/lre/store/cache"},
                                       {"/etc/ld.so.preload", "/lre/store/preload"}};
constexpr StringEdit kLibcEdits[] = {{"/usr/lib/locale", "/lre/lib/locale", true},
                                     {"/usr/share/locale", "/lre/share/locale", true}};

Status Edit(std::string& bytes, const StringEdit& edit, std::string_view path) {
  TRY_ASSIGN(size_t count, edit.prefix ? ReplaceStringPrefixes(bytes, edit.from, edit.to)
                                       : ReplaceStrings(bytes, edit.from, edit.to));
  if (count == 0)
    return ErrorStatus(Code::kFailedPrecondition,
                       "{} has no string '{}'; this version needs a new recipe", path, edit.from);
  return {};
}

bool Has(const FileTree& tree, std::string_view path) { return tree.find(path) != tree.end(); }
bool Has(const Reference& reference, std::string_view path) {
  return reference.files.find(path) != reference.files.end() ||
         reference.symlinks.find(path) != reference.symlinks.end();
}

class TreeRelocator {
 public:
  TreeRelocator(const FileTree& tree, const RelocateTreeOptions& options)
      : tree_(tree), options_(options) {
    directories_ = {"usr/lib/" + options.system.triplet, "usr/lib", "usr/lib64"};
    for (const auto& [path, node] : tree)
      if (path.find(".so") != path.npos)
        elsewhere_.try_emplace(std::string(BaseName(path)), ParentPath(path));
  }

  Status RelocateFile(const std::string& path, FileNode& node) const {
    if (node.symlink) return {};
    if (node.content.starts_with("#!") && node.executable) {
      node.content = RelocateShebang(std::move(node.content), tree_, options_);
      return {};
    }
    if (!IsElf(node.content)) return {};
    auto facts = ReadElf(node.content);
    if (!facts) return facts.error().WithContext(path);
    if (facts->machine != options_.system.machine) return {};
    if (facts->kind != ElfKind::kExecutable && facts->kind != ElfKind::kLibrary) return {};
    // These two run before any rpath is read, and their layout is known to debuggers.
    if (facts->soname == options_.system.loader) return EditAll(node.content, kLoaderEdits, path);
    if (facts->soname == "libc.so.6") {
      TRY(EditAll(node.content, kLibcEdits, path));
      std::string gconv = "/usr/lib/" + options_.system.triplet + "/gconv",
                  moved = "/lre" + gconv.substr(4);
      return Edit(node.content, {gconv, moved, true}, path);
    }
    if (facts->kind == ElfKind::kLibrary && facts->needed.empty()) return {};
    ElfRelocation relocation{.no_default_libraries = true};
    TRY_ASSIGN(relocation.rpath, Rpath(path, *facts));
    if (facts->kind == ElfKind::kExecutable) {
      TRY_ASSIGN(relocation.interpreter, FindLoader(tree_, options_));
    }
    auto relocated = RelocateElf(node.content, relocation);
    if (!relocated) return relocated.error().WithContext(path);
    node.content = std::move(*relocated);
    return {};
  }

  std::string Loader() const {
    for (const std::string& directory : directories_) {
      std::string path = directory + "/" + options_.system.loader;
      auto it = tree_.find(path);
      if (it != tree_.end() && !it->second.symlink) return options_.store_path + "/" + path;
      for (const Reference* reference : options_.references)
        if (reference->files.contains(path)) return reference->path + "/" + path;
    }
    return "";
  }

 private:
  template <size_t n>
  static Status EditAll(std::string& bytes, const StringEdit (&edits)[n], std::string_view path) {
    for (const StringEdit& edit : edits) TRY(Edit(bytes, edit, path));
    return {};
  }

  static bool IsOrigin(std::string_view entry) {
    return entry.starts_with("$ORIGIN") || entry.starts_with("${ORIGIN}");
  }

  // An old rpath entry as a folder of the tree.
  static std::string OwnFolder(const std::string& path, std::string_view entry) {
    if (IsOrigin(entry)) {
      std::string rest(entry.substr(entry.starts_with("${") ? 9 : 7));
      return NormalPath(std::string(ParentPath(path)) + "/" + rest);
    }
    return FoldUsr(NormalPath(entry));
  }

  Result<std::vector<std::string>> Rpath(const std::string& path, const ElfFacts& facts) const {
    std::vector<std::string> rpath;
    auto add = [&](std::string directory) {
      if (std::find(rpath.begin(), rpath.end(), directory) == rpath.end())
        rpath.push_back(std::move(directory));
    };
    const std::vector<std::string>& old = facts.runpath.empty() ? facts.rpath : facts.runpath;
    for (const std::string& needed : facts.needed) {
      bool found = false;
      for (const std::string& entry : old) {
        std::string folder = OwnFolder(path, entry);
        if (found || !Has(tree_, folder + "/" + needed)) continue;
        if (!IsOrigin(entry)) add(options_.store_path + "/" + folder);
        found = true;
      }
      for (const std::string& folder : directories_) {
        if (found || !Has(tree_, folder + "/" + needed)) continue;
        add(options_.store_path + "/" + folder);
        found = true;
      }
      for (const Reference* reference : options_.references) {
        for (const std::string& folder : directories_) {
          if (found || !Has(*reference, folder + "/" + needed)) continue;
          add(reference->path + "/" + folder);
          found = true;
        }
      }
      // A library of the program's own, in a folder of its own: libjvm.so.
      if (auto other = !found ? elsewhere_.find(needed) : elsewhere_.end();
          other != elsewhere_.end()) {
        add(options_.store_path + "/" + other->second);
        found = true;
      }
      if (!found && needed.find('/') == needed.npos)
        return Error(Code::kNotFound,
                     "{} needs {}, which is neither in its own packages nor in those of the paths "
                     "it references; "
                     "add the package that has it to lre.toml",
                     path, needed);
    }
    // In the order of places, not of names in the file: own before referenced.
    std::stable_partition(rpath.begin(), rpath.end(), [&](const std::string& directory) {
      return directory.starts_with(options_.store_path + "/");
    });
    return rpath;
  }

  const FileTree& tree_;
  const RelocateTreeOptions& options_;
  std::vector<std::string> directories_;
  std::map<std::string, std::string, std::less<>>
      elsewhere_;  // name -> the first folder that has it
};

}  // namespace

Result<SystemFacts> FindSystem(std::string_view system) {
  if (system == "x86_64-linux")
    return SystemFacts{"x86_64-linux", "x86_64-linux-gnu", "ld-linux-x86-64.so.2",
                       ElfMachine::kX86_64, "amd64"};
  if (system == "aarch64-linux")
    return SystemFacts{"aarch64-linux", "aarch64-linux-gnu", "ld-linux-aarch64.so.1",
                       ElfMachine::kAarch64, "arm64"};
  return Error(Code::kUnimplemented,
               "no toolchains for system '{}'; there are x86_64-linux and aarch64-linux", system);
}

std::string ThisSystem() {
  utsname names;
  return uname(&names) == 0 ? std::string(names.machine) + "-linux" : "unknown";
}

Status RelocateTree(FileTree& tree, const RelocateTreeOptions& options) {
  // The threads change contents only; which paths there are stays, and nobody reads a neighbour's
  // bytes.
  TreeRelocator relocator(tree, options);
  std::vector<std::pair<const std::string*, FileNode*>> nodes;
  for (auto& [path, node] : tree) nodes.emplace_back(&path, &node);
  return ParallelFor(nodes.size(), options.threads, [&](size_t i) {
    return relocator.RelocateFile(*nodes[i].first, *nodes[i].second);
  });
}

Result<std::string> FindLoader(const FileTree& tree, const RelocateTreeOptions& options) {
  std::string loader = TreeRelocator(tree, options).Loader();
  if (loader.empty())
    return Error(Code::kNotFound,
                 "no {} in {} or what it references; add a reference to the libc path",
                 options.system.loader, options.store_path);
  return loader;
}

std::string RelocateShebang(std::string content, const FileTree& tree,
                            const RelocateTreeOptions& options) {
  size_t end = std::min(content.find('\n'), content.size());
  std::string_view line = std::string_view(content).substr(0, end);
  if (!line.starts_with("#!")) return content;
  auto word = [](std::string_view text) {
    size_t from = std::min(text.find_first_not_of(" \t"), text.size());
    size_t to = std::min(text.find_first_of(" \t", from), text.size());
    return std::pair{text.substr(from, to - from), text.substr(to)};
  };
  auto [program, rest] = word(line.substr(2));
  if (program == "/usr/bin/env") {
    auto [name, after] = word(rest);
    if (name.starts_with('-') || name.find('=') != name.npos) return content;
    program = name;
    rest = after;
  }
  std::string wanted =
      program.starts_with('/') ? FoldUsr(NormalPath(program)) : "usr/bin/" + std::string(program);
  std::string found;
  if (Has(tree, wanted)) found = options.store_path + "/" + wanted;
  for (const Reference* reference : options.references)
    if (found.empty() && Has(*reference, wanted)) found = reference->path + "/" + wanted;
  std::string changed = "#!" + found + std::string(rest);
  if (program.empty() || found.empty() || changed.size() > kShebangMax) return content;
  return changed + content.substr(end);
}

}  // namespace lre::toolchain

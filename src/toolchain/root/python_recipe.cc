#include "toolchain/root/python_recipe.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/file.h"
#include "base/subprocess.h"
#include "toolchain/root/emulation.h"
#include "toolchain/root/write_tree.h"

namespace lre::toolchain {
namespace {

bool IsVersionedPython(std::string_view name) {
  constexpr std::string_view kStart = "python3.";
  return name.starts_with(kStart) && name.size() > kStart.size() &&
         std::all_of(name.begin() + kStart.size(), name.end(),
                     [](char c) { return c >= '0' && c <= '9'; });
}

// Adds the compiled modules below `folder` of the tree written to `directory`.
Status TakeCompiled(FileTree& tree, const std::string& directory, const std::string& folder) {
  TRY_ASSIGN(TreeListing listing, WalkTree(directory + "/" + folder));
  for (const CasFile& file : listing.files) {
    if (!file.path.ends_with(".pyc")) continue;
    TRY_ASSIGN(std::string bytes, ReadFile(fmt::format("{}/{}/{}", directory, folder, file.path)));
    tree[folder + "/" + file.path] = {.content = std::move(bytes)};
  }
  return {};
}

// Links still mean the root of the tree. Those to its libraries must hold for the loader, or it
// would take the machine's.
Status LinkLibraries(const FileTree& tree, const std::string& libraries,
                     const std::string& directory) {
  const std::string start = "/" + libraries + "/";
  for (const auto& [path, node] : tree) {
    if (!node.symlink || ParentPath(path) != libraries || !node.content.starts_with(start))
      continue;
    const std::string link = directory + "/" + path;
    if (unlink(link.c_str()) != 0 ||
        symlink(node.content.c_str() + start.size(), link.c_str()) != 0)
      return ErrnoStatus(errno, "link " + link);
  }
  return {};
}

Status CompileIn(FileTree& tree, const std::string& python, const CompilePythonOptions& options,
                 const std::string& directory) {
  TRY(WriteTree(tree, directory, {.prefix = "/", .threads = options.threads}));
  TRY(LinkLibraries(tree, options.libraries, directory));
  const std::string program = directory + "/usr/bin/" + python, folder = "usr/lib/" + python;
  // WriteTree leaves modes to whoever adds a path to the store.
  if (chmod(program.c_str(), 0755) != 0) return ErrnoStatus(errno, "chmod " + program);
  auto result = RunSubprocess(
      {.arguments = {program, "-m", "compileall", "-q", "-j", "1", "--invalidation-mode",
                     "unchecked-hash", "-s", directory, "-p", options.store_path,
                     directory + "/" + folder},
       // The rpath leads to where the tree will stand.
       .environment =
           std::vector<std::string>{"LD_LIBRARY_PATH=" + directory + "/" + options.libraries,
                                    "PYTHONHASHSEED=0", "PYTHONDONTWRITEBYTECODE=1"},
       .directory = "/",
       .timeout = kProbeTime});
  if (!result) return result.error();
  if (result->exit_code != 0)
    return ErrorStatus(Code::kFailedPrecondition, "compiling the modules of {} ended with {}: {}",
                       python, result->exit_code,
                       (result->output + result->error_output).substr(0, 2000));
  return TakeCompiled(tree, directory, folder);
}

}  // namespace

std::optional<std::string> FindPython(const FileTree& tree) {
  for (auto it = tree.lower_bound("usr/bin/python3."); it != tree.end(); ++it) {
    if (!it->first.starts_with("usr/bin/python3.")) break;
    std::string name(BaseName(it->first));
    if (IsVersionedPython(name) && !it->second.symlink &&
        tree.contains("usr/lib/" + name + "/os.py"))
      return name;
  }
  return std::nullopt;
}

Status PreparePython(FileTree& tree, const std::string& python, std::string_view triplet) {
  const std::string common = fmt::format("usr/include/{}/pyconfig.h", python),
                    real = fmt::format("usr/include/{}/{}/pyconfig.h", triplet, python);
  if (tree.contains(common)) {
    if (!tree.contains(real))
      return ErrorStatus(Code::kFailedPrecondition, "{} without {}", common, real);
    tree[common] = tree[real];
  }
  for (const char* name : {"usr/bin/python3", "usr/bin/python"})
    tree.try_emplace(name, FileNode{.content = "/usr/bin/" + python, .symlink = true});
  return {};
}

Status CompilePython(FileTree& tree, const std::string& python,
                     const CompilePythonOptions& options) {
  const std::string directory = options.scratch + "/python";
  TRY(SystemFiles().MakeDirectories(directory));
  Status status = CompileIn(tree, python, options, directory);
  TRY(RemoveTree(directory));
  return status;
}

LauncherConfig PythonLauncher(const std::string& store_path, const std::string& python) {
  return {
      // By its own name: from where that lies Python finds its modules.
      .argv0 = store_path + "/usr/bin/" + python,
      .drop = {"PYTHONHOME", "PYTHONSTARTUP", "PYTHONUSERBASE", "PYTHONPLATLIBDIR", "PYTHONCASEOK",
               "PYTHONPYCACHEPREFIX", "PYTHONOPTIMIZE", "PYTHONINSPECT", "LD_LIBRARY_PATH",
               "LD_PRELOAD", "LD_AUDIT", "GCONV_PATH", "LOCPATH"},
      .set = {"PYTHONDONTWRITEBYTECODE=1", "PYTHONNOUSERSITE=1"},
  };
}

}  // namespace lre::toolchain

// Clang finds its headers and run-time libraries from where its driver lies, and reads the
// configuration files beside it, by the name it was called by. So the driver moves to
// usr/lib/llvm-<n>/libexec, from where everything is as far away as from bin, and each launcher
// calls it by the name of one of those files.
#include "toolchain/root/clang_recipe.h"

#include <algorithm>
#include <array>

#include "toolchain/elf/relocate.h"
#include "toolchain/root/launcher.h"

namespace lre::toolchain {
namespace {

constexpr std::string_view kLlvm = "usr/lib/llvm-";

// What clang and LLVM read besides what GCC's tools do.
constexpr std::array kClangLeaks = {"CCC_OVERRIDE_OPTIONS",
                                    "CCC_PRINT_OPTIONS",
                                    "CC_LOG_DIAGNOSTICS",
                                    "CC_PRINT_HEADERS",
                                    "CC_PRINT_OPTIONS",
                                    "CC_PRINT_PROC_STAT",
                                    "CLANG_CONFIG_FILE_SYSTEM_DIR",
                                    "CLANG_CONFIG_FILE_USER_DIR",
                                    "CLANG_CRASH_DIAGNOSTICS_DIR",
                                    "CLANG_MODULE_CACHE_PATH",
                                    "CLANG_NO_DEFAULT_CONFIG",
                                    "CUDA_PATH",
                                    "FORCE_CLANG_DIAGNOSTICS_CRASH",
                                    "HIP_DEVICE_LIB_PATH",
                                    "HIP_PATH",
                                    "LLD_REPRODUCE",
                                    "LLD_VERSION",
                                    "MACOSX_DEPLOYMENT_TARGET",
                                    "OBJCPLUS_INCLUDE_PATH",
                                    "RC_DEBUG_OPTIONS",
                                    "RC_DEBUG_PREFIX_MAP",
                                    "ROCM_PATH",
                                    "SDKROOT"};

// From these clang guesses the distribution and with it options of the link editor: the same
// command would link other bytes elsewhere.
constexpr std::array kDistributionFiles = {"/etc/debian_version", "/etc/gentoo-release",
                                           "/etc/lsb-release",    "/etc/os-release",
                                           "/etc/redhat-release", "/etc/SuSE-release"};

// What builds use of LLVM's tools, and links to it.
constexpr std::array kKeptTools = {"llvm-ar",     "llvm-cov",       "llvm-cxxfilt", "llvm-dwp",
                                   "llvm-nm",     "llvm-objcopy",   "llvm-objdump", "llvm-profdata",
                                   "llvm-ranlib", "llvm-readelf",   "llvm-readobj", "llvm-size",
                                   "llvm-strip",  "llvm-symbolizer"};

const Reference* FindRole(const RecipeInput& input, std::string_view role) {
  for (const Reference* reference : input.relocation.references)
    if (reference->role == role) return reference;
  return nullptr;
}

// "usr/lib/llvm-16" of "usr/lib/llvm-16/bin/clang"; empty for other paths.
std::string LlvmFolder(std::string_view path) {
  if (!path.starts_with(kLlvm)) return "";
  return std::string(path.substr(0, path.find('/', kLlvm.size())));
}

// "usr/lib/gcc/x86_64-linux-gnu/12": the newest that has start files.
std::string FindGccInstallation(const Reference& sysroot, const std::string& triplet) {
  const std::string parent = "usr/lib/gcc/" + triplet + "/";
  std::string found;
  for (const auto& [path, executable] : sysroot.files) {
    if (!path.starts_with(parent) || BaseName(path) != "crtbegin.o") continue;
    std::string folder(ParentPath(path));
    if (folder.size() > found.size() || (folder.size() == found.size() && folder > found))
      found = std::move(folder);
  }
  return found;
}

// Programs that clang runs, by the names it looks for.
void LinkPrograms(FileTree& tree, const RecipeInput& input, const std::string& llvm) {
  const std::string programs = llvm + "/libexec/";
  auto link = [&](const std::string& name, std::string target) {
    tree.try_emplace(programs + name, FileNode{.content = std::move(target), .symlink = true});
  };
  if (tree.contains(llvm + "/bin/lld"))
    for (const char* name : {"ld.lld", "lld"}) link(name, "/" + llvm + "/bin/lld");
  const Reference* binutils = FindRole(input, "binutils");
  if (binutils == nullptr) return;
  for (const char* name : {"as", "ld", "ld.bfd", "ld.gold", "objcopy"}) {
    std::string real = fmt::format("usr/bin/{}-{}", input.relocation.system.triplet, name);
    if (binutils->files.contains(real) || binutils->symlinks.contains(real))
      link(name, binutils->path + "/" + real);
  }
}

// clang, clang++ and clang-cpp are one program that does what its name says.
Status PutLaunchers(FileTree& tree, const RecipeInput& input, const std::string& llvm) {
  const std::string programs = llvm + "/libexec/", driver = programs + "clang";
  auto real = tree.extract(llvm + "/bin/clang");
  real.key() = driver;
  tree.insert(std::move(real));
  LauncherConfig config{.target = input.relocation.store_path + "/" + driver,
                        .drop = CompilerEnvironmentLeaks()};
  config.drop.insert(config.drop.end(), kClangLeaks.begin(), kClangLeaks.end());
  for (const char* name : {"clang", "clang++", "clang-cpp"}) {
    config.argv0 = fmt::format("{}/{}{}", input.relocation.store_path, programs, name);
    TRY_ASSIGN(std::string launcher, MakeLauncher(input.relocation.system.machine, config));
    tree[fmt::format("{}/bin/{}", llvm, name)] = {.content = std::move(launcher),
                                                  .executable = true};
    tree[fmt::format("usr/bin/{}", name)] = {.content = fmt::format("/{}/bin/{}", llvm, name),
                                             .symlink = true};
  }
  return {};
}

}  // namespace

std::optional<std::string> FindClang(const FileTree& tree) {
  for (auto it = tree.lower_bound(kLlvm); it != tree.end() && it->first.starts_with(kLlvm); ++it) {
    std::string llvm = LlvmFolder(it->first);
    if (it->first == llvm + "/bin/clang" && !it->second.symlink) return llvm;
  }
  return std::nullopt;
}

Status PrepareClang(FileTree& tree, const std::string& llvm) {
  for (auto it = tree.begin(); it != tree.end();) {
    // The run-time libraries of 32-bit programs: nothing here can link those.
    bool other =
        it->first.starts_with(llvm + "/lib/clang/") && it->first.find("-i386.") != it->first.npos;
    it = other ? tree.erase(it) : std::next(it);
  }
  size_t edits = 0;
  for (auto& [path, node] : tree) {
    if (node.symlink || !BaseName(path).starts_with("libclang-cpp.so.")) continue;
    for (std::string_view from : kDistributionFiles) {
      TRY_ASSIGN(size_t count,
                 ReplaceStrings(node.content, from, "/lre" + std::string(from.substr(4))));
      if (count == 0)
        return ErrorStatus(Code::kFailedPrecondition,
                           "{} has no string '{}'; this version needs a new recipe", path, from);
      edits += count;
    }
    TRY_ASSIGN(size_t count,
               ReplaceStrings(node.content, "/usr/lib/os-release", "/lre/lib/os-release"));
    edits += count;
  }
  if (edits == 0)
    return ErrorStatus(Code::kFailedPrecondition,
                       "a clang without libclang-cpp; this version needs a new recipe");
  return {};
}

Status FinishClang(FileTree& tree, const RecipeInput& input, const std::string& llvm) {
  const Reference* sysroot = FindRole(input, "sysroot");
  if (sysroot == nullptr)
    return ErrorStatus(Code::kFailedPrecondition, "role '{}' has a clang but references no sysroot",
                       input.role);
  const std::string gcc = FindGccInstallation(*sysroot, input.relocation.system.triplet);
  if (gcc.empty())
    return ErrorStatus(Code::kFailedPrecondition,
                       "{} has no crtbegin.o, with which clang starts programs", sysroot->path);
  TRY(PutLaunchers(tree, input, llvm));
  LinkPrograms(tree, input, llvm);
  const std::string programs = llvm + "/libexec";
  for (const char* name : {"clang", "clang++", "clang-cpp"})
    tree[fmt::format("{}/{}.cfg", programs, name)] = {
        .content = ClangConfig(sysroot->path, sysroot->path + "/" + gcc,
                               input.relocation.store_path + "/" + programs)};
  return {};
}

void TrimLlvmTools(FileTree& tree) {
  bool llvm_tools = false;
  for (const auto& [path, node] : tree)
    llvm_tools = llvm_tools || (path == LlvmFolder(path) + "/bin/llvm-cov");
  if (!llvm_tools) return;
  for (auto it = tree.begin(); it != tree.end();) {
    const std::string llvm = LlvmFolder(it->first);
    std::string_view name = BaseName(it->first), folder = ParentPath(it->first);
    // "llvm-cov-16" in usr/bin.
    std::string_view plain = name.substr(0, name.find_last_not_of("0123456789") + 1);
    if (plain.ends_with('-')) plain.remove_suffix(1);
    bool kept = std::find(kKeptTools.begin(), kKeptTools.end(),
                          folder == "usr/bin" ? plain : name) != kKeptTools.end();
    bool tool = folder == "usr/bin" || (!llvm.empty() && folder == llvm + "/bin");
    it = tool && !kept ? tree.erase(it) : std::next(it);
  }
}

std::string ClangConfig(const std::string& sysroot, const std::string& gcc,
                        const std::string& programs) {
  return fmt::format(
      "--sysroot={}\n"
      "--gcc-install-dir={}\n"
      // Looked into before PATH, also for names with a prefix.
      "-B{}\n"
      "-fuse-ld=lld\n"
      // What clang would choose by the distribution it runs on.
      "-Wl,-z,relro,-z,now\n"
      "-Wl,--hash-style=gnu\n"
      "-Wl,--build-id=sha1\n"
      "-Wl,--enable-new-dtags\n",
      sysroot, gcc, programs);
}

}  // namespace lre::toolchain

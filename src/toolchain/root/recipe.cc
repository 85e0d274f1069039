// The order matters. String edits and relocation see the trees as packaged. Links into other paths
// come after relocation, or the sysroot's link to libc.so.6 would be taken for a library of its
// own. The specs file needs a compiler driver that runs, so it comes after that; launchers move
// programs aside and so come last, before links are made final.
#include "toolchain/root/recipe.h"

#include <algorithm>
#include <optional>

#include "base/file.h"
#include "base/random.h"
#include "base/subprocess.h"
#include "toolchain/elf/relocate.h"
#include "toolchain/root/clang_recipe.h"
#include "toolchain/root/emulation.h"
#include "toolchain/root/go_recipe.h"
#include "toolchain/root/java_recipe.h"
#include "toolchain/root/launcher.h"
#include "toolchain/root/python_recipe.h"

namespace lre::toolchain {
namespace {

// Programs moved behind a launcher stand here: beside bin, so that "../lib" still leads to the same
// place.
constexpr std::string_view kBehindLaunchers = "usr/libexec/";

const Reference* FindRole(const RecipeInput& input, std::string_view role) {
  for (const Reference* reference : input.relocation.references)
    if (reference->role == role) return reference;
  return nullptr;
}

void AddLink(FileTree& tree, const std::string& path, std::string target) {
  tree.try_emplace(path, FileNode{.content = std::move(target), .symlink = true});
}

// ---- gcc ----

struct GccPlace {
  std::string version;    // "12"
  std::string directory;  // "usr/lib/gcc/x86_64-linux-gnu/12"
};

std::optional<GccPlace> FindGcc(const FileTree& tree, const SystemFacts& system) {
  std::string parent = "usr/lib/gcc/" + system.triplet + "/";
  for (auto it = tree.lower_bound(parent); it != tree.end() && it->first.starts_with(parent); ++it)
    if (BaseName(it->first) == "collect2")
      return GccPlace{std::string(BaseName(ParentPath(it->first))),
                      std::string(ParentPath(it->first))};
  return std::nullopt;
}

std::vector<std::string> GccDrivers(const FileTree& tree, const SystemFacts& system,
                                    const GccPlace& gcc) {
  std::vector<std::string> drivers;
  for (const char* name : {"cpp", "g++", "gcc"}) {
    std::string path = fmt::format("usr/bin/{}-{}-{}", system.triplet, name, gcc.version);
    auto it = tree.find(path);
    if (it != tree.end() && !it->second.symlink) drivers.push_back(path);
  }
  return drivers;
}

// One use of "/usr/lib/gcc/" (the specs file that all versions share) is not a string any more:
// GCC's own optimiser turned the copy into two overlapping 8-byte constants of the code, "/usr/lib"
// and "lib/gcc/", each the operand of a movabs. Returns whether the pair was there.
bool DisarmInlinedPrefix(std::string& bytes) {
  auto is_operand = [&](size_t at) {
    if (at < 2 || at == bytes.npos) return false;
    auto rex = static_cast<unsigned char>(bytes[at - 2]),
         opcode = static_cast<unsigned char>(bytes[at - 1]);
    return (rex == 0x48 || rex == 0x49) && opcode >= 0xb8 && opcode <= 0xbf;
  };
  constexpr size_t kNear = 64;
  for (size_t at = bytes.find("/usr/lib"); at != bytes.npos; at = bytes.find("/usr/lib", at + 1)) {
    if (!is_operand(at)) continue;
    size_t second = bytes.find("lib/gcc/", at + 8);
    if (!is_operand(second) || second > at + kNear) continue;
    bytes.replace(at, 4, "/lre");
    return true;
  }
  return false;
}

// GCC finds its parts from where it lies, but also looks where it was built for: a specs file or a
// library there would change what it makes. All its prefixes get a root that cannot exist; the
// distance between them, from which it computes its place, stays.
Status DisarmGccPrefixes(FileTree& tree, const std::vector<std::string>& drivers,
                         const SystemFacts& system) {
  for (const std::string& path : drivers) {
    std::string& bytes = tree.find(path)->second.content;
    for (auto [from, to] :
         {std::pair{"/usr/lib/gcc/", "/lre/lib/gcc/"}, std::pair{"/usr/bin/", "/lre/bin/"}}) {
      TRY_ASSIGN(size_t count, ReplaceStringPrefixes(bytes, from, to));
      if (count == 0)
        return ErrorStatus(Code::kFailedPrecondition,
                           "{} has no string '{}'; this version needs a new recipe", path, from);
    }
    // Other compilers or processors may inline nothing; the end-to-end test traces what is opened.
    if (system.machine == ElfMachine::kX86_64) (void)DisarmInlinedPrefix(bytes);
  }
  return {};
}

// Links to everything below `folder` of the reference that the tree does not have, as high up as
// possible.
void LinkMissing(FileTree& tree, const Reference& from, const std::string& folder) {
  std::string below = folder + "/";
  std::vector<std::string> paths;
  for (const auto& [path, executable] : from.files)
    if (path.starts_with(below)) paths.push_back(path);
  for (const auto& [path, target] : from.symlinks)
    if (path.starts_with(below)) paths.push_back(path);
  for (const std::string& path : paths) {
    size_t end = path.find('/', below.size());
    while (end != path.npos && HasFolder(tree, std::string_view(path).substr(0, end)))
      end = path.find('/', end + 1);
    std::string link = path.substr(0, end);
    AddLink(tree, link, from.path + "/" + link);
  }
}

Result<std::string> DumpSpecs(const FileTree& tree, const RecipeInput& input,
                              const std::string& driver) {
  TRY(CheckRunsHere(input.relocation.system.system));
  std::string program = input.scratch + "/" + RandomHex(8) + "-driver";
  TRY(WriteFileAtomically(program, tree.find(driver)->second.content, 0755));
  auto result = RunSubprocess(
      {.arguments = {program, "-dumpspecs"}, .environment = std::vector<std::string>{}});
  TRY(SystemFiles().Remove(program));
  if (!result) return std::unexpected(result.error());
  if (result->exit_code != 0)
    return Error(Code::kFailedPrecondition, "{} -dumpspecs ended with {}: {}", driver,
                 result->exit_code, result->error_output);
  return std::move(result->output);
}

Status FinishGcc(FileTree& tree, const RecipeInput& input, const GccPlace& gcc) {
  const SystemFacts& system = input.relocation.system;
  const Reference* sysroot = FindRole(input, "sysroot");
  if (sysroot == nullptr)
    return ErrorStatus(Code::kFailedPrecondition, "role '{}' has a GCC but references no sysroot",
                       input.role);
  LinkMissing(tree, *sysroot, gcc.directory);
  LinkMissing(tree, *sysroot, "usr/include/c++");
  LinkMissing(tree, *sysroot, "usr/include/" + system.triplet + "/c++");
  // Where GCC looks for as and ld before it looks in PATH.
  if (const Reference* binutils = FindRole(input, "binutils")) {
    for (const char* tool : {"ar", "as", "dwp", "gprof", "ld", "ld.bfd", "ld.gold", "nm", "objcopy",
                             "objdump", "ranlib", "readelf", "strip"}) {
      std::string real = fmt::format("usr/bin/{}-{}", system.triplet, tool);
      if (!binutils->files.contains(real) && !binutils->symlinks.contains(real)) continue;
      AddLink(tree, fmt::format("usr/{}/bin/{}", system.triplet, tool),
              binutils->path + "/" + real);
    }
  }
  for (auto [name, real] : {std::pair{"cc", "gcc"},
                            {"gcc", "gcc"},
                            {"c++", "g++"},
                            {"g++", "g++"},
                            {"cpp", "cpp"},
                            {"gcov", "gcov"},
                            {"gcc-ar", "gcc-ar"},
                            {"gcc-nm", "gcc-nm"},
                            {"gcc-ranlib", "gcc-ranlib"}}) {
    std::string target = fmt::format("usr/bin/{}-{}-{}", system.triplet, real, gcc.version);
    if (tree.contains(target)) AddLink(tree, "usr/bin/" + std::string(name), "/" + target);
  }
  std::vector<std::string> drivers = GccDrivers(tree, system, gcc);
  std::string driver = fmt::format("usr/bin/{}-gcc-{}", system.triplet, gcc.version);
  if (!tree.contains(driver))
    return ErrorStatus(Code::kFailedPrecondition, "role '{}' has collect2 but no {}", input.role,
                       driver);
  TRY_ASSIGN(std::string specs, DumpSpecs(tree, input, driver));
  TRY_ASSIGN(specs, AddSysrootToSpecs(std::move(specs), sysroot->path));
  tree[gcc.directory + "/specs"] = {.content = std::move(specs)};
  return {};
}

// ---- launchers ----

// Moves the program at `path` aside and puts a launcher for it there. Absent programs are left
// absent.
Status PutLauncher(FileTree& tree, const RecipeInput& input, const std::string& path,
                   LauncherConfig config) {
  auto it = tree.find(path);
  if (it == tree.end() || it->second.symlink || !IsElf(it->second.content)) return {};
  std::string real = std::string(kBehindLaunchers) + std::string(BaseName(path));
  config.target = input.relocation.store_path + "/" + real;
  if (config.argv0 == "real") config.argv0 = config.target;
  TRY_ASSIGN(std::string launcher, MakeLauncher(input.relocation.system.machine, config));
  tree[real] = std::move(it->second);
  it->second = {.content = std::move(launcher), .executable = true};
  return {};
}

Status PutBaseLaunchers(FileTree& tree, const RecipeInput& input) {
  const std::string& store_path = input.relocation.store_path;
  // `--shell_executable` names bash: with it, its own tools come first, whatever PATH the action
  // has.
  LauncherConfig bash{.path_directory = store_path + "/usr/bin", .drop = {"BASH_ENV", "ENV"}};
  // libc looks for locales nowhere any more (relocate_tree.cc); this one, C.UTF-8, is ours.
  if (HasFolder(tree, "usr/lib/locale")) bash.set = {"LOCPATH=" + store_path + "/usr/lib/locale"};
  TRY(PutLauncher(tree, input, "usr/bin/bash", std::move(bash)));
  std::string modules = "usr/lib/" + input.relocation.system.triplet + "/perl-base";
  if (HasFolder(tree, modules)) {
    for (auto it = tree.lower_bound("usr/bin/perl5.");
         it != tree.end() && it->first.starts_with("usr/bin/perl5.");) {
      std::string path = (it++)->first;
      // perl and perl5.x.y are one file with two names.
      if (tree.contains("usr/bin/perl") && tree["usr/bin/perl"] == tree[path])
        tree[path] = {.content = "/usr/bin/perl", .symlink = true};
    }
    TRY(PutLauncher(
        tree, input, "usr/bin/perl",
        {.drop = {"PERL5OPT", "PERL5DB"}, .set = {"PERL5LIB=" + store_path + "/" + modules}}));
  }
  if (tree.contains("usr/lib/file/magic.mgc"))
    TRY(PutLauncher(tree, input, "usr/bin/file",
                    {.set = {"MAGIC=" + store_path + "/usr/lib/file/magic.mgc"}}));
  return {};
}

Status FinishPython(FileTree& tree, const RecipeInput& input, const std::string& python) {
  TRY(CheckRunsHere(input.relocation.system.system));
  TRY(CompilePython(tree, python,
                    {.store_path = input.relocation.store_path,
                     .scratch = input.scratch,
                     .libraries = "usr/lib/" + input.relocation.system.triplet,
                     .threads = input.relocation.threads}));
  return PutLauncher(tree, input, "usr/bin/" + python,
                     PythonLauncher(input.relocation.store_path, python));
}

Status FinishRust(FileTree& tree, const RecipeInput& input) {
  const LauncherConfig config =
      RustLauncher(FindRole(input, "gcc"), input.relocation.system.triplet);
  for (const char* program : {"usr/bin/rustc", "usr/bin/rustdoc"})
    TRY(PutLauncher(tree, input, program, config));
  return {};
}

// ---- other roles ----

// What update-alternatives would have linked.
void AddAlternatives(FileTree& tree) {
  struct Alternative {
    const char* name;
    std::vector<const char*> programs;  // the first that is there
  };
  for (const Alternative& alternative :
       {Alternative{"awk", {"gawk", "mawk"}}, Alternative{"nawk", {"gawk", "mawk"}},
        Alternative{"sh", {"dash", "bash"}}, Alternative{"which", {"which.debianutils"}}})
    for (const char* program : alternative.programs)
      if (tree.contains("usr/bin/" + std::string(program)))
        AddLink(tree, "usr/bin/" + std::string(alternative.name),
                "/usr/bin/" + std::string(program));
}

// The link editor looks for libc.so.6 and its like in the sysroot only.
void LinkRuntimeLibraries(FileTree& tree, const RecipeInput& input) {
  const Reference* libc = FindRole(input, "libc");
  if (libc == nullptr) return;
  auto link = [&](const std::string& path) {
    std::string_view folder = ParentPath(path);
    bool direct = folder == "usr/lib" || folder == "usr/lib64" ||
                  folder == "usr/lib/" + input.relocation.system.triplet;
    if (direct && BaseName(path).find(".so") != std::string_view::npos)
      AddLink(tree, path, libc->path + "/" + path);
  };
  for (const auto& [path, executable] : libc->files) link(path);
  for (const auto& [path, target] : libc->symlinks) link(path);
}

}  // namespace

const std::vector<std::string>& CompilerEnvironmentLeaks() {
  static const std::vector<std::string> names = {"CPATH",
                                                 "C_INCLUDE_PATH",
                                                 "CPLUS_INCLUDE_PATH",
                                                 "OBJC_INCLUDE_PATH",
                                                 "LIBRARY_PATH",
                                                 "COMPILER_PATH",
                                                 "GCC_EXEC_PREFIX",
                                                 "GCC_ROOT",
                                                 "GCC_COMPARE_DEBUG",
                                                 "COLLECT_GCC_OPTIONS",
                                                 "DEPENDENCIES_OUTPUT",
                                                 "SUNPRO_DEPENDENCIES",
                                                 "GCC_COLORS",
                                                 "LD_RUN_PATH",
                                                 "LD_LIBRARY_PATH",
                                                 "LD_PRELOAD",
                                                 "LD_AUDIT",
                                                 "LDEMULATION",
                                                 "GCONV_PATH",
                                                 "LOCPATH",
                                                 "LANG",
                                                 "LANGUAGE",
                                                 "LC_ALL",
                                                 "LC_CTYPE",
                                                 "LC_MESSAGES",
                                                 "LC_COLLATE",
                                                 "LC_NUMERIC"};
  return names;
}

Result<std::string> AddSysrootToSpecs(std::string dumped, std::string_view sysroot) {
  // Each spec is "*name:", its value on the next line, and an empty line.
  auto value_of = [&](std::string_view name) {
    std::string head = fmt::format("*{}:\n", name);
    size_t at = dumped.starts_with(head) ? 0 : dumped.find("\n" + head);
    if (at == dumped.npos) return at;
    return at + (at == 0 ? 0 : 1) + head.size();
  };
  size_t link = value_of("link");
  if (link == dumped.npos)
    return Error(Code::kFailedPrecondition, "the compiler's specs have no *link");
  // The first makes the option present in every command, so the second always has one to pass on.
  dumped.insert(link, "%{-sysroot=*:--sysroot=%*} ");
  size_t self = value_of("self_spec");
  if (self == dumped.npos)
    return Error(Code::kFailedPrecondition, "the compiler's specs have no *self_spec");
  size_t end = dumped.find('\n', self);
  if (end == dumped.npos)
    return Error(Code::kFailedPrecondition, "the compiler's specs are cut off");
  dumped.insert(end,
                fmt::format("{}%{{!-sysroot=*:--sysroot={}}}", end == self ? "" : " ", sysroot));
  return dumped;
}

Result<FileTree> ApplyRecipe(FileTree tree, const RecipeInput& input) {
  std::optional<GccPlace> gcc = FindGcc(tree, input.relocation.system);
  std::vector<std::string> drivers;
  if (gcc) drivers = GccDrivers(tree, input.relocation.system, *gcc);
  TRY(DisarmGccPrefixes(tree, drivers, input.relocation.system));
  AddAlternatives(tree);
  if (auto jdk = FindJdk(tree)) TRY(FinishJdk(tree, *jdk));
  if (auto tools = FindJavaTools(tree, input.relocation.system.triplet))
    FinishJavaTools(tree, *tools);
  std::optional<std::string> python = FindPython(tree);
  if (python) TRY(PreparePython(tree, *python, input.relocation.system.triplet));
  std::optional<std::string> go = FindGo(tree);
  std::optional<std::string> llvm = FindClang(tree);
  if (llvm)
    TRY(PrepareClang(tree, *llvm));
  else
    TrimLlvmTools(tree);
  TRY(RelocateTree(tree, input.relocation));
  if (python) TRY(FinishPython(tree, input, *python));
  if (llvm) TRY(FinishClang(tree, input, *llvm));
  if (go) TRY(FinishGo(tree, *go, input.relocation.store_path, input.relocation.system.machine));
  if (HasRust(tree)) TRY(FinishRust(tree, input));
  if (input.role == "sysroot") LinkRuntimeLibraries(tree, input);
  if (gcc) TRY(FinishGcc(tree, input, *gcc));
  if (gcc) {
    // On the command line and not only in the specs: GCC decides where to look for libraries before
    // it has read those.
    std::string sysroot = "--sysroot=" + FindRole(input, "sysroot")->path;
    for (const std::string& driver : drivers)
      TRY(PutLauncher(
          tree, input, driver,
          {.argv0 = "real", .drop = CompilerEnvironmentLeaks(), .arguments = {sysroot}}));
  }
  if (input.role == "base") TRY(PutBaseLaunchers(tree, input));
  LinkTargets(tree, input.relocation.references);
  return tree;
}

}  // namespace lre::toolchain

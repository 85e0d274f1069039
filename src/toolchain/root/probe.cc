#include "toolchain/root/probe.h"

#include <algorithm>
#include <optional>

#include "base/file.h"
#include "base/subprocess.h"
#include "toolchain/root/emulation.h"
#include "toolchain/spec/spec.h"

namespace lre::toolchain {
namespace {

std::string Trimmed(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  return text;
}

struct Answer {
  std::string output, error_output;
};

Result<Answer> Ask(const std::string& program, std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), program);
  TRY_ASSIGN(SubprocessResult result, RunSubprocess({.arguments = arguments,
                                                     .environment = std::vector<std::string>{},
                                                     .directory = "/",
                                                     .timeout = kProbeTime}));
  if (result.exit_code != 0) {
    std::string command;
    for (const std::string& argument : arguments)
      command += (command.empty() ? "" : " ") + argument;
    return Error(Code::kFailedPrecondition, "{} ended with {}: {}", command, result.exit_code,
                 Trimmed(result.error_output.substr(0, 2000)));
  }
  return Answer{Trimmed(std::move(result.output)), std::move(result.error_output)};
}

const StorePath* FindRole(const std::vector<StorePath>& paths, std::string_view role) {
  for (const StorePath& path : paths)
    if (path.role == role) return &path;
  return nullptr;
}

// "glibc_2.36" from the headers that programs are compiled against.
Result<std::string> LibcVersion(const std::string& compiler,
                                const std::vector<std::string>& flags) {
  std::vector<std::string> arguments = {compiler, "-E", "-P", "-x", "c", "-"};
  arguments.insert(arguments.end(), flags.begin(), flags.end());
  TRY_ASSIGN(SubprocessResult result,
             RunSubprocess({.arguments = std::move(arguments),
                            .environment = std::vector<std::string>{},
                            .directory = "/",
                            .input = "#include <features.h>\n__GLIBC__ __GLIBC_MINOR__\n"}));
  std::string text = Trimmed(std::move(result.output));
  std::string last = text.substr(text.rfind('\n') + 1);
  size_t space = last.find(' ');
  if (result.exit_code != 0 || space == last.npos)
    return Error(Code::kFailedPrecondition, "{} says no version of libc: {}", compiler,
                 Trimmed(result.error_output));
  return "glibc_" + last.substr(0, space) + "." + last.substr(space + 1);
}

// What both compilers are asked in the same way.
class CcProbe {
 public:
  CcProbe(const ProbeInput& input, const std::string& prefix) : input_(input), prefix_(prefix) {}

  Result<std::optional<CcFacts>> Run() {
    const StorePath* clang = FindRole(input_.paths, "clang");
    const StorePath* gcc = FindRole(input_.paths, "gcc");
    if (clang != nullptr) {
      TRY(FindClang(*clang));
    } else if (gcc != nullptr) {
      TRY(FindGcc(*gcc));
    }
    if (facts_.compiler.empty()) return std::optional<CcFacts>();
    TRY(CheckRunsHere(input_.system.system));
    const std::string& driver = facts_.tools[facts_.compiler];
    if (const StorePath* sysroot = LinkedWith("sysroot")) facts_.sysroot = sysroot->path;
    if (Crosses()) TRY(AimAtTarget());
    TRY_ASSIGN(Answer version,
               Ask(driver, {facts_.compiler == "gcc" ? "-dumpfullversion" : "-dumpversion"}));
    TRY_ASSIGN(Answer target, AskAimed(driver, {"-dumpmachine"}));
    facts_.version = version.output;
    facts_.target = target.output;
    TRY_ASSIGN(facts_.libc, LibcVersion(driver, facts_.compile_flags));
    TRY(CheckPrograms(driver));
    TRY(FindIncludes());
    TRY(FindRuntime());
    facts_.link_libs = {"-lstdc++", "-lm"};
    if (const StorePath* libcxx = LinkedWith("libcxx")) TRY(FindLibcxx(*libcxx));
    return std::optional(std::move(facts_));
  }

 private:
  bool Crosses() const { return input_.target.system != input_.system.system; }
  // What programs are linked with is there for both systems when they differ.
  const StorePath* LinkedWith(const std::string& role) const {
    return FindRole(input_.paths,
                    Crosses() ? role + "." + SystemSuffix(input_.target.system) : role);
  }
  Result<Answer> AskAimed(const std::string& program, std::vector<std::string> arguments) const {
    arguments.insert(arguments.end(), facts_.compile_flags.begin(), facts_.compile_flags.end());
    return Ask(program, std::move(arguments));
  }

  // The flags that make this system's clang one for the other, over those of its configuration
  // files.
  Status AimAtTarget() {
    if (facts_.compiler != "clang" || facts_.sysroot.empty())
      return ErrorStatus(Code::kFailedPrecondition,
                         "only a clang with a sysroot of {} builds for it from {}",
                         input_.target.system, input_.system.system);
    const std::string parent = facts_.sysroot + "/usr/lib/gcc/" + input_.target.triplet;
    TRY_ASSIGN(std::vector<std::string> versions, SystemFiles().List(parent));
    if (versions.empty()) return ErrorStatus(Code::kFailedPrecondition, "{} is empty", parent);
    facts_.compile_flags = {"--target=" + input_.target.triplet, "--sysroot=" + facts_.sysroot,
                            "--gcc-install-dir=" + parent + "/" + versions.back()};
    facts_.link_flags = facts_.compile_flags;
    return {};
  }

  Status FindGcc(const StorePath& gcc) {
    TRY_ASSIGN(std::vector<std::string> files, SystemFiles().List(gcc.path + "/usr/bin"));
    for (const char* name :
         {"gcc", "g++", "cpp", "gcov", "gcov-tool", "gcc-ar", "gcc-nm", "gcc-ranlib"}) {
      std::string program = VersionedProgram(files, name);
      if (!program.empty()) facts_.tools[name] = gcc.path + "/usr/bin/" + program;
    }
    if (facts_.tools.contains("gcc")) facts_.compiler = "gcc";
    FindBinutils(gcc);
    return {};
  }

  // The real file, not one of the links to it: with -no-canonical-prefixes GCC finds nothing from a
  // link.
  std::string VersionedProgram(const std::vector<std::string>& files,
                               const std::string& name) const {
    std::string start = input_.system.triplet + "-" + name + "-";
    for (const std::string& file : files) {
      bool version = file.starts_with(start) && file.size() > start.size() &&
                     std::all_of(file.begin() + static_cast<ptrdiff_t>(start.size()), file.end(),
                                 [](char c) { return c >= '0' && c <= '9'; });
      if (version) return file;
    }
    return "";
  }

  Status FindClang(const StorePath& clang) {
    TRY_ASSIGN(std::string bin, LlvmPrograms(clang));
    FindBinutils(clang);
    for (auto [name, program] : {std::pair{"clang", "clang"},
                                 {"clang++", "clang++"},
                                 {"cpp", "clang-cpp"},
                                 {"ld", "ld.lld"},
                                 {"ld.lld", "ld.lld"}})
      if (FileExists(bin + program)) facts_.tools[name] = bin + program;
    if (facts_.tools.contains("clang")) facts_.compiler = "clang";
    const StorePath* llvm_tools = FindRole(input_.paths, "llvm-tools");
    if (llvm_tools == nullptr) return {};
    TRY_ASSIGN(bin, LlvmPrograms(*llvm_tools));
    // Unlike binutils they know every processor.
    if (Crosses()) {
      facts_.tools.erase("as");
      for (const char* name : {"ld.bfd", "ld.gold", "c++filt"}) facts_.tools.erase(name);
      for (const char* name : {"ar", "nm", "objcopy", "objdump", "ranlib", "readelf", "strip"})
        facts_.tools[name] = bin + "llvm-" + name;
      facts_.tools["c++filt"] = bin + "llvm-cxxfilt";
    }
    // binutils' dwp does not know the debug packages of DWARF 5, clang's default.
    for (auto [name, program] : {std::pair{"dwp", "llvm-dwp"},
                                 // By a link of the name gcov it speaks as that does.
                                 {"gcov", "llvm-cov"},
                                 {"llvm-cov", "llvm-cov"},
                                 {"llvm-profdata", "llvm-profdata"},
                                 {"llvm-symbolizer", "llvm-symbolizer"}})
      if (FileExists(bin + program)) facts_.tools[name] = bin + program;
    return {};
  }

  // "<path>/usr/lib/llvm-16/bin/".
  static Result<std::string> LlvmPrograms(const StorePath& path) {
    TRY_ASSIGN(std::vector<std::string> folders, SystemFiles().List(path.path + "/usr/lib"));
    for (const std::string& folder : folders)
      if (folder.starts_with("llvm-")) return path.path + "/usr/lib/" + folder + "/bin/";
    return Error(Code::kFailedPrecondition, "{} has no usr/lib/llvm-*", path.path);
  }

  void FindBinutils(const StorePath& otherwise) {
    const StorePath* binutils = FindRole(input_.paths, "binutils");
    for (const char* name : {"ar", "as", "c++filt", "dwp", "ld", "ld.bfd", "ld.gold", "nm",
                             "objcopy", "objdump", "ranlib", "readelf", "strip"}) {
      std::string path = fmt::format("{}/usr/bin/{}-{}", (binutils ? *binutils : otherwise).path,
                                     input_.system.triplet, name);
      if (FileExists(path)) facts_.tools[name] = path;
    }
    if (const StorePath* base = FindRole(input_.paths, "base"))
      for (const char* name : {"bash", "false"})
        if (FileExists(base->path + "/usr/bin/" + name))
          facts_.tools[name] = base->path + "/usr/bin/" + name;
  }

  // What the compiler itself would run must be ours too.
  Status CheckPrograms(const std::string& driver) const {
    std::vector<std::string> names = {"as", "ld"};
    if (facts_.compiler == "gcc")
      names.insert(names.end(), {"cc1", "collect2"});
    else
      names.push_back("ld.lld");
    for (const std::string& name : names) {
      TRY_ASSIGN(Answer answer, AskAimed(driver, {"-print-prog-name=" + name}));
      if (!answer.output.starts_with(prefix_ + "/"))
        return ErrorStatus(Code::kFailedPrecondition,
                           "{} would run '{}' as {}, which is not in the store", driver, name,
                           answer.output);
    }
    return {};
  }

  Status AddIncludes(const std::vector<std::string>& directories) {
    for (const std::string& directory : directories) {
      if (!directory.starts_with(prefix_ + "/"))
        return ErrorStatus(Code::kFailedPrecondition,
                           "{} searches {} for headers, which is not in the store",
                           facts_.tools[facts_.compiler], directory);
      if (std::find(facts_.builtin_includes.begin(), facts_.builtin_includes.end(), directory) ==
          facts_.builtin_includes.end())
        facts_.builtin_includes.push_back(directory);
    }
    return {};
  }

  Status FindIncludes() {
    const bool gcc = facts_.compiler == "gcc";
    for (const char* tool : {gcc ? "g++" : "clang++", gcc ? "gcc" : "clang"}) {
      if (!facts_.tools.contains(tool)) continue;
      const char* language = std::string_view(tool).ends_with("++") ? "c++" : "c";
      // The first says nothing here, the second changes how directories are spelled.
      for (const char* option : {"-pipe", "-no-canonical-prefixes"}) {
        TRY_ASSIGN(Answer answer, AskAimed(facts_.tools[tool], {option, "-E", "-x", language, "-v",
                                                                "/dev/null", "-o", "/dev/null"}));
        TRY_ASSIGN(std::vector<std::string> directories, ParseIncludeSearch(answer.error_output));
        TRY(AddIncludes(directories));
        // Dependency files name a header by its real path when that is shorter: links lead
        // elsewhere.
        for (std::string& directory : directories)
          if (char* real = realpath(directory.c_str(), nullptr)) {
            directory = real;
            free(real);
          }
        TRY(AddIncludes(directories));
      }
    }
    // Lists of what sanitizers leave alone are dependencies too.
    if (gcc) return {};
    TRY_ASSIGN(Answer resources, Ask(facts_.tools["clang"], {"-print-resource-dir"}));
    return AddIncludes({resources.output + "/share"});
  }

  Status FindRuntime() {
    const StorePath* libc = LinkedWith("libc");
    const SystemFacts& target = input_.target;
    if (libc == nullptr)
      return ErrorStatus(Code::kFailedPrecondition,
                         "a toolchain with a compiler has no path for libc");
    for (std::string_view directory : {"usr/lib/" + target.triplet, std::string("usr/lib")}) {
      std::string path = fmt::format("{}/{}/{}", libc->path, directory, target.loader);
      if (facts_.loader.empty() && FileExists(path)) facts_.loader = path;
    }
    if (facts_.loader.empty())
      return ErrorStatus(Code::kFailedPrecondition, "{} has no {}", libc->path, target.loader);
    facts_.library_paths = {libc->path + "/usr/lib/" + target.triplet};
    if (!facts_.sysroot.empty())
      facts_.library_paths.push_back(facts_.sysroot + "/usr/lib/" + target.triplet);
    return {};
  }

  // Its archives, by their paths: what is linked with them runs where there is none of it.
  Status FindLibcxx(const StorePath& path) {
    TRY_ASSIGN(std::string bin, LlvmPrograms(path));
    const std::string llvm(ParentPath(ParentPath(bin + "x")));
    LibcxxFacts libcxx{.compile_flags = {"-nostdinc++", "-isystem", llvm + "/include/c++/v1"}};
    for (const char* name : {"libc++.a", "libc++abi.a", "libunwind.a"}) {
      std::string archive = fmt::format("{}/lib/{}", llvm, name);
      if (!FileExists(archive))
        return ErrorStatus(Code::kFailedPrecondition, "{} is not there", archive);
      libcxx.link_libs.push_back(std::move(archive));
    }
    libcxx.link_libs.push_back("-lm");
    facts_.libcxx = std::move(libcxx);
    return AddIncludes({llvm + "/include/c++/v1"});
  }

  const ProbeInput& input_;
  const std::string& prefix_;
  CcFacts facts_;
};

// Exceptions need the start files, libgcc_s, the unwinder's tables and the loader to fit together;
// a broken specs file or rpath passes "hello, world" and fails here.
constexpr std::string_view kThrowingProgram =
    "#include <cstdio>\n#include <stdexcept>\n"
    "int main(int count, char**) {\n"
    "  try {\n    if (count > 0) throw std::runtime_error(\"caught\");\n"
    "  } catch (const std::exception& e) {\n    std::puts(e.what());\n  }\n}\n";

// `--trace` prints each file the link editor takes, members of archives as "archive(member)" or
// "(archive)member".
Status CheckLinkTrace(std::string_view trace, const std::string& prefix,
                      const std::string& scratch) {
  bool any = false;
  while (!trace.empty()) {
    size_t end = std::min(trace.find('\n'), trace.size());
    std::string_view line = trace.substr(0, end);
    trace.remove_prefix(std::min(end + 1, trace.size()));
    if (line.starts_with('(')) line.remove_prefix(1);
    any = any || line.starts_with(prefix + "/");
    bool ours = line.starts_with(prefix + "/") || line.starts_with(scratch + "/") ||
                line.starts_with("/tmp/");
    if (line.starts_with('/') && !ours)
      return ErrorStatus(Code::kFailedPrecondition, "a link took {}, which is not in the store",
                         line);
  }
  if (!any) return ErrorStatus(Code::kFailedPrecondition, "a link took nothing from the store");
  return {};
}

}  // namespace

Status SelfTestCc(const CcFacts& facts, const std::string& prefix, const std::string& scratch,
                  std::string_view target) {
  const bool clang = facts.compiler == "clang";
  auto compiler = facts.tools.find(clang ? "clang++" : "g++");
  if (compiler == facts.tools.end()) return {};
  std::string source = scratch + "/self-test.cc", program = scratch + "/self-test", rpath;
  TRY(WriteFileAtomically(source, kThrowingProgram));
  for (const std::string& directory : facts.library_paths)
    rpath += (rpath.empty() ? "" : ":") + directory;
  const std::vector<std::string> dynamic = {"-Wl,--dynamic-linker=" + facts.loader,
                                            "-Wl,-rpath," + rpath};
  std::vector<std::vector<std::string>> modes = {dynamic, {"-static"}};
  if (clang) {
    modes.push_back(dynamic);
    modes.back().insert(modes.back().begin(), "-flto=thin");
  }
  if (facts.libcxx) {
    std::vector<std::string> libcxx = facts.libcxx->compile_flags;
    libcxx.push_back("-nostdlib++");
    for (const auto* more : {&facts.libcxx->link_libs, &dynamic})
      libcxx.insert(libcxx.end(), more->begin(), more->end());
    modes.push_back(std::move(libcxx));
  }
  for (const std::vector<std::string>& mode : modes) {
    std::vector<std::string> arguments = {"-O1", source, "-o", program, "-Wl,--trace"};
    for (const auto* more : {&mode, &facts.compile_flags, &facts.link_flags})
      arguments.insert(arguments.end(), more->begin(), more->end());
    TRY_ASSIGN(Answer link, Ask(compiler->second, arguments));
    TRY(CheckLinkTrace(link.output, prefix, scratch));
    if (!CheckRunsHere(target).ok()) continue;
    TRY_ASSIGN(Answer run, Ask(program, {}));
    if (run.output != "caught")
      return ErrorStatus(Code::kFailedPrecondition,
                         "a program made by {} with {} did not catch its exception",
                         compiler->second, mode[0]);
  }
  return {};
}

Result<std::vector<std::string>> ParseIncludeSearch(std::string_view verbose) {
  constexpr std::string_view kStart = "#include <...> search starts here:\n",
                             kEnd = "End of search list.";
  size_t start = verbose.find(kStart);
  size_t end = start == verbose.npos ? start : verbose.find(kEnd, start);
  if (end == verbose.npos)
    return Error(Code::kFailedPrecondition, "the compiler prints no list of header directories");
  std::string_view list = verbose.substr(start + kStart.size(), end - start - kStart.size());
  std::vector<std::string> directories;
  while (!list.empty()) {
    size_t line_end = std::min(list.find('\n'), list.size());
    std::string_view line = list.substr(0, line_end);
    list.remove_prefix(std::min(line_end + 1, list.size()));
    line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
    if (line.empty()) continue;
    std::string directory = "/" + NormalPath(line);
    if (std::find(directories.begin(), directories.end(), directory) == directories.end())
      directories.push_back(directory);
  }
  return directories;
}

Result<std::optional<CcFacts>> ProbeCc(const ProbeInput& input, const std::string& prefix) {
  return CcProbe(input, prefix).Run();
}

std::map<std::string, std::string> ToolEnvironment(const Manifest& manifest) {
  std::map<std::string, std::string> environment;
  std::string& path = environment["PATH"];
  std::string busybox;  // of Bazel's Java tools, for their own use only
  if (manifest.java) {
    environment["JAVA_HOME"] = manifest.java->home;
    path = manifest.java->home + "/bin";
    auto shell = manifest.java->tools.find("sh");
    if (shell != manifest.java->tools.end()) busybox = ParentPath(shell->second);
  }
  for (auto it = manifest.paths.rbegin(); it != manifest.paths.rend(); ++it) {
    if (!FileExists(it->path + "/usr/bin") || it->path + "/usr/bin" == busybox) continue;
    // The libc path has programs too (ldd, iconv ...): they come last, as it comes first in the
    // closure.
    path += (path.empty() ? "" : ":") + it->path + "/usr/bin";
  }
  if (!manifest.cc) return environment;
  // What builds for another system is only that with its flags.
  std::string flags;
  if (!manifest.target.empty())
    for (const std::string& flag : manifest.cc->compile_flags) flags += " " + flag;
  const auto& tools = manifest.cc->tools;
  const bool clang = manifest.cc->compiler == "clang";
  for (auto [name, tool] : {std::pair{"CC", clang ? "clang" : "gcc"},
                            {"CXX", clang ? "clang++" : "g++"},
                            {"AR", "ar"},
                            {"NM", "nm"},
                            {"RANLIB", "ranlib"},
                            {"STRIP", "strip"},
                            {"OBJCOPY", "objcopy"},
                            {"LD", "ld"},
                            {"AS", "as"}})
    if (auto it = tools.find(tool); it != tools.end())
      environment[name] = it->second + (std::string_view(name).starts_with('C') ? flags : "");
  return environment;
}

}  // namespace lre::toolchain

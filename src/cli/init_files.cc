// What `lre init` begins a project with: GCC 12 and a userland, the same store paths as LRE's own.
// A test compares it with the lre.toml of this repository.
#include "cli/init_files.h"

#include <filesystem>

namespace lre::cli {
namespace {

constexpr const char* kModule = "local-remote-execution";

std::string_view Trimmed(std::string_view line) {
  while (!line.empty() && std::isspace(static_cast<unsigned char>(line.front())))
    line.remove_prefix(1);
  while (!line.empty() && std::isspace(static_cast<unsigned char>(line.back())))
    line.remove_suffix(1);
  return line;
}

}  // namespace

std::string_view DefaultSpecText() {
  return R"TOML(# What the toolchains of this project are made of. `lre lock` resolves it to exact packages in lre.lock;
# `lre sync` turns those into /lre/store/<hash>-<role>. Format: docs/formats/lock.md of LRE.
schema = 1

# Dependencies that are left out, with what only they need.
ignore = [
  "base-files",
  "dpkg",
  "libc-dev-bin",
  "libnsl-dev",
  "libtirpc-dev",
  "rpcsvc-proto",
]

# No mirror is named: that of the machine's own apt configuration is used.
[archive.debian]
suites = ["bookworm", "bookworm-updates", "bookworm-security"]

# What every program needs to start: loader, C library, and the run-time libraries of the compilers.
[store.libc]
packages = ["libc6", "libcrypt1", "libgcc-s1", "libstdc++6"]

# Headers, start files and link libraries, with the run-time libraries of sanitizers, OpenMP and
# atomics that their link names point to.
[store.sysroot]
packages = ["libc6-dev", "libgcc-12-dev", "libstdc++-12-dev", "linux-libc-dev"]
references = ["libc"]

[store.binutils]
packages = ["binutils"]
references = ["libc"]

[store.gcc]
packages = ["cpp-12", "g++-12", "gcc-12"]
references = ["binutils", "libc", "sysroot"]

# The shell and userland of genrules and tests.
[store.base]
packages = [
  "bash",
  "bzip2",
  "coreutils",
  "dash",
  "debianutils",  # which
  "diffutils",
  "file",
  "findutils",
  "gawk",
  "grep",
  "gzip",
  "hostname",
  "libc-bin",     # the C.UTF-8 locale, getconf, iconv
  "make",
  "patch",
  "perl-base",
  "sed",
  "tar",
  "unzip",
  "xz-utils",
  "zip",
  "zstd",
]
references = ["libc"]

[toolchain.lre-cc]
paths = ["base", "binutils", "gcc", "libc", "sysroot"]
)TOML";
}

bool ModuleUse::IsOfOthers() const {
  if (!override) return false;
  const auto path = override->arguments.find("path");
  return override->function != "local_path_override" || path == override->arguments.end() ||
         (std::filesystem::path(path->second) / "").lexically_normal() !=
             (std::filesystem::path(kModule) / "");
}

ModuleUse FindModuleUse(std::string_view module_bazel) {
  ModuleUse use;
  for (StarlarkCall& call : FindStarlarkCalls(module_bazel)) {
    if (call.function == "bazel_dep" && call.arguments["name"] == kModule) use.depends = true;
    if (call.function.ends_with("_override") && call.arguments["module_name"] == kModule)
      use.override = std::move(call);
  }
  return use;
}

std::string WithModule(std::string text) {
  const ModuleUse use = FindModuleUse(text);
  if (use.depends && use.override) return text;
  if (!text.empty() && !text.ends_with('\n')) text += '\n';
  text += '\n';
  if (!use.depends) text += "bazel_dep(name = \"local-remote-execution\", version = \"0\")\n";
  if (!use.override) {
    text += R"(local_path_override(
    module_name = "local-remote-execution",
    path = "local-remote-execution",
)
)";
  }
  return text;
}

bool ImportsBazelrc(std::string_view bazelrc) {
  while (!bazelrc.empty()) {
    const size_t end = std::min(bazelrc.find('\n'), bazelrc.size());
    const std::string_view line = Trimmed(bazelrc.substr(0, end));
    bazelrc.remove_prefix(std::min(end + 1, bazelrc.size()));
    if ((line.starts_with("import ") || line.starts_with("try-import ")) &&
        line.ends_with("lre.bazelrc"))
      return true;
  }
  return false;
}

std::string WithImport(std::string text) {
  if (ImportsBazelrc(text)) return text;
  // First, so that what the project says itself comes later and wins.
  return "try-import %workspace%/lre.bazelrc\n" + text;
}

std::string WithIgnored(std::string text) {
  // The module is a repository of its own; as packages of the project its files would be found
  // twice.
  for (size_t at = 0; at < text.size(); at = text.find('\n', at) + 1) {
    std::string_view line = std::string_view(text).substr(at, text.find('\n', at) - at);
    if (line == "local-remote-execution") return text;
    if (text.find('\n', at) == text.npos) break;
  }
  if (!text.empty() && !text.ends_with('\n')) text += '\n';
  return text + "local-remote-execution\n";
}

}  // namespace lre::cli

// lre.bazelrc in its four forms: with and without what `lre env` makes available on this machine,
// for every build or only under --config=<prefix>. The flags are the same in all four, so that
// action keys are too. No endpoint stands here: local, cached and remote builds read the same file.
#include <utility>

#include "toolchain/generate/parts.h"

namespace lre::toolchain {
namespace {

struct Flag {
  std::string text;
  std::string why;  // a comment above; empty: belongs to the one above
  std::string_view command = "build";
};

void AddJavaFlags(const GenerateInput& input, std::vector<Flag>* flags) {
  const JavaFacts& java = *input.java->java;
  flags->push_back({"--extra_toolchains=@local-remote-execution//generated-java/config:all",
                    "The JDK: for what is built, and for what the build itself runs."});
  for (const char* flag : {"java_runtime_version", "tool_java_runtime_version"})
    flags->push_back({fmt::format("--{}=lre_jdk", flag), ""});
  for (const char* flag : {"java_language_version", "tool_java_language_version"})
    flags->push_back({fmt::format("--{}={}", flag, java.major), ""});
  for (const Manifest* jdk : input.jdks) {
    const std::string why =
        jdk->system == input.manifest.system
            ? fmt::format("JDK {0}: by --java_runtime_version={0}.", jdk->java->major)
            : fmt::format("JDK {} of {}: by the platform.", jdk->java->major, CpuOf(jdk->system));
    flags->push_back({fmt::format("--extra_toolchains=@local-remote-execution//{}/config:all",
                                  JavaFolder(input, *jdk)),
                      why});
  }
  // By the name that Bazel 7 gives it; to another this says nothing.
  auto repository = java.tools.find("repository");
  if (repository == java.tools.end()) return;
  flags->push_back(
      {"--override_repository=rules_java~~toolchains~remote_java_tools=" + repository->second,
       "The runner of java_test, which has no toolchain: not downloaded.", "common"});
}

// Another compiler by choice: --config=clang, --config=clang-libcxx.
std::string ClangConfigs(const GenerateInput& input, const GenerateOptions& options) {
  const std::string& prefix = options.bazelrc_prefix;
  std::string out =
      "\n# The other compiler, for all that is built; with its own C++ library instead of GCC's. "
      "Tests\n"
      "# find the program with which sanitizers name what they report.\n";
  const std::string name = (prefix.empty() ? "" : prefix + "-") + "clang";
  auto toolchain = [&](std::string_view suffix) {
    return fmt::format(
        "build:{0}{1} "
        "--extra_toolchains=@local-remote-execution//generated-clang/config:cc-toolchain{1}\n",
        name, suffix);
  };
  if (!prefix.empty()) out += fmt::format("build:{} --config={}\n", name, prefix);
  out += toolchain("");
  // Debian's run-time libraries look for it at a place of the machine's, and not in PATH.
  auto symbolizer = input.clang->cc->tools.find("llvm-symbolizer");
  if (symbolizer != input.clang->cc->tools.end()) {
    for (const char* sanitizer : {"ASAN", "LSAN", "MSAN", "TSAN", "UBSAN"})
      out += fmt::format("build:{} --test_env={}_SYMBOLIZER_PATH={}\n", name, sanitizer,
                         symbolizer->second);
  }
  for (const std::string& label : SystemsToolchainLabels(input, /*clang=*/true))
    out += fmt::format("build:{} --extra_toolchains={}\n", name, label);
  // The last of two that fit is taken.
  if (input.clang->cc->libcxx)
    out += fmt::format("build:{0}-libcxx --config={0}\n", name) + toolchain("-libcxx");
  return out;
}

std::vector<Flag> Flags(const GenerateInput& input) {
  constexpr std::string_view kModule = "@local-remote-execution//generated-cc/config";
  std::vector<Flag> flags = {
      {"--repo_env=BAZEL_DO_NOT_DETECT_CPP_TOOLCHAIN=1",
       "Bazel must not look for a compiler of this machine. As a repository variable: an "
       "--action_env\n"
       "would stand in the environment of every action and so change every key."},
      {"--incompatible_strict_action_env",
       "Actions get Bazel's fixed PATH, not that of whoever calls."},
      {"--define=EXECUTOR=remote",
       "Rules that ask, as those of Bazel's own tools do, are told that actions may run "
       "elsewhere."},
      {fmt::format("--extra_execution_platforms={}:platform", kModule),
       "Where actions run, what runs them and what the outputs are for: one platform on every "
       "machine,\n"
       "so that neither the client's system nor its processor enters a key."},
      {fmt::format("--host_platform={}:platform", kModule), ""},
      {fmt::format("--platforms={}:platform", kModule), ""},
      {fmt::format("--extra_toolchains={}:cc-toolchain", kModule), "The compiler."},
      {"--host_features=lre_store_loader",
       "Programs that the build itself runs use the C library of the store: the same on every "
       "machine."},
      {"--extra_toolchains=@local-remote-execution//generated-sh:sh-toolchain",
       "The shell of rules that ask for one."},
      {"--shell_executable=" + input.shell,
       "The shell of genrules, with its userland first in PATH; tests get the same userland."},
      {"--test_env=PATH=" + input.path, ""},
  };
  if (input.java != nullptr) AddJavaFlags(input, &flags);
  if (input.python != nullptr) {
    flags.push_back({"--extra_toolchains=@local-remote-execution//generated-python/config:all",
                     "Python: named by its path in the first line of every program."});
  }
  for (const Manifest* python : input.pythons) {
    flags.push_back({fmt::format("--extra_toolchains=@local-remote-execution//{}/config:all",
                                 PythonFolder(input, *python)),
                     fmt::format("Python of {}: by the platform.", CpuOf(python->system))});
  }
  if (input.go != nullptr) {
    flags.push_back({"--extra_toolchains=@local-remote-execution//generated-go/config:all",
                     "Go, for the rules in generated-go/go."});
  }
  if (input.rust != nullptr) {
    flags.push_back({"--extra_toolchains=@local-remote-execution//generated-rust/config:all",
                     "Rust, for the rules in generated-rust/rust."});
  }
  std::vector<const Manifest*> own_ones = {&input.manifest};
  own_ones.insert(own_ones.end(), input.own.begin(), input.own.end());
  for (const Manifest* own : own_ones) {
    std::string why = fmt::format("{}: for what asks for it.", own->name);
    for (const std::string& label : OwnToolchainLabels(input, *own)) {
      flags.push_back({"--extra_toolchains=" + label, std::exchange(why, "")});
    }
  }
  std::string why = "Compilers of other systems and for them.";
  for (const std::string& label : SystemsToolchainLabels(input, /*clang=*/false))
    flags.push_back({"--extra_toolchains=" + label, std::exchange(why, "")});
  return flags;
}

std::string Commented(std::string_view text) {
  std::string out = "# ";
  for (char c : text) {
    out += c;
    if (c == '\n') out += "# ";
  }
  return out + "\n";
}

std::string Environment(const GenerateInput& input, const GenerateOptions& options) {
  std::string out = "#\n";
  if (!options.with_environment) {
    return out +
           "# WARNING: No environment set. LRE will not work locally: the store paths below are "
           "not on\n"
           "# this machine. `lre sync` brings them; remote builds work without.\n";
  }
  out +=
      "# What the toolchain offers on this machine, as `lre env` prints it. Only for people who "
      "read:\n"
      "# Bazel takes these paths from the @local-remote-execution module. When local and remote "
      "builds\n"
      "# share nothing, compare them with generated-cc/cc/BUILD.bazel of the commit that "
      "MODULE.bazel pins.\n"
      "#\n";
  for (const auto& [name, value] : input.manifest.env) out += fmt::format("# {}={}\n", name, value);
  return out;
}

}  // namespace

std::string Bazelrc(const GenerateInput& input, const GenerateOptions& options) {
  const std::string config = options.bazelrc_prefix.empty() ? "" : ":" + options.bazelrc_prefix;
  std::string out = FileHead(input, "#", "Bazel's flags for Local Remote Execution.");
  out += "#\n# In .bazelrc:  try-import %workspace%/lre.bazelrc\n";
  if (!options.bazelrc_prefix.empty()) {
    out += fmt::format("# Off by default; bazel build --config={} switches it on.\n",
                       options.bazelrc_prefix);
  }
  out += Environment(input, options);
  for (const Flag& flag : Flags(input)) {
    if (!flag.why.empty()) out += "\n" + Commented(flag.why);
    out += fmt::format("{}{} {}\n", flag.command, config, flag.text);
  }
  if (input.clang != nullptr) out += ClangConfigs(input, options);
  out += SystemsConfigs(input, options);
  return out;
}

}  // namespace lre::toolchain

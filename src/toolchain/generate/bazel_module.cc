// The Bazel module `local-remote-execution`: the platform, the C++ toolchain and an example. Labels
// and file names are those of the module that users of this name know:
// generated-cc/config:platform, generated-cc/config:cc-toolchain, examples:hello_lre.
#include <algorithm>
#include <set>

#include "toolchain/generate/parts.h"

namespace lre::toolchain {
namespace {

constexpr std::string_view kModule = "local-remote-execution/";

bool StartsWithPath(std::string_view text, std::string_view path) {
  return text.starts_with(path) && (text.size() == path.size() || text[path.size()] == '/');
}

std::string ModuleFile(const GenerateInput& input) {
  // The least versions whose public labels the generated files need; Bazel 8 and 9 raise them.
  std::string out =
      FileHead(input, "#", "The C++ toolchain of Local Remote Execution as a Bazel module.") +
      R"(
module(
    name = "local-remote-execution",
    version = "0",
)

bazel_dep(name = "platforms", version = "0.0.10")
bazel_dep(name = "rules_cc", version = "0.0.17")
)";
  if (input.java != nullptr) out += "bazel_dep(name = \"rules_java\", version = \"7.6.5\")\n";
  if (input.python != nullptr) out += "bazel_dep(name = \"rules_python\", version = \"0.22.1\")\n";
  return out;
}

// Apart from the C++ toolchain: what loads it does not load this, and another base re-keys no
// compile.
std::string ShellBuild(const GenerateInput& input) {
  return FileHead(input, "#", "The shell for rules that ask for one, registered.") +
         fmt::format(R"(
load(":shell.bzl", "lre_shell")

package(default_visibility = ["//visibility:public"])

lre_shell(
    name = "shell",
    path = {shell},
)

toolchain(
    name = "sh-toolchain",
    exec_compatible_with = [
        "//generated-cc/config:lre",
        "@platforms//cpu:{cpu}",
        "@platforms//os:linux",
    ],
    toolchain = ":shell",
    toolchain_type = "@bazel_tools//tools/sh:toolchain_type",
)
)",
                     fmt::arg("shell", StarlarkString(input.shell)), fmt::arg("cpu", input.cpu));
}

std::string ShellText(const GenerateInput& input) {
  return FileHead(input, "#", "What sh_toolchain of any version of the rules provides.") + R"(
def _shell_impl(ctx):
    return [platform_common.ToolchainInfo(
        launcher = None,
        launcher_maker = None,
        path = ctx.attr.path,
    )]

lre_shell = rule(
    implementation = _shell_impl,
    attrs = {"path": attr.string(mandatory = True)},
)
)";
}

std::string ConfigBuild(const GenerateInput& input) {
  return FileHead(input, "#",
                  "The platform that has LRE's store paths, and the toolchain for it.") +
         fmt::format(R"(
package(default_visibility = ["//visibility:public"])

# Whoever has this constraint has the store paths that the toolchain names. Hosts do not have it, so
# Bazel never picks the toolchain for a machine without them.
constraint_setting(name = "local_remote_execution")

constraint_value(
    name = "lre",
    constraint_setting = ":local_remote_execution",
)

# No parent: what the client's own machine is must not enter an action. No store path and no key with a
# dot in exec_properties: the first would re-key every action with every toolchain, the second Bazel
# drops without a word.
platform(
    name = "platform",
    constraint_values = [
        ":lre",
        "@platforms//cpu:{0}",
        "@platforms//os:linux",
    ],
    exec_properties = {{
        "OSFamily": "linux",
    }},
)

toolchain(
    name = "cc-toolchain",
    exec_compatible_with = [
        ":lre",
        "@platforms//cpu:{0}",
        "@platforms//os:linux",
    ],
    target_compatible_with = [
        "@platforms//cpu:{0}",
        "@platforms//os:linux",
    ],
    toolchain = "//generated-cc/cc:cc",
    toolchain_type = "@bazel_tools//tools/cpp:toolchain_type",
)
)",
                     input.cpu);
}

// Where headers may come from without being inputs: the compiler's own and those of other store
// paths. Bazel checks dependencies against it; it is in no command.
std::vector<std::string> IncludeDirectories(const GenerateInput& input) {
  std::vector<std::string> directories = input.cc.builtin_includes;
  if (input.python != nullptr) {
    const auto& more = input.python->python->include_dirs;
    directories.insert(directories.end(), more.begin(), more.end());
  }
  return directories;
}

std::string CcBuild(const GenerateInput& input) {
  const CcFacts& cc = input.cc;
  return FileHead(input, "#", "The compiler, by absolute paths in the store.") +
         fmt::format(R"(
load("@rules_cc//cc/toolchains:cc_toolchain.bzl", "cc_toolchain")
load(":cc_toolchain_config.bzl", "lre_cc_toolchain_config")

package(default_visibility = ["//visibility:public"])

lre_cc_toolchain_config(
    name = "config",
    builtin_include_directories = {builtin_includes},
    builtin_sysroot = {sysroot},
    compile_flags = {compile_flags},
    compiler = {compiler},
    cpu = {cpu},
    cxx_flags = {cxx_flags},
    link_flags = {link_flags},
    link_libs = {link_libs},
    loader = {loader},
    runtime_library_directories = {library_paths},
    target_libc = {libc},
    target_system_name = {target},
    tool_paths = {tool_paths},
    toolchain_identifier = {identifier},
)

filegroup(name = "empty")

# The tools are no inputs: their paths in the command line say which they are. The marker, the store
# paths with their digests, is one, so that two toolchains at the same paths would not share results.
cc_toolchain(
    name = "cc",
    all_files = ":toolchain.json",
    ar_files = ":toolchain.json",
    as_files = ":toolchain.json",
    compiler_files = ":toolchain.json",
    dwp_files = ":empty",
    linker_files = ":toolchain.json",
    objcopy_files = ":empty",
    strip_files = ":empty",
    supports_param_files = 1,
    toolchain_config = ":config",
    toolchain_identifier = {identifier},
)
)",
                     fmt::arg("builtin_includes", StarlarkList(IncludeDirectories(input), 4)),
                     fmt::arg("sysroot", StarlarkString(cc.sysroot)),
                     fmt::arg("compile_flags", StarlarkList(cc.compile_flags, 4)),
                     fmt::arg("compiler", StarlarkString(cc.compiler)),
                     fmt::arg("cpu", StarlarkString(input.cpu)),
                     fmt::arg("cxx_flags", StarlarkList(cc.cxx_flags, 4)),
                     fmt::arg("link_flags", StarlarkList(cc.link_flags, 4)),
                     fmt::arg("link_libs", StarlarkList(cc.link_libs, 4)),
                     fmt::arg("loader", StarlarkString(cc.loader)),
                     fmt::arg("library_paths", StarlarkList(cc.library_paths, 4)),
                     fmt::arg("libc", StarlarkString(cc.libc)),
                     fmt::arg("target", StarlarkString(cc.target)),
                     fmt::arg("tool_paths", StarlarkDict(BazelToolPaths(input), 4)),
                     fmt::arg("identifier", StarlarkString(input.manifest.name + "-" + cc.compiler +
                                                           "-" + cc.version)));
}

// The part of the manifest that compiling depends on, and nothing else: it is an input of every
// compile.
std::string Marker(const GenerateInput& input) {
  std::string out = "{\n  \"paths\": [";
  std::string_view separator = "\n";
  for (const StorePath* path : CcClosure(input.manifest)) {
    out += fmt::format("{}    {{\"path\": \"{}\", \"tree\": \"{}\"}}", separator, path->path,
                       path->tree);
    separator = ",\n";
  }
  return out + "\n  ]\n}\n";
}

std::string ExamplesBuild(const GenerateInput& input) {
  return FileHead(input, "#", "An example that a quick look at remote execution builds.") + R"(
load("@rules_cc//cc:cc_binary.bzl", "cc_binary")

cc_binary(
    name = "hello_lre",
    srcs = ["hello_lre.cc"],
    visibility = ["//visibility:public"],
)
)";
}

// Its bytes are an input of a compile, so they do not name the manifest.
constexpr std::string_view kHelloLre =
    R"(// Says which compiler and libc made this program, and which libc runs it.
// Written by `lre generate`.
#include <gnu/libc-version.h>

#include <iostream>
#include <stdexcept>

int main() {
  try {
    throw std::runtime_error("Hello, Local Remote Execution!");
  } catch (const std::exception& e) {
    std::cout << e.what() << "\nCompiler: " << __VERSION__ << ", headers of glibc " << __GLIBC__ << "."
              << __GLIBC_MINOR__ << ", running on glibc " << gnu_get_libc_version() << "\n";
  }
}
)";

}  // namespace

std::vector<const StorePath*> CcClosure(const Manifest& manifest) {
  std::set<std::string> needed;
  const CcFacts& cc = *manifest.cc;
  std::vector<std::string> named = {cc.sysroot, cc.loader};
  for (const auto& [name, tool] : cc.tools) named.push_back(tool);
  for (const auto* list : {&cc.builtin_includes, &cc.library_paths}) {
    named.insert(named.end(), list->begin(), list->end());
  }
  for (const StorePath& path : manifest.paths) {
    // The shell stands among the tools too, but no compiler runs it.
    if (path.role == "base") continue;
    if (std::ranges::any_of(named,
                            [&](const std::string& n) { return StartsWithPath(n, path.path); })) {
      needed.insert(path.path);
    }
  }
  // References come before referrers: one pass from the end sees every referrer first.
  std::vector<const StorePath*> closure;
  for (auto path = manifest.paths.rbegin(); path != manifest.paths.rend(); ++path) {
    if (!needed.contains(path->path)) continue;
    needed.insert(path->references.begin(), path->references.end());
    closure.push_back(&*path);
  }
  std::ranges::reverse(closure);
  return closure;
}

std::map<std::string, std::string> BazelToolPaths(const GenerateInput& input) {
  constexpr std::pair<std::string_view, std::string_view> kTools[] = {{"ar", "ar"},
                                                                      {"cpp", "cpp"},
                                                                      {"dwp", "dwp"},
                                                                      {"gcc", "gcc"},
                                                                      {"gcov", "gcov"},
                                                                      {"ld", "ld"},
                                                                      {"llvm-cov", "llvm-cov"},
                                                                      {"nm", "nm"},
                                                                      {"objcopy", "objcopy"},
                                                                      {"objdump", "objdump"},
                                                                      {"strip", "strip"},
                                                                      {"c++filt", "c++filt"}};
  std::map<std::string, std::string> paths;
  for (const auto& [bazel, ours] : kTools) {
    auto found = input.cc.tools.find(std::string(ours));
    paths[std::string(bazel)] =
        found != input.cc.tools.end() ? found->second : input.base + "/usr/bin/false";
  }
  return paths;
}

std::vector<GeneratedFile> BazelModule(const GenerateInput& input) {
  auto in_module = [](std::string_view name) { return std::string(kModule) + std::string(name); };
  return {
      {in_module("MODULE.bazel"), ModuleFile(input)},
      {in_module("BUILD.bazel"), FileHead(input, "#", "Only makes this folder a package.") +
                                     "\nexports_files([\"toolchain.json\"])\n"},
      {in_module("toolchain.json"), PrintManifest(input.manifest)},
      {in_module("generated-cc/config/BUILD.bazel"), ConfigBuild(input)},
      {in_module("generated-cc/cc/BUILD.bazel"), CcBuild(input)},
      {in_module("generated-cc/cc/cc_toolchain_config.bzl"),
       FileHead(input, "#",
                "How the compiler is called: features and flags of the C++ toolchain.") +
           std::string(CcToolchainConfigText())},
      {in_module("generated-cc/cc/toolchain.json"), Marker(input)},
      {in_module("generated-sh/BUILD.bazel"), ShellBuild(input)},
      {in_module("generated-sh/shell.bzl"), ShellText(input)},
      {in_module("examples/BUILD.bazel"), ExamplesBuild(input)},
      {in_module("examples/hello_lre.cc"), std::string(kHelloLre)},
  };
}

}  // namespace lre::toolchain

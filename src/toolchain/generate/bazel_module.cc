// The Bazel module `local-remote-execution`: the platform, the C++ toolchain and an example. Labels
// and file names are those of the module that users of this name know:
// generated-cc/config:platform, generated-cc/config:cc-toolchain, examples:hello_lre.
#include <algorithm>
#include <iterator>

#include "toolchain/generate/parts.h"

namespace lre::toolchain {
namespace {

constexpr std::string_view kModule = "local-remote-execution/";

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
  if (input.python != nullptr) out += "bazel_dep(name = \"rules_python\", version = \"0.40.0\")\n";
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
    path = {},
)

)",
                     StarlarkString(input.shell)) +
         Registration({.name = "sh-toolchain",
                       .exec = LreOn(input.cpu),
                       .label = ":shell",
                       .type = "@bazel_tools//tools/sh:toolchain_type"});
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
{1}        "OSFamily": "linux",
    }},
)
{2}
)",
                     input.cpu,
                     // With one kind of worker there is nothing to tell apart.
                     input.other_cpus.empty()
                         ? ""
                         : fmt::format("        \"ISA\": \"{}\",\n", IsaOf(input.cpu)),
                     OtherPlatforms(input)) +
         Registration({.name = "cc-toolchain",
                       .exec = WithConstraint(":lre", LinuxOn(input.cpu)),
                       .target = LinuxOn(input.cpu),
                       .label = "//generated-cc/cc:cc",
                       .type = std::string(kCcToolchainType)});
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

std::string_view SaidExample() {
  return R"EXAMPLE(
# A program that the build runs.
genrule(
    name = "said",
    outs = ["said.txt"],
    cmd = "$(execpath :hello_lre) > $@",
    tools = [":hello_lre"],
)
)EXAMPLE";
}

std::vector<GeneratedFile> BazelModule(const GenerateInput& input) {
  auto in_module = [](std::string_view name) { return std::string(kModule) + std::string(name); };
  std::vector<GeneratedFile> files = {
      {in_module("MODULE.bazel"), ModuleFile(input)},
      {in_module("BUILD.bazel"), FileHead(input, "#", "Only makes this folder a package.") +
                                     "\nexports_files([\"toolchain.json\"])\n"},
      {in_module("toolchain.json"), PrintManifest(input.manifest)},
      {in_module("generated-cc/config/BUILD.bazel"), ConfigBuild(input)},
      {in_module("generated-sh/BUILD.bazel"), ShellBuild(input)},
      {in_module("generated-sh/shell.bzl"), ShellText(input)},
      {in_module("examples/BUILD.bazel"), ExamplesBuild(input)},
      {in_module("examples/hello_lre.cc"), std::string(kHelloLre)},
  };
  std::ranges::move(CcModule(input), std::back_inserter(files));
  return files;
}

}  // namespace lre::toolchain

// The part of the Bazel module for toolchains of one's own: those that extend another or offer
// tools. Each has a folder, generated-<name>: a C++ toolchain that is chosen by a platform of its
// own (so that several stand side by side, in one build too), and a toolchain type for its tools.
#include "toolchain/generate/parts.h"

namespace lre::toolchain {
namespace {

std::string CcConfigBuild(const GenerateInput& input, const Manifest& manifest) {
  const std::string chosen_by = ":" + manifest.name;
  const std::vector<std::string>& more = manifest.target_compatible_with;
  return FileHead(manifest, "#", "The platform that chooses this compiler, and the toolchain.") +
         fmt::format(R"(
package(default_visibility = ["//visibility:public"])

constraint_setting(name = "setting")

# What only this toolchain can build for says so: target_compatible_with = [this].
constraint_value(
    name = {},
    constraint_setting = ":setting",
)

# For --platforms, or a transition to it.
platform(
    name = "platform",
    constraint_values = {},
    parents = ["//generated-cc/config:platform"],
)

)",
                     StarlarkString(manifest.name),
                     StarlarkList(WithConstraint(chosen_by, more), 4)) +
         Registration({.name = "cc-toolchain",
                       .exec = LreOn(input.cpu, manifest.exec_compatible_with),
                       .target = WithConstraint(chosen_by, LinuxOn(input.cpu, more)),
                       .label = "//" + FolderOf(manifest) + "/cc:cc",
                       .type = std::string(kCcToolchainType)});
}

std::string ToolsBuild(const GenerateInput& input, const Manifest& manifest) {
  return FileHead(manifest, "#", "Programs of the store as a toolchain, registered.") +
         fmt::format(R"(
load(":tools.bzl", "lre_tools")

package(default_visibility = ["//visibility:public"])

# Rules ask for it: ctx.toolchains["@local-remote-execution//{}:toolchain_type"].tools["NAME"].
toolchain_type(name = "toolchain_type")

lre_tools(
    name = "tools",
    tools = {},
)

)",
                     FolderOf(manifest), StarlarkDict(manifest.tools, 4)) +
         Registration({.name = "toolchain",
                       .exec = LreOn(input.cpu, manifest.exec_compatible_with),
                       .target = manifest.target_compatible_with,
                       .label = ":tools",
                       .type = ":toolchain_type"});
}

std::string ToolsText(const Manifest& manifest) {
  return FileHead(manifest, "#", "What the toolchain of tools provides: their absolute paths.") +
         R"(
def _tools_impl(ctx):
    return [platform_common.ToolchainInfo(tools = ctx.attr.tools)]

lre_tools = rule(
    implementation = _tools_impl,
    attrs = {"tools": attr.string_dict(mandatory = True)},
    doc = "The programs are no inputs: the path in a command says which they are.",
)
)";
}

}  // namespace

bool IsOwn(const Manifest& manifest) {
  return !manifest.extends.empty() || !manifest.tools.empty();
}

std::vector<std::string> OwnToolchainLabels(const GenerateInput& input, const Manifest& manifest) {
  std::vector<std::string> labels;
  const std::string folder = "@local-remote-execution//" + FolderOf(manifest);
  if (manifest.cc && &manifest != &input.manifest)
    labels.push_back(folder + "/config:cc-toolchain");
  if (!manifest.tools.empty()) labels.push_back(folder + ":toolchain");
  return labels;
}

std::vector<GeneratedFile> ToolsModule(const GenerateInput& input, const Manifest& manifest) {
  if (manifest.tools.empty()) return {};
  const std::string folder = "local-remote-execution/" + FolderOf(manifest);
  return {{folder + "/BUILD.bazel", ToolsBuild(input, manifest)},
          {folder + "/tools.bzl", ToolsText(manifest)}};
}

std::vector<GeneratedFile> OwnModule(const GenerateInput& input, const Manifest& manifest) {
  const std::string folder = "local-remote-execution/" + FolderOf(manifest);
  std::vector<GeneratedFile> files = ToolsModule(input, manifest);
  files.push_back({"local-remote-execution/" + manifest.name + ".json", PrintManifest(manifest)});
  if (!manifest.cc) return files;
  files.push_back({folder + "/config/BUILD.bazel", CcConfigBuild(input, manifest)});
  std::vector<GeneratedFile> package = CcPackage(input, manifest, folder + "/cc");
  files.insert(files.end(), package.begin(), package.end());
  return files;
}

}  // namespace lre::toolchain

// The part of the Bazel module for toolchains of one's own: those that extend another or offer
// tools. Each has a folder, generated-<name>: a C++ toolchain that is chosen by a platform of its
// own (so that several stand side by side, in one build too), and a toolchain type for its tools.
#include "toolchain/generate/parts.h"

namespace lre::toolchain {
namespace {

std::string FolderOf(const Manifest& manifest) { return "generated-" + manifest.name; }

// `first` and then `more`, as a list of labels.
std::string Constraints(std::vector<std::string> first, const std::vector<std::string>& more) {
  first.insert(first.end(), more.begin(), more.end());
  return StarlarkList(first, 4);
}

std::vector<std::string> ThisCpu(const GenerateInput& input) {
  return {"@platforms//cpu:" + input.cpu, "@platforms//os:linux"};
}

std::vector<std::string> WhereItRuns(const GenerateInput& input) {
  std::vector<std::string> constraints = ThisCpu(input);
  constraints.insert(constraints.begin(), "//generated-cc/config:lre");
  return constraints;
}

std::string CcConfigBuild(const GenerateInput& input, const Manifest& manifest) {
  const std::vector<std::string> own = {":" + manifest.name};
  std::vector<std::string> target = ThisCpu(input);
  target.insert(target.begin(), own.begin(), own.end());
  return FileHead(manifest, "#", "The platform that chooses this compiler, and the toolchain.") +
         fmt::format(
             R"(
package(default_visibility = ["//visibility:public"])

constraint_setting(name = "setting")

# What only this toolchain can build for says so: target_compatible_with = [this].
constraint_value(
    name = {name},
    constraint_setting = ":setting",
)

# For --platforms, or a transition to it.
platform(
    name = "platform",
    constraint_values = {values},
    parents = ["//generated-cc/config:platform"],
)

toolchain(
    name = "cc-toolchain",
    exec_compatible_with = {exec},
    target_compatible_with = {target},
    toolchain = "//{folder}/cc:cc",
    toolchain_type = "@bazel_tools//tools/cpp:toolchain_type",
)
)",
             fmt::arg("name", StarlarkString(manifest.name)),
             fmt::arg("values", Constraints(own, manifest.target_compatible_with)),
             fmt::arg("exec", Constraints(WhereItRuns(input), manifest.exec_compatible_with)),
             fmt::arg("target", Constraints(target, manifest.target_compatible_with)),
             fmt::arg("folder", FolderOf(manifest)));
}

std::string ToolsBuild(const GenerateInput& input, const Manifest& manifest) {
  return FileHead(manifest, "#", "Programs of the store as a toolchain, registered.") +
         fmt::format(
             R"(
load(":tools.bzl", "lre_tools")

package(default_visibility = ["//visibility:public"])

# Rules ask for it: ctx.toolchains["@local-remote-execution//{folder}:toolchain_type"].tools["NAME"].
toolchain_type(name = "toolchain_type")

lre_tools(
    name = "tools",
    tools = {tools},
)

toolchain(
    name = "toolchain",
    exec_compatible_with = {exec},
    target_compatible_with = {target},
    toolchain = ":tools",
    toolchain_type = ":toolchain_type",
)
)",
             fmt::arg("folder", FolderOf(manifest)),
             fmt::arg("tools", StarlarkDict(manifest.tools, 4)),
             fmt::arg("exec", Constraints(WhereItRuns(input), manifest.exec_compatible_with)),
             fmt::arg("target", Constraints({}, manifest.target_compatible_with)));
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

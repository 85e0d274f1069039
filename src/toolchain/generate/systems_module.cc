// The part of the Bazel module for other systems than that of the first toolchain: compilers that
// run there, and those that run here and build for there. Each has a folder, generated-<name>, and
// is chosen by the processors of the two platforms alone: //generated-cc/config:platform and
// :platform-<cpu>, either of which may be what builds and what is built for.
#include <algorithm>
#include <iterator>

#include "toolchain/generate/parts.h"

namespace lre::toolchain {
namespace {

bool RunsElsewhere(const GenerateInput& input, const Manifest& manifest) {
  return manifest.system != input.manifest.system;
}

std::string ConfigBuild(const Manifest& manifest) {
  const std::string exec = CpuOf(manifest.system), target = CpuOf(manifest.Target());
  return FileHead(manifest, "#",
                  fmt::format("A compiler that runs on {} and builds for {}.", exec, target)) +
         std::string(kPublicPackage) + "\n" +
         Registration({.name = "cc-toolchain",
                       .exec = LreOn(exec, manifest.exec_compatible_with),
                       .target = LinuxOn(target, manifest.target_compatible_with),
                       .label = "//" + FolderOf(manifest) + "/cc:cc",
                       .type = std::string(kCcToolchainType)});
}

}  // namespace

std::string OtherPlatforms(const GenerateInput& input) {
  std::string out;
  for (const std::string& cpu : input.other_cpus) {
    out += fmt::format(
        R"(
# --platforms=this builds for {0} here; --config={0} does it there.
platform(
    name = "platform-{0}",
    constraint_values = [
        ":lre",
        "@platforms//cpu:{0}",
        "@platforms//os:linux",
    ],
    exec_properties = {{
        "ISA": "{1}",
        "OSFamily": "linux",
    }},
)
)",
        cpu, IsaOf(cpu));
  }
  return out;
}

std::vector<GeneratedFile> SystemsModule(const GenerateInput& input) {
  std::vector<GeneratedFile> files;
  for (const Manifest* foreign : input.foreign) {
    const std::string folder = "local-remote-execution/" + FolderOf(*foreign);
    files.push_back({"local-remote-execution/" + foreign->name + ".json", PrintManifest(*foreign)});
    files.push_back({folder + "/config/BUILD.bazel", ConfigBuild(*foreign)});
    // What runs elsewhere takes its shell and userland from there too.
    Result<GenerateInput> there = MakeGenerateInput(*foreign);
    const bool elsewhere = RunsElsewhere(input, *foreign) && there;
    if (elsewhere) there->python = PythonOf(input, foreign->Target());
    std::ranges::move(CcPackage(elsewhere ? *there : input, *foreign, folder + "/cc"),
                      std::back_inserter(files));
  }
  return files;
}

std::vector<std::string> SystemsToolchainLabels(const GenerateInput& input, bool clang) {
  std::vector<std::string> labels;
  for (const Manifest* foreign : input.foreign) {
    // What builds on one system for another is clang anyway.
    const bool chosen = foreign->cc->compiler == "clang" && foreign->target.empty();
    if (chosen == clang)
      labels.push_back(
          fmt::format("@local-remote-execution//{}/config:cc-toolchain", FolderOf(*foreign)));
  }
  return labels;
}

std::string SystemsConfigs(const GenerateInput& input, const GenerateOptions& options) {
  std::string out;
  const std::string& prefix = options.bazelrc_prefix;
  for (const Manifest* foreign : input.foreign) {
    if (!RunsElsewhere(input, *foreign) || foreign->cc->compiler == "clang") continue;
    const Result<GenerateInput> there = MakeGenerateInput(*foreign);
    if (!there) continue;
    const std::string name = (prefix.empty() ? "" : prefix + "-") + there->cpu;
    out += fmt::format("\n# Everything on workers of {0}: what is built and what builds it.\n",
                       there->cpu);
    if (!prefix.empty()) out += fmt::format("build:{} --config={}\n", name, prefix);
    const std::string platform =
        "@local-remote-execution//generated-cc/config:platform-" + there->cpu;
    for (const std::string& flag :
         {"--extra_execution_platforms=" + platform, "--host_platform=" + platform,
          "--platforms=" + platform, "--shell_executable=" + there->shell,
          "--test_env=PATH=" + there->path}) {
      out += fmt::format("build:{} {}\n", name, flag);
    }
  }
  return out;
}

}  // namespace lre::toolchain

// lre generate and lre env: what derives from toolchain.json.
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "cli/commands.h"
#include "cli/terminal.h"
#include "cli/toolchain_files.h"
#include "toolchain/generate/generate.h"

namespace lre::cli {
namespace {

struct GenerateFlags {
  std::string manifest = kManifestFile;
  std::vector<std::string> further;
  std::string output = ".";
  bool without_environment = false;
  std::string prefix;
  bool check = false;
};

Status RunGenerate(const GenerateFlags& flags) {
  TRY_ASSIGN(toolchain::Manifest manifest, ReadManifest(flags.manifest));
  toolchain::GenerateOptions options{.with_environment = !flags.without_environment,
                                     .bazelrc_prefix = flags.prefix};
  if (flags.manifest == kManifestFile && flags.further.empty()) {
    TRY_ASSIGN(options.further, ReadFurtherManifests(flags.manifest));
  }
  for (const std::string& path : flags.further) {
    TRY_ASSIGN(toolchain::Manifest further, ReadManifest(path));
    options.further.push_back(std::move(further));
  }
  TRY_ASSIGN(std::vector<toolchain::GeneratedFile> files, toolchain::Generate(manifest, options));
  size_t changed = 0;
  for (const toolchain::GeneratedFile& file : files) {
    const std::string path = flags.output + "/" + file.path;
    bool differs = false;
    if (flags.check) {
      Result<std::string> old = ReadFile(path);
      differs = !old || *old != file.text;
    } else {
      TRY_ASSIGN(differs, WriteIfChanged(path, file.text));
    }
    if (!differs) continue;
    changed++;
    PrintLine((flags.check ? "stale: " : "written: ") + file.path);
  }
  PrintLine(fmt::format("{} files of {}, {} {}", files.size(), manifest.name, changed,
                        flags.check ? "stale" : "written"));
  if (flags.check && changed > 0) {
    return Status(Code::kFailedPrecondition, "generated files are stale; run `lre generate`");
  }
  return Status();
}

Status RunEnv(const std::string& path, bool json) {
  TRY_ASSIGN(toolchain::Manifest manifest, ReadManifest(path));
  if (json) {
    Print(nlohmann::json(manifest.env).dump(2) + "\n");
    return Status();
  }
  for (const auto& [name, value] : manifest.env) {
    PrintLine(fmt::format("export {}={}", name, ShellQuote(value)));
  }
  return Status();
}

}  // namespace

void AddGenerateCommand(App& app) {
  CLI::App* command = app.cli.add_subcommand(
      "generate", "Write the files that build tools read, from toolchain.json");
  command->footer(
      "The Bazel module local-remote-execution/, lre.bazelrc, a CMake toolchain file and more.\n"
      "Examples:\n"
      "  lre generate\n"
      "  lre generate --bazelrc-prefix lre    flags hold only under --config=lre\n"
      "  lre generate --check                 exit code 1 when something is stale");
  auto flags = std::make_shared<GenerateFlags>();
  command
      ->add_option("--manifest", flags->manifest,
                   "The manifest [local-remote-execution/toolchain.json]")
      ->type_name("FILE");
  command
      ->add_option("--further", flags->further,
                   "Manifests of further toolchains [all beside the default manifest]")
      ->type_name("FILE...");
  command->add_option("--output", flags->output, "The project's root [.]")->type_name("DIR");
  command->add_flag("--without-environment", flags->without_environment,
                    "lre.bazelrc for machines that do not have the toolchain: remote only");
  command->add_option("--bazelrc-prefix", flags->prefix, "Name of the --config for the flags")
      ->type_name("NAME");
  command->add_flag("--check", flags->check, "Write nothing, say what is stale");
  command->callback([&app, flags] { app.action = [flags] { return RunGenerate(*flags); }; });
}

void AddEnvCommand(App& app) {
  CLI::App* command =
      app.cli.add_subcommand("env", "Print the toolchain's environment as shell lines");
  command->footer("Examples:\n  eval \"$(lre env)\"; $CC --version\n  lre env --json");
  auto manifest = std::make_shared<std::string>(kManifestFile);
  auto json = std::make_shared<bool>(false);
  command
      ->add_option("--manifest", *manifest, "The manifest [local-remote-execution/toolchain.json]")
      ->type_name("FILE");
  command->add_flag("--json", *json, "As JSON");
  command->callback(
      [&app, manifest, json] { app.action = [=] { return RunEnv(*manifest, *json); }; });
}

}  // namespace lre::cli

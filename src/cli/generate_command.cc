// lre generate and lre env: what derives from toolchain.json.
#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "cli/commands.h"
#include "cli/generate_project.h"
#include "cli/imported_module.h"
#include "cli/terminal.h"
#include "cli/toolchain_files.h"
#include "toolchain/fetch/resolve.h"

namespace lre::cli {
namespace {

constexpr const char* kNamesOfOthers[] = {".envrc", "recc.conf"};

Status RunGenerate(const GenerateFlags& flags) {
  TRY_ASSIGN(const toolchain::Manifest manifest, ReadManifest(flags.manifest));
  TRY_ASSIGN(const std::vector<toolchain::GeneratedFile> files, GenerateProject(flags));
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
  for (const char* name : kNamesOfOthers) {
    if (!IsOfTheProject(flags.output, name)) continue;
    PrintNote(fmt::format("{} is yours and stays; to have that of LRE, move it away", name));
  }
  PrintLine(fmt::format("{} files of {}, {} {}", files.size(), manifest.name, changed,
                        flags.check ? "stale" : "written"));
  if (flags.check && changed > 0) {
    return Status(Code::kFailedPrecondition, "generated files are stale; run `lre generate`");
  }
  return Status();
}

Status RunEnv(const std::string& given, bool json) {
  TRY_ASSIGN(const std::string path, ManifestForEnv(given));
  TRY_ASSIGN(toolchain::Manifest manifest, ReadManifest(path));
  TRY(CheckPathsAreHere(manifest));
  if (json) {
    Print(nlohmann::json(manifest.env).dump(2) + "\n");
    return Status();
  }
  for (const auto& [name, value] : manifest.env) {
    // The toolchain's programs come first; editors, git and lre itself are still found.
    const bool path = name == "PATH";
    if (path && value.empty()) continue;
    PrintLine(
        fmt::format("export {}={}{}", name, ShellQuote(value), path ? "\"${PATH:+:$PATH}\"" : ""));
  }
  return Status();
}

}  // namespace

std::string BazelrcPrefixOf(std::string_view bazelrc) {
  constexpr std::string_view kStart = "\nbuild:", kEnd = " --repo_env=BAZEL_DO_NOT_DETECT";
  for (size_t at = bazelrc.find(kStart); at != bazelrc.npos; at = bazelrc.find(kStart, at + 1)) {
    const std::string_view line = bazelrc.substr(at + kStart.size());
    const size_t end = line.find(' ');
    if (end != line.npos && line.substr(end).starts_with(kEnd))
      return std::string(line.substr(0, end));
  }
  return "";
}

bool IsOfTheProject(const std::string& output, const std::string& path) {
  if (std::find(std::begin(kNamesOfOthers), std::end(kNamesOfOthers), path) ==
      std::end(kNamesOfOthers))
    return false;
  const Result<std::string> text = ReadFile(output + "/" + path);
  return text && text->find("Written by `lre generate`") == text->npos;
}

Status CheckFirstToolchain(const toolchain::Manifest& manifest) {
  if (manifest.cc) return Status();
  return ErrorStatus(Code::kFailedPrecondition,
                     "toolchain {} has no compiler, and the Bazel module is made around one: name "
                     "{} in {} too, as `lre init` does in a new project",
                     manifest.name, kFirstToolchain, kSpecFile);
}

Result<std::string> ManifestForEnv(const std::string& given) {
  if (given != kManifestFile || FileExists(given)) return given;
  TRY_ASSIGN(const std::string cache, toolchain::DefaultCacheDirectory());
  TRY_ASSIGN(const std::optional<ImportedModule> module,
             FindImportedModule(cache, /*may_download=*/false));
  return module ? module->folder + "/toolchain.json" : given;
}

Status CheckPathsAreHere(const toolchain::Manifest& manifest) {
  for (const toolchain::StorePath& path : manifest.paths) {
    if (FileExists(path.path)) continue;
    return ErrorStatus(Code::kNotFound, "{} is not here; run `lre sync {}`", path.path,
                       manifest.name);
  }
  return Status();
}

Result<std::vector<toolchain::GeneratedFile>> GenerateProject(const GenerateFlags& flags) {
  TRY_ASSIGN(const toolchain::Manifest manifest, ReadManifest(flags.manifest));
  TRY(CheckFirstToolchain(manifest));
  // A project has chosen its prefix once.
  const std::string prefix =
      flags.prefix.value_or(BazelrcPrefixOf(ReadFile(flags.output + "/lre.bazelrc").value_or("")));
  toolchain::GenerateOptions options{.with_environment = !flags.without_environment,
                                     .bazelrc_prefix = prefix};
  if ((flags.manifest == kManifestFile || flags.with_all_beside) && flags.further.empty()) {
    TRY_ASSIGN(options.further, ReadFurtherManifests(flags.manifest));
  }
  for (const std::string& path : flags.further) {
    TRY_ASSIGN(toolchain::Manifest further, ReadManifest(path));
    options.further.push_back(std::move(further));
  }
  TRY_ASSIGN(std::vector<toolchain::GeneratedFile> files, toolchain::Generate(manifest, options));
  std::erase_if(files, [&](const toolchain::GeneratedFile& file) {
    return IsOfTheProject(flags.output, file.path);
  });
  return files;
}

void AddGenerateCommand(App& app) {
  CLI::App* command = app.cli.add_subcommand(
      "generate", "Write the files that build tools read, from toolchain.json");
  command->alias("generate-toolchains");
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
      ->type_name("FILE");
  command->add_option("--output", flags->output, "The project's root [.]")->type_name("DIR");
  command->add_flag("--without-environment", flags->without_environment,
                    "lre.bazelrc for machines that do not have the toolchain: remote only");
  command
      ->add_option("--bazelrc-prefix", flags->prefix,
                   "Name of the --config for the flags; \"\": none [that of the lre.bazelrc there]")
      ->type_name("NAME");
  command->add_flag("--check", flags->check, "Write nothing, say what is stale");
  command->callback([&app, flags] { app.action = [flags] { return RunGenerate(*flags); }; });
}

void AddEnvCommand(App& app) {
  CLI::App* command =
      app.cli.add_subcommand("env", "Print the toolchain's environment as shell lines");
  command->footer(
      "The toolchain's programs come before those of PATH. Downloads nothing: of what is missing "
      "it "
      "says,\n"
      "in one line, which command makes it.\n"
      "Examples:\n  eval \"$(lre env)\"; $CC --version\n  lre env --json");
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

// lre store: lists, checks and clears /lre/store.
#include "base/file.h"
#include "base/quantity.h"
#include "cli/commands.h"
#include "cli/terminal.h"
#include "cli/toolchain_files.h"
#include "toolchain/root/toolchain_store.h"

namespace lre::cli {
namespace {

Status List() {
  TRY_ASSIGN(auto store, toolchain::ToolchainStore::Open());
  TRY_ASSIGN(std::vector<toolchain::StorePath> paths, store->List());
  uint64_t total = 0;
  for (const toolchain::StorePath& path : paths) {
    PrintLine(fmt::format("{:>10}  {}", FormatSize(path.size_bytes), path.path));
    total += path.size_bytes;
  }
  PrintLine(fmt::format("{:>10}  in {} store paths", FormatSize(total), paths.size()));
  return Status();
}

Status Verify(std::vector<std::string> wanted) {
  TRY_ASSIGN(auto store, toolchain::ToolchainStore::Open());
  if (wanted.empty()) {
    TRY_ASSIGN(std::vector<toolchain::StorePath> paths, store->List());
    for (const toolchain::StorePath& path : paths) wanted.push_back(path.path);
  }
  size_t damages = 0;
  Progress progress(SystemClock());
  for (const std::string& path : wanted) {
    progress.Show("verifying", path);
    TRY_ASSIGN(std::vector<toolchain::StoreDamage> damaged, store->Verify(path));
    for (const toolchain::StoreDamage& damage : damaged) {
      progress.Clear();
      PrintLine(fmt::format("{}: {}", damage.path, damage.reason));
    }
    damages += damaged.size();
  }
  progress.Clear();
  if (damages > 0) {
    return ErrorStatus(
        Code::kDataLoss,
        "{} files are not what was recorded; remove their store paths (chmod -R u+w, "
        "rm -r) and run `lre sync`",
        damages);
  }
  PrintLine(fmt::format("{} store paths are as they were recorded", wanted.size()));
  return Status();
}

struct GcFlags {
  std::vector<std::string> keep;
  bool dry_run = false;
  bool all = false;
};

Status Gc(GcFlags flags) {
  if (flags.keep.empty() && FileExists(kManifestFile)) flags.keep.push_back(kManifestFile);
  if (flags.keep.empty() && !flags.all) {
    return Status(Code::kInvalidArgument,
                  "nothing says what to keep: name manifests with --keep, run it where "
                  "toolchain.json is, or say --all to remove everything");
  }
  toolchain::GcOptions options{.dry_run = flags.dry_run};
  for (const std::string& file : flags.keep) {
    TRY_ASSIGN(toolchain::Manifest manifest, ReadManifest(file));
    for (const toolchain::StorePath& path : manifest.paths) options.roots.push_back(path.path);
  }
  TRY_ASSIGN(auto store, toolchain::ToolchainStore::Open());
  TRY_ASSIGN(toolchain::GcReport report, store->CollectGarbage(options));
  for (const std::string& path : report.removed) {
    PrintLine((flags.dry_run ? "would remove " : "removed ") + path);
  }
  PrintLine(
      fmt::format("{} store paths, {}", report.removed.size(), FormatSize(report.freed_bytes)));
  return Status();
}

}  // namespace

void AddStoreCommand(App& app) {
  CLI::App* command = app.cli.add_subcommand("store", "List, check and clear /lre/store");
  command->require_subcommand(1);
  command->footer(
      "Examples:\n  lre store list\n  lre store verify\n  lre store gc --keep PATH/toolchain.json "
      "--dry-run");

  command->add_subcommand("list", "Store paths and their sizes")->callback([&app] {
    app.action = List;
  });

  CLI::App* verify = command->add_subcommand("verify", "Hash store paths again and compare");
  auto wanted = std::make_shared<std::vector<std::string>>();
  verify->add_option("PATH", *wanted, "Which ones; all when not given");
  verify->callback([&app, wanted] { app.action = [wanted] { return Verify(*wanted); }; });

  CLI::App* gc = command->add_subcommand("gc", "Remove what no manifest names");
  auto flags = std::make_shared<GcFlags>();
  gc->add_option("--keep", flags->keep,
                 "Manifests whose paths stay [local-remote-execution/toolchain.json]")
      ->type_name("FILE...");
  gc->add_flag("--dry-run", flags->dry_run, "Only say what would go");
  gc->add_flag("--all", flags->all, "Keep nothing");
  gc->callback([&app, flags] { app.action = [flags] { return Gc(*flags); }; });
}

}  // namespace lre::cli

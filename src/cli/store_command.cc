// lre store: lists, checks, clears and carries what is in /lre/store.
#include <algorithm>
#include <map>
#include <set>

#include "base/file.h"
#include "base/quantity.h"
#include "cli/commands.h"
#include "cli/terminal.h"
#include "cli/toolchain_files.h"
#include "toolchain/root/archive_paths.h"
#include "toolchain/root/roots.h"
#include "toolchain/root/toolchain_store.h"

namespace lre::cli {
namespace {

using toolchain::StorePath;
using toolchain::ToolchainStore;

// The store paths that a project's manifest names and that are here.
std::vector<std::string> PathsOfRoot(const ToolchainStore& store, const std::string& file) {
  std::vector<std::string> paths;
  // A manifest that is half written or of a later version keeps nothing it does not name.
  if (Result<toolchain::Manifest> manifest = ReadManifest(file))
    for (const StorePath& path : manifest->paths)
      if (store.Contains(path.path)) paths.push_back(path.path);
  return paths;
}

Status List() {
  TRY_ASSIGN(auto store, ToolchainStore::Open());
  TRY_ASSIGN(std::vector<StorePath> paths, store->List());
  TRY_ASSIGN(std::vector<std::string> roots, toolchain::ListRoots(store->prefix()));
  std::map<std::string, int> referrers, projects;
  for (const StorePath& path : paths)
    for (const std::string& reference : path.references) ++referrers[reference];
  for (const std::string& root : roots)
    for (const std::string& path : PathsOfRoot(*store, root)) ++projects[path];
  uint64_t total = 0;
  PrintLine("      size  needed by   projects");
  for (const StorePath& path : paths) {
    PrintLine(fmt::format("{:>10}  {:>3} paths  {:>9}  {}{}", FormatSize(path.size_bytes),
                          referrers[path.path], projects[path.path], path.path,
                          store->IsFetched(path.path) ? "  (fetched)" : ""));
    total += path.size_bytes;
  }
  PrintLine(fmt::format("{:>10}  in {} store paths; projects:", FormatSize(total), paths.size()));
  for (const std::string& root : roots) PrintLine("            " + root);
  return Status();
}

Status Verify(std::vector<std::string> wanted) {
  TRY_ASSIGN(auto store, ToolchainStore::Open());
  if (wanted.empty()) {
    TRY_ASSIGN(std::vector<StorePath> paths, store->List());
    for (const StorePath& path : paths) wanted.push_back(path.path);
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
  TRY_ASSIGN(auto store, ToolchainStore::Open());
  toolchain::GcOptions options{.dry_run = flags.dry_run};
  // A file that was named must be readable; one that a project has lost keeps nothing.
  for (const std::string& file : flags.keep) {
    TRY_ASSIGN(toolchain::Manifest manifest, ReadManifest(file));
    for (const StorePath& path : manifest.paths) options.roots.push_back(path.path);
  }
  TRY_ASSIGN(std::vector<std::string> roots, toolchain::ListRoots(store->prefix()));
  if (FileExists(kManifestFile)) roots.push_back(kManifestFile);
  if (flags.all) roots.clear();
  for (const std::string& root : roots)
    for (std::string& path : PathsOfRoot(*store, root)) options.roots.push_back(std::move(path));
  if (roots.empty() && flags.keep.empty() && !flags.all) {
    return Status(Code::kInvalidArgument,
                  "no project uses this store and nothing says what to keep: name manifests with "
                  "--keep, run it where toolchain.json is, or say --all to remove everything");
  }
  TRY_ASSIGN(toolchain::GcReport report, store->CollectGarbage(options));
  for (const std::string& path : report.removed) {
    PrintLine((flags.dry_run ? "would remove " : "removed ") + path);
  }
  for (const std::string& path : report.in_use) PrintLine("in use, kept " + path);
  PrintLine(
      fmt::format("{} store paths, {}", report.removed.size(), FormatSize(report.freed_bytes)));
  return Status();
}

struct ExportFlags {
  std::string file;
  std::vector<std::string> what;  // paths or manifests
};

Status Export(const ExportFlags& flags) {
  TRY_ASSIGN(auto store, ToolchainStore::Open());
  std::vector<std::string> roots;
  std::vector<std::string> what = flags.what;
  if (what.empty()) what.push_back(kManifestFile);
  for (const std::string& name : what) {
    if (name.starts_with(store->prefix() + "/")) {
      roots.push_back(name);
      continue;
    }
    TRY_ASSIGN(toolchain::Manifest manifest, ReadManifest(name));
    for (const StorePath& path : manifest.paths) roots.push_back(path.path);
  }
  TRY_ASSIGN(UniqueFd hold, store->HoldOffGarbageCollection());
  TRY_ASSIGN(std::vector<StorePath> paths, store->Closure(roots));
  Progress progress(SystemClock());
  toolchain::ArchiveOptions options;
  options.progress = [&](std::string_view path) { progress.Show("exporting", path); };
  TRY(toolchain::ExportPaths(*store, paths, flags.file, options));
  progress.Clear();
  PrintLine(fmt::format("{}: {} store paths", flags.file, paths.size()));
  return Status();
}

Status Import(const std::string& file) {
  TRY_ASSIGN(auto store, ToolchainStore::Open());
  Progress progress(SystemClock());
  toolchain::ArchiveOptions options;
  options.progress = [&](std::string_view path) { progress.Show("importing", path); };
  TRY_ASSIGN(toolchain::ImportReport report, toolchain::ImportPaths(*store, file, options));
  progress.Clear();
  for (const std::string& path : report.added) PrintLine("added " + path);
  PrintLine(fmt::format("{} store paths added, {} were here", report.added.size(),
                        report.present.size()));
  return Status();
}

void AddGcCommand(App& app, CLI::App& command) {
  CLI::App* gc = command.add_subcommand("gc", "Remove what no project names");
  auto flags = std::make_shared<GcFlags>();
  gc->add_option("--keep", flags->keep, "Further manifests whose paths stay")->type_name("FILE");
  gc->add_flag("--dry-run", flags->dry_run, "Only say what would go");
  gc->add_flag("--all", flags->all, "Keep nothing but what --keep names and what is in use");
  gc->callback([&app, flags] { app.action = [flags] { return Gc(*flags); }; });
}

void AddExportCommand(App& app, CLI::App& command) {
  CLI::App* export_command =
      command.add_subcommand("export", "Write store paths, with all they need, into one file");
  auto flags = std::make_shared<ExportFlags>();
  export_command->add_option("FILE", flags->file, "What to write (a .tar.zst)")->required();
  export_command->add_option("WHAT", flags->what,
                             "Store paths or manifests [local-remote-execution/toolchain.json]");
  export_command->callback([&app, flags] { app.action = [flags] { return Export(*flags); }; });

  CLI::App* import_command = command.add_subcommand("import", "Add what such a file holds");
  auto file = std::make_shared<std::string>();
  import_command->add_option("FILE", *file, "Written by export")->required();
  import_command->callback([&app, file] { app.action = [file] { return Import(*file); }; });
}

}  // namespace

void AddStoreCommand(App& app) {
  CLI::App* command =
      app.cli.add_subcommand("store", "List, check, clear and carry what is in /lre/store");
  command->require_subcommand(1);
  command->footer(
      "Examples:\n  lre store list\n  lre store verify\n  lre store gc --dry-run\n"
      "  lre store export toolchain.tar.zst\n  lre store import toolchain.tar.zst");

  command->add_subcommand("list", "Store paths, their sizes, and who needs them")->callback([&app] {
    app.action = List;
  });

  CLI::App* verify = command->add_subcommand("verify", "Hash store paths again and compare");
  auto wanted = std::make_shared<std::vector<std::string>>();
  verify->add_option("PATH", *wanted, "Which ones; all when not given");
  verify->callback([&app, wanted] { app.action = [wanted] { return Verify(*wanted); }; });

  AddGcCommand(app, *command);
  AddExportCommand(app, *command);
  // In place of those above, which each would show.
  for (const auto& [name, example] : std::map<std::string, std::string>{
           {"list", "lre store list"},
           {"verify", "lre store verify /lre/store/<hash>-gcc"},
           {"gc", "lre store gc --dry-run"},
           {"export", "lre store export toolchain.tar.zst local-remote-execution/toolchain.json"},
           {"import", "lre store import toolchain.tar.zst"}}) {
    command->get_subcommand(name)->footer("Example:\n  " + example);
  }
}

}  // namespace lre::cli

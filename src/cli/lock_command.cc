// lre lock: from lre.toml to lre.lock.
#include "base/file.h"
#include "cli/commands.h"
#include "cli/terminal.h"
#include "cli/toolchain_files.h"
#include "http_client/http_client.h"
#include "toolchain/fetch/extra_files.h"
#include "toolchain/fetch/resolve.h"
#include "toolchain/lock/solver.h"
#include "toolchain/spec/spec.h"

namespace lre::cli {
namespace {

struct LockFlags {
  std::string spec = kSpecFile;
  std::string lock = kLockFile;
  std::vector<std::string> update;
  bool fresh = false;
  bool explain = false;
  bool ignore_valid_until = false;
};

void PrintChanges(const toolchain::Lock& before, const toolchain::Lock& after) {
  const auto changes = toolchain::CompareLocks(before, after);
  for (const toolchain::LockChange& change : changes) {
    if (change.before.empty()) {
      PrintLine(fmt::format("  + {} {} ({})", change.package, change.after, change.suite));
    } else if (change.after.empty()) {
      PrintLine(fmt::format("  - {} {}", change.package, change.before));
    } else {
      PrintLine(fmt::format("  {} {} -> {} ({})", change.package, change.before, change.after,
                            change.suite));
    }
  }
}

Status Run(const LockFlags& flags) {
  TRY_ASSIGN(toolchain::Spec spec, ReadSpec(flags.spec));
  if (flags.explain) {
    Print(toolchain::ExplainSpec(spec));
    return Status();
  }
  TRY(toolchain::PinExtras(FolderOf(flags.spec), &spec));
  toolchain::Lock previous;
  const bool has_previous = !flags.fresh && FileExists(flags.lock);
  if (has_previous) {
    TRY_ASSIGN(previous, ReadLock(flags.lock));
  }
  if (!has_previous && !flags.update.empty()) {
    return ErrorStatus(Code::kInvalidArgument, "--update needs a lock, and {} is not here",
                       flags.lock);
  }
  const toolchain::AptConfiguration apt = toolchain::ReadAptConfiguration();
  TRY_ASSIGN(toolchain::Mirrors mirrors, toolchain::ChooseMirrors(spec, apt));
  for (const std::string& suite : mirrors.without) {
    PrintLine(Coloured("note:", Colour::kYellow) + " no mirror offers the suite " + suite +
              "; it is left out");
  }
  HttpClient http(toolchain::HttpOptionsOf(apt));
  Progress progress(SystemClock());
  toolchain::ResolveOptions options;
  options.solve.previous = has_previous ? &previous : nullptr;
  options.solve.update = flags.update;
  options.check_valid_until = apt.check_valid_until && !flags.ignore_valid_until;
  options.progress = [&](std::string_view what) { progress.Show("locking:", what); };
  TRY_ASSIGN(toolchain::Lock lock, toolchain::Resolve(spec, mirrors, http, options));
  progress.Clear();
  TRY_ASSIGN(const bool written, WriteIfChanged(flags.lock, toolchain::PrintLock(lock)));
  PrintLine(fmt::format("{}: {} packages in {} store paths, {}", flags.lock, lock.packages.size(),
                        lock.paths.size(), written ? "written" : "unchanged"));
  if (written && has_previous) PrintChanges(previous, lock);
  return Status();
}

}  // namespace

void AddLockCommand(App& app) {
  CLI::App* command =
      app.cli.add_subcommand("lock", "Resolve lre.toml to exact packages in lre.lock");
  command->footer(
      "Packages that are locked keep their versions while the archive has them.\n"
      "Examples:\n"
      "  lre lock                           after a change of lre.toml\n"
      "  lre lock --update binutils gcc-12  newer versions of these\n"
      "  lre lock --fresh                   newest versions of everything\n"
      "  lre lock --explain                 say what lre.toml means");
  auto flags = std::make_shared<LockFlags>();
  command->add_option("--spec", flags->spec, "The request [lre.toml]")->type_name("FILE");
  command->add_option("--lock", flags->lock, "The lock [lre.lock]")->type_name("FILE");
  command->add_option("--update", flags->update, "Packages to choose afresh")->type_name("NAME...");
  command->add_flag("--fresh", flags->fresh, "Do not look at the lock there is");
  command->add_flag("--explain", flags->explain, "Only say what the request means");
  command->add_flag("--ignore-valid-until", flags->ignore_valid_until,
                    "Take archive indices that are past their day");
  command->callback([&app, flags] { app.action = [flags] { return Run(*flags); }; });
}

}  // namespace lre::cli

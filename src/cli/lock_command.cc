// lre lock: from lre.toml to lre.lock.
#include "base/file.h"
#include "cli/commands.h"
#include "cli/terminal.h"
#include "cli/toolchain_files.h"
#include "http_client/http_client.h"
#include "toolchain/fetch/extra_files.h"
#include "toolchain/fetch/resolve.h"
#include "toolchain/lock/changes.h"
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
  const auto lines = toolchain::DescribeChanges(toolchain::CompareLocks(before, after));
  if (lines.empty()) PrintLine("  the same packages; store paths or settings are others");
  for (const toolchain::LockChangeLine& line : lines) {
    PrintLine("  " + (line.security ? Coloured(line.text, Colour::kYellow) : line.text));
  }
}

Status Run(const LockFlags& flags) {
  TRY_ASSIGN(toolchain::Spec spec, ReadSpec(flags.spec));
  if (flags.explain) {
    Print(toolchain::ExplainSpec(spec));
    return Status();
  }
  toolchain::Lock previous;
  bool has_previous = FileExists(flags.lock);
  if (has_previous) {
    Result<toolchain::Lock> read = ReadLock(flags.lock);
    // Who asks for a fresh one may have a damaged one.
    if (!read && !flags.fresh) return read.error();
    has_previous = read.has_value();
    if (read) previous = std::move(*read);
  }
  if (!flags.update.empty() && (!has_previous || flags.fresh)) {
    return ErrorStatus(Code::kInvalidArgument,
                       "--update needs a lock to keep the rest of: {} is not here, or --fresh is "
                       "given",
                       flags.lock);
  }
  const toolchain::AptConfiguration apt = toolchain::ReadAptConfiguration();
  HttpClient http(toolchain::HttpOptionsOf(apt));
  TRY(toolchain::PinExtras({.folder = FolderOf(flags.spec),
                            .http = &http,
                            .previous = has_previous ? &previous : nullptr},
                           &spec));
  TRY_ASSIGN(toolchain::Mirrors mirrors, toolchain::ChooseMirrors(spec, apt));
  for (const std::string& suite : mirrors.without) {
    PrintNote(fmt::format("no mirror offers the suite {}; it is left out", suite));
  }
  Progress progress(SystemClock());
  toolchain::ResolveOptions options;
  options.solve.previous = has_previous && !flags.fresh ? &previous : nullptr;
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
      "Packages that are locked keep their versions while the archive has them. What changed is\n"
      "printed, security fixes by that name. After a merge that git could not end, take either "
      "lock\n"
      "whole and run it again: it adds what the merged lre.toml asks for.\n"
      "Examples:\n"
      "  lre lock                           after a change of lre.toml\n"
      "  lre lock --update binutils gcc-12  newer versions of these\n"
      "  lre lock --fresh                   newest versions of everything\n"
      "  lre lock --explain                 say what lre.toml means");
  auto flags = std::make_shared<LockFlags>();
  command->add_option("--spec", flags->spec, "The request [lre.toml]")->type_name("FILE");
  command->add_option("--lock", flags->lock, "The lock [lre.lock]")->type_name("FILE");
  command->add_option("--update", flags->update, "Packages to choose afresh")->type_name("NAME");
  command->add_flag("--fresh", flags->fresh, "Choose every package afresh");
  command->add_flag("--explain", flags->explain, "Only say what the request means");
  command->add_flag("--ignore-valid-until", flags->ignore_valid_until,
                    "Take archive indices that are past their day");
  command->callback([&app, flags] { app.action = [flags] { return Run(*flags); }; });
}

}  // namespace lre::cli

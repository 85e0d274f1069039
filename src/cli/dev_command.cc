// lre dev: tries a change of a toolchain: edit, make, generate, push, build.
#include "base/quantity.h"
#include "cli/commands.h"
#include "cli/generate_project.h"
#include "cli/push.h"
#include "cli/sync_toolchain.h"
#include "toolchain/root/development.h"

namespace lre::cli {
namespace {

struct DevFlags {
  std::string toolchain;
  std::vector<std::string> changes;  // "sysroot=DIR"
  bool whole = false;
  bool copy = false;
  bool push = false;
  bool self_test = false;
  SyncFlags sync;
  ServerFlags server;
};

Result<std::vector<toolchain::Overlay>> ParseChanges(const DevFlags& flags) {
  std::vector<toolchain::Overlay> overlays;
  for (const std::string& change : flags.changes) {
    const size_t equals = change.find('=');
    if (equals == 0 || equals == change.npos || equals + 1 == change.size()) {
      return Error(Code::kInvalidArgument, "'{}' is not ROLE=DIR, as in sysroot=overlay", change);
    }
    overlays.push_back({.role = change.substr(0, equals),
                        .directory = change.substr(equals + 1),
                        .whole = flags.whole});
  }
  return overlays;
}

Status Copy(const toolchain::Manifest& manifest, const std::vector<toolchain::Overlay>& copies) {
  for (const toolchain::Overlay& copy : copies) {
    const toolchain::StorePath* path = manifest.Find(copy.role);
    if (path == nullptr) {
      return ErrorStatus(Code::kNotFound, "{} has no path with role {}", manifest.name, copy.role);
    }
    TRY(toolchain::CopyForEditing(*path, copy.directory));
    PrintLine(fmt::format("{} holds {}; when it is edited: lre dev {} {}={} --whole",
                          copy.directory, path->path, manifest.name, copy.role, copy.directory));
  }
  return Status();
}

Status Run(const DevFlags& flags) {
  const Instant started = SystemClock().Now();
  TRY_ASSIGN(const toolchain::Lock lock, ReadLock(flags.sync.lock));
  TRY_ASSIGN(const std::vector<toolchain::Overlay> overlays, ParseChanges(flags));
  Progress progress(SystemClock());
  toolchain::DevelopmentOptions options{.self_test = flags.self_test};
  TRY_ASSIGN(options.sync, FetchForSync(lock, flags.toolchain, flags.sync, progress));
  ShownSync shown(progress);
  if (flags.copy) {
    TRY_ASSIGN(const toolchain::Manifest manifest,
               toolchain::SyncToolchain(lock, flags.toolchain, options.sync, shown));
    progress.Clear();
    return Copy(manifest, overlays);
  }
  TRY_ASSIGN(const toolchain::Manifest manifest,
             toolchain::DevelopToolchain(lock, flags.toolchain, overlays, options, shown));
  progress.Clear();
  const std::string file = ManifestFileFor(lock, flags.toolchain);
  TRY(WriteIfChanged(file, toolchain::PrintManifest(manifest)));
  TRY(KeepInStore(options.sync.prefix, file));
  for (const toolchain::Overlay& overlay : overlays) PrintLine(manifest.Find(overlay.role)->path);
  const Instant made = SystemClock().Now();
  TRY_ASSIGN(const std::vector<toolchain::GeneratedFile> files, GenerateProject({}));
  size_t written = 0;
  for (const toolchain::GeneratedFile& generated : files) {
    TRY_ASSIGN(const bool differs, WriteIfChanged(generated.path, generated.text));
    written += differs ? 1 : 0;
  }
  PrintLine(fmt::format("{}: made in {}, {} generated files written in {}", flags.toolchain,
                        FormatDuration(made - started), written,
                        FormatDuration(SystemClock().Now() - made)));
  // Not pinned: what is tried today nobody needs tomorrow.
  if (flags.push) TRY(PushManifest(file, flags.server, /*pin=*/false));
  PrintLine(fmt::format("back to the lock: lre sync {} && lre generate", flags.toolchain));
  return Status();
}

}  // namespace

void AddDevCommand(App& app) {
  CLI::App* command = app.cli.add_subcommand("dev", "Try a change of a toolchain's files");
  command->footer(
      "Lays the files of DIR over the path with that role, gives it and what references it new "
      "names,\n"
      "writes the manifest and the generated files, and with --push sends workers what is new. The "
      "lock\n"
      "stays as it is; `lre check` says that the manifest is not the lock's.\n"
      "Examples:\n"
      "  mkdir -p over/usr/include && cp config.h over/usr/include/\n"
      "  lre dev lre-cc sysroot=over\n"
      "  lre dev lre-cc sysroot=over --push --server cache.example:50051\n"
      "  lre dev lre-cc sysroot=copy --copy     an editable copy; then:\n"
      "  lre dev lre-cc sysroot=copy --whole    the copy is all that the path holds");
  auto flags = std::make_shared<DevFlags>();
  command->add_option("TOOLCHAIN", flags->toolchain, "Which one")->required();
  command->add_option("ROLE=DIR", flags->changes, "What to change, and with what")->required();
  command->add_option("--lock", flags->sync.lock, "The lock [lre.lock]")->type_name("FILE");
  auto* whole = command->add_flag("--whole", flags->whole, "DIR is all that the path holds");
  command->add_flag("--copy", flags->copy, "Make DIR, a copy of the path, and no more")
      ->excludes(whole);
  command->add_flag("--self-test", flags->self_test, "Try the compilers, as a sync does");
  command->add_flag("--push", flags->push, "Send it to the server, for its workers");
  ServerFlags::Add(*command, flags->server);
  command->callback([&app, flags] { app.action = [flags] { return Run(*flags); }; });
}

}  // namespace lre::cli

// lre sync: from lre.lock to store paths on this disk, and toolchain.json.
#include <filesystem>
#include <thread>

#include "base/quantity.h"
#include "cli/commands.h"
#include "cli/terminal.h"
#include "cli/toolchain_files.h"
#include "http_client/http_client.h"
#include "toolchain/fetch/extra_files.h"
#include "toolchain/fetch/fetcher.h"
#include "toolchain/root/roots.h"
#include "toolchain/root/sync.h"

namespace lre::cli {
namespace {

struct SyncFlags {
  std::string lock = kLockFile;
  std::string spec = kSpecFile;
  std::vector<std::string> toolchains;
  std::string manifest;
  bool print = false;
};

class ShownSync final : public toolchain::SyncProgress {
 public:
  explicit ShownSync(Progress& progress) : progress_(progress) {}
  void Step(std::string_view what, std::string_view subject, int done, int total) override {
    progress_.Show(what, fmt::format("{} ({} of {})", subject, done, total));
  }

 private:
  Progress& progress_;
};

// What is needed and not in the store: from the cache, the project or the network.
Status Fetch(const toolchain::Lock& lock, const toolchain::NeededFiles& needed,
             const SyncFlags& flags, Progress& progress, toolchain::SyncOptions* options) {
  if (needed.packages.empty() && needed.extras.empty()) return Status();
  const toolchain::AptConfiguration apt = toolchain::ReadAptConfiguration();
  HttpClient http(toolchain::HttpOptionsOf(apt));
  TRY_ASSIGN(options->extras,
             toolchain::FetchExtras(http, needed.extras, {.folder = FolderOf(flags.lock)}));
  if (needed.packages.empty()) return Status();
  TRY_ASSIGN(toolchain::Mirrors mirrors, MirrorsFor(lock, flags.spec, apt));
  toolchain::FetcherOptions fetching;
  fetching.progress = [&](const toolchain::FetchProgress& now) {
    progress.Show("fetching", fmt::format("{} of {} packages, {} of {}: {}", now.packages_done,
                                          now.packages_total, FormatSize(now.bytes_done),
                                          FormatSize(now.bytes_total), now.package));
  };
  TRY_ASSIGN(options->packages, toolchain::Fetcher(http, std::move(mirrors), std::move(fetching))
                                    .Fetch(lock, needed.packages));
  return Status();
}

Status SyncOne(const toolchain::Lock& lock, const std::string& name, const SyncFlags& flags) {
  Progress progress(SystemClock());
  const Instant started = SystemClock().Now();
  toolchain::SyncOptions options;
  TRY_ASSIGN(options.lock_digest, toolchain::LockDigest(lock, name));
  options.threads = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  TRY_ASSIGN(toolchain::NeededFiles needed, toolchain::FilesToFetch(lock, name, options));
  TRY(Fetch(lock, needed, flags, progress, &options));
  ShownSync shown(progress);
  TRY_ASSIGN(toolchain::Manifest manifest, toolchain::SyncToolchain(lock, name, options, shown));
  progress.Clear();
  const std::string file = flags.manifest.empty() ? ManifestFileFor(lock, name) : flags.manifest;
  TRY_ASSIGN(const bool written, WriteIfChanged(file, toolchain::PrintManifest(manifest)));
  PrintLine(fmt::format("{}: {} store paths, {} packages fetched, {}; {} {}", name,
                        manifest.paths.size(), needed.packages.size(),
                        FormatDuration(SystemClock().Now() - started), file,
                        written ? "written" : "unchanged"));
  // So that `lre store gc`, run anywhere, keeps what this project uses.
  Status root =
      toolchain::AddRoot(options.prefix, std::filesystem::absolute(file).lexically_normal());
  // Who may only read the store cannot say what it has to keep.
  if (root.code() != Code::kPermissionDenied) TRY(root);
  if (flags.print) {
    for (const toolchain::StorePath& path : manifest.paths) PrintLine(path.path);
  }
  return Status();
}

Status Run(SyncFlags flags) {
  TRY_ASSIGN(toolchain::Lock lock, ReadLock(flags.lock));
  if (flags.toolchains.empty()) {
    for (const auto& [name, toolchain] : lock.toolchains) flags.toolchains.push_back(name);
  }
  if (flags.toolchains.empty()) {
    return ErrorStatus(Code::kInvalidArgument, "{} has no toolchain", flags.lock);
  }
  if (!flags.manifest.empty() && flags.toolchains.size() > 1) {
    return Status(Code::kInvalidArgument, "--manifest is for one toolchain; name it");
  }
  for (const std::string& name : flags.toolchains) TRY(SyncOne(lock, name, flags));
  return Status();
}

}  // namespace

void AddSyncCommand(App& app) {
  CLI::App* command =
      app.cli.add_subcommand("sync", "Make the toolchains of lre.lock in /lre/store");
  command->footer(
      "What is there already is kept; a second run takes a moment. Writes toolchain.json, from "
      "which\n`lre generate` and `lre env` derive everything else.\n"
      "Examples:\n"
      "  lre sync\n"
      "  lre sync lre-cc --print     also print the store paths");
  auto flags = std::make_shared<SyncFlags>();
  command->add_option("TOOLCHAIN", flags->toolchains, "Which ones; all of the lock when not given");
  command->add_option("--lock", flags->lock, "The lock [lre.lock]")->type_name("FILE");
  command->add_option("--spec", flags->spec, "Where mirrors are configured [lre.toml]")
      ->type_name("FILE");
  command->add_option("--manifest", flags->manifest, "Where to write the manifest")
      ->type_name("FILE");
  command->add_flag("--print", flags->print, "Print the store paths");
  command->callback([&app, flags] { app.action = [flags] { return Run(*flags); }; });
}

}  // namespace lre::cli

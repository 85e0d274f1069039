// lre sync: from lre.lock to store paths on this disk, and toolchain.json.
#include <filesystem>
#include <thread>

#include "base/quantity.h"
#include "cli/commands.h"
#include "cli/terminal.h"
#include "cli/toolchain_files.h"
#include "http_client/http_client.h"
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

Result<std::map<std::string, std::string>> Fetch(const toolchain::Lock& lock,
                                                 const std::vector<std::string>& names,
                                                 const SyncFlags& flags, Progress& progress) {
  const toolchain::AptConfiguration apt = toolchain::ReadAptConfiguration();
  TRY_ASSIGN(toolchain::Mirrors mirrors, MirrorsFor(lock, flags.spec, apt));
  HttpClient http(toolchain::HttpOptionsOf(apt));
  toolchain::FetcherOptions options;
  options.progress = [&](const toolchain::FetchProgress& now) {
    progress.Show("fetching", fmt::format("{} of {} packages, {} of {}: {}", now.packages_done,
                                          now.packages_total, FormatSize(now.bytes_done),
                                          FormatSize(now.bytes_total), now.package));
  };
  return toolchain::Fetcher(http, std::move(mirrors), std::move(options)).Fetch(lock, names);
}

Status SyncOne(const toolchain::Lock& lock, const std::string& digest, const std::string& name,
               const SyncFlags& flags) {
  Progress progress(SystemClock());
  const Instant started = SystemClock().Now();
  toolchain::SyncOptions options;
  options.lock_digest = digest;
  options.threads = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  TRY_ASSIGN(std::vector<std::string> names, toolchain::PackagesToFetch(lock, name, options));
  if (!names.empty()) {
    TRY_ASSIGN(options.packages, Fetch(lock, names, flags, progress));
  }
  ShownSync shown(progress);
  TRY_ASSIGN(toolchain::Manifest manifest, toolchain::SyncToolchain(lock, name, options, shown));
  progress.Clear();
  const std::string file = flags.manifest.empty() ? ManifestFileFor(lock, name) : flags.manifest;
  TRY_ASSIGN(const bool written, WriteIfChanged(file, toolchain::PrintManifest(manifest)));
  PrintLine(fmt::format("{}: {} store paths, {} packages fetched, {}; {} {}", name,
                        manifest.paths.size(), names.size(),
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
  std::string digest;
  TRY_ASSIGN(toolchain::Lock lock, ReadLock(flags.lock, &digest));
  if (flags.toolchains.empty()) {
    for (const auto& [name, roles] : lock.toolchains) flags.toolchains.push_back(name);
  }
  if (flags.toolchains.empty()) {
    return ErrorStatus(Code::kInvalidArgument, "{} has no toolchain", flags.lock);
  }
  if (!flags.manifest.empty() && flags.toolchains.size() > 1) {
    return Status(Code::kInvalidArgument, "--manifest is for one toolchain; name it");
  }
  for (const std::string& name : flags.toolchains) TRY(SyncOne(lock, digest, name, flags));
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

// lre sync: from lre.lock to store paths on this disk, and toolchain.json.
#include <filesystem>
#include <thread>

#include "base/file.h"
#include "base/quantity.h"
#include "cli/commands.h"
#include "cli/generate_project.h"
#include "cli/imported_module.h"
#include "cli/init_files.h"
#include "cli/package_mirror.h"
#include "cli/sync_toolchain.h"
#include "http_client/http_client.h"
#include "toolchain/fetch/extra_files.h"
#include "toolchain/fetch/fetcher.h"
#include "toolchain/fetch/resolve.h"
#include "toolchain/root/emulation.h"
#include "toolchain/root/relocate_tree.h"
#include "toolchain/root/roots.h"

namespace lre::cli {
namespace {

// A server that cannot be reached is no reason to stop: the archive may have everything.
Status AskServer(const toolchain::Lock& lock, const toolchain::NeededFiles& needed,
                 const SyncFlags& flags) {
  TRY_ASSIGN(const std::string cache, toolchain::DefaultCacheDirectory());
  TRY_ASSIGN(const auto server, RemoteServer::Connect(flags.server));
  const Result<size_t> fetched = FetchFromServer(*server, lock, needed, cache + "/packages");
  if (fetched) {
    PrintLine(fmt::format("{} files from {}", *fetched, flags.server.address));
    return Status();
  }
  if (fetched.error().code() != Code::kUnavailable) return fetched.error();
  PrintNote(fetched.error().message());
  return Status();
}

Status SyncOne(const toolchain::Lock& lock, const std::string& name, const SyncFlags& flags) {
  Progress progress(SystemClock());
  const Instant started = SystemClock().Now();
  TRY_ASSIGN(const toolchain::SyncOptions options, FetchForSync(lock, name, flags, progress));
  ShownSync shown(progress);
  TRY_ASSIGN(toolchain::Manifest manifest, toolchain::SyncToolchain(lock, name, options, shown));
  progress.Clear();
  const std::string file = flags.manifest.empty() ? ManifestFileFor(lock, name) : flags.manifest;
  TRY_ASSIGN(const bool written, WriteIfChanged(file, toolchain::PrintManifest(manifest)));
  PrintLine(fmt::format("{}: {} store paths, {} packages fetched, {}; {} {}", name,
                        manifest.paths.size(), options.packages.size(),
                        FormatDuration(SystemClock().Now() - started), file,
                        written ? "written" : "unchanged"));
  TRY(KeepInStore(options.prefix, file));
  if (flags.print) {
    for (const toolchain::StorePath& path : manifest.paths) PrintLine(path.path);
  }
  return Status();
}

// In a project that imports the module from a repository: makes the toolchains of the lock there,
// and writes lre.bazelrc. Nothing else of the project's is written.
Status RunImported(SyncFlags flags, const ImportedModule& module) {
  PrintLine(fmt::format("the lock of {}", module.from));
  flags.lock = module.lock;
  flags.spec = FolderOf(module.lock) + "/" + kSpecFile;
  TRY_ASSIGN(const toolchain::Lock lock, ReadLock(flags.lock));
  if (flags.toolchains.empty()) {
    flags.toolchains = {FirstToolchain(lock)};
    for (const auto& [name, toolchain] : lock.toolchains) {
      if (name != flags.toolchains[0]) PrintLine(fmt::format("also there: lre sync {}", name));
    }
  }
  for (const std::string& name : flags.toolchains) {
    const std::string committed =
        module.folder + "/" +
        std::filesystem::path(ManifestFileFor(lock, name)).filename().string();
    TRY_ASSIGN(const std::string text, ReadFile(committed));
    flags.manifest = committed;
    TRY(SyncOne(lock, name, flags));
    TRY_ASSIGN(const std::string made, ReadFile(committed));
    if (made == text) continue;
    TRY(WriteFileAtomically(committed, text));
    return ErrorStatus(Code::kFailedPrecondition,
                       "the module of {} was not made from its lock: {} names other paths; in that "
                       "repository: lre sync && lre generate",
                       module.from, name);
  }
  TRY_ASSIGN(
      const std::vector<toolchain::GeneratedFile> files,
      GenerateProject({.manifest = module.folder + "/toolchain.json", .with_all_beside = true}));
  for (const toolchain::GeneratedFile& file : files) {
    if (file.path != "lre.bazelrc") continue;
    TRY_ASSIGN(const bool written, WriteIfChanged(file.path, file.text));
    PrintLine(fmt::format("{}: {}", file.path, written ? "written" : "unchanged"));
  }
  if (!ImportsBazelrc(ReadFile(".bazelrc").value_or(""))) {
    PrintLine("add to .bazelrc: try-import %workspace%/lre.bazelrc");
  }
  return Status();
}

// Toolchains of other systems are asked what they are, and tried, if their programs can be run
// here.
void RunOthersHere(const toolchain::Lock& lock, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    if (!lock.toolchains.contains(name)) continue;
    for (const std::string& system :
         {toolchain::SystemOf(lock, name), toolchain::TargetOf(lock, name)}) {
      const Status status = toolchain::MakeRunHere(system);
      if (!status.ok()) PrintNote(status.message());
    }
  }
}

Status Run(SyncFlags flags) {
  if (flags.lock == kLockFile && !FileExists(kLockFile)) {
    TRY_ASSIGN(const std::string cache, toolchain::DefaultCacheDirectory());
    TRY_ASSIGN(const std::optional<ImportedModule> module,
               FindImportedModule(cache, /*may_download=*/true));
    if (module) return RunImported(std::move(flags), *module);
  }

  TRY_ASSIGN(toolchain::Lock lock, ReadLock(flags.lock));
  if (flags.toolchains.empty())
    flags.toolchains = toolchain::ToolchainsOf(lock, toolchain::ThisSystem());
  if (flags.toolchains.empty()) {
    return ErrorStatus(Code::kInvalidArgument, "{} has no toolchain", flags.lock);
  }
  if (!flags.manifest.empty() && flags.toolchains.size() > 1) {
    return Status(Code::kInvalidArgument, "--manifest is for one toolchain; name it");
  }
  RunOthersHere(lock, flags.toolchains);
  for (const std::string& name : flags.toolchains) TRY(SyncOne(lock, name, flags));
  return Status();
}

}  // namespace

Status FetchFiles(const toolchain::Lock& lock, const toolchain::NeededFiles& needed,
                  const SyncFlags& flags, Progress& progress, toolchain::SyncOptions* options) {
  if (needed.packages.empty() && needed.extras.empty()) return Status();
  if (flags.from_server) TRY(AskServer(lock, needed, flags));
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

Result<toolchain::SyncOptions> FetchForSync(const toolchain::Lock& lock,
                                            const std::string& toolchain, const SyncFlags& flags,
                                            Progress& progress) {
  toolchain::SyncOptions options;
  TRY_ASSIGN(options.lock_digest, toolchain::LockDigest(lock, toolchain));
  options.threads = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  TRY_ASSIGN(const toolchain::NeededFiles needed,
             toolchain::FilesToFetch(lock, toolchain, options));
  TRY(FetchFiles(lock, needed, flags, progress, &options));
  return options;
}

Status KeepInStore(const std::string& prefix, const std::string& file) {
  Status root =
      toolchain::AddRoot(prefix, std::filesystem::absolute(file).lexically_normal().string());
  // Who may only read the store cannot say what it has to keep.
  return root.code() == Code::kPermissionDenied ? Status() : root;
}

void AddSyncCommand(App& app) {
  CLI::App* command =
      app.cli.add_subcommand("sync", "Make the toolchains of lre.lock in /lre/store");
  command->footer(
      "What is there already is kept; a second run takes a moment. Writes toolchain.json, from "
      "which\n`lre generate` and `lre env` derive everything else.\n"
      "Examples:\n"
      "  lre sync\n"
      "  lre sync lre-cc --print     also print the store paths\n"
      "  lre sync --server cache.example:50051   packages from there, by hash, before any mirror");
  auto flags = std::make_shared<SyncFlags>();
  command->add_option(
      "TOOLCHAIN", flags->toolchains,
      "Which ones; when not given, all of the lock that run on this machine and build for it");
  command->add_option("--lock", flags->lock, "The lock [lre.lock]")->type_name("FILE");
  command->add_option("--spec", flags->spec, "Where mirrors are configured [lre.toml]")
      ->type_name("FILE");
  command->add_option("--manifest", flags->manifest, "Where to write the manifest")
      ->type_name("FILE");
  command->add_flag("--print", flags->print, "Print the store paths");
  ServerFlags::Add(*command, flags->server);
  command->callback([&app, command, flags] {
    flags->from_server = command->count("--server") > 0;
    app.action = [flags] { return Run(*flags); };
  });
}

}  // namespace lre::cli

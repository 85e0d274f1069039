// lre push: puts toolchains into the CAS, so that workers take them from there.
#include <algorithm>

#include "base/quantity.h"
#include "cli/commands.h"
#include "cli/package_mirror.h"
#include "cli/push.h"
#include "cli/remote_server.h"
#include "cli/store_upload.h"
#include "cli/sync_toolchain.h"
#include "cli/terminal.h"
#include "cli/toolchain_files.h"
#include "digest/digest.h"

namespace lre::cli {
namespace {

struct PushFlags {
  std::vector<std::string> names;  // toolchains or store paths
  std::string lock = kLockFile;
  std::vector<std::string> manifests;
  std::string retire;
  bool list = false;
  bool no_pin = false;
  bool packages = false;
  ServerFlags server;
};

// What is pushed and pinned under one name.
struct Push {
  std::string pin;
  std::vector<std::string> paths;
  std::optional<toolchain::Manifest> manifest;
};

Result<Push> PushOfManifest(const std::string& file) {
  TRY_ASSIGN(toolchain::Manifest manifest, ReadManifest(file));
  const std::string text = toolchain::PrintManifest(manifest);
  Push push;
  // Older versions of a toolchain stay for the commits that use them.
  push.pin = manifest.name + "-" + ComputeDigest(DigestFunction::kSha256, text).Hex().substr(0, 12);
  for (const toolchain::StorePath& path : manifest.paths) push.paths.push_back(path.path);
  push.manifest = std::move(manifest);
  return push;
}

Result<std::vector<Push>> WhatToPush(const PushFlags& flags) {
  std::vector<Push> pushes;
  std::vector<std::string> toolchains;
  for (const std::string& name : flags.names) {
    if (!name.starts_with('/')) {
      toolchains.push_back(name);
      continue;
    }
    pushes.push_back({name.substr(name.rfind('/') + 1), {name}, std::nullopt});
  }
  for (const std::string& file : flags.manifests) {
    TRY_ASSIGN(Push push, PushOfManifest(file));
    pushes.push_back(std::move(push));
  }
  if (pushes.empty() || !toolchains.empty()) {
    TRY_ASSIGN(toolchain::Lock lock, ReadLock(flags.lock));
    // Those of other systems are asked for by name, as of `lre sync`.
    if (toolchains.empty()) toolchains = toolchain::ToolchainsOf(lock, lock.system);
    for (const std::string& name : toolchains) {
      TRY(ToStatus(toolchain::OrderedPaths(lock, name)));
      TRY_ASSIGN(Push push, PushOfManifest(ManifestFileFor(lock, name)));
      pushes.push_back(std::move(push));
    }
  }
  return pushes;
}

Status PinPush(RemoteServer& server, const std::string& name, const UploadReport& report) {
  TRY_ASSIGN(const bool pinned, PinUpload(server, name, report));
  PrintLine(pinned ? fmt::format("  pinned as {}", name)
                   : "  not pinned: this server may evict it (it keeps no pins)");
  return Status();
}

Status PushOne(const toolchain::ToolchainStore& store, RemoteServer& server, const Push& push,
               bool pin) {
  Result<std::vector<toolchain::StorePath>> closure = store.Closure(push.paths);
  if (!closure && closure.error().code() == Code::kNotFound)
    return ErrorStatus(Code::kNotFound, "{}; run `lre sync` first", closure.error().message());
  TRY(ToStatus(closure));
  Progress progress(SystemClock());
  const Instant started = SystemClock().Now();
  const UploadParts parts = PartsOf(server);
  UploadOptions options;
  options.progress = [&](uint64_t done, uint64_t total) {
    progress.Show("pushing",
                  fmt::format("{}: {} of {}", push.pin, FormatSize(done), FormatSize(total)));
  };
  TRY_ASSIGN(UploadReport report, UploadPaths(store, *closure, parts, options));
  if (push.manifest) {
    TRY(UploadManifest(*push.manifest, push.manifest->name, parts, report));
    if (push.manifest->Find("base") != nullptr)
      TRY(UploadManifest(*push.manifest, kDefaultToolchain, parts, report));
  }
  progress.Clear();
  PrintLine(
      fmt::format("{}: {} store paths, {} in {} blobs; sent {} in {} blobs, {} index "
                  "entries, {}",
                  push.pin, closure->size(), FormatSize(report.bytes), report.blobs,
                  FormatSize(report.sent_bytes), report.sent_blobs, report.new_entries,
                  FormatDuration(SystemClock().Now() - started)));
  return pin ? PinPush(server, push.pin, report) : Status();
}

Status List(RemoteServer& server) {
  TRY_ASSIGN(std::vector<admin::v1::Pin> pins, server.ListPins());
  for (const admin::v1::Pin& pin : pins) {
    PrintLine(fmt::format("{:>10}  {:>4} results  {}",
                          FormatSize(static_cast<uint64_t>(pin.size_bytes())), pin.results(),
                          pin.name()));
  }
  PrintLine(fmt::format("{} pins; what they share is kept once", pins.size()));
  return Status();
}

// What a toolchain is made from, so that its lock stays usable when an archive has it no longer.
Status PushPackages(const toolchain::Lock& lock, const std::string& name, const PushFlags& flags,
                    RemoteServer& server) {
  Progress progress(SystemClock());
  TRY_ASSIGN(const toolchain::NeededFiles needed, AllFiles(lock, name));
  toolchain::SyncOptions fetched;
  const SyncFlags sync{.lock = flags.lock, .spec = FolderOf(flags.lock) + "/" + kSpecFile};
  TRY(FetchFiles(lock, needed, sync, progress, &fetched));
  std::map<std::string, std::string> files = std::move(fetched.extras);
  for (const auto& [package, file] : fetched.packages)
    files[lock.packages.at(package).sha256] = file;
  progress.Show("pushing", name);
  TRY_ASSIGN(const UploadReport report, UploadFiles(PartsOf(server), files));
  TRY_ASSIGN(const std::string digest, toolchain::LockDigest(lock, name));
  progress.Clear();
  PrintLine(fmt::format("packages of {}: {} in {} files; sent {} in {} files, {} index entries",
                        name, FormatSize(report.bytes), report.blobs, FormatSize(report.sent_bytes),
                        report.sent_blobs, report.new_entries));
  const std::string pin =
      fmt::format("packages-{}-{}", name, digest.substr(digest.find(':') + 1, 12));
  return flags.no_pin ? Status() : PinPush(server, pin, report);
}

Status PushAllPackages(const PushFlags& flags, RemoteServer& server) {
  TRY_ASSIGN(const toolchain::Lock lock, ReadLock(flags.lock));
  std::vector<std::string> names = flags.names;
  if (names.empty())
    for (const auto& [name, toolchain] : lock.toolchains) names.push_back(name);
  for (const std::string& name : names) TRY(PushPackages(lock, name, flags, server));
  return Status();
}

Status Run(const PushFlags& flags) {
  TRY_ASSIGN(auto server, RemoteServer::Reach(flags.server));
  if (flags.list) return List(*server);
  if (!flags.retire.empty()) {
    TRY(server->RetirePin(flags.retire));
    PrintLine(flags.retire + " is retired: the server may evict what no other pin names");
    return Status();
  }
  if (flags.packages) return PushAllPackages(flags, *server);
  TRY_ASSIGN(std::vector<Push> pushes, WhatToPush(flags));
  TRY_ASSIGN(auto store, toolchain::ToolchainStore::Open());
  TRY_ASSIGN(UniqueFd hold, store->HoldOffGarbageCollection());
  for (const Push& push : pushes) TRY(PushOne(*store, *server, push, !flags.no_pin));
  return Status();
}

}  // namespace

Status PushManifest(const std::string& file, const ServerFlags& flags, bool pin) {
  TRY_ASSIGN(auto server, RemoteServer::Reach(flags));
  TRY_ASSIGN(Push push, PushOfManifest(file));
  // What is not to stay is no toolchain of a name for others either, least of all the default one.
  if (!pin) push.manifest.reset();
  TRY_ASSIGN(auto store, toolchain::ToolchainStore::Open());
  TRY_ASSIGN(UniqueFd hold, store->HoldOffGarbageCollection());
  return PushOne(*store, *server, push, pin);
}

void AddPushCommand(App& app) {
  CLI::App* command =
      app.cli.add_subcommand("push", "Put toolchains into a server's CAS, for its workers");
  command->footer(
      "Sends what the server lacks, and pins it: cache traffic never evicts it. A worker that does "
      "not\nhave a store path an action names fetches it, with all it references.\n"
      "Examples:\n"
      "  lre push                                  every toolchain of lre.lock\n"
      "  lre push lre-cc --server cache.example:50051\n"
      "  lre push --packages                       what they are made from, for `lre sync "
      "--server`\n"
      "  lre push --list\n"
      "  lre push --retire lre-cc-6aec1a867cd8");
  auto flags = std::make_shared<PushFlags>();
  command->add_option("WHAT", flags->names,
                      "Toolchains or store paths; all of the lock when not "
                      "given");
  command->add_option("--lock", flags->lock, "The lock [lre.lock]")->type_name("FILE");
  command->add_option("--manifest", flags->manifests, "Toolchains by their toolchain.json")
      ->type_name("FILE");
  command->add_flag("--no-pin", flags->no_pin, "Leave it to the cache how long it stays");
  command->add_flag("--packages", flags->packages,
                    "Put the packages that the lock names there, not what is made from them");
  auto* list = command->add_flag("--list", flags->list, "Print what is pinned");
  command->add_option("--retire", flags->retire, "Pin no longer what --list calls this")
      ->type_name("NAME")
      ->excludes(list);
  ServerFlags::Add(*command, flags->server);
  command->callback([&app, flags] { app.action = [flags] { return Run(*flags); }; });
}

}  // namespace lre::cli

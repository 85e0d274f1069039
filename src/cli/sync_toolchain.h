// What `lre sync` does, for the other commands that do it too. Prints; not thread-safe.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "cli/remote_server.h"
#include "cli/terminal.h"
#include "cli/toolchain_files.h"
#include "toolchain/root/sync.h"

namespace lre::cli {

struct SyncFlags {
  std::string lock = kLockFile;
  std::string spec = kSpecFile;
  std::vector<std::string> toolchains;  // empty: all of the lock
  std::string manifest;                 // where to write it; empty: ManifestFileFor
  bool print = false;
  bool from_server = false;  // packages are looked for in the CAS of `server` first
  ServerFlags server;
};

// Makes `needed` present in the package cache: from there, the server that the flags name, the
// project or the network. Fills in `packages` and `extras` of *options.
Status FetchFiles(const toolchain::Lock& lock, const toolchain::NeededFiles& needed,
                  const SyncFlags& flags, Progress& progress, toolchain::SyncOptions* options);

// Options for making `toolchain`, with what is needed and not in the store fetched: from the cache,
// the project or the network.
Result<toolchain::SyncOptions> FetchForSync(const toolchain::Lock& lock,
                                            const std::string& toolchain, const SyncFlags& flags,
                                            Progress& progress);
// Steps of a sync as they go.
class ShownSync final : public toolchain::SyncProgress {
 public:
  explicit ShownSync(Progress& progress) : progress_(progress) {}
  void Step(std::string_view what, std::string_view subject, int done, int total) override {
    progress_.Show(what, fmt::format("{} ({} of {})", subject, done, total));
  }

 private:
  Progress& progress_;
};
// So that `lre store gc`, run anywhere, keeps what the manifest `file` names.
Status KeepInStore(const std::string& prefix, const std::string& file);

}  // namespace lre::cli

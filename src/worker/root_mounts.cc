#include "worker/root_mounts.h"

#include <algorithm>
#include <mutex>

#include "base/file.h"
#include "toolchain/root/toolchain_store.h"

namespace lre::worker {
namespace {

using sandbox::Mount;
using sandbox::MountKind;

constexpr size_t kKnownMax = 1000;

class LocalSource final : public StorePathSource {
 public:
  explicit LocalSource(std::string prefix) : prefix_(std::move(prefix)) {}

  Result<std::vector<std::string>> Closure(const std::vector<std::string>& paths) override {
    std::lock_guard lock(mutex_);
    if (!store_) {
      if (!FileExists(prefix_)) return Error(Code::kNotFound, "{}", paths[0]);
      TRY_ASSIGN(store_, toolchain::ToolchainStore::Open(prefix_));
    }
    TRY_ASSIGN(std::vector<toolchain::StorePath> closure, store_->Closure(paths));
    std::vector<std::string> names;
    for (const toolchain::StorePath& path : closure) names.push_back(path.path);
    return names;
  }

 private:
  const std::string prefix_;
  std::mutex mutex_;
  std::unique_ptr<toolchain::ToolchainStore> store_;
};

// RFC 8536, version 1: no transitions, one type at offset 0 named UTC.
std::string UtcZoneFile() {
  std::string zone("TZif");
  zone.resize(4 + 1 + 15, '\0');
  for (char count : {0, 0, 0, 0, 1, 4}) {
    zone.append(3, '\0');
    zone += count;
  }
  zone.append(6, '\0');
  zone.append("UTC", 4);
  return zone;
}

}  // namespace

std::unique_ptr<StorePathSource> LocalStorePaths(std::string prefix) {
  return std::make_unique<LocalSource>(std::move(prefix));
}

std::vector<Mount> EtcMounts() {
  return {{MountKind::kFile, "/etc/passwd",
           "root:x:0:0:root:/:/bin/sh\nlre:x:1000:1000:lre:/tmp:/bin/sh\n"
           "nobody:x:65534:65534:nobody:/:/bin/false\n"},
          {MountKind::kFile, "/etc/group", "root:x:0:\nlre:x:1000:\nnogroup:x:65534:\n"},
          {MountKind::kFile, "/etc/hosts", "127.0.0.1 localhost lre\n::1 localhost\n"},
          {MountKind::kFile, "/etc/nsswitch.conf",
           "passwd: files\ngroup: files\nhosts: files\nservices: files\n"},
          {MountKind::kFile, "/etc/localtime", UtcZoneFile()}};
}

Result<Userland> UserlandOf(const toolchain::Manifest& manifest) {
  Userland userland;
  for (const char* role : {"base", "libc"}) {
    const toolchain::StorePath* path = manifest.Find(role);
    if (path == nullptr) continue;
    if (!FileExists(path->path))
      return Error(Code::kFailedPrecondition,
                   "{} of toolchain {} is not on this machine; run `lre sync`", path->path,
                   manifest.name);
    userland.store_paths.push_back(path->path);
  }
  auto add = [&](const char* target, std::string source) {
    if (FileExists(source))
      userland.links.push_back({MountKind::kSymlink, target, std::move(source)});
  };
  if (const auto* base = manifest.Find("base")) {
    // Trees are usr-merged; older ones may not be.
    std::string bin = base->path + (FileExists(base->path + "/usr/bin") ? "/usr/bin" : "/bin");
    add("/bin", bin);
    add("/usr/bin", bin);
  }
  if (const auto* libc = manifest.Find("libc")) {
    for (const char* directory : {"/usr/lib/x86_64-linux-gnu", "/lib/x86_64-linux-gnu", "/lib"}) {
      std::string loader = libc->path + directory + "/ld-linux-x86-64.so.2";
      if (!FileExists(loader)) continue;
      add("/lib64/ld-linux-x86-64.so.2", loader);
      add("/lib/x86_64-linux-gnu", libc->path + directory);
      break;
    }
  }
  return userland;
}

RootMounts::RootMounts(StorePathSource& source, Userland userland, std::vector<Mount> others)
    : source_(source), userland_(std::move(userland)), others_(std::move(others)) {}

Result<std::vector<Mount>> RootMounts::For(const std::set<std::string>& store_paths) {
  {
    std::lock_guard lock(mutex_);
    if (auto it = known_.find(store_paths); it != known_.end()) return it->second;
  }
  std::vector<std::string> wanted(store_paths.begin(), store_paths.end());
  wanted.insert(wanted.end(), userland_.store_paths.begin(), userland_.store_paths.end());
  std::vector<Mount> mounts = others_;
  if (!wanted.empty()) {
    Result<std::vector<std::string>> closure = source_.Closure(wanted);
    if (!closure && closure.error().code() == Code::kNotFound)
      return Error(Code::kFailedPrecondition,
                   "the worker does not have a toolchain store path that the action names: {}; run "
                   "`lre sync` on the worker, or `lre push` where the toolchain is",
                   closure.error().message());
    TRY(closure);
    for (const std::string& path : *closure)
      mounts.push_back({MountKind::kReadOnlyBind, path, path});
  }
  mounts.insert(mounts.end(), userland_.links.begin(), userland_.links.end());
  std::lock_guard lock(mutex_);
  if (known_.size() >= kKnownMax) known_.clear();
  known_.emplace(store_paths, mounts);
  return mounts;
}

}  // namespace lre::worker

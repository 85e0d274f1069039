#include "worker/root_mounts.h"

#include <algorithm>

#include "base/file.h"
#include "toolchain/root/relocate_tree.h"

namespace lre::worker {
namespace {

using sandbox::Mount;
using sandbox::MountKind;

constexpr Duration kLookAgain = std::chrono::seconds(10);

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
  if (manifest.system != toolchain::ThisSystem())
    return Error(Code::kFailedPrecondition, "toolchain {} is for {}, this machine is {}",
                 manifest.name, manifest.system, toolchain::ThisSystem());
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

RootMounts::RootMounts(StorePathSource& source, UserlandFinder find_userland,
                       std::vector<Mount> others)
    : source_(source), find_userland_(std::move(find_userland)), others_(std::move(others)) {}

Result<Userland> RootMounts::FindUserland() {
  std::lock_guard lock(mutex_);  // the others wait for what they need too
  if (userland_) return *userland_;
  if (!find_userland_ || SystemClock().Now() < look_again_at_) return Userland();
  TRY_ASSIGN(userland_, find_userland_());
  look_again_at_ = SystemClock().Now() + kLookAgain;
  return userland_.value_or(Userland());
}

Result<RootContents> RootMounts::For(const std::set<std::string>& store_paths,
                                     const std::string& user, const StorePathTenant& tenant) {
  std::vector<std::string> wanted(store_paths.begin(), store_paths.end());
  TRY_ASSIGN(Userland userland, FindUserland());
  wanted.insert(wanted.end(), userland.store_paths.begin(), userland.store_paths.end());
  RootContents root{.mounts = others_, .store_paths = {}, .hold = nullptr};
  if (!wanted.empty()) {
    Result<StoreClosure> closure = source_.ClosureFor(tenant, wanted, user);
    if (!closure && closure.error().code() == Code::kNotFound)
      return Error(Code::kFailedPrecondition,
                   "the worker does not have a toolchain store path that the action names: {}; run "
                   "`lre push` where the toolchain is, or `lre sync` on the worker",
                   closure.error().message());
    TRY(ToStatus(closure));
    // Sorted: the same set of paths gives the same root, which the sandbox keeps.
    std::sort(closure->paths.begin(), closure->paths.end(),
              [](const HeldPath& a, const HeldPath& b) { return a.path < b.path; });
    for (const HeldPath& held : closure->paths)
      root.mounts.push_back({MountKind::kReadOnlyBind, held.path, held.path});
    root.store_paths = std::move(closure->paths);
    root.hold = std::move(closure->hold);
  }
  root.mounts.insert(root.mounts.end(), userland.links.begin(), userland.links.end());
  return root;
}

}  // namespace lre::worker

#include "cli/user_store.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include "base/file.h"
#include "cli/toolchain_files.h"
#include "toolchain/root/toolchain_store.h"

namespace lre::cli {
namespace {

constexpr const char* kStore = "/lre/store";
constexpr const char* kNixStore = "/nix/store";

Status WriteProc(const char* file, const std::string& text) {
  UniqueFd fd(open(file, O_WRONLY | O_CLOEXEC));
  if (!fd || write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    return ErrnoStatus(errno, std::string("write ") + file);
  }
  return {};
}

Status Mount(const std::string& from, const std::string& to, unsigned long flags) {
  if (mount(from.c_str(), to.c_str(), nullptr, flags, nullptr) == 0) return {};
  return ErrnoStatus(errno, fmt::format("mount {} on {}", from, to));
}

// A user namespace in which this user is itself, with the power to mount in it.
Status Unshare() {
  const uid_t user = geteuid();
  const gid_t group = getegid();
  if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) {
    return ErrorStatus(Code::kFailedPrecondition,
                       "this machine allows you no user namespace ({}): once, `sudo lre setup` "
                       "makes /lre/store yours instead",
                       ErrnoStatus(errno, "unshare").message());
  }
  TRY(WriteProc("/proc/self/setgroups", "deny"));
  TRY(WriteProc("/proc/self/uid_map", fmt::format("{0} {0} 1", user)));
  TRY(WriteProc("/proc/self/gid_map", fmt::format("{0} {0} 1", group)));
  return Mount("none", "/", MS_REC | MS_SLAVE);
}

// One entry of the old root in the new one.
Status Carry(const std::string& name, const std::string& root) {
  const std::string from = "/" + name, to = root + "/" + name;
  struct stat info {};
  if (lstat(from.c_str(), &info) != 0) return {};  // it went while we looked
  if (S_ISLNK(info.st_mode)) {
    std::error_code error;
    const std::string target = std::filesystem::read_symlink(from, error).string();
    if (error || symlink(target.c_str(), to.c_str()) != 0) return ErrnoStatus(errno, to);
    return {};
  }
  if (S_ISDIR(info.st_mode)) {
    if (mkdir(to.c_str(), 0755) != 0) return ErrnoStatus(errno, to);
  } else {
    UniqueFd file(open(to.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    if (!file) return ErrnoStatus(errno, to);
  }
  return Mount(from, to, MS_BIND | MS_REC);
}

Status BindStore(const std::string& store, const std::string& at) {
  TRY(SystemFiles().MakeDirectories(store));
  TRY(SystemFiles().MakeDirectories(at));
  return Mount(store, at, MS_BIND | MS_REC);
}

Status FillRoot(const UserStore& store) {
  if (mount("lre-root", store.root.c_str(), "tmpfs", 0, "mode=0755") != 0) {
    return ErrnoStatus(errno, "mount " + store.root);
  }
  TRY_ASSIGN(const std::vector<std::string> names, SystemFiles().List("/"));
  const bool has_nix = FileExists("/nix/var/nix");
  for (const std::string& name : names) {
    if (name != "lre" && (name != "nix" || has_nix)) TRY(Carry(name, store.root));
  }
  if (!has_nix) TRY(BindStore(store.nix, store.root + kNixStore));
  return BindStore(store.store, store.root + kStore);
}

Status Pivot(const std::string& root, const std::string& directory) {
  if (chdir(root.c_str()) != 0) return ErrnoStatus(errno, root);
  // The old root lies on top of the new one for a moment (pivot_root(2), NOTES).
  if (syscall(SYS_pivot_root, ".", ".") != 0) {
    const int error = errno;
    // From a chroot there is no way; then the store must have a place already.
    if (!FileExists(kStore)) return ErrnoStatus(error, "pivot_root");
    TRY(Mount(root + kStore, kStore, MS_BIND | MS_REC));
  } else if (umount2(".", MNT_DETACH) != 0) {
    return ErrnoStatus(errno, "umount of the old root");
  }
  if (chdir(directory.c_str()) != 0) return ErrnoStatus(errno, directory);
  return {};
}

// The NUL-separated words of a file of /proc.
std::vector<std::string> Words(const std::string& file) {
  std::vector<std::string> words;
  const std::string text = ReadFile(file, 4 << 20).value_or("");
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\0', at), text.size());
    words.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return words;
}

std::string ValueOf(const std::vector<std::string>& words, const std::string& option) {
  for (const std::string& word : words) {
    if (word.starts_with(option)) return word.substr(option.size());
  }
  return "";
}

// Who may not look (a process in another user namespace) is told so by an error: not the same.
bool SameStore(const std::string& process) {
  struct stat there {
  }, here{};
  if (stat((process + "/root" + kStore).c_str(), &there) != 0) return false;
  return stat(kStore, &here) == 0 && there.st_dev == here.st_dev && there.st_ino == here.st_ino;
}

}  // namespace

Result<UserStore> UserStoreOfHome() {
  const char* home = std::getenv("HOME");
  if (home == nullptr || home[0] != '/') {
    return Error(Code::kFailedPrecondition, "HOME is not set, so there is no ~/.lre");
  }
  const std::string own = std::string(home) + "/.lre";
  return UserStore{.store = own + "/store",
                   .nix = own + "/nix",
                   .root = own + "/root",
                   .bazel = std::string(home) + "/.cache/lre/bazel-shell",
                   .bin = own + "/bin"};
}

bool StoreIsWritable() { return access(kStore, W_OK) == 0; }

Status EnterUserStore(const UserStore& store) {
  TRY(SystemFiles().MakeDirectories(store.root));
  std::error_code error;
  const std::string directory = std::filesystem::current_path(error).string();
  if (error) return ErrorStatus(Code::kFailedPrecondition, "no working directory");
  TRY(Unshare());
  TRY(FillRoot(store));
  return Pivot(store.root, directory);
}

Status WriteBazelWrapper(const UserStore& store, const std::string& path) {
  std::string bazel;
  for (const char* name : {"bazel", "bazelisk"}) {
    for (size_t at = 0; at <= path.size() && bazel.empty();) {
      const size_t end = std::min(path.find(':', at), path.size());
      const std::string folder = path.substr(at, end - at), file = folder + "/" + name;
      if (folder != store.bin && !folder.empty() && access(file.c_str(), X_OK) == 0) bazel = file;
      at = end + 1;
    }
  }
  if (bazel.empty()) return {};
  TRY(SystemFiles().MakeDirectories(store.bin));
  return WriteFileAtomically(
      store.bin + "/bazel",
      fmt::format("#!/bin/sh\n# Written by `lre shell`: servers inside are not those outside.\n"
                  "exec {} --output_user_root={} \"$@\"\n",
                  ShellQuote(bazel), ShellQuote(store.bazel)),
      0755);
}

std::vector<BazelServer> FindBazelServers(const UserStore& store, const std::string& proc) {
  std::vector<BazelServer> servers;
  for (const std::string& name : SystemFiles().List(proc).value_or(std::vector<std::string>())) {
    if (!std::all_of(name.begin(), name.end(), [](char c) { return c >= '0' && c <= '9'; })) {
      continue;
    }
    const std::string process = proc + "/" + name;
    struct stat info {};
    if (stat(process.c_str(), &info) != 0 || info.st_uid != geteuid()) continue;
    const std::vector<std::string> words = Words(process + "/cmdline");
    if (words.empty() || !words[0].starts_with("bazel(")) continue;
    BazelServer server{.pid = std::atoi(name.c_str()),
                       .workspace = ValueOf(words, "--workspace_directory="),
                       .output_base = ValueOf(words, "--output_base=")};
    // Those of the wrapper see the user's store, whichever shell they were started in.
    if (server.output_base.starts_with(store.bazel + "/")) continue;
    server.same_store = SameStore(process);
    servers.push_back(std::move(server));
  }
  return servers;
}

}  // namespace lre::cli

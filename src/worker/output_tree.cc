// The layout of an upper layer is that of overlayfs with userxattr: a character device 0/0 is a
// whiteout (the name is gone), a directory with user.overlay.opaque = "y" hides the lower one.
// https://docs.kernel.org/filesystems/overlayfs.html
#include "worker/output_tree.h"

#include <dirent.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <set>

namespace lre::worker {
namespace {

constexpr int kLinksMax = 40;  // as the kernel's

bool Stat(const std::string& path, struct stat& info) { return lstat(path.c_str(), &info) == 0; }

bool IsOpaque(const std::string& path) {
  char value = 0;
  return lgetxattr(path.c_str(), "user.overlay.opaque", &value, 1) == 1 && value == 'y';
}

OutputTree::Kind KindOf(const struct stat& info) {
  if (S_ISREG(info.st_mode)) return OutputTree::Kind::kFile;
  if (S_ISDIR(info.st_mode)) return OutputTree::Kind::kDirectory;
  if (S_ISLNK(info.st_mode)) return OutputTree::Kind::kSymlink;
  return OutputTree::Kind::kOther;
}

OutputTree::Entry MakeEntry(const struct stat& info, std::string path) {
  OutputTree::Entry entry;
  entry.kind = KindOf(info);
  entry.path = std::move(path);
  entry.size_bytes = static_cast<uint64_t>(info.st_size);
  entry.mode = info.st_mode & 07777;
  entry.mtime_ns = info.st_mtim.tv_sec * int64_t{1'000'000'000} + info.st_mtim.tv_nsec;
  return entry;
}

Status ListNames(const std::string& path, std::set<std::string>& names) {
  DIR* directory = opendir(path.c_str());
  if (directory == nullptr && errno == EACCES) {
    // The action took its own permission away.
    chmod(path.c_str(), 0755);
    directory = opendir(path.c_str());
  }
  if (directory == nullptr) return ErrnoStatus(errno, path);
  while (const dirent* entry = readdir(directory)) {
    std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace(name);
  }
  closedir(directory);
  return {};
}

std::string Join(const std::vector<std::string>& names) {
  std::string joined;
  for (const std::string& name : names) joined += (joined.empty() ? "" : "/") + name;
  return joined;
}

}  // namespace

OutputTree::OutputTree(std::string upper, std::string lower)
    : root_{.kind = Kind::kDirectory, .path = std::move(upper), .lower_path = std::move(lower)} {}

Result<OutputTree::Entry> OutputTree::Child(const Entry& directory, std::string_view name) const {
  struct stat info;
  std::string lower =
      directory.lower_path.empty() ? "" : fmt::format("{}/{}", directory.lower_path, name);
  if (!directory.path.empty()) {
    std::string upper = fmt::format("{}/{}", directory.path, name);
    if (Stat(upper, info)) {
      if (S_ISCHR(info.st_mode) && info.st_rdev == 0) return Entry{};
      Entry entry = MakeEntry(info, upper);
      struct stat below;
      if (entry.kind == Kind::kDirectory && !lower.empty() && !IsOpaque(upper) &&
          Stat(lower, below) && S_ISDIR(below.st_mode))
        entry.lower_path = lower;
      return entry;
    }
    if (errno == EACCES && chmod(directory.path.c_str(), 0755) == 0 && Stat(upper, info))
      return Child(directory, name);
    if (errno != ENOENT) return ErrnoError(errno, upper);
  }
  if (lower.empty() || !Stat(lower, info)) return Entry{};
  Entry entry = MakeEntry(info, lower);
  entry.is_input = true;
  if (entry.kind == Kind::kDirectory) {
    entry.lower_path = lower;
    entry.path.clear();
  }
  return entry;
}

Result<OutputTree::Entry> OutputTree::Find(std::string_view path) const {
  Entry entry = root_;
  for (size_t at = 0; at < path.size();) {
    if (entry.kind != Kind::kDirectory) return Entry{};
    size_t end = std::min(path.find('/', at), path.size());
    TRY_ASSIGN(entry, Child(entry, path.substr(at, end - at)));
    at = end + 1;
  }
  return entry;
}

Result<std::vector<std::pair<std::string, OutputTree::Entry>>> OutputTree::List(
    const Entry& directory) const {
  std::set<std::string> names;
  if (!directory.path.empty()) TRY(ListNames(directory.path, names));
  if (!directory.lower_path.empty()) TRY(ListNames(directory.lower_path, names));
  std::vector<std::pair<std::string, Entry>> entries;
  for (const std::string& name : names) {
    TRY_ASSIGN(Entry entry, Child(directory, name));
    if (entry.kind != Kind::kAbsent) entries.emplace_back(name, std::move(entry));
  }
  return entries;
}

Result<std::string> OutputTree::ReadLink(const Entry& symlink) {
  char target[PATH_MAX];
  ssize_t size = readlink(symlink.path.c_str(), target, sizeof target);
  if (size < 0) return ErrnoError(errno, symlink.path);
  return std::string(target, static_cast<size_t>(size));
}

Result<OutputTree::Kind> OutputTree::KindOfTarget(std::string_view path) const {
  // The names still to walk, last first, and the place reached so far.
  std::vector<std::string> todo, place;
  auto push = [&](std::string_view text) {
    std::vector<std::string> names;
    for (size_t at = 0; at <= text.size();) {
      size_t end = std::min(text.find('/', at), text.size());
      if (end > at) names.emplace_back(text.substr(at, end - at));
      at = end + 1;
    }
    todo.insert(todo.end(), names.rbegin(), names.rend());
  };
  push(path);
  Entry entry = root_;
  for (int links = 0; !todo.empty();) {
    std::string name = std::move(todo.back());
    todo.pop_back();
    if (name == ".") continue;
    if (name == "..") {
      if (place.empty()) return Kind::kAbsent;
      place.pop_back();
    } else {
      place.push_back(name);
    }
    TRY_ASSIGN(entry, Find(Join(place)));
    if (entry.kind == Kind::kSymlink) {
      TRY_ASSIGN(std::string target, ReadLink(entry));
      if (target.starts_with('/') || ++links > kLinksMax) return Kind::kAbsent;
      place.pop_back();
      push(target);
      TRY_ASSIGN(entry, Find(Join(place)));
    }
    if (entry.kind == Kind::kAbsent) return Kind::kAbsent;
  }
  return entry.kind;
}

}  // namespace lre::worker

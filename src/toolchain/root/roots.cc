#include "toolchain/root/roots.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "base/file.h"
#include "digest/digest.h"

namespace lre::toolchain {
namespace {

std::string FolderOf(const std::string& prefix) { return prefix + "/.lre/roots"; }

}  // namespace

Status AddRoot(const std::string& prefix, const std::string& file) {
  if (!file.starts_with('/'))
    return ErrorStatus(Code::kInvalidArgument, "root '{}' is not absolute", file);
  TRY(SystemFiles().MakeDirectories(FolderOf(prefix)));
  const std::string link =
      FolderOf(prefix) + "/" + ComputeDigest(DigestFunction::kSha256, file).Hex().substr(0, 32);
  if (symlink(file.c_str(), link.c_str()) != 0 && errno != EEXIST) return ErrnoStatus(errno, link);
  return {};
}

Result<std::vector<std::string>> ListRoots(const std::string& prefix) {
  std::vector<std::string> roots;
  if (!FileExists(FolderOf(prefix))) return roots;
  TRY_ASSIGN(std::vector<std::string> names, SystemFiles().List(FolderOf(prefix)));
  for (const std::string& name : names) {
    const std::string link = FolderOf(prefix) + "/" + name;
    std::error_code error;
    std::filesystem::path file = std::filesystem::read_symlink(link, error);
    if (!error && FileExists(file.string())) {
      roots.push_back(file.string());
    } else {
      (void)SystemFiles().Remove(link).ok();  // one that cannot be removed is looked at again
    }
  }
  std::sort(roots.begin(), roots.end());
  return roots;
}

}  // namespace lre::toolchain

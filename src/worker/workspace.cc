#include "worker/workspace.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <set>

#include "base/file.h"

namespace lre::worker {

Workspace::Workspace(std::string directory, const sandbox::Launcher& launcher,
                     const LowerTree& lower)
    : directory_(std::move(directory)), launcher_(launcher), lower_(lower) {}

Status Workspace::Prepare(Kind kind, const reapi::Command& command,
                          const std::vector<std::string>& directories) {
  if (!clean_ || files_) TRY(CleanUp());
  kind_ = kind;
  if (kind != Kind::kMemory) clean_ = false;
  if (kind == Kind::kCopy) TRY(lower_.CopyTo(upper()));
  TRY(FindParents(command, directories));
  if (kind == Kind::kMemory) return {};
  if (kind == Kind::kDisk) {
    TRY(MakeDirectory(upper()));
    TRY(MakeDirectory(directory_ + "/work"));
  }
  for (const std::string& parent : parents_) TRY(MakeDirectory(upper() + "/" + parent));
  return {};
}

// Directories that are made although the lower tree has them are merged with those of the lower
// one.
Status Workspace::FindParents(const reapi::Command& command,
                              const std::vector<std::string>& directories) {
  parents_.clear();
  std::set<std::string> wanted(directories.begin(), directories.end());
  auto add = [&](const std::string& path) {
    for (size_t at = path.find('/'); at != path.npos; at = path.find('/', at + 1))
      wanted.insert(path.substr(0, at));
  };
  std::string prefix = command.working_directory.empty() ? "" : command.working_directory + "/";
  add(prefix);
  for (const auto* list :
       {&command.output_paths, &command.output_files, &command.output_directories}) {
    for (const std::string& path : *list) add(prefix + path);
  }
  OutputTree tree(kind_ == Kind::kCopy ? upper() : lower_.directory(), "");
  std::set<std::string> made;
  for (const std::string& path : wanted) {  // sorted: parents first
    TRY_ASSIGN(OutputTree::Entry entry, tree.Find(path));
    if (entry.kind != OutputTree::Kind::kAbsent) continue;
    size_t slash = path.rfind('/');
    std::string parent = slash == path.npos ? "" : path.substr(0, slash);
    if (!made.contains(parent)) {
      TRY_ASSIGN(entry, tree.Find(parent));
      if (entry.kind != OutputTree::Kind::kDirectory) continue;
    }
    for (size_t at = path.find('/');; at = path.find('/', at + 1)) {
      std::string above = path.substr(0, at);
      if (made.insert(above).second) parents_.push_back(std::move(above));
      if (at == path.npos) break;
    }
  }
  return {};
}

Status Workspace::MakeDirectory(const std::string& path) const {
  if (mkdir(path.c_str(), 0755) != 0) {
    if (errno == EEXIST) return {};
    return ErrnoStatus(errno, path);
  }
  uint32_t owner = launcher_.file_owner();
  if (geteuid() == 0 && chown(path.c_str(), owner, owner) != 0) return ErrnoStatus(errno, path);
  return {};
}

void Workspace::AddTo(sandbox::Command& command, const std::string& target) const {
  switch (kind_) {
    case Kind::kMemory:
      command.overlays.push_back(
          {.lower = lower_.directory(), .target = target, .directories = parents_});
      return;
    case Kind::kDisk:
      command.overlays.push_back({.lower = lower_.directory(),
                                  .upper = upper(),
                                  .work = directory_ + "/work",
                                  .target = target});
      return;
    case Kind::kCopy:
      command.mounts.push_back({sandbox::MountKind::kBind, target, upper()});
  }
}

Result<sandbox::Command::Overlay> Workspace::OverlayByEntry(const std::string& target) const {
  sandbox::Command::Overlay overlay{
      .lower = lower_.directory(), .target = target, .directories = parents_, .by_entry = true};
  OutputTree inputs(lower_.directory(), "");
  TRY_ASSIGN(OutputTree::Entry top, inputs.Find(""));
  TRY_ASSIGN(auto entries, inputs.List(top));
  for (const auto& [name, entry] : entries) {
    if (entry.kind == OutputTree::Kind::kSymlink)
      return Error(Code::kFailedPrecondition, "{} at the top of the input root is a link", name);
    overlay.entries.push_back({name, entry.kind == OutputTree::Kind::kDirectory});
  }
  for (const std::string& parent : parents_) {
    if (parent.find('/') == parent.npos) overlay.entries.push_back({parent, true});
  }
  if (overlay.entries.size() > sandbox::Command::Overlay::kEntriesMax)
    return Error(Code::kFailedPrecondition,
                 "the input root has {} entries at its top, more than {}", overlay.entries.size(),
                 sandbox::Command::Overlay::kEntriesMax);
  return overlay;
}

OutputTree Workspace::Outputs() const {
  if (kind_ == Kind::kMemory) return {files_ ? files_->upper() : "", lower_.directory()};
  return {upper(), kind_ == Kind::kDisk ? lower_.directory() : ""};
}

Status Workspace::CleanUp() {
  files_.reset();
  unlink(stdout_path().c_str());
  unlink(stderr_path().c_str());
  if (clean_) return {};
  TRY(RemoveTree(directory_));
  TRY(SystemFiles().MakeDirectories(directory_));
  clean_ = true;
  return {};
}

}  // namespace lre::worker

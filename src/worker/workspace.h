// Workspace: where the changes go that one action after another makes to the input root of a slot:
//   kMemory: an overlay whose upper layer lies in the sandbox's file system in memory. No file is
//     made on disk, which for a small action costs more than everything else;
//   kDisk: an overlay with its upper layer below `directory`, on the file system of the lower tree;
//   kCopy: a copy of the lower tree, where overlays are refused or there is no sandbox.
// Confined to the slot's thread. Errors are those of the disk.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "reapi/action.h"
#include "sandbox/sandbox.h"
#include "worker/lower_tree.h"
#include "worker/output_tree.h"

namespace lre::worker {

class Workspace {
 public:
  enum class Kind { kMemory, kDisk, kCopy };

  // `directory` is the workspace's own; what it borrows must outlive it.
  Workspace(std::string directory, const sandbox::Launcher& launcher, const LowerTree& lower);

  // For a command that is to run over the lower tree as it is now. The REAPI has the worker make
  // the working directory and the parents of outputs; a file or link in the way stays.
  // So are `directories`.
  Status Prepare(Kind kind, const reapi::Command& command,
                 const std::vector<std::string>& directories = {});
  Kind kind() const { return kind_; }
  // The directory on disk that the command writes to; REQUIRES: not kMemory.
  std::string upper() const { return directory_ + "/upper"; }
  // Puts the input root on `target` of the sandbox.
  void AddTo(sandbox::Command& command, const std::string& target) const;
  // The same by entry, for a process that stays. kFailedPrecondition: what lies at the top of the
  // input root cannot be shown one by one. REQUIRES: kMemory.
  Result<sandbox::Command::Overlay> OverlayByEntry(const std::string& target) const;
  std::string stdout_path() const { return directory_ + "/stdout"; }
  std::string stderr_path() const { return directory_ + "/stderr"; }

  // After the command: what it left in memory; null when there is nothing.
  void TakeFiles(std::unique_ptr<sandbox::MemoryFiles> files) { files_ = std::move(files); }
  OutputTree Outputs() const;
  // Removes what the command left.
  Status CleanUp();

 private:
  Status FindParents(const reapi::Command& command, const std::vector<std::string>& directories);
  Status MakeDirectory(const std::string& path) const;

  const std::string directory_;
  const sandbox::Launcher& launcher_;
  const LowerTree& lower_;
  bool clean_ = false;  // the directory is there and empty
  Kind kind_ = Kind::kCopy;
  std::vector<std::string> parents_;  // to be made in the upper layer, parents first
  std::unique_ptr<sandbox::MemoryFiles> files_;
};

}  // namespace lre::worker

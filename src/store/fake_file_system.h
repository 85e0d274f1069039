// FakeFileSystem: the machine's files in one directory, with a memory of what a power loss would
// leave, and errors on request. Reads, mappings and descriptors are those of real files; what was
// synced is kept beside. Strict: only File::Sync puts bytes on the disk, only SyncDirectory names.
// Thread-safe. Must outlive its files.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/random.h"

namespace lre::store {

class FakeFileSystem : public FileSystem {
 public:
  // What happens before an operation ("open", "read", "write", "allocate", "truncate", "sync",
  // "rename", "remove", "sync_directory") on a path; an error is answered instead of doing it.
  using Fault = std::function<Status(std::string_view operation, const std::string& path)>;
  void SetFault(Fault fault);

  // Writes to `to` what a disk might hold if the power failed now under the directory `from`: what
  // was synced, and of the rest any part, torn at 512 bytes and in any order.
  void LosePower(const std::string& from, const std::string& to, Random& random);

  Result<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) override;
  Status Rename(const std::string& from, const std::string& to) override;
  Status Remove(const std::string& path) override;
  Status MakeDirectories(const std::string& path) override;
  Result<std::vector<std::string>> List(const std::string& path) override;
  Status SyncDirectory(const std::string& path) override;

 private:
  friend class FakeFile;
  struct Write {
    bool truncate = false;
    uint64_t offset = 0;  // or the new size
    std::string bytes;
  };
  struct Inode {
    std::string synced;
    std::vector<Write> pending;
    static void Apply(const Write& write, std::string* content);
  };
  using Names = std::map<std::string, std::shared_ptr<Inode>>;
  struct NameChange {
    std::string remove, add;
    std::shared_ptr<Inode> inode;
    void Apply(Names* names) const;
  };

  Status Check(std::string_view operation, const std::string& path);

  std::mutex mutex_;
  Fault fault_;
  Names names_, synced_names_;
  std::vector<NameChange> changes_;
};

}  // namespace lre::store

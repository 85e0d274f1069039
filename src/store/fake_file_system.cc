#include "store/fake_file_system.h"

#include <algorithm>
#include <fstream>

#include "base/check.h"

namespace lre::store {

namespace {
std::string ParentOf(const std::string& path) { return path.substr(0, path.rfind('/')); }
}  // namespace

class FakeFile final : public File {
 public:
  FakeFile(FakeFileSystem& files, std::unique_ptr<File> file, std::string path,
           std::shared_ptr<FakeFileSystem::Inode> inode)
      : files_(files), file_(std::move(file)), path_(std::move(path)), inode_(std::move(inode)) {}

  Status WriteAt(std::string_view bytes, uint64_t offset) override {
    TRY(files_.Check("write", path_));
    std::lock_guard lock(files_.mutex_);
    inode_->pending.push_back({.offset = offset, .bytes = std::string(bytes)});
    return file_->WriteAt(bytes, offset);
  }
  using File::WriteAt;
  Result<size_t> ReadAt(char* out, size_t size, uint64_t offset) const override {
    TRY(files_.Check("read", path_));
    return file_->ReadAt(out, size, offset);
  }
  Status Allocate(uint64_t size) override {
    TRY(files_.Check("allocate", path_));
    return file_->Allocate(size);
  }
  Status Truncate(uint64_t size) override {
    TRY(files_.Check("truncate", path_));
    std::lock_guard lock(files_.mutex_);
    inode_->pending.push_back({.truncate = true, .offset = size});
    return file_->Truncate(size);
  }
  Status Sync() override {
    TRY(files_.Check("sync", path_));
    std::lock_guard lock(files_.mutex_);
    for (const auto& write : inode_->pending) FakeFileSystem::Inode::Apply(write, &inode_->synced);
    inode_->pending.clear();
    return {};
  }
  Result<uint64_t> Size() const override { return file_->Size(); }
  int fd() const override { return file_->fd(); }

 private:
  FakeFileSystem& files_;
  std::unique_ptr<File> file_;
  std::string path_;
  std::shared_ptr<FakeFileSystem::Inode> inode_;
};

void FakeFileSystem::Inode::Apply(const Write& write, std::string* content) {
  if (write.truncate) {
    content->resize(write.offset);
    return;
  }
  content->resize(std::max<size_t>(content->size(), write.offset + write.bytes.size()));
  content->replace(write.offset, write.bytes.size(), write.bytes);
}

void FakeFileSystem::NameChange::Apply(Names* names) const {
  if (!remove.empty()) names->erase(remove);
  if (!add.empty()) (*names)[add] = inode;
}

void FakeFileSystem::SetFault(Fault fault) {
  std::lock_guard lock(mutex_);
  fault_ = std::move(fault);
}

Status FakeFileSystem::Check(std::string_view operation, const std::string& path) {
  Fault fault;
  {
    std::lock_guard lock(mutex_);
    fault = fault_;
  }
  return fault ? fault(operation, path) : Status();
}

Result<std::unique_ptr<File>> FakeFileSystem::Open(const std::string& path, OpenMode mode) {
  TRY(Check("open", path));
  std::lock_guard lock(mutex_);
  TRY_ASSIGN(auto file, SystemFiles().Open(path, mode));
  auto it = names_.find(path);
  if (it == names_.end()) {
    auto inode = std::make_shared<Inode>();
    TRY_ASSIGN(uint64_t size, file->Size());
    inode->synced.resize(size);
    TRY_ASSIGN(size_t read, file->ReadAt(inode->synced.data(), size, 0));
    CHECK(read == size);
    it = names_.emplace(path, inode).first;
    // A file that was there before this file system is on the disk already.
    if (size > 0)
      synced_names_[path] = inode;
    else
      changes_.push_back({.add = path, .inode = inode});
  }
  return std::make_unique<FakeFile>(*this, std::move(file), path, it->second);
}

Status FakeFileSystem::Rename(const std::string& from, const std::string& to) {
  TRY(Check("rename", from));
  std::lock_guard lock(mutex_);
  TRY(SystemFiles().Rename(from, to));
  changes_.push_back({.remove = from, .add = to, .inode = names_[from]});
  changes_.back().Apply(&names_);
  return {};
}

Status FakeFileSystem::Remove(const std::string& path) {
  TRY(Check("remove", path));
  std::lock_guard lock(mutex_);
  TRY(SystemFiles().Remove(path));
  changes_.push_back({.remove = path});
  changes_.back().Apply(&names_);
  return {};
}

Status FakeFileSystem::MakeDirectories(const std::string& path) {
  return SystemFiles().MakeDirectories(path);
}
Result<std::vector<std::string>> FakeFileSystem::List(const std::string& path) {
  return SystemFiles().List(path);
}

Status FakeFileSystem::SyncDirectory(const std::string& path) {
  TRY(Check("sync_directory", path));
  std::lock_guard lock(mutex_);
  std::erase_if(changes_, [&](const NameChange& change) {
    if (ParentOf(change.add.empty() ? change.remove : change.add) != path) return false;
    change.Apply(&synced_names_);
    return true;
  });
  return {};
}

void FakeFileSystem::LosePower(const std::string& from, const std::string& to, Random& random) {
  std::lock_guard lock(mutex_);
  Names names = synced_names_;
  for (const NameChange& change : changes_)
    if (random.OneIn(2)) change.Apply(&names);
  for (const auto& [path, inode] : names) {
    if (!path.starts_with(from + "/")) continue;
    std::string content = inode->synced;
    std::vector<Write> survivors;
    for (const Write& write : inode->pending) {
      if (write.truncate) {
        if (random.OneIn(2)) survivors.push_back(write);
        continue;
      }
      for (size_t at = 0; at < write.bytes.size();) {
        size_t size = std::min<size_t>(512 - (write.offset + at) % 512, write.bytes.size() - at);
        if (random.OneIn(2))
          survivors.push_back({.offset = write.offset + at, .bytes = write.bytes.substr(at, size)});
        at += size;
      }
    }
    for (size_t i = survivors.size(); i > 1; --i)
      std::swap(survivors[i - 1], survivors[random.Below(i)]);
    for (const Write& write : survivors) Inode::Apply(write, &content);
    std::string target = to + path.substr(from.size());
    CHECK(SystemFiles().MakeDirectories(ParentOf(target)).ok());
    CHECK(std::ofstream(target, std::ios::binary).write(content.data(), content.size()).good());
  }
}

}  // namespace lre::store

#include "worker/file_cache.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "base/file.h"
#include "reapi/error_details.h"
#include "store/fake_blob_store.h"

namespace lre::worker {
namespace {

using testing::ElementsAre;
using testing::UnorderedElementsAre;

class FileCacheTest : public testing::Test {
 protected:
  void Open(uint64_t size_bytes_max = 1 << 30) {
    FileCacheOptions options{.directory = directory_ / "cache", .size_bytes_max = size_bytes_max};
    options.owner = geteuid();
    options.batch_bytes_max = 1000;
    options.batch_blobs_max = 4;
    cache_ = *FileCache::Open(cas_, options);
  }
  std::shared_ptr<const CachedFile> GetOne(const Digest& digest, bool executable = false) {
    FileKey key{digest, executable};
    auto files = cache_->Get(std::span(&key, 1));
    EXPECT_TRUE(files) << ToStatus(files).ToString();
    return files ? (*files)[0] : nullptr;
  }

  store::FakeBlobStore cas_;
  TempDir directory_;
  std::unique_ptr<FileCache> cache_;
};

TEST_F(FileCacheTest, WritesOneFilePerDigestAndExecutableBit) {
  Open();
  Digest digest = cas_.Add("content");

  auto plain = GetOne(digest), executable = GetOne(digest, true);

  EXPECT_EQ(*ReadFile(plain->path), "content");
  EXPECT_EQ(*ReadFile(executable->path), "content");
  EXPECT_NE(plain->path, executable->path);
  struct stat info;
  ASSERT_EQ(stat(plain->path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0644u);
  EXPECT_EQ(info.st_mtime, 946684800);
  ASSERT_EQ(stat(executable->path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0755u);
}

TEST_F(FileCacheTest, FetchesABlobOnceHoweverManyWantIt) {
  Open();
  std::vector<FileKey> keys;
  for (int i = 0; i < 100; ++i) keys.push_back({cas_.Add(fmt::format("blob {}", i)), false});
  keys.push_back({cas_.Add(std::string(5000, 'x')), false});  // streamed
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 8; ++t) {
      threads.emplace_back([&] {
        auto files = cache_->Get(keys);
        EXPECT_TRUE(files) << ToStatus(files).ToString();
        for (size_t i = 0; files && i < keys.size(); ++i) EXPECT_EQ((*files)[i]->key, keys[i]);
      });
    }
  }

  EXPECT_EQ(cache_->fetched_blobs(), keys.size());
}

TEST_F(FileCacheTest, NamesEveryMissingBlobAndServesTheOthersLater) {
  Open();
  Digest here = cas_.Add("here");
  Digest gone = ComputeDigest(DigestFunction::kSha256, "gone");
  Digest large = ComputeDigest(DigestFunction::kSha256, std::string(5000, 'y'));
  std::vector<FileKey> keys = {{here, false}, {gone, false}, {large, true}};

  auto files = cache_->Get(keys);

  ASSERT_FALSE(files);
  EXPECT_EQ(files.error().code(), Code::kFailedPrecondition);
  EXPECT_THAT(reapi::MissingBlobsOf(files.error(), DigestFunction::kSha256),
              UnorderedElementsAre(gone, large));
  cas_.Add("gone");
  EXPECT_EQ(*ReadFile(GetOne(gone)->path), "gone");
}

TEST_F(FileCacheTest, EvictsTheOldestThatNobodyHolds) {
  Open(250);
  std::string text(100, 'a');
  auto held = GetOne(cas_.Add(text));
  std::string second_path = GetOne(cas_.Add(std::string(100, 'b')))->path;

  auto third = GetOne(cas_.Add(std::string(100, 'c')));

  EXPECT_TRUE(FileExists(held->path));
  EXPECT_FALSE(FileExists(second_path));
  EXPECT_TRUE(FileExists(third->path));
  EXPECT_EQ(cache_->size_bytes(), 200u);
}

TEST_F(FileCacheTest, ServesOneActionLargerThanItsBound) {
  Open(100);
  std::vector<FileKey> keys;
  for (char c = 'a'; c <= 'z'; ++c) keys.push_back({cas_.Add(std::string(90, c)), false});

  auto files = cache_->Get(keys);

  ASSERT_TRUE(files);
  for (const auto& file : *files) EXPECT_TRUE(FileExists(file->path));
}

// A store that hands out other bytes than were asked for.
class LyingStore : public store::FakeBlobStore {
 public:
  Result<BytesList> Read(const store::BlobKey&, store::ByteRange) override {
    return BytesList{Bytes(std::string("lies"))};
  }
};

TEST_F(FileCacheTest, SaysThatTheDiskIsFullAndGoesOnWhenThereIsRoom) {
  Digest large = cas_.Add(std::string(1 << 20, 'x')), small = cas_.Add("small");
  std::string disk = directory_ / "disk";
  ASSERT_TRUE(SystemFiles().MakeDirectories(disk).ok());
  // A process of its own, which may mount a small disk without being root.
  std::string map = fmt::format("0 {} 1", geteuid());
  auto write_text = [](const char* path, std::string_view text) {
    UniqueFd fd(open(path, O_WRONLY | O_CLOEXEC));
    if (write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) _exit(77);
  };
  pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) _exit(77);
    write_text("/proc/self/setgroups", "deny");
    write_text("/proc/self/uid_map", map);
    write_text("/proc/self/gid_map", map);
    if (mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=256k") != 0) _exit(77);
    auto files = FileCache::Open(cas_, {.directory = disk + "/files", .owner = geteuid()});
    if (!files) _exit(2);
    auto refused = (*files)->Get(std::vector{FileKey{large, false}});
    if (refused || refused.error().code() != Code::kResourceExhausted) _exit(3);
    if (!(*files)->Get(std::vector{FileKey{small, false}})) _exit(4);
    _exit(0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);

  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 77) GTEST_SKIP() << "SKIPPED: no user namespaces here";
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST_F(FileCacheTest, RefusesBytesThatDoNotHash) {
  LyingStore store;
  auto cache = *FileCache::Open(store, {.directory = directory_ / "lying", .owner = geteuid()});
  FileKey key{ComputeDigest(DigestFunction::kSha256, "true"), false};

  EXPECT_EQ(ToStatus(cache->Get(std::span(&key, 1))).code(), Code::kDataLoss);
  EXPECT_THAT(*SystemFiles().List(directory_ / "lying"), ElementsAre());
}

TEST_F(FileCacheTest, ScansFilesForStorePathsAlsoAcrossPieces) {
  Open();
  std::string path = "/lre/store/0123456789abcdef0123456789abcdef-tool";
  std::string large = std::string(3 << 20, ' ') + path + "/bin/x";

  EXPECT_THAT(GetOne(cas_.Add("#!" + path + "/bin/sh"))->store_paths, ElementsAre(path));
  EXPECT_THAT(GetOne(cas_.Add(large))->store_paths, ElementsAre(path));
}

TEST_F(FileCacheTest, ScansAFileOnceAndKeepsWhatItNamesWithItsDigest) {
  Open();
  std::string path = "/lre/store/0123456789abcdef0123456789abcdef-tool";
  Digest digest = cas_.Add("#!" + path + "/bin/sh");
  std::string file = GetOne(digest)->path;
  ASSERT_TRUE(WriteFileAtomically(file, "scanned again, it would name nothing").ok());

  EXPECT_THAT(GetOne(digest)->store_paths, ElementsAre(path));
}

TEST_F(FileCacheTest, AdoptsAnOutputWithoutFetchingIt) {
  Open();
  std::string output = directory_ / "output";
  ASSERT_TRUE(WriteFileAtomically(output, "made here", 0755).ok());
  Digest digest = ComputeDigest(DigestFunction::kSha256, "made here");

  cache_->Adopt(output, {digest, true}, {});

  ASSERT_TRUE(RemoveTree(output).ok());
  EXPECT_EQ(*ReadFile(GetOne(digest, true)->path), "made here");
  EXPECT_EQ(cache_->fetched_blobs(), 0u);
}

}  // namespace
}  // namespace lre::worker

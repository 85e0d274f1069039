#include "worker/store_path_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <map>
#include <thread>

#include "base/file.h"
#include "base/random.h"
#include "reapi/store_index.h"
#include "store/fake_blob_store.h"

namespace lre::worker {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;
using toolchain::StorePath;
using toolchain::ToolchainStore;
using toolchain::TreeListing;

// A machine with a toolchain that was pushed, and one with an empty store. Both stores have the
// same prefix in the index, which is the second's: paths are made by name only.
class StorePathCacheTest : public testing::Test {
 protected:
  StorePathCacheTest() { Open(); }

  void Open(uint64_t fetched_bytes_max = 1 << 30) {
    source_ = StorePathCache::Make(cas_, Index(),
                                   {.prefix = prefix_,
                                    .fetched_bytes_max = fetched_bytes_max,
                                    .fetch = {.batch_bytes_max = 4096, .batch_files_max = 3},
                                    .read_tenant = [this](const StorePathTenant& tenant,
                                                          const Digest& action) -> Result<Bytes> {
                                      const auto& index = tenant_index_[tenant.partition];
                                      auto it = index.find(action);
                                      if (it == index.end() || tenant.instance_name != "team")
                                        return Error(Code::kNotFound, "result of {}", action);
                                      return Bytes(it->second);
                                    },
                                    .metrics = &metrics_});
    store_ = ToolchainStore::Open(prefix_).value();
  }
  ReadActionResult Index() {
    return [this](const Digest& action) -> Result<Bytes> {
      ++lookups_;
      auto it = index_.find(action);
      if (it == index_.end()) return Error(Code::kNotFound, "action result of {}", action);
      return Bytes(it->second);
    };
  }
  std::string PathOf(char digit, const std::string& role) const {
    return prefix_ + "/" + std::string(toolchain::kStoreHashLength, digit) + "-" + role;
  }
  // Pushes a path whose one large file has `size` bytes; 20 small ones, a program and a link come
  // on top.
  StorePath Push(char digit, const std::string& role, std::vector<std::string> references = {},
                 size_t size = 10000) {
    TreeListing listing;
    auto add = [&](const std::string& path, const std::string& text, bool executable) {
      listing.files.push_back({path, cas_.Add(text, DigestFunction::kSha256, of_), executable});
    };
    add("bin/" + role, "program " + role, true);
    std::string large(size, digit);
    large_ = ComputeDigest(DigestFunction::kSha256, large);
    add("lib/large", large, false);
    for (int i = 10; i < 30; ++i) add(fmt::format("share/{}", i), fmt::format("{} {}", role, i), 0);
    listing.symlinks.push_back({"bin/link", "../lib/large"});
    StorePath path{.role = role,
                   .path = PathOf(digit, role),
                   .size_bytes = listing.TotalBytes(),
                   .references = std::move(references)};
    toolchain::CasDirectories directories = *toolchain::EncodeDirectories(listing);
    path.tree = toolchain::TreeDigestText(directories.root);
    for (const auto& [digest, bytes] : directories.blobs)
      cas_.Add(bytes, DigestFunction::kSha256, of_);
    PutEntry(path, directories.root);
    return path;
  }
  void PutEntry(const StorePath& path, const Digest& root) {
    reapi::StoreIndexEntry entry{
        .record = toolchain::PrintManifest({.name = "x", .prefix = prefix_, .paths = {path}}),
        .root = root,
        .tree = {}};
    (of_ == 0 ? index_ : tenant_index_[of_])[reapi::StorePathKey(path.path).action] =
        reapi::EncodeStoreIndexEntry(entry);
  }

  static void FlipByte(const std::string& path) {
    ASSERT_EQ(chmod(path.c_str(), 0644), 0);
    auto file = SystemFiles().Open(path, OpenMode::kReadWrite).value();
    char byte = 0;
    ASSERT_EQ(file->ReadAt(&byte, 1, 100).value(), 1u);
    byte ^= 1;
    ASSERT_TRUE(file->WriteAt(std::string_view(&byte, 1), 100).ok());
    ASSERT_EQ(chmod(path.c_str(), 0444), 0);
  }

  TempDir directory_;
  const std::string prefix_ = directory_ / "store";
  store::FakeBlobStore cas_;
  std::map<Digest, std::string> index_;
  std::map<store::Partition, std::map<Digest, std::string>> tenant_index_;
  store::Partition of_ = 0;  // who pushes
  std::atomic<int> lookups_{0};
  Metrics metrics_;
  Digest large_;
  std::unique_ptr<StorePathCache> source_;
  std::unique_ptr<ToolchainStore> store_;
};

TEST_F(StorePathCacheTest, ATenantsPathIsForTheTenantAndForWhoeverHasTheSame) {
  const StorePathTenant seven{7, "team"}, eight{8, "team"};
  auto code = [&](const StorePathTenant& tenant, const StorePath& path) {
    return ToStatus(source_->ClosureFor(tenant, {path.path}, "action")).code();
  };
  of_ = 7;
  StorePath gcc = Push('2', "gcc");
  EXPECT_EQ(code({}, gcc), Code::kNotFound) << "it is in no index that all see";

  EXPECT_EQ(code(seven, gcc), Code::kOk);
  EXPECT_EQ(code({}, gcc), Code::kNotFound);
  EXPECT_EQ(code(eight, gcc), Code::kNotFound);
  Open();  // as after a restart
  EXPECT_EQ(code(eight, gcc), Code::kNotFound);
  EXPECT_EQ(code(seven, gcc), Code::kOk);
  of_ = 8;
  Push('2', "gcc");
  EXPECT_EQ(code(eight, gcc), Code::kOk);
  of_ = 0;
  Push('2', "gcc", {}, 20000);
  EXPECT_EQ(code({}, gcc), Code::kAborted) << "other bytes under the same name";
}

TEST_F(StorePathCacheTest, ATenantHasThePathsOfAllToo) {
  const StorePathTenant tenant{7, "team"};
  StorePath libc = Push('1', "libc");
  of_ = 7;
  StorePath gcc = Push('2', "gcc", {libc.path});

  auto closure = source_->ClosureFor(tenant, {gcc.path}, "action");

  ASSERT_TRUE(closure) << ToStatus(closure).ToString();
  EXPECT_EQ(closure->paths.size(), 2u);
  EXPECT_TRUE(source_->Closure({libc.path}, "action"));
}

TEST_F(StorePathCacheTest, FetchesAClosureAndInstallsItVerified) {
  StorePath libc = Push('1', "libc"), gcc = Push('2', "gcc", {libc.path});

  auto closure = source_->Closure({gcc.path}, "action");

  ASSERT_TRUE(closure) << ToStatus(closure).ToString();
  std::vector<std::string> names;
  for (const HeldPath& held : closure->paths) names.push_back(held.path);
  EXPECT_THAT(names, UnorderedElementsAre(gcc.path, libc.path));
  EXPECT_EQ(closure->paths[0].tree, gcc.tree);
  EXPECT_THAT(source_->Verified(), UnorderedElementsAre(gcc.path, libc.path));
  EXPECT_EQ(store_->Find(gcc.path).value(), gcc);
  EXPECT_THAT(store_->Verify(gcc.path).value(), IsEmpty());
  EXPECT_THAT(store_->Verify(libc.path).value(), IsEmpty());
  EXPECT_EQ(ReadFile(gcc.path + "/bin/gcc").value(), "program gcc");
  struct stat info {};
  ASSERT_EQ(stat((gcc.path + "/bin/gcc").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0555u);
  ASSERT_EQ(stat((gcc.path + "/bin/link").c_str(), &info), 0);
  EXPECT_EQ(info.st_size, 10000);
}

TEST_F(StorePathCacheTest, FetchesOncePerPathHoweverManyWantIt) {
  StorePath libc = Push('1', "libc"), gcc = Push('2', "gcc", {libc.path});
  std::vector<std::thread> threads;
  std::atomic<int> good{0};

  for (int i = 0; i < 8; ++i)
    threads.emplace_back([&, i] {
      if (source_->Closure({i % 2 ? gcc.path : libc.path}, "action")) ++good;
    });
  for (std::thread& thread : threads) thread.join();

  EXPECT_EQ(good, 8);
  EXPECT_EQ(lookups_, 2);
}

TEST_F(StorePathCacheTest, WhatIsNowhereIsNotFoundByName) {
  std::string path = PathOf('7', "gcc");

  Status status = ToStatus(source_->Closure({path}, "action"));

  EXPECT_EQ(status.code(), Code::kNotFound);
  EXPECT_THAT(status.message(), HasSubstr(path));
  EXPECT_EQ(ToStatus(StorePathCache::Make(cas_, nullptr, {.prefix = prefix_})->Closure({path}, ""))
                .code(),
            Code::kNotFound);
}

TEST_F(StorePathCacheTest, ALostBlobIsNotFoundAndLeavesNothing) {
  StorePath gcc = Push('2', "gcc");
  cas_.Lose(large_);

  Status status = ToStatus(source_->Closure({gcc.path}, "action"));

  EXPECT_EQ(status.code(), Code::kNotFound) << status.ToString();
  EXPECT_THAT(status.message(), HasSubstr(gcc.path));
  EXPECT_FALSE(store_->Contains(gcc.path));
  EXPECT_THAT(SystemFiles().List(prefix_ + "/.lre/tmp").value(), IsEmpty());
  // Pushed again, it is there.
  Push('2', "gcc");
  EXPECT_TRUE(source_->Closure({gcc.path}, "action"));
}

TEST_F(StorePathCacheTest, RefusesAnEntryThatLies) {
  StorePath gcc = Push('2', "gcc"), other = Push('3', "other");
  auto root = [](const StorePath& path) { return *toolchain::ParseTreeDigest(path.tree); };

  StorePath renamed = other;
  renamed.path = gcc.path;
  renamed.tree = gcc.tree;
  PutEntry(renamed, root(other));
  EXPECT_EQ(ToStatus(source_->Closure({gcc.path}, "action")).code(), Code::kDataLoss)
      << "tree and record";

  StorePath outside = gcc;
  outside.references = {"/etc/passwd"};
  PutEntry(outside, root(gcc));
  EXPECT_EQ(ToStatus(source_->Closure({gcc.path}, "action")).code(), Code::kDataLoss)
      << "references";

  StorePath larger = gcc;
  larger.size_bytes += 1;
  PutEntry(larger, root(gcc));
  EXPECT_EQ(ToStatus(source_->Closure({gcc.path}, "action")).code(), Code::kDataLoss) << "size";

  index_[reapi::StorePathKey(gcc.path).action] = index_[reapi::StorePathKey(other.path).action];
  EXPECT_EQ(ToStatus(source_->Closure({gcc.path}, "action")).code(), Code::kDataLoss)
      << "another's entry";
  EXPECT_FALSE(store_->Contains(gcc.path));
}

TEST_F(StorePathCacheTest, TheLeastRecentlyUsedPathGoesUnlessItIsHeld) {
  StorePath a = Push('a', "a"), b = Push('b', "b"), c = Push('c', "c"), d = Push('d', "d");
  Open(2 * a.size_bytes + 100);
  auto held = source_->Closure({a.path}, "action");
  ASSERT_TRUE(held);
  ASSERT_TRUE(source_->Closure({b.path}, "action"));

  ASSERT_TRUE(source_->Closure({c.path}, "action"));

  EXPECT_TRUE(store_->Contains(a.path)) << "the oldest, but in use";
  EXPECT_FALSE(store_->Contains(b.path));
  EXPECT_TRUE(store_->Contains(c.path));
  held->hold.reset();
  ASSERT_TRUE(source_->Closure({c.path}, "action"));
  ASSERT_TRUE(source_->Closure({d.path}, "action"));
  EXPECT_FALSE(store_->Contains(a.path));
  EXPECT_TRUE(source_->Closure({b.path}, "action")) << "comes back when it is wanted";
}

TEST_F(StorePathCacheTest, ANeededPathStaysWithWhatNeedsIt) {
  StorePath libc = Push('1', "libc"), gcc = Push('2', "gcc", {libc.path}), big = Push('3', "big");
  Open(2 * libc.size_bytes + 200);
  ASSERT_TRUE(source_->Closure({gcc.path}, "action"));

  // One has to go, and it cannot be the one that the other references.
  ASSERT_TRUE(source_->Closure({big.path}, "action"));

  EXPECT_TRUE(store_->Contains(libc.path));
  EXPECT_FALSE(store_->Contains(gcc.path));
}

TEST_F(StorePathCacheTest, SaysSoWhenEverythingIsInUse) {
  StorePath a = Push('a', "a"), b = Push('b', "b");
  Open(a.size_bytes + 100);
  auto held = source_->Closure({a.path}, "action");
  ASSERT_TRUE(held);

  Status status = ToStatus(source_->Closure({b.path}, "action"));

  EXPECT_EQ(status.code(), Code::kResourceExhausted);
  EXPECT_THAT(status.message(), HasSubstr("worker.store_max"));
  EXPECT_TRUE(store_->Contains(a.path));
}

TEST_F(StorePathCacheTest, NeverRemovesWhatWasMadeHere) {
  StorePath own = Push('1', "own"), other = Push('2', "other");
  Open(own.size_bytes + 100);
  ASSERT_TRUE(source_->Closure({own.path}, "action"));
  ASSERT_TRUE(store_->UnmarkFetched(own.path).ok());  // as `lre sync` does

  ASSERT_TRUE(source_->Closure({other.path}, "action"));

  EXPECT_TRUE(store_->Contains(own.path));
}

TEST_F(StorePathCacheTest, APathCollectedMeanwhileIsFetchedAgain) {
  StorePath gcc = Push('2', "gcc");
  ASSERT_TRUE(source_->Closure({gcc.path}, "action"));

  EXPECT_THAT(store_->CollectGarbage({})->removed, testing::ElementsAre(gcc.path));
  ASSERT_TRUE(source_->Closure({gcc.path}, "action"));

  EXPECT_TRUE(store_->Contains(gcc.path));
  auto held = source_->Closure({gcc.path}, "action");
  EXPECT_THAT(store_->CollectGarbage({})->removed, IsEmpty()) << "held";
}

TEST_F(StorePathCacheTest, OneFlippedByteIsFoundQuarantinedAndFetchedAgain) {
  StorePath gcc = Push('2', "gcc");
  ASSERT_TRUE(source_->Closure({gcc.path}, "action 1"));
  ASSERT_TRUE(source_->Closure({gcc.path}, "action 2"));
  EXPECT_THAT(source_->Check().value(), IsEmpty()) << "good: its users are no concern";
  ASSERT_TRUE(source_->Closure({gcc.path}, "action 3"));
  FlipByte(gcc.path + "/lib/large");

  auto damaged = source_->Check().value();

  ASSERT_EQ(damaged.size(), 1u);
  EXPECT_EQ(damaged[0].damage.path, gcc.path + "/lib/large");
  EXPECT_THAT(damaged[0].users, testing::ElementsAre("action 3"));
  EXPECT_EQ(ReadFile(damaged[0].quarantine + "/actions").value(), "action 3\n");
  EXPECT_FALSE(store_->Contains(gcc.path));
  ASSERT_TRUE(source_->Closure({gcc.path}, "action 4"));
  EXPECT_THAT(store_->Verify(gcc.path).value(), IsEmpty());
}

TEST_F(StorePathCacheTest, ADamagedPathNamesTheActionsThatStillRunHoweverOftenItWasGood) {
  StorePath libc = Push('1', "libc"), gcc = Push('2', "gcc", {libc.path});
  auto running = source_->Closure({gcc.path}, "running");
  ASSERT_TRUE(source_->Closure({gcc.path}, "ended"));
  auto ending = source_->Closure({gcc.path}, "ending");
  for (int i = 0; i < 2; ++i) EXPECT_THAT(source_->Check().value(), IsEmpty());
  ending->hold.reset();
  ASSERT_TRUE(source_->Closure({gcc.path}, "later"));
  FlipByte(libc.path + "/lib/large");

  auto damaged = source_->Check().value();

  ASSERT_EQ(damaged.size(), 1u);
  EXPECT_EQ(damaged[0].path, libc.path);
  EXPECT_THAT(damaged[0].users, testing::ElementsAre("running", "ending", "later"))
      << "the second ended after the last good check";
  // They have been named once, and have nothing of what was fetched instead.
  auto again = source_->Closure({gcc.path}, "again");
  FlipByte(libc.path + "/lib/large");
  EXPECT_THAT(source_->Check()->at(0).users, testing::ElementsAre("again"));
}

TEST_F(StorePathCacheTest, HashesAPathBeforeItsFirstUse) {
  StorePath gcc = Push('2', "gcc");
  ASSERT_TRUE(source_->Closure({gcc.path}, "before"));
  FlipByte(gcc.path + "/lib/large");
  Open();  // the worker is started again

  ASSERT_TRUE(source_->Closure({gcc.path}, "after"));

  EXPECT_THAT(store_->Verify(gcc.path).value(), IsEmpty());
  index_.clear();
  FlipByte(gcc.path + "/lib/large");
  Open();
  Status status = ToStatus(source_->Closure({gcc.path}, "later"));
  EXPECT_EQ(status.code(), Code::kNotFound);
}

TEST_F(StorePathCacheTest, HashesWhatEarlierProcessesFetchedWhenItStarts) {
  StorePath libc = Push('1', "libc"), gcc = Push('2', "gcc"), own = Push('3', "own");
  ASSERT_TRUE(source_->Closure({libc.path, gcc.path, own.path}, "before"));
  ASSERT_TRUE(store_->UnmarkFetched(own.path).ok());  // as `lre sync` does
  FlipByte(libc.path + "/lib/large");

  source_ = StorePathCache::Make(cas_, Index(),
                                 {.prefix = prefix_, .check_interval = std::chrono::hours(1)});
  while (source_->Verified().size() < 2) std::this_thread::yield();  // until the test's time is up

  EXPECT_THAT(source_->Verified(), UnorderedElementsAre(libc.path, gcc.path))
      << "what this machine made is hashed before it is used";
  EXPECT_THAT(store_->Verify(libc.path).value(), IsEmpty()) << "it was fetched again";
  const auto quarantined = SystemFiles().List(prefix_ + "/.lre/quarantine").value();
  ASSERT_EQ(quarantined.size(), 1u);
  EXPECT_THAT(quarantined[0], HasSubstr("-libc"));
  // Nobody has used them yet.
  FlipByte(gcc.path + "/lib/large");
  EXPECT_THAT(source_->Check()->at(0).users, IsEmpty());
}

TEST_F(StorePathCacheTest, ADamagedRecordIsDamageOfItsPathAndStopsNoOther) {
  StorePath gcc = Push('2', "gcc"), other = Push('3', "other");
  ASSERT_TRUE(source_->Closure({gcc.path}, "action"));
  const std::string record = prefix_ + "/.lre/records" + gcc.path.substr(gcc.path.rfind('/'));
  ASSERT_TRUE(WriteFileAtomically(record + ".json", "rot").ok());

  EXPECT_TRUE(source_->Closure({other.path}, "action")) << "room for it is looked for among all";
  auto damaged = source_->Check();

  ASSERT_TRUE(damaged) << ToStatus(damaged).ToString();
  ASSERT_EQ(damaged->size(), 1u);
  EXPECT_EQ(damaged->at(0).path, gcc.path);
  EXPECT_THAT(damaged->at(0).damage.reason, HasSubstr(record));
  ASSERT_TRUE(source_->Closure({gcc.path}, "action"));
  EXPECT_THAT(store_->Verify(gcc.path).value(), IsEmpty());
}

TEST_F(StorePathCacheTest, ReportsNothingThatItHasEvicted) {
  StorePath a = Push('a', "a"), b = Push('b', "b");
  Open(a.size_bytes + 100);
  ASSERT_TRUE(source_->Closure({a.path}, "action"));
  ASSERT_TRUE(source_->Closure({b.path}, "action"));

  EXPECT_THAT(source_->Verified(), testing::ElementsAre(b.path));
}

TEST_F(StorePathCacheTest, RemembersABoundedNumberOfUsers) {
  StorePath gcc = Push('2', "gcc");
  source_ = StorePathCache::Make(cas_, Index(), {.prefix = prefix_, .users_max = 2});
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(source_->Closure({gcc.path}, std::to_string(i)));
  FlipByte(gcc.path + "/lib/large");

  EXPECT_THAT(source_->Check()->at(0).users, testing::ElementsAre("3", "4"));
}

TEST_F(StorePathCacheTest, ForgetsAnActionThatStillRunsAfterAllOthers) {
  StorePath gcc = Push('2', "gcc");
  source_ = StorePathCache::Make(cas_, Index(), {.prefix = prefix_, .users_max = 2});
  auto first = source_->Closure({gcc.path}, "first");
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(source_->Closure({gcc.path}, std::to_string(i)));
  auto second = source_->Closure({gcc.path}, "second"),
       third = source_->Closure({gcc.path}, "third");
  FlipByte(gcc.path + "/lib/large");

  EXPECT_THAT(source_->Check()->at(0).users, testing::ElementsAre("second", "third"))
      << "more run than are remembered";
}

TEST_F(StorePathCacheTest, ChecksByItself) {
  StorePath gcc = Push('2', "gcc");
  source_ = StorePathCache::Make(
      cas_, Index(), {.prefix = prefix_, .check_interval = std::chrono::milliseconds(1)});
  ASSERT_TRUE(source_->Closure({gcc.path}, ""));
  FlipByte(gcc.path + "/lib/large");

  while (store_->Contains(gcc.path)) std::this_thread::yield();  // until the test's time is up
}

}  // namespace
}  // namespace lre::worker

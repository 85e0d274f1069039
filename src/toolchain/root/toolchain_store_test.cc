#include "toolchain/root/toolchain_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

namespace lre::toolchain {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class ToolchainStoreTest : public ::testing::Test {
 protected:
  std::string PathOf(char digit, const std::string& role) const {
    return store_->prefix() + "/" + std::string(kStoreHashLength, digit) + "-" + role;
  }

  // A store path with one file, one program and one link.
  StorePath Make(char digit, const std::string& role, std::vector<std::string> references = {}) {
    std::string staging = store_->NewStaging().value();
    EXPECT_EQ(mkdir((staging + "/bin").c_str(), 0700), 0);
    EXPECT_TRUE(WriteFileAtomically(staging + "/data", "data of " + role, 0640).ok());
    EXPECT_TRUE(WriteFileAtomically(staging + "/bin/run", "run", 0750).ok());
    EXPECT_EQ(symlink("../data", (staging + "/bin/link").c_str()), 0);
    TreeListing listing = WalkTree(staging).value();
    StorePath path{.role = role,
                   .path = PathOf(digit, role),
                   .size_bytes = listing.TotalBytes(),
                   .references = std::move(references)};
    path.tree = TreeDigestText(EncodeDirectories(listing)->root);
    Status status = store_->Add(staging, path, listing, /*rehash=*/true);
    EXPECT_TRUE(status.ok()) << status.ToString();
    return path;
  }

  static std::vector<std::string> Names(const std::vector<StorePath>& paths) {
    std::vector<std::string> roles;
    for (const StorePath& path : paths) roles.push_back(path.role);
    return roles;
  }

  static mode_t Mode(const std::string& path) {
    struct stat info {};
    EXPECT_EQ(lstat(path.c_str(), &info), 0) << path;
    EXPECT_EQ(info.st_mtime, 1) << path;
    return info.st_mode & 07777;
  }

  TempDir directory_;
  std::unique_ptr<ToolchainStore> store_ = ToolchainStore::Open(directory_ / "store/").value();
};

TEST_F(ToolchainStoreTest, FindsWhatWasAdded) {
  StorePath path = Make('1', "libc");

  EXPECT_TRUE(store_->Contains(path.path));
  EXPECT_EQ(store_->Find(path.path).value(), path);
  EXPECT_THAT(store_->List().value(), ElementsAre(path));
  EXPECT_EQ(store_->Listing(path.path)->files.size(), 2u);
  EXPECT_EQ(store_->Find(PathOf('2', "gcc")).error().code(), Code::kNotFound);
  EXPECT_FALSE(store_->Contains("/etc/passwd"));
  EXPECT_FALSE(store_->Contains(store_->prefix() + "/.lre"));
}

TEST_F(ToolchainStoreTest, MakesPathsReadOnlyWithFixedModesAndTimes) {
  StorePath path = Make('1', "libc");

  EXPECT_EQ(Mode(path.path + "/data"), 0444u);
  EXPECT_EQ(Mode(path.path + "/bin/run"), 0555u);
  EXPECT_EQ(Mode(path.path + "/bin"), 0555u);
  EXPECT_EQ(Mode(path.path), 0555u);
}

TEST_F(ToolchainStoreTest, AddsAPathOnlyOnce) {
  StorePath path = Make('1', "libc");

  EXPECT_EQ(Make('1', "libc"), path);

  EXPECT_THAT(store_->List().value(), ElementsAre(path));
}

TEST_F(ToolchainStoreTest, RefusesATreeThatIsNotWhatItClaims) {
  std::string staging = store_->NewStaging().value();
  ASSERT_TRUE(WriteFileAtomically(staging + "/data", "data").ok());
  TreeListing listing = WalkTree(staging).value();
  StorePath path{.role = "x",
                 .path = PathOf('3', "x"),
                 .tree = TreeDigestText(EncodeDirectories(listing)->root)};
  StorePath lying = path;
  lying.tree = TreeDigestText(ComputeDigest(DigestFunction::kSha256, "other"));
  EXPECT_EQ(store_->Add(staging, lying, listing, true).code(), Code::kInvalidArgument);
  StorePath elsewhere = path;
  elsewhere.path = "/tmp/" + path.path.substr(path.path.rfind('/') + 1);
  EXPECT_EQ(store_->Add(staging, elsewhere, listing, true).code(), Code::kInvalidArgument);

  ASSERT_TRUE(WriteFileAtomically(staging + "/data", "changed").ok());
  Status status = store_->Add(staging, path, listing, /*rehash=*/true);

  EXPECT_EQ(status.code(), Code::kDataLoss);
  EXPECT_THAT(status.message(), HasSubstr("/data: bytes differ"));
  EXPECT_FALSE(FileExists(path.path));
}

TEST_F(ToolchainStoreTest, VerifyNamesEveryFileThatChanged) {
  StorePath path = Make('1', "libc");
  EXPECT_THAT(store_->Verify(path.path).value(), IsEmpty());

  for (const char* folder : {"", "/bin"}) ASSERT_EQ(chmod((path.path + folder).c_str(), 0755), 0);
  ASSERT_TRUE(WriteFileAtomically(path.path + "/data", "Data of libc", 0444).ok());
  ASSERT_EQ(chmod((path.path + "/bin/run").c_str(), 0444), 0);
  ASSERT_EQ(unlink((path.path + "/bin/link").c_str()), 0);
  ASSERT_TRUE(WriteFileAtomically(path.path + "/bin/more", "").ok());

  std::vector<std::string> texts;
  auto damaged = store_->Verify(path.path).value();
  for (const StoreDamage& damage : damaged)
    texts.push_back(damage.path.substr(path.path.size()) + ": " + damage.reason);
  EXPECT_THAT(texts, ElementsAre("/bin/run: no longer executable", HasSubstr("/data: bytes differ"),
                                 "/bin/link: missing", "/bin/more: unexpected file"));
}

TEST_F(ToolchainStoreTest, ClosureHasReferencesFirst) {
  StorePath libc = Make('1', "libc");
  StorePath sysroot = Make('2', "sysroot", {libc.path});
  StorePath gcc = Make('3', "gcc", {libc.path, sysroot.path});
  Make('4', "jdk");

  EXPECT_THAT(Names(store_->Closure(std::vector{gcc.path, libc.path}).value()),
              ElementsAre("libc", "sysroot", "gcc"));
  EXPECT_EQ(store_->Closure(std::vector{PathOf('9', "none")}).error().code(), Code::kNotFound);
}

TEST_F(ToolchainStoreTest, CollectsWhatNoRootReaches) {
  StorePath libc = Make('1', "libc");
  StorePath gcc = Make('2', "gcc", {libc.path});
  StorePath old = Make('3', "old", {libc.path});
  ASSERT_TRUE(store_->NewStaging());

  GcReport dry = store_->CollectGarbage({.roots = {gcc.path}, .dry_run = true}).value();
  EXPECT_THAT(dry.removed, ElementsAre(old.path));
  EXPECT_TRUE(store_->Contains(old.path));
  GcReport report = store_->CollectGarbage({.roots = {gcc.path}}).value();

  EXPECT_THAT(report.removed, ElementsAre(old.path));
  EXPECT_EQ(report.freed_bytes, old.size_bytes);
  EXPECT_THAT(Names(store_->List().value()), ElementsAre("libc", "gcc"));
  EXPECT_FALSE(FileExists(old.path));
  EXPECT_THAT(SystemFiles().List(store_->prefix() + "/.lre/tmp").value(), IsEmpty());
}

TEST_F(ToolchainStoreTest, DoesNotCollectWhileSomeoneIsAtWork) {
  StorePath libc = Make('1', "libc");
  {
    UniqueFd held = store_->HoldOffGarbageCollection().value();
    EXPECT_EQ(store_->CollectGarbage({}).error().code(), Code::kUnavailable);
  }
  EXPECT_THAT(store_->CollectGarbage({})->removed, ElementsAre(libc.path));
}

TEST_F(ToolchainStoreTest, ATreeWithoutItsRecordDoesNotExist) {
  StorePath libc = Make('1', "libc");
  ASSERT_EQ(unlink((store_->prefix() + "/.lre/records/" +
                    libc.path.substr(libc.path.rfind('/') + 1) + ".json")
                       .c_str()),
            0);

  EXPECT_FALSE(store_->Contains(libc.path));
  EXPECT_THAT(store_->List().value(), IsEmpty());
}

TEST_F(ToolchainStoreTest, NoticesADamagedRecord) {
  StorePath libc = Make('1', "libc");
  std::string files =
      store_->prefix() + "/.lre/records/" + libc.path.substr(libc.path.rfind('/') + 1) + ".files";
  std::string text = ReadFile(files).value();
  ASSERT_TRUE(WriteFileAtomically(files, text.substr(0, text.find('\n') + 1)).ok());

  EXPECT_EQ(store_->Listing(libc.path).error().code(), Code::kDataLoss);
  const std::vector<StoreDamage> damage = store_->Verify(libc.path).value();
  ASSERT_EQ(damage.size(), 1u);
  EXPECT_EQ(damage[0].path, libc.path);

  const std::string record = files.substr(0, files.rfind('.')) + ".json";
  ASSERT_TRUE(WriteFileAtomically(record, "rot").ok());
  StorePath gcc = Make('2', "gcc");
  EXPECT_THAT(store_->Verify(libc.path)->at(0).reason, HasSubstr(record));
  EXPECT_THAT(Names(store_->List().value()), ElementsAre("", "gcc")) << "the others are there";
}

TEST_F(ToolchainStoreTest, WhatIsHeldStaysThroughACollection) {
  StorePath used = Make('1', "libc"), unused = Make('2', "gcc");
  UniqueFd hold = store_->HoldPath(used.path).value();

  GcReport report = store_->CollectGarbage({}).value();

  EXPECT_THAT(report.in_use, ElementsAre(used.path));
  EXPECT_THAT(report.removed, ElementsAre(unused.path));
  EXPECT_EQ(store_->Remove(used.path).code(), Code::kUnavailable);
  hold.Reset();
  EXPECT_TRUE(store_->Remove(used.path).ok());
  EXPECT_FALSE(FileExists(used.path));
  EXPECT_EQ(store_->Remove(used.path).code(), Code::kNotFound);
}

TEST_F(ToolchainStoreTest, RemovesNothingThatAnotherPathReferences) {
  StorePath libc = Make('1', "libc"), gcc = Make('2', "gcc", {libc.path});

  Status status = store_->Remove(libc.path);

  EXPECT_EQ(status.code(), Code::kFailedPrecondition);
  EXPECT_THAT(status.message(), HasSubstr(gcc.path));
  EXPECT_TRUE(store_->Remove(gcc.path).ok());
  EXPECT_TRUE(store_->Remove(libc.path).ok());
}

TEST_F(ToolchainStoreTest, ListsFetchedPathsByUse) {
  StorePath one = Make('1', "one"), two = Make('2', "two"), own = Make('3', "own");
  ASSERT_TRUE(store_->MarkFetched(one.path).ok());
  ASSERT_TRUE(store_->MarkFetched(two.path).ok());
  ASSERT_TRUE(store_->MarkFetched(one.path).ok());

  std::vector<std::string> roles;
  auto fetched = store_->ListFetched().value();
  for (const FetchedPath& path : fetched) roles.push_back(path.path.role);

  EXPECT_THAT(roles, ElementsAre("two", "one"));
  ASSERT_TRUE(store_->UnmarkFetched(one.path).ok());
  ASSERT_TRUE(store_->UnmarkFetched(own.path).ok());
  EXPECT_EQ(store_->ListFetched()->size(), 1u);
}

TEST_F(ToolchainStoreTest, AQuarantinedPathIsAbsentAndKeptForALook) {
  StorePath path = Make('1', "libc");
  UniqueFd hold = store_->HoldPath(path.path).value();

  std::string place = store_->Quarantine(path.path).value();

  EXPECT_FALSE(store_->Contains(path.path));
  EXPECT_EQ(ReadFile(place + "/tree/data").value(), "data of libc");
  EXPECT_TRUE(FileExists(place + "/record.json"));
  EXPECT_EQ(Make('1', "libc"), path) << "it can be made again";
  ASSERT_TRUE(store_->CollectGarbage({}).has_value());
  EXPECT_FALSE(FileExists(place));
}

}  // namespace
}  // namespace lre::toolchain

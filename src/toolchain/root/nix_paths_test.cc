#include "toolchain/root/nix_paths.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "digest/digest.h"
#include "toolchain/nix/nar.h"

namespace lre::toolchain {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

const std::string kName = "0c5b8vw40dy178xlpddw65q9gf1h2186-Hello_2.12+x";

// A store whose Nix trees are in a folder of the test's own.
class NixPathsTest : public testing::Test {
 protected:
  NixPathsTest() {
    store_ = ToolchainStore::Open(directory_ / "lre", directory_ / "nix").value();
    EXPECT_TRUE(SystemFiles().MakeDirectories(directory_ / "tree/bin").ok());
    EXPECT_TRUE(SystemFiles().MakeDirectories(directory_ / "tree/var/empty").ok());
    EXPECT_TRUE(WriteFileAtomically(directory_ / "tree/bin/hello", "hello", 0755).ok());
    std::string nar;
    EXPECT_TRUE(DumpNar(directory_ / "tree", [&](std::string_view piece) {
                  nar += piece;
                  return Status();
                }).ok());
    EXPECT_TRUE(WriteFileAtomically(directory_ / "nar", nar).ok());
    const std::string sha256 = ComputeDigest(DigestFunction::kSha256, nar).Hex();
    files_[sha256] = directory_ / "nar";
    planned_ = {
        .role = "nix.x", .path = directory_ / ("nix/" + kName), .packages = {"nar=" + sha256}};
  }
  Status Make() { return MakeNixPath(*store_, planned_, files_); }

  TempDir directory_;
  std::unique_ptr<ToolchainStore> store_;
  std::map<std::string, std::string> files_;
  StorePath planned_;
};

TEST_F(NixPathsTest, APathIsInstalledWithItsEmptyFoldersAndChecked) {
  ASSERT_TRUE(Make().ok());
  ASSERT_TRUE(Make().ok());

  EXPECT_EQ(HashNar(planned_.path).value().sha256, planned_.packages[0].substr(4));
  struct stat info {};
  ASSERT_EQ(stat(planned_.path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0555u);
  EXPECT_THAT(store_->Listing(planned_.path)->folders, ElementsAre("var/empty"));
  EXPECT_THAT(store_->Verify(planned_.path).value(), IsEmpty());
  EXPECT_THAT(store_->List().value(), SizeIs(1));

  ASSERT_EQ(chmod((planned_.path + "/var").c_str(), 0755), 0);
  ASSERT_EQ(rmdir((planned_.path + "/var/empty").c_str()), 0);
  EXPECT_THAT(store_->Verify(planned_.path)->at(0).reason, HasSubstr("empty folders"));
}

TEST_F(NixPathsTest, WhatIsThereWithOtherBytesIsRefused) {
  ASSERT_TRUE(Make().ok());
  planned_.packages[0] = "nar=" + std::string(64, '0');

  EXPECT_EQ(Make().code(), Code::kFailedPrecondition);
}

TEST_F(NixPathsTest, ATreeThatNixPutThereIsUsedAndNeverRemoved) {
  ASSERT_TRUE(SystemFiles().MakeDirectories(directory_ / "nix").ok());
  ASSERT_TRUE(SystemFiles().Rename(directory_ / "tree", planned_.path).ok());
  files_.clear();

  ASSERT_TRUE(Make().ok());
  EXPECT_TRUE(store_->Contains(planned_.path));
  const auto report = store_->CollectGarbage({});

  ASSERT_TRUE(report) << report.error().ToString();
  EXPECT_THAT(report->removed, ElementsAre(planned_.path));
  EXPECT_FALSE(store_->Contains(planned_.path));
  EXPECT_TRUE(FileExists(planned_.path + "/bin/hello"));

  ASSERT_TRUE(WriteFileAtomically(planned_.path + "/bin/hello", "other", 0755).ok());
  EXPECT_THAT(Make().message(), HasSubstr("not by LRE"));
}

TEST_F(NixPathsTest, ASingleFileThatNixPutThereIsRefusedByName) {
  ASSERT_TRUE(SystemFiles().MakeDirectories(directory_ / "nix").ok());
  ASSERT_TRUE(WriteFileAtomically(planned_.path, "a setup hook").ok());

  const Status status = Make();

  EXPECT_EQ(status.code(), Code::kUnimplemented);
  EXPECT_THAT(status.message(), HasSubstr(planned_.path + " is a single file"));
}

TEST_F(NixPathsTest, WhatNobodyNeedsIsCollected) {
  ASSERT_TRUE(Make().ok());

  ASSERT_THAT(store_->CollectGarbage({})->removed, ElementsAre(planned_.path));

  EXPECT_FALSE(FileExists(planned_.path));
}

TEST_F(NixPathsTest, ADamagedPathGoesIntoQuarantine) {
  ASSERT_TRUE(Make().ok());

  const auto place = store_->Quarantine(planned_.path);

  ASSERT_TRUE(place) << place.error().ToString();
  EXPECT_TRUE(FileExists(*place + "/tree/bin/hello"));
  EXPECT_FALSE(store_->Contains(planned_.path));
}

TEST(NixLinks, NamesThePathAndNothingTwice) {
  const std::string path = "/nix/store/" + kName;
  LockedPath locked{.extras = {{.name = "hi", .kind = ExtraKind::kNix, .store_path = path}}};
  FileTree tree;

  EXPECT_THAT(AddNixLinks(locked, &tree).value(), ElementsAre(path));
  EXPECT_EQ(tree["nix/hi"].content, path);
  EXPECT_TRUE(tree["nix/hi"].symlink);
  EXPECT_EQ(AddNixLinks(locked, &tree).error().code(), Code::kAlreadyExists);
}

}  // namespace
}  // namespace lre::toolchain

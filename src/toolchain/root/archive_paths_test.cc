#include "toolchain/root/archive_paths.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

namespace lre::toolchain {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class ArchivePathsTest : public ::testing::Test {
 protected:
  StorePath Make(char digit, const std::string& role, std::vector<std::string> references = {}) {
    std::string staging = store_->NewStaging().value();
    EXPECT_EQ(mkdir((staging + "/bin").c_str(), 0700), 0);
    EXPECT_TRUE(WriteFileAtomically(staging + "/bin/" + role, "run", 0755).ok());
    EXPECT_TRUE(WriteFileAtomically(staging + "/data", std::string(3 << 20, digit)).ok());
    EXPECT_TRUE(WriteFileAtomically(staging + "/empty file", "").ok());
    EXPECT_EQ(symlink("../data", (staging + "/bin/link").c_str()), 0);
    TreeListing listing = WalkTree(staging).value();
    StorePath path{
        .role = role,
        .path = store_->prefix() + "/" + std::string(kStoreHashLength, digit) + "-" + role,
        .size_bytes = listing.TotalBytes(),
        .references = std::move(references)};
    path.tree = TreeDigestText(EncodeDirectories(listing)->root);
    EXPECT_TRUE(store_->Add(staging, path, listing, true).ok());
    return path;
  }

  TempDir directory_;
  const std::string file_ = directory_ / "export.tar.zst";
  std::unique_ptr<ToolchainStore> store_ = ToolchainStore::Open(directory_ / "store").value();
};

TEST_F(ArchivePathsTest, WhatWasExportedIsImportedWholeAndOnlyOnce) {
  StorePath libc = Make('1', "libc"), gcc = Make('2', "gcc", {libc.path});
  ASSERT_TRUE(ExportPaths(*store_, {libc, gcc}, file_).ok());
  ASSERT_EQ(store_->CollectGarbage({})->removed.size(), 2u);

  ImportReport report = ImportPaths(*store_, file_).value();

  EXPECT_THAT(report.added, ElementsAre(libc.path, gcc.path));
  EXPECT_EQ(store_->Find(gcc.path).value(), gcc);
  EXPECT_THAT(store_->Verify(gcc.path).value(), IsEmpty());
  report = ImportPaths(*store_, file_).value();
  EXPECT_THAT(report.added, IsEmpty());
  EXPECT_THAT(report.present, ElementsAre(libc.path, gcc.path));
}

TEST_F(ArchivePathsTest, TheSamePathsGiveTheSameBytes) {
  StorePath libc = Make('1', "libc");
  ASSERT_TRUE(ExportPaths(*store_, {libc}, file_).ok());
  std::string first = ReadFile(file_).value();

  ASSERT_TRUE(ExportPaths(*store_, {libc}, file_).ok());

  EXPECT_EQ(ReadFile(file_).value(), first);
}

TEST_F(ArchivePathsTest, ADamagedPathIsNotExported) {
  StorePath libc = Make('1', "libc");
  ASSERT_EQ(chmod(libc.path.c_str(), 0755), 0);
  ASSERT_TRUE(WriteFileAtomically(libc.path + "/data", "other").ok());

  Status status = ExportPaths(*store_, {libc}, file_);

  EXPECT_EQ(status.code(), Code::kDataLoss);
  EXPECT_THAT(status.message(), HasSubstr(libc.path + "/data"));
  EXPECT_THAT(SystemFiles().List(directory_.path()).value(), ElementsAre("store"));
}

TEST_F(ArchivePathsTest, ADamagedArchiveAddsNothingThatIsWrong) {
  StorePath libc = Make('1', "libc");
  ASSERT_TRUE(ExportPaths(*store_, {libc}, file_).ok());
  std::string whole = ReadFile(file_).value();
  ASSERT_EQ(store_->CollectGarbage({})->removed.size(), 1u);

  for (size_t cut : {whole.size() / 2, whole.size() - 20, size_t{3}, size_t{0}}) {
    ASSERT_TRUE(WriteFileAtomically(file_, whole.substr(0, cut)).ok());
    Result<ImportReport> report = ImportPaths(*store_, file_);
    if (report) {
      EXPECT_THAT(report->added, IsEmpty()) << cut;
    }
    EXPECT_FALSE(store_->Contains(libc.path)) << cut;
  }
  ASSERT_TRUE(WriteFileAtomically(file_, "this is no archive at all, only text").ok());
  EXPECT_FALSE(ImportPaths(*store_, file_));
  EXPECT_THAT(SystemFiles().List(store_->prefix() + "/.lre/tmp").value(), IsEmpty());
}

TEST_F(ArchivePathsTest, RefusesPathsOfAnotherPrefix) {
  StorePath libc = Make('1', "libc");
  ASSERT_TRUE(ExportPaths(*store_, {libc}, file_).ok());
  auto other = ToolchainStore::Open(directory_ / "other").value();

  EXPECT_EQ(ToStatus(ImportPaths(*other, file_)).code(), Code::kInvalidArgument);
}

}  // namespace
}  // namespace lre::toolchain

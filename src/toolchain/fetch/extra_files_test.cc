#include "toolchain/fetch/extra_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "toolchain/fetch/fake_archive.h"

namespace lre::toolchain {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class ExtraFilesTest : public testing::Test {
 protected:
  ExtraFilesTest() {
    EXPECT_TRUE(SystemFiles().MakeDirectories(project_ / "files").ok());
    EXPECT_TRUE(WriteFileAtomically(project_ / "files/note", "note").ok());
    archive_.Put("source.tar", "the source");
    options_ = {.folder = project_.path(), .cache_directory = cache_.path()};
    spec_.store["x"] = {.name = "x", .extras = {local_, remote_}};
  }

  FakeArchive archive_;
  TempDir project_, cache_;
  HttpClient http_;
  ExtraFilesOptions options_;
  Extra local_{.name = "note", .kind = ExtraKind::kFile, .from = "files/note", .into = "usr/note"};
  Extra remote_{.name = "source",
                .kind = ExtraKind::kTar,
                .from = archive_.Root() + "/source.tar",
                .sha256 = Sha256Hex("the source")};
  Spec spec_;
};

TEST_F(ExtraFilesTest, TheHashOfAFileOfTheProjectIsFound) {
  ASSERT_TRUE(PinExtras({.folder = project_.path()}, &spec_).ok());

  EXPECT_EQ(spec_.store["x"].extras[0].sha256, Sha256Hex("note"));
  EXPECT_EQ(spec_.store["x"].extras[1].sha256, remote_.sha256);
}

TEST_F(ExtraFilesTest, AFileThatIsNotThereOrAnotherIsNamed) {
  spec_.store["x"].extras[0].from = "files/none";
  EXPECT_THAT(PinExtras({.folder = project_.path()}, &spec_).message(),
              testing::AllOf(HasSubstr("store.x.add.note"), HasSubstr("files/none is not here")));

  spec_.store["x"].extras[0] = local_;
  spec_.store["x"].extras[0].sha256 = Sha256Hex("other");
  const Status status = PinExtras({.folder = project_.path()}, &spec_);
  EXPECT_EQ(status.code(), Code::kDataLoss);
  EXPECT_THAT(status.message(), HasSubstr("its sha256 in lre.toml"));

  // What was locked without a hash of the request's is locked anew.
  const auto fetched = FetchExtras(http_, {spec_.store["x"].extras[0]}, options_);
  EXPECT_THAT(ToStatus(fetched).message(), HasSubstr("`lre lock` takes it anew"));
}

TEST_F(ExtraFilesTest, UrlsAreFetchedOnceAndVerifiedEachTime) {
  local_.sha256 = Sha256Hex("note");

  const auto files = FetchExtras(http_, {local_, remote_, remote_}, options_);

  ASSERT_TRUE(files) << files.error().ToString();
  EXPECT_EQ(files->at(local_.sha256), project_ / "files/note");
  EXPECT_EQ(ReadFile(files->at(remote_.sha256)).value(), "the source");
  EXPECT_THAT(archive_.TakeRequests(), SizeIs(1));
  ASSERT_TRUE(FetchExtras(http_, {remote_}, options_));
  EXPECT_THAT(archive_.TakeRequests(), IsEmpty());
  ASSERT_TRUE(WriteFileAtomically(files->at(remote_.sha256), "damaged").ok());
  ASSERT_TRUE(FetchExtras(http_, {remote_}, options_));
  EXPECT_EQ(ReadFile(files->at(remote_.sha256)).value(), "the source");
}

TEST_F(ExtraFilesTest, RefusesMoreBytesThanItsBound) {
  options_.bytes_max = 9;
  EXPECT_EQ(FetchExtras(http_, {remote_}, options_).error().code(), Code::kOutOfRange);
  options_.bytes_max = 10;
  EXPECT_TRUE(FetchExtras(http_, {remote_}, options_));
}

TEST_F(ExtraFilesTest, RefusesOtherBytesThanThoseLocked) {
  remote_.sha256 = Sha256Hex("another");
  EXPECT_EQ(FetchExtras(http_, {remote_}, options_).error().code(), Code::kDataLoss);
  local_.sha256 = Sha256Hex("another");
  EXPECT_EQ(FetchExtras(http_, {local_}, options_).error().code(), Code::kDataLoss);
}

}  // namespace
}  // namespace lre::toolchain

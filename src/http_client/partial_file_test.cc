#include "http_client/partial_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lre {
namespace {

using testing::ElementsAre;

TEST(PartialFile, MakesAFileThatAppearsWhole) {
  TempDir directory;
  const std::string path = directory / "file";

  const Status status = PartialFile::Make(path, [&](PartialFile& file) -> Status {
    TRY(file.Append("ab"));
    EXPECT_FALSE(FileExists(path));
    TRY(file.Append("c"));
    EXPECT_EQ(file.Sha256(), ComputeDigest(DigestFunction::kSha256, "abc").Hex());
    return {};
  });

  ASSERT_TRUE(status.ok()) << status.ToString();
  EXPECT_EQ(ReadFile(path), "abc");
  EXPECT_THAT(SystemFiles().List(directory.path()).value(), ElementsAre("file"));
}

TEST(PartialFile, LeavesWhatWasThereWhenFillingFails) {
  TempDir directory;
  const std::string path = directory / "file";
  ASSERT_TRUE(WriteFileAtomically(path, "before").ok());

  const Status status = PartialFile::Make(path, [](PartialFile& file) -> Status {
    TRY(file.Append("half"));
    return ErrorStatus(Code::kDataLoss, "bad");
  });

  EXPECT_EQ(status.code(), Code::kDataLoss);
  EXPECT_EQ(ReadFile(path), "before");
  EXPECT_THAT(SystemFiles().List(directory.path()).value(), ElementsAre("file"));
}

TEST(PartialFile, MakesNothingOfWhatAnInterruptedOneLeft) {
  TempDir directory;
  const std::string path = directory / "file";
  ASSERT_TRUE(WriteFileAtomically(path + ".partial", "stale and longer").ok());

  ASSERT_TRUE(PartialFile::Make(path, [](PartialFile& file) { return file.Append("new"); }).ok());

  EXPECT_EQ(ReadFile(path), "new");
}

TEST(PartialFile, TwoAtOnceMakeTheFileEachByItself) {
  TempDir directory;
  const std::string path = directory / "file";

  const Status status = PartialFile::Make(path, [&](PartialFile& outer) -> Status {
    TRY(outer.Append("same "));
    TRY(PartialFile::Make(path, [](PartialFile& inner) { return inner.Append("same bytes"); }));
    EXPECT_EQ(ReadFile(path), "same bytes");
    return outer.Append("bytes");
  });

  ASSERT_TRUE(status.ok()) << status.ToString();
  EXPECT_EQ(ReadFile(path), "same bytes");
  EXPECT_THAT(SystemFiles().List(directory.path()).value(), ElementsAre("file"));
}

}  // namespace
}  // namespace lre

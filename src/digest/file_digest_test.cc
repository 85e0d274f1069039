#include "digest/file_digest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/random.h"

namespace lre {
namespace {

TEST(FileDigest, IsThatOfTheBytesAtEverySizeAroundAPiece) {
  TempDir directory;
  Random random(7);
  for (const size_t size : {0, 1, (1 << 18) - 1, 1 << 18, (1 << 18) + 1, 1 << 19, 600'000}) {
    const std::string bytes = random.NextBytes(size);
    ASSERT_TRUE(WriteFileAtomically(directory / "file", bytes).ok());

    const auto digest = DigestOfFile(directory / "file");

    ASSERT_TRUE(digest) << ToStatus(digest).ToString();
    EXPECT_EQ(*digest, ComputeDigest(DigestFunction::kSha256, bytes)) << size;
  }
}

TEST(FileDigest, NamesTheFileThatIsNotThere) {
  TempDir directory;

  const auto digest = DigestOfFile(directory / "none");

  ASSERT_FALSE(digest);
  EXPECT_EQ(digest.error().code(), Code::kNotFound);
  EXPECT_THAT(digest.error().message(), testing::HasSubstr(directory / "none"));
}

TEST(FileDigest, AFileThatChangedOrIsGoneHasNotTheHash) {
  TempDir directory;
  ASSERT_TRUE(WriteFileAtomically(directory / "file", "abc").ok());
  const std::string hex = ComputeDigest(DigestFunction::kSha256, "abc").Hex();

  EXPECT_TRUE(HasSha256(directory / "file", hex));
  EXPECT_FALSE(HasSha256(directory / "none", hex));
  ASSERT_TRUE(WriteFileAtomically(directory / "file", "rot").ok());
  EXPECT_FALSE(HasSha256(directory / "file", hex));
}

}  // namespace
}  // namespace lre

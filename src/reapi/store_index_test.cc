#include "reapi/store_index.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "reapi/action.h"
#include "reapi/digest_proto.h"

namespace lre::reapi {
namespace {

using ::testing::HasSubstr;

constexpr char kPath[] = "/lre/store/07523aeb40870c5a8059968c622b5263-gcc";

Digest DigestOf(std::string_view text) { return ComputeDigest(DigestFunction::kSha256, text); }

TEST(StoreIndex, TheKeyOfAPathNeverChanges) {
  // Servers hold entries under these keys: another digest would orphan all of them.
  EXPECT_EQ(StorePathKey(kPath).action.ToString(),
            "229b652b943de85348b2e1bb5bcc1767f05b5d22676d129e678a745f74cb5c53/138");
  EXPECT_NE(StorePathKey(kPath).action, ToolchainKey(kPath).action);
}

TEST(StoreIndex, AFileIsFoundByItsHashAlone) {
  const Digest file = DigestOf("a package");

  EXPECT_EQ(ParseFileEntry(EncodeFileEntry(file)).value(), file);
  EXPECT_EQ(ParseFileEntry("").error().code(), Code::kInvalidArgument);
  EXPECT_FALSE(ParseFileEntry("\x01 no message"));
  EXPECT_NE(FileKey(file.Hex()).action, ToolchainKey(file.Hex()).action);
}

TEST(StoreIndex, TheKeyIsThatOfACanonicalAction) {
  StoreIndexKey key = StorePathKey(kPath);

  auto action = ParseAction(key.blobs.back().bytes, DigestFunction::kSha256);
  auto command = ParseCommand(key.blobs.front().bytes);
  ASSERT_TRUE(action && command);
  EXPECT_EQ(action->command, key.blobs.front().digest);
  EXPECT_EQ(key.action, DigestOf(key.blobs.back().bytes));
  EXPECT_THAT(command->arguments, testing::ElementsAre("lre-store-path", kPath));
}

TEST(StoreIndex, EntriesReadBackAsTheyWereWritten) {
  StoreIndexEntry path{.record = "{}", .root = DigestOf("root"), .tree = DigestOf("tree")};
  StoreIndexEntry toolchain{.record = "{\"schema\": 1}", .root = {}, .tree = {}};

  EXPECT_EQ(ParseStoreIndexEntry(EncodeStoreIndexEntry(path)).value(), path);
  EXPECT_EQ(ParseStoreIndexEntry(EncodeStoreIndexEntry(toolchain)).value(), toolchain);
}

TEST(StoreIndex, RefusesWhatIsNoEntry) {
  pb::ActionResult other;
  other.set_stdout_raw("hello");
  other.add_output_directories()->set_path("bazel-out");

  EXPECT_THAT(ParseStoreIndexEntry("\xff\xff").error().message(), HasSubstr("no ActionResult"));
  EXPECT_THAT(ParseStoreIndexEntry("").error().message(), HasSubstr("no record"));
  EXPECT_THAT(ParseStoreIndexEntry(other.SerializeAsString()).error().message(),
              HasSubstr("bazel-out"));
}

TEST(StoreIndex, MakesATreeThatParses) {
  std::string leaf = EncodeDirectory({.files = {{.name = "f", .digest = DigestOf("x")}}});
  std::string root = EncodeDirectory({.directories = {{"d", DigestOf(leaf)}}});

  NewBlob blob = MakeTree({root, leaf});

  auto tree = ParseTree(blob.bytes, DigestFunction::kSha256);
  ASSERT_TRUE(tree) << ToStatus(tree).ToString();
  EXPECT_EQ(DigestOf(blob.bytes), blob.digest);
  ASSERT_EQ(tree->children.size(), 1u);
  EXPECT_EQ(tree->children[0].first, DigestOf(leaf));
}

}  // namespace
}  // namespace lre::reapi

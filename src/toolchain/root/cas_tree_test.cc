#include "toolchain/root/cas_tree.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

namespace lre::toolchain {
namespace {

using ::testing::HasSubstr;
using namespace std::string_literals;

Digest Of(std::string_view bytes) { return ComputeDigest(DigestFunction::kSha256, bytes); }

TEST(EncodeDirectories, WritesTheCanonicalMessage) {
  TreeListing listing = {
      .files = {{"a", Of("x"), true}, {"b", Of(""), false}, {"d/f", Of("x"), false}},
      .symlinks = {{"l", "../t"}}};

  CasDirectories directories = EncodeDirectories(listing).value();

  // By hand from the message definitions: 1 files, 2 directories, 3 symlinks; sizes of zero are
  // left out.
  std::string x = "\x0a\x40"s + Of("x").Hex() + "\x10\x01"s, empty = "\x0a\x40"s + Of("").Hex();
  std::string child = "\x0a\x49"s + "\x0a\x01"s + "f" + "\x12\x44" + x;
  std::string child_digest = "\x0a\x40"s + Of(child).Hex() + "\x10\x4b";
  std::string root = "\x0a\x4b"s + "\x0a\x01"s + "a" + "\x12\x44" + x + "\x20\x01" +  //
                     "\x0a\x47"s + "\x0a\x01"s + "b" + "\x12\x42" + empty +           //
                     "\x12\x49"s + "\x0a\x01"s + "d" + "\x12\x44" + child_digest +    //
                     "\x1a\x09"s + "\x0a\x01"s + "l" + "\x12\x04" + "../t";
  ASSERT_EQ(child.size(), 0x4bu);
  EXPECT_EQ(directories.root, Of(root));
  EXPECT_EQ(directories.blobs.at(Of(root)), root);
  EXPECT_EQ(directories.blobs.at(Of(child)), child);
}

TEST(EncodeDirectories, RefusesPathsThatAreNoTree) {
  for (const char* path : {"", "/a", "a//b", "a/../b", ".", "a/"})
    EXPECT_FALSE(EncodeDirectories({.files = {{path, Of(""), false}}, .symlinks = {}})) << path;
  EXPECT_FALSE(
      EncodeDirectories({.files = {{"a", Of(""), false}, {"a/b", Of(""), false}}, .symlinks = {}}));
  EXPECT_FALSE(EncodeDirectories({.files = {{"a/b", Of(""), false}}, .symlinks = {{"a", "x"}}}));
}

TEST(EncodeDirectories, SortsNamesAsBytesWhateverTheListingsOrder) {
  TreeListing one = {.files = {{"a.b/x", Of("1"), false}, {"a/x", Of("2"), false}}, .symlinks = {}};
  TreeListing two = {.files = {{"a/x", Of("2"), false}, {"a.b/x", Of("1"), false}}, .symlinks = {}};

  EXPECT_EQ(EncodeDirectories(one)->root, EncodeDirectories(two)->root);
}

TEST(WalkTree, ListsWhatIsThereWithoutFollowingLinks) {
  TempDir directory;
  ASSERT_EQ(mkdir((directory / "d").c_str(), 0755), 0);
  ASSERT_TRUE(WriteFileAtomically(directory / "d/f", std::string(600000, 'y')).ok());
  ASSERT_TRUE(WriteFileAtomically(directory / "x", "run", 0755).ok());
  ASSERT_EQ(symlink("/etc", (directory / "l").c_str()), 0);

  TreeListing listing = WalkTree(directory.path()).value();

  TreeListing expected = {
      .files = {{"d/f", Of(std::string(600000, 'y')), false}, {"x", Of("run"), true}},
      .symlinks = {{"l", "/etc"}}};
  EXPECT_EQ(listing, expected);
  EXPECT_EQ(listing.TotalBytes(), 600003u);
  EXPECT_EQ(WalkTree(directory.path(), {.entries_max = 2}).error().code(),
            Code::kResourceExhausted);
}

TEST(WalkTree, RefusesPipes) {
  TempDir directory;
  ASSERT_EQ(mkfifo((directory / "p").c_str(), 0644), 0);

  EXPECT_EQ(WalkTree(directory.path()).error().code(), Code::kFailedPrecondition);
}

TEST(Listing, ReadsBackWhatItPrints) {
  TreeListing listing = {.files = {{"a b\n%/\x01x", Of("1"), true}, {"c", Of(""), false}},
                         .symlinks = {{"l m", "t %20 u"}}};

  EXPECT_EQ(ParseListing(PrintListing(listing)).value(), listing);
  EXPECT_FALSE(ParseListing("f 00 1 a\n"));
  EXPECT_FALSE(ParseListing("q a b\n"));
  EXPECT_THAT(ParseListing("l a b").error().message(), HasSubstr("cut off"));
  EXPECT_FALSE(ParseListing("l %4 b\n"));
}

TEST(TreeDigestText, ReadsBackWhatItPrints) {
  EXPECT_EQ(ParseTreeDigest(TreeDigestText(Of("abc"))).value(), Of("abc"));
  EXPECT_FALSE(ParseTreeDigest("sha256:abc/1"));
  EXPECT_FALSE(ParseTreeDigest(Of("abc").ToString()));
  EXPECT_FALSE(ParseTreeDigest(TreeDigestText(Of("abc")) + "x"));
}

}  // namespace
}  // namespace lre::toolchain

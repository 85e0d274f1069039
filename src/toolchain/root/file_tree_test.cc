#include "toolchain/root/file_tree.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lre::toolchain {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

FileNode Link(std::string target) { return {.content = std::move(target), .symlink = true}; }

TEST(NormalPath, RemovesDotsAndStaysInside) {
  EXPECT_EQ(NormalPath("./usr//lib/../bin/./x/"), "usr/bin/x");
  EXPECT_EQ(NormalPath("/../../etc"), "etc");
  EXPECT_EQ(NormalPath("/"), "");
}

TEST(RelativeTarget, LeadsFromTheFolderOfTheLink) {
  EXPECT_EQ(RelativeTarget("usr/lib/a", "usr/lib/b"), "b");
  EXPECT_EQ(RelativeTarget("usr/lib64/ld.so", "usr/lib/x/ld.so"), "../lib/x/ld.so");
  EXPECT_EQ(RelativeTarget("lib", "usr/lib"), "usr/lib");
  EXPECT_EQ(RelativeTarget("usr/lib/x/up", "usr/lib"), "..");
  EXPECT_EQ(RelativeTarget("usr/here", "usr"), ".");
}

TEST(FoldUsr, MovesOnlyTheMergedFolders) {
  EXPECT_EQ(FoldUsr("lib/x"), "usr/lib/x");
  EXPECT_EQ(FoldUsr("lib64"), "usr/lib64");
  EXPECT_EQ(FoldUsr("library/x"), "library/x");
  EXPECT_EQ(FoldUsr("usr/lib/x"), "usr/lib/x");
}

TEST(Resolve, FollowsLinksInFoldersAndStopsInCircles) {
  FileTree tree = {{"usr/lib/real", {.content = "x"}},
                   {"usr/dir", Link("lib")},
                   {"usr/abs", Link("/usr/dir/real")},
                   {"usr/a", Link("b")},
                   {"usr/b", Link("a")},
                   {"usr/gone", Link("nowhere")}};

  EXPECT_EQ(Resolve(tree, "usr/abs"), "usr/lib/real");
  EXPECT_EQ(Resolve(tree, "/usr/dir/../dir/real"), "usr/lib/real");
  EXPECT_EQ(Resolve(tree, "usr/dir"), "usr/lib");
  EXPECT_EQ(Resolve(tree, "usr/a"), "");
  EXPECT_EQ(Resolve(tree, "usr/gone"), "");
}

TEST(MergeTree, AcceptsEqualFilesAndNamesDifferentOnes) {
  FileTree into = {{"usr/a", {.content = "same"}}, {"usr/b", {.content = "b"}}};

  EXPECT_TRUE(
      MergeTree(into, {{"usr/a", {.content = "same"}}, {"usr/c", {.content = "c"}}}, "two").ok());
  EXPECT_EQ(into.size(), 3u);
  EXPECT_THAT(MergeTree(into, {{"usr/b", {.content = "other"}}}, "three").message(),
              HasSubstr("three and another have different files at usr/b"));
  EXPECT_THAT(MergeTree(into, {{"usr/c/d", {.content = "x"}}}, "four").message(),
              HasSubstr("usr/c"));
}

TEST(LinkTargets, MakesEveryLinkHoldAnywhere) {
  Reference libc =
      MakeReference("libc", "/lre/store/H-libc",
                    {.files = {{"usr/lib/libm.so.6", Digest{}, false}}, .symlinks = {}});
  FileTree tree = {{"usr/lib/libz.so.1", {.content = "z"}},
                   {"usr/lib/x/libz.so", Link("/usr/lib/libz.so.1")},
                   {"usr/lib/libm.so", Link("/lib/libm.so.6")},
                   {"usr/lib/made", Link("/lre/store/H-libc/usr/lib/anything")},
                   {"usr/bin/pager", Link("/etc/alternatives/pager")},
                   {"usr/bin/chain", Link("/usr/bin/pager")}};

  std::vector<std::string> left_out = LinkTargets(tree, {&libc});

  EXPECT_EQ(tree["usr/lib/x/libz.so"].content, "../libz.so.1");
  EXPECT_EQ(tree["usr/lib/libm.so"].content, "/lre/store/H-libc/usr/lib/libm.so.6");
  EXPECT_EQ(tree["usr/lib/made"].content, "/lre/store/H-libc/usr/lib/anything");
  EXPECT_EQ(tree["lib"].content, "usr/lib");
  EXPECT_THAT(left_out, ElementsAre("usr/bin/chain", "usr/bin/pager"));
  EXPECT_FALSE(tree.contains("usr/bin/pager"));
}

TEST(LinkTargets, LeavesATreeWithoutLinksAlone) {
  FileTree tree = {{"opt/x", {.content = "x"}}};

  EXPECT_THAT(LinkTargets(tree, {}), IsEmpty());

  EXPECT_EQ(tree.size(), 1u);
}

}  // namespace
}  // namespace lre::toolchain

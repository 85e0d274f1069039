#include "toolchain/root/extras.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <random>

#include "base/file.h"
#include "base/random.h"
#include "base/subprocess.h"
#include "toolchain/root/deb.h"
#include "toolchain/root/fake_deb.h"

namespace lre::toolchain {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(PatternTest, StarsStopAtFoldersUnlessThereAreTwo) {
  EXPECT_TRUE(MatchesPattern("usr/lib/*/libz.so*", "usr/lib/x86_64-linux-gnu/libz.so.1"));
  EXPECT_FALSE(MatchesPattern("usr/lib/*", "usr/lib/a/b"));
  EXPECT_TRUE(MatchesPattern("usr/**", "usr/lib/a/b"));
  EXPECT_TRUE(MatchesPattern("**/lib*.so", "a/libx/libz.so"));
  EXPECT_TRUE(MatchesPattern("a?c", "abc"));
  EXPECT_FALSE(MatchesPattern("a?c", "a/c"));
  EXPECT_FALSE(MatchesPattern("abc", "abcd"));
  EXPECT_TRUE(MatchesPattern("*", ""));
}

class ExtrasTest : public ::testing::Test {
 protected:
  Extra Put(const std::string& name, ExtraKind kind, std::string_view bytes) {
    EXPECT_TRUE(WriteFileAtomically(directory_ / name, bytes).ok());
    options_.extras[name] = directory_ / name;
    return {.name = name, .kind = kind, .from = name, .sha256 = name};
  }

  TempDir directory_;
  SyncOptions options_;
  FileTree tree_ = {{"usr/bin/tool", {.content = "tool", .executable = true}},
                    {"usr/include/a.h", {.content = "one\ntwo\nthree\nfour\nfive\n"}}};
};

TEST_F(ExtrasTest, FilesAreAddedAndTakeThePlaceOfOthers) {
  LockedPath locked;
  locked.extras = {Put("f", ExtraKind::kFile, "new"), Put("g", ExtraKind::kFile, "#!/bin/sh\n")};
  locked.extras[0].into = "usr/include/a.h";
  locked.extras[1].into = "bin/script";
  locked.extras[1].executable = true;

  ASSERT_TRUE(ShapeTree(tree_, locked, options_).ok());

  EXPECT_EQ(tree_["usr/include/a.h"].content, "new");
  EXPECT_TRUE(tree_["usr/bin/script"].executable);
}

TEST_F(ExtrasTest, AnArchiveOfWhichNothingIsTakenIsAnError) {
  ASSERT_TRUE(WriteFileAtomically(directory_ / "file", "text").ok());
  ASSERT_TRUE(RunSubprocess(
      {.arguments = {"tar", "-C", directory_.path(), "-cf", directory_ / "one.tar", "file"}}));
  Extra extra = Put("tar", ExtraKind::kTar, ReadFile(directory_ / "one.tar").value());

  const auto whole = UnpackExtra(extra, options_);
  extra.strip = 1;
  const auto nothing = UnpackExtra(extra, options_);

  ASSERT_TRUE(whole) << ToStatus(whole).ToString();
  EXPECT_EQ(whole->size(), 1u);
  ASSERT_FALSE(nothing);
  EXPECT_THAT(nothing.error().message(), HasSubstr("add.tar: tar has no file"));
}

TEST_F(ExtrasTest, WhatIsDroppedIsGoneAndAPatternThatFitsNothingIsAnError) {
  LockedPath locked{.drop = {"usr/bin/*"}};

  ASSERT_TRUE(ShapeTree(tree_, locked, options_).ok());
  EXPECT_THAT(Paths(tree_), ElementsAre("usr/include/a.h"));
  const Status again = ShapeTree(tree_, locked, options_);

  EXPECT_EQ(again.code(), Code::kNotFound);
  EXPECT_THAT(again.message(), HasSubstr("usr/bin/*"));
}

constexpr std::string_view kPatch =
    "What it is for.\n\ndiff --git a/usr/include/a.h b/usr/include/a.h\n"
    "--- a/usr/include/a.h\n+++ b/usr/include/a.h\t2026-01-01\n"
    "@@ -1,2 +1,3 @@\n one\n-two\n+zwei\n+zweieinhalb\n@@ -4,2 +5,2 @@ in here\n four\n-five\n"
    "+funf\n\\ No newline at end of file\n"
    "--- /dev/null\n+++ b/usr/share/new\n@@ -0,0 +1 @@\n+new\n"
    "--- a/usr/bin/tool\n+++ /dev/null\n@@ -1 +0,0 @@\n-tool\n\\ No newline at end of file\n";

TEST_F(ExtrasTest, PatchesChangeMakeAndRemoveFiles) {
  LockedPath locked;
  locked.extras = {Put("p", ExtraKind::kPatch, kPatch)};
  locked.extras[0].strip = 1;

  const Status status = ShapeTree(tree_, locked, options_);

  ASSERT_TRUE(status.ok()) << status.ToString();
  EXPECT_EQ(tree_["usr/include/a.h"].content, "one\nzwei\nzweieinhalb\nthree\nfour\nfunf");
  EXPECT_EQ(tree_["usr/share/new"].content, "new\n");
  EXPECT_FALSE(tree_.contains("usr/bin/tool"));
}

TEST_F(ExtrasTest, APatchThatDoesNotFitSaysWhere) {
  const auto error = [&](std::string_view diff) {
    FileTree tree = tree_;
    const Status status = ApplyPatch(tree, diff, 1);
    return status.ok() ? "applied" : status.message();
  };
  const std::string head = "--- a/usr/include/a.h\n+++ b/usr/include/a.h\n";

  EXPECT_THAT(error(head + "@@ -1 +1 @@\n-eins\n+one\n"),
              HasSubstr("line 4: the file has another line here"));
  EXPECT_THAT(error(head + "@@ -2 +2 @@\n-one\n+eins\n"), HasSubstr("line 4"));
  EXPECT_THAT(error(head + "@@ -1,3 +1 @@\n-one\n+eins\n"), HasSubstr("cut off"));
  EXPECT_THAT(error(head + "@@ -1 +1 @@\n-one\n-two\n+x\n"),
              HasSubstr("other lines than its head"));
  EXPECT_THAT(error(head + "@@ -x +1 @@\n"), HasSubstr("not the head of a hunk"));
  EXPECT_THAT(error("--- a/../etc/x\n+++ b/../etc/x\n"), HasSubstr("leaves the tree"));
  EXPECT_THAT(error("--- a/usr/none\n+++ b/usr/none\n"), HasSubstr("usr/none is not in the tree"));
  EXPECT_THAT(error("--- /dev/null\n+++ b/usr/bin/tool\n"), HasSubstr("is in the tree already"));
  EXPECT_THAT(error("hello\n"), HasSubstr("not a unified diff"));
}

TEST_F(ExtrasTest, SurvivesDamagedPatches) {
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE(fmt::format("seed {}", seed));
  Random random(seed);
  for (int round = 0; round < 3000; ++round) {
    std::string diff(kPatch);
    for (uint64_t i = 0; i <= random.Below(3); ++i) {
      const size_t at = random.Below(diff.size());
      if (random.OneIn(2)) {
        diff[at] = static_cast<char>(random.Next());
      } else {
        diff.erase(at, random.Below(20));
      }
    }
    FileTree tree = tree_;

    (void)ApplyPatch(tree, diff, 1);

    for (const auto& [path, node] : tree) EXPECT_TRUE(IsBelow(path)) << path;
  }
}

// diff(1) as the judge: what it says is the difference, makes the one of the other.
TEST_F(ExtrasTest, AppliesWhatDiffPrints) {
  const std::string before = directory_ / "a", after = directory_ / "b";
  std::string old_text, new_text;
  for (int i = 0; i < 200; ++i) {
    old_text += fmt::format("line {}\n", i * i % 37);
    if (i % 13 != 5) new_text += fmt::format("line {}\n", i % 29 == 3 ? -i : i * i % 37);
    if (i % 31 == 7) new_text += "\n";
  }
  ASSERT_TRUE(SystemFiles().MakeDirectories(before).ok());
  ASSERT_TRUE(SystemFiles().MakeDirectories(after).ok());
  ASSERT_TRUE(WriteFileAtomically(before + "/f", old_text).ok());
  ASSERT_TRUE(WriteFileAtomically(after + "/f", new_text).ok());
  const auto diff =
      RunSubprocess({.arguments = {"diff", "-u", "a/f", "b/f"}, .directory = directory_ / "."});
  ASSERT_TRUE(diff);
  FileTree tree = {{"f", {.content = old_text}}};

  const Status status = ApplyPatch(tree, diff->output, 1);

  ASSERT_TRUE(status.ok()) << status.ToString();
  EXPECT_EQ(tree["f"].content, new_text);
}

TEST_F(ExtrasTest, TarArchivesGoWhereTheyAreTold) {
  const std::string folder = directory_ / "pack";
  ASSERT_TRUE(SystemFiles().MakeDirectories(folder + "/hello-1.0/bin").ok());
  ASSERT_TRUE(WriteFileAtomically(folder + "/hello-1.0/bin/hello", "hi", 0755).ok());
  ASSERT_TRUE(WriteFileAtomically(folder + "/hello-1.0/README", "read").ok());
  ASSERT_EQ(symlink("bin/hello", (folder + "/hello-1.0/link").c_str()), 0);
  const auto made = RunSubprocess(
      {.arguments = {"tar", "-czf", directory_ / "hello.tar.gz", "-C", folder, "hello-1.0"}});
  ASSERT_TRUE(made && made->exit_code == 0);

  const auto tree =
      UnpackTar(directory_ / "hello.tar.gz", {.into = "opt/hello", .strip = 1, .limits = {}});

  ASSERT_TRUE(tree) << tree.error().ToString();
  EXPECT_THAT(Paths(*tree),
              ElementsAre("opt/hello/README", "opt/hello/bin/hello", "opt/hello/link"));
  EXPECT_TRUE(tree->find("opt/hello/bin/hello")->second.executable);
  EXPECT_EQ(tree->find("opt/hello/link")->second.content, "/opt/hello/bin/hello");
  EXPECT_EQ(UnpackTar(directory_ / "hello.tar.gz", {.into = "", .strip = 9, .limits = {}})->size(),
            0u);
}

TEST_F(ExtrasTest, RefusesATarArchiveThatIsNoneOrIsTooLarge) {
  ASSERT_TRUE(WriteFileAtomically(directory_ / "x.tar", "not a tar archive at all").ok());
  EXPECT_EQ(UnpackTar(directory_ / "x.tar", {}).error().code(), Code::kDataLoss);

  ASSERT_TRUE(WriteFileAtomically(directory_ / "big", std::string(5000, 'x')).ok());
  const auto made = RunSubprocess(
      {.arguments = {"tar", "-cf", directory_ / "big.tar", "-C", directory_ / ".", "big"}});
  ASSERT_TRUE(made && made->exit_code == 0);
  EXPECT_EQ(
      UnpackTar(directory_ / "big.tar", {.into = "", .limits = {.bytes_max = 4999}}).error().code(),
      Code::kResourceExhausted);
}

TEST_F(ExtrasTest, ALocalPackageIsUnpackedAsOthersAre) {
  Extra extra = Put("mine.deb", ExtraKind::kDeb, "");
  WriteFakeDeb(directory_ / "mine.deb", {{.path = "./bin/mine", .content = "m", .mode = 0755},
                                         {.path = "./usr/share/man/mine.1", .content = "m"}});

  const auto tree = UnpackExtra(extra, options_);

  ASSERT_TRUE(tree) << tree.error().ToString();
  EXPECT_THAT(Paths(*tree), ElementsAre("usr/bin/mine"));
}

TEST_F(ExtrasTest, WhatWasNotFetchedIsNamed) {
  LockedPath locked;
  locked.extras = {
      {.name = "f", .kind = ExtraKind::kFile, .from = "a/f", .sha256 = "12", .into = "usr/f"}};

  EXPECT_THAT(ShapeTree(tree_, locked, options_).message(), HasSubstr("a/f is needed"));
}

}  // namespace
}  // namespace lre::toolchain

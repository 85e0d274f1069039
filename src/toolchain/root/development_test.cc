#include "toolchain/root/development.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "toolchain/root/fake_deb.h"
#include "toolchain/root/relocate_tree.h"

namespace lre::toolchain {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Two paths of scripts and data; the second names the first in a script, a link and a file.
class DevelopmentTest : public ::testing::Test {
 protected:
  DevelopmentTest() {
    WriteFakeDeb(directory_ / "low.deb",
                 {{.path = "./usr/share/data", .content = "data"},
                  {.path = "./bin/bash", .content = "shell", .mode = 0755}});
    WriteFakeDeb(directory_ / "high.deb",
                 {{.path = "./usr/bin/script", .content = "#!/bin/bash\n", .mode = 0755},
                  {.path = "./usr/share/plain", .content = "plain"},
                  {.path = "./usr/share/link", .content = "/usr/share/data", .type = 'l'}});
    lock_.system = ThisSystem();
    for (const char* name : {"low", "high"}) {
      lock_.packages[name] = {.name = name,
                              .version = "1.0",
                              .architecture = "all",
                              .sha256 = std::string(64, name[0] == 'l' ? 'a' : 'b'),
                              .size_bytes = 1};
      options_.sync.packages[name] = directory_ / (std::string(name) + ".deb");
    }
    lock_.paths["low"] = {.role = "low", .packages = {"low"}};
    lock_.paths["high"] = {.role = "high", .packages = {"high"}, .references = {"low"}};
    lock_.toolchains["tools"] = {.paths = {"high", "low"}};
    options_.sync.prefix = directory_ / "store";
    options_.sync.lock_digest = "sha256:00";
    base_ = SyncToolchain(lock_, "tools", options_.sync, NoProgress()).value();
  }

  void Put(const std::string& file, std::string_view content, int mode = 0644) {
    const std::string path = directory_ / file;
    ASSERT_TRUE(SystemFiles().MakeDirectories(std::string(ParentPath(path))).ok());
    ASSERT_TRUE(WriteFileAtomically(path, content, mode).ok());
  }
  Result<Manifest> Develop(const Overlay& overlay) {
    return DevelopToolchain(lock_, "tools", {overlay}, options_, NoProgress());
  }

  TempDir directory_;
  Lock lock_;
  DevelopmentOptions options_;
  Manifest base_;
};

TEST_F(DevelopmentTest, LaysFilesOverAPathAndRenamesWhatReferencesIt) {
  Put("over/usr/share/data", "changed");
  Put("over/bin/new", "new", 0755);

  const auto made = Develop({.role = "low", .directory = directory_ / "over"});

  ASSERT_TRUE(made) << made.error().ToString();
  const StorePath &low = *made->Find("low"), &high = *made->Find("high");
  EXPECT_NE(low.path, base_.Find("low")->path);
  EXPECT_NE(high.path, base_.Find("high")->path);
  EXPECT_EQ(ReadFile(low.path + "/usr/share/data").value(), "changed");
  EXPECT_EQ(access((low.path + "/usr/bin/new").c_str(), X_OK), 0);
  EXPECT_EQ(ReadFile(low.path + "/usr/bin/bash").value(), "shell");
  EXPECT_EQ(ReadFile(high.path + "/usr/bin/script").value(), "#!" + low.path + "/usr/bin/bash\n");
  EXPECT_EQ(ReadFile(high.path + "/usr/share/link").value(), "changed");
  EXPECT_THAT(high.references, ElementsAre(low.path));
  EXPECT_EQ(made->env.at("PATH"), high.path + "/usr/bin:" + low.path + "/usr/bin");
  EXPECT_THAT(made->recipe, testing::EndsWith("+dev"));
  auto store = ToolchainStore::Open(options_.sync.prefix).value();
  for (const StorePath& path : made->paths)
    EXPECT_THAT(store->Verify(path.path).value(), IsEmpty());
  // The old ones are as they were.
  EXPECT_EQ(ReadFile(base_.Find("low")->path + "/usr/share/data").value(), "data");
}

TEST_F(DevelopmentTest, FilesThatStayAreTheSameFiles) {
  Put("over/usr/share/data", "changed");

  const Manifest made = Develop({.role = "low", .directory = directory_ / "over"}).value();

  struct stat before {
  }, after{};
  const std::string plain = "/usr/share/plain";
  ASSERT_EQ(stat((base_.Find("high")->path + plain).c_str(), &before), 0);
  ASSERT_EQ(stat((made.Find("high")->path + plain).c_str(), &after), 0);
  EXPECT_EQ(before.st_ino, after.st_ino);
}

TEST_F(DevelopmentTest, TheSameChangeGivesTheSamePathsAndNoneGivesOthers) {
  Put("over/usr/share/data", "changed");
  Put("same/usr/share/data", "changed");
  Put("other/usr/share/data", "changed again");

  const Manifest first = Develop({.role = "low", .directory = directory_ / "over"}).value();

  EXPECT_EQ(Develop({.role = "low", .directory = directory_ / "same"}).value(), first);
  EXPECT_NE(Develop({.role = "low", .directory = directory_ / "other"}).value().paths[0].path,
            first.paths[0].path);
  EXPECT_EQ(SyncToolchain(lock_, "tools", options_.sync, NoProgress()).value(), base_);
}

TEST_F(DevelopmentTest, WhatNothingReferencesChangesAlone) {
  Put("over/usr/share/plain", "changed");

  const Manifest made = Develop({.role = "high", .directory = directory_ / "over"}).value();

  EXPECT_EQ(made.Find("low")->path, base_.Find("low")->path);
  EXPECT_NE(made.Find("high")->path, base_.Find("high")->path);
}

TEST_F(DevelopmentTest, AnEditedCopyMayLackFiles) {
  const std::string copy = directory_ / "copy";
  ASSERT_TRUE(CopyForEditing(*base_.Find("high"), copy).ok());
  EXPECT_EQ(CopyForEditing(*base_.Find("high"), copy).code(), Code::kAlreadyExists);
  ASSERT_TRUE(SystemFiles().Remove(copy + "/usr/share/plain").ok());

  const auto made = Develop({.role = "high", .directory = copy, .whole = true});

  ASSERT_TRUE(made) << made.error().ToString();
  EXPECT_FALSE(FileExists(made->Find("high")->path + "/usr/share/plain"));
  EXPECT_EQ(ReadFile(made->Find("high")->path + "/usr/share/link").value(), "data");
}

TEST_F(DevelopmentTest, SaysWhatCannotBe) {
  Put("over/usr/share/data", "names " + options_.sync.prefix + "/" + std::string(32, '0') + "-x");

  EXPECT_THAT(Develop({.role = "middle", .directory = directory_ / "over"}).error().message(),
              HasSubstr("tools has no path with role middle (low, high)"));
  EXPECT_THAT(Develop({.role = "low", .directory = directory_ / "none"}).error().message(),
              HasSubstr("is not here"));
  EXPECT_THAT(Develop({.role = "low", .directory = directory_ / "over"}).error().message(),
              HasSubstr("which it does not reference"));
}

}  // namespace
}  // namespace lre::toolchain

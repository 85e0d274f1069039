#include "toolchain/root/sync.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/thread_group.h"
#include "toolchain/root/fake_deb.h"

namespace lre::toolchain {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// A toolchain of scripts and data: two paths, three packages.
class SyncTest : public ::testing::Test {
 protected:
  SyncTest() {
    WriteFakeDeb(directory_ / "data.deb", {{.path = "./usr/share/data", .content = "data"}});
    WriteFakeDeb(directory_ / "shell.deb",
                 {{.path = "./bin/bash", .content = "shell", .mode = 0755}});
    WriteFakeDeb(directory_ / "script.deb",
                 {{.path = "./usr/bin/script", .content = "#!/bin/bash\n", .mode = 0755},
                  {.path = "./usr/share/link", .content = "/usr/share/data", .type = 'l'}});
    lock_.system = ThisSystemName();
    for (const char* name : {"data", "shell", "script"}) {
      lock_.packages[name] = {.name = name,
                              .version = "1.0",
                              .architecture = "all",
                              .sha256 = std::string(64, name[1]),
                              .size_bytes = 1};
      options_.packages[name] = directory_ / (std::string(name) + ".deb");
    }
    lock_.paths["low"] = {.role = "low", .packages = {"data", "shell"}};
    lock_.paths["high"] = {.role = "high", .packages = {"script"}, .references = {"low"}};
    lock_.toolchains["tools"] = {.paths = {"high", "low"}};
    options_.prefix = directory_ / "store";
    options_.lock_digest = "sha256:00";
  }

  static std::string ThisSystemName();

  TempDir directory_;
  Lock lock_;
  SyncOptions options_;
};

std::string SyncTest::ThisSystemName() {
#ifdef __aarch64__
  return "aarch64-linux";
#else
  return "x86_64-linux";
#endif
}

TEST_F(SyncTest, MakesPathsThatReferToEachOther) {
  Manifest manifest = SyncToolchain(lock_, "tools", options_, NoProgress()).value();

  ASSERT_EQ(manifest.paths.size(), 2u);
  const StorePath &low = manifest.paths[0], &high = manifest.paths[1];
  EXPECT_EQ(low.role, "low");
  EXPECT_THAT(high.references, ElementsAre(low.path));
  EXPECT_THAT(low.references, IsEmpty());
  EXPECT_THAT(low.packages, ElementsAre("data=1.0", "shell=1.0"));
  EXPECT_EQ(ReadFile(high.path + "/usr/bin/script").value(), "#!" + low.path + "/usr/bin/bash\n");
  EXPECT_EQ(ReadFile(high.path + "/usr/share/link").value(), "data");
  EXPECT_EQ(manifest.name, "tools");
  EXPECT_EQ(manifest.recipe, kRecipeVersion);
  EXPECT_FALSE(manifest.cc);
  auto store = ToolchainStore::Open(options_.prefix).value();
  for (const StorePath& path : manifest.paths)
    EXPECT_THAT(store->Verify(path.path).value(), IsEmpty());
}

TEST_F(SyncTest, DoesNothingTheSecondTime) {
  EXPECT_THAT(FilesToFetch(lock_, "tools", options_)->packages,
              ElementsAre("data", "script", "shell"));
  Manifest first = SyncToolchain(lock_, "tools", options_, NoProgress()).value();
  options_.packages.clear();

  EXPECT_THAT(FilesToFetch(lock_, "tools", options_)->packages, IsEmpty());
  EXPECT_EQ(SyncToolchain(lock_, "tools", options_, NoProgress()).value(), first);
}

TEST_F(SyncTest, ARoleAndTheEndOfItsPathAreTwoThings) {
  lock_.paths["low-2"] = lock_.paths["low"];
  lock_.paths["low-2"].packages = {"data"};
  lock_.paths["low-2"].references = {};
  lock_.paths["high.mine"] = lock_.paths["high"];
  lock_.paths["high.mine"].label = "high";
  lock_.paths["high.mine"].references = {"low-2"};
  lock_.toolchains["mine"] = {.paths = {"high.mine", "low-2"}};

  const Manifest usual = SyncToolchain(lock_, "tools", options_, NoProgress()).value();
  const Manifest mine = SyncToolchain(lock_, "mine", options_, NoProgress()).value();

  EXPECT_THAT(mine.Find("low")->path, testing::EndsWith("-low-2"));
  EXPECT_THAT(mine.Find("high")->path, testing::EndsWith("-high"));
  EXPECT_NE(mine.Find("high")->path, usual.Find("high")->path);
  EXPECT_THAT(mine.Find("high")->references, ElementsAre(mine.Find("low")->path));
}

TEST_F(SyncTest, WhatIsAddedIsInThePathAndInItsName) {
  ASSERT_TRUE(WriteFileAtomically(directory_ / "note", "note").ok());
  const std::vector<StorePath> before = PlannedPaths(lock_, "tools", options_).value();
  lock_.paths["low"].extras = {{.name = "note",
                                .kind = ExtraKind::kFile,
                                .from = "note",
                                .sha256 = "12",
                                .into = "usr/share/note"}};
  lock_.paths["low"].drop = {"usr/share/d*"};
  lock_.toolchains["tools"].settings = {.tools = {"script"},
                                        .env = {{"NOTE", "{low}/usr/share/note:{"}}};
  options_.extras["12"] = directory_ / "note";

  EXPECT_EQ(FilesToFetch(lock_, "tools", options_)->extras.size(), 1u);
  const Manifest manifest = SyncToolchain(lock_, "tools", options_, NoProgress()).value();

  const StorePath& low = *manifest.Find("low");
  EXPECT_NE(low.path, before[0].path);
  EXPECT_NE(manifest.Find("high")->path, before[1].path);
  EXPECT_EQ(ReadFile(low.path + "/usr/share/note").value(), "note");
  EXPECT_FALSE(FileExists(low.path + "/usr/share/data"));
  EXPECT_THAT(low.packages, ElementsAre("data=1.0", "note=12", "shell=1.0"));
  EXPECT_EQ(manifest.env.at("NOTE"), low.path + "/usr/share/note:{");
  EXPECT_EQ(manifest.tools.at("script"), manifest.Find("high")->path + "/usr/bin/script");
}

TEST_F(SyncTest, AToolThatNoPathHasIsNamed) {
  lock_.toolchains["tools"].settings.tools = {"protoc"};

  EXPECT_THAT(SyncToolchain(lock_, "tools", options_, NoProgress()).error().message(),
              HasSubstr("no path has usr/bin/protoc"));
}

TEST_F(SyncTest, MakesTheSameTreeWithAnyUmask) {
  Manifest first = SyncToolchain(lock_, "tools", options_, NoProgress()).value();
  auto store = ToolchainStore::Open(options_.prefix).value();
  ASSERT_TRUE(store->CollectGarbage({}));

  mode_t old = umask(0077);
  Manifest second = SyncToolchain(lock_, "tools", options_, NoProgress()).value();
  umask(old);

  EXPECT_EQ(second, first);
  struct stat info {};
  ASSERT_EQ(stat((second.paths[0].path + "/usr/share/data").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0444u);
}

TEST_F(SyncTest, NamesPathsAfterWhatGoesIntoThem) {
  auto names = [&] {
    std::vector<std::string> names;
    auto planned = PlannedPaths(lock_, "tools", options_).value();
    for (const StorePath& path : planned) names.push_back(path.path);
    return names;
  };
  std::vector<std::string> before = names();

  lock_.packages["script"].sha256[0] = '0';
  std::vector<std::string> script = names();
  lock_.packages["data"].sha256[0] = '0';
  std::vector<std::string> data = names();

  EXPECT_EQ(script[0], before[0]);
  EXPECT_NE(script[1], before[1]);
  EXPECT_NE(data[0], before[0]);
  EXPECT_NE(data[1], script[1]);
}

TEST_F(SyncTest, LeavesNothingBehindWhenAPackageIsBad) {
  ASSERT_TRUE(WriteFileAtomically(options_.packages["script"], "damaged").ok());

  Status status = SyncToolchain(lock_, "tools", options_, NoProgress()).error();

  EXPECT_EQ(status.code(), Code::kDataLoss);
  EXPECT_THAT(status.message(), HasSubstr("script.deb"));
  auto store = ToolchainStore::Open(options_.prefix).value();
  EXPECT_EQ(store->List()->size(), 1u);  // the path before it
  EXPECT_THAT(SystemFiles().List(options_.prefix + "/.lre/tmp").value(), IsEmpty());
}

TEST_F(SyncTest, SaysWhatIsMissingOrCannotBe) {
  EXPECT_THAT(SyncToolchain(lock_, "none", options_, NoProgress()).error().message(),
              HasSubstr("none"));
  options_.packages.erase("script");
  EXPECT_THAT(SyncToolchain(lock_, "tools", options_, NoProgress()).error().message(),
              HasSubstr("package script is needed"));
  lock_.system = "riscv64-linux";
  EXPECT_EQ(SyncToolchain(lock_, "tools", options_, NoProgress()).error().code(),
            Code::kUnimplemented);
}

TEST_F(SyncTest, RefusesPackagesThatDisagree) {
  WriteFakeDeb(options_.packages["shell"], {{.path = "./usr/share/data", .content = "other"}});

  Status status = SyncToolchain(lock_, "tools", options_, NoProgress()).error();

  EXPECT_EQ(status.code(), Code::kAlreadyExists);
  EXPECT_THAT(status.message(), HasSubstr("usr/share/data"));
}

TEST_F(SyncTest, RefusesFilesThatNameAnUndeclaredPath) {
  std::string foreign = options_.prefix + "/" + std::string(kStoreHashLength, 'f') + "-foreign";
  WriteFakeDeb(options_.packages["script"],
               {{.path = "./usr/share/names", .content = "see " + foreign}});

  Status status = SyncToolchain(lock_, "tools", options_, NoProgress()).error();

  EXPECT_EQ(status.code(), Code::kFailedPrecondition);
  EXPECT_THAT(status.message(), HasSubstr(foreign));
}

TEST_F(SyncTest, BoundsWhatAPathHoldsInMemory) {
  options_.tree_bytes_max = 7;  // "data" and "shell" are 9 bytes together

  EXPECT_EQ(SyncToolchain(lock_, "tools", options_, NoProgress()).error().code(),
            Code::kResourceExhausted);
}

TEST_F(SyncTest, WorksFromManyThreadsAtOnce) {
  std::vector<Result<Manifest>> results(4, std::unexpected(Status(Code::kUnknown, "not run")));
  {
    ThreadGroup group;
    for (auto& result : results)
      group.Add("sync", [&](const std::stop_token&) {
        result = SyncToolchain(lock_, "tools", options_, NoProgress());
      });
  }

  for (const auto& result : results) {
    ASSERT_TRUE(result) << result.error().ToString();
    EXPECT_EQ(*result, *results[0]);
  }
}

// A machine of that system, with a lock of its own, makes the same.
TEST_F(SyncTest, PathsOfAnotherSystemAreWhatThatSystemMakes) {
  const std::string other = lock_.system == "x86_64-linux" ? "aarch64-linux" : "x86_64-linux";
  Lock both = lock_;
  for (const char* name : {"data", "shell", "script"}) {
    const std::string marked = name + std::string(":arm64");
    both.packages[marked] = lock_.packages[name];
    both.packages[marked].name = marked;
    options_.packages[marked] = options_.packages[name];
  }
  both.paths["low.other"] = {
      .role = "low", .packages = {"data:arm64", "shell:arm64"}, .label = "low", .system = other};
  both.paths["high.other"] = {.role = "high",
                              .packages = {"script:arm64"},
                              .references = {"low.other"},
                              .label = "high",
                              .system = other};
  both.toolchains["other"] = {.paths = {"high.other", "low.other"}, .settings = {.system = other}};
  both.toolchains["mixed"] = {.paths = {"high", "low.other"}, .settings = {.target = other}};
  Lock own = lock_;
  own.system = other;

  const Manifest here = SyncToolchain(both, "other", options_, NoProgress()).value();
  const Manifest mixed = SyncToolchain(both, "mixed", options_, NoProgress()).value();
  const std::vector<StorePath> planned = PlannedPaths(own, "tools", options_).value();

  EXPECT_EQ(here.system, other);
  ASSERT_EQ(here.paths.size(), planned.size());
  for (size_t i = 0; i < planned.size(); ++i) {
    EXPECT_EQ(here.paths[i].path, planned[i].path);
    EXPECT_EQ(here.paths[i].role, planned[i].role);
    EXPECT_EQ(here.paths[i].packages, planned[i].packages);
  }
  EXPECT_NE(here.paths[0].path, PlannedPaths(lock_, "tools", options_)->front().path);
  EXPECT_EQ(mixed.target, other);
  EXPECT_EQ(mixed.Find("low." + SystemSuffix(other))->path, here.Find("low")->path);
  EXPECT_EQ(mixed.FindForTarget("low"), mixed.Find("low." + SystemSuffix(other)));
  EXPECT_NE(mixed.Find("low")->path, here.Find("low")->path);
}

}  // namespace
}  // namespace lre::toolchain

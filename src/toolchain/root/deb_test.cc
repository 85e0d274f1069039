#include "toolchain/root/deb.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "base/file.h"
#include "base/random.h"
#include "toolchain/root/fake_deb.h"

namespace lre::toolchain {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(UnpackDeb, ReadsFilesLinksAndModesOfEveryCompression) {
  TempDir directory;
  for (const char* compression : {"xz", "gz", "zst", ""}) {
    std::string file = directory / "p.deb";
    WriteFakeDeb(file,
                 {{.path = "./", .type = 'd', .mode = 0755},
                  {.path = "./usr/bin/tool", .content = std::string(300000, 'x'), .mode = 04755},
                  {.path = "./usr/bin/same", .content = "./usr/bin/tool", .type = 'h'},
                  {.path = "./usr/bin/link", .content = "tool", .type = 'l'},
                  {.path = "./usr/share/data", .content = "data"}},
                 compression);

    FileTree tree = UnpackDeb(file).value();

    EXPECT_THAT(Paths(tree),
                ElementsAre("usr/bin/link", "usr/bin/same", "usr/bin/tool", "usr/share/data"));
    EXPECT_TRUE(tree["usr/bin/tool"].executable);
    EXPECT_EQ(tree["usr/bin/tool"].content.size(), 300000u);
    EXPECT_EQ(tree["usr/bin/same"], tree["usr/bin/tool"]);
    EXPECT_EQ(tree["usr/bin/link"].content, "/usr/bin/tool");
    EXPECT_FALSE(tree["usr/share/data"].executable);
  }
}

TEST(UnpackDeb, FoldsTopFoldersBelowUsrAndKeepsWhatLinksMean) {
  TempDir directory;
  std::string file = directory / "p.deb";
  WriteFakeDeb(
      file,
      {{.path = "./lib/x86_64-linux-gnu/libz.so.1", .content = "z"},
       {.path = "./lib64/ld.so", .content = "/lib/x86_64-linux-gnu/ld.so", .type = 'l'},
       {.path = "./lib/up", .content = "../usr/share/up", .type = 'l'},
       {.path = "./usr/lib/libm.so", .content = "/lib/x86_64-linux-gnu/libm.so.6", .type = 'l'}});

  FileTree tree = UnpackDeb(file).value();

  EXPECT_EQ(tree["usr/lib/x86_64-linux-gnu/libz.so.1"].content, "z");
  EXPECT_EQ(tree["usr/lib64/ld.so"].content, "/usr/lib/x86_64-linux-gnu/ld.so");
  EXPECT_EQ(tree["usr/lib/up"].content, "/usr/share/up");
  EXPECT_EQ(tree["usr/lib/libm.so"].content, "/usr/lib/x86_64-linux-gnu/libm.so.6");
}

TEST(UnpackDeb, LeavesOutDocumentationButKeepsCopyright) {
  TempDir directory;
  std::string file = directory / "p.deb";
  WriteFakeDeb(file, {{.path = "./usr/share/doc/p/copyright", .content = "c"},
                      {.path = "./usr/share/doc/p/changelog.gz", .content = "c"},
                      {.path = "./usr/share/man/man1/p.1.gz", .content = "m"},
                      {.path = "./usr/share/locale/de/p.mo", .content = "m"},
                      {.path = "./etc/p.conf", .content = "m"},
                      {.path = "./var/lib/p", .content = "m"}});

  EXPECT_THAT(Paths(UnpackDeb(file).value()), ElementsAre("usr/share/doc/p/copyright"));
}

TEST(UnpackDeb, RefusesHostileEntries) {
  TempDir directory;
  std::string file = directory / "p.deb";
  struct Case {
    FakeEntry entry;
    const char* message;
  };
  for (const Case& test :
       {Case{{.path = "./usr/../../etc/passwd", .content = "x"}, "refusing"},
        Case{{.path = "/usr/bin/x", .content = "x"}, "refusing"},
        Case{{.path = "./usr/null", .type = 'c'}, "device"},
        Case{{.path = "./usr/pipe", .type = 'p'}, "device, pipe"},
        Case{{.path = "./usr/hard", .content = "./etc/shadow", .type = 'h'}, "not there"},
        Case{{.path = "./usr/hard", .content = "../etc/shadow", .type = 'h'}, "refusing"}}) {
    WriteFakeDeb(file, {test.entry});

    auto tree = UnpackDeb(file);

    ASSERT_FALSE(tree) << test.entry.path;
    EXPECT_EQ(tree.error().code(), Code::kDataLoss);
    EXPECT_THAT(tree.error().message(), HasSubstr(test.message));
  }
}

TEST(UnpackDeb, StopsAtItsBounds) {
  TempDir directory;
  std::string file = directory / "p.deb";
  // Compresses to almost nothing; hard links count what they copy.
  WriteFakeDeb(file, {{.path = "./usr/a", .content = std::string(1 << 20, '\0')},
                      {.path = "./usr/b", .content = "./usr/a", .type = 'h'}});

  EXPECT_EQ(UnpackDeb(file, {.bytes_max = 1000}).error().code(), Code::kResourceExhausted);
  EXPECT_EQ(UnpackDeb(file, {.bytes_max = 3 << 19}).error().code(), Code::kResourceExhausted);
  EXPECT_EQ(UnpackDeb(file, {.entries_max = 1}).error().code(), Code::kResourceExhausted);
  EXPECT_TRUE(UnpackDeb(file, {.bytes_max = 2 << 20, .entries_max = 2}));
}

TEST(UnpackDeb, RefusesWhatIsNoPackage) {
  TempDir directory;
  std::string file = directory / "p.deb";
  ASSERT_TRUE(WriteFileAtomically(file, "not a package").ok());
  EXPECT_EQ(UnpackDeb(file).error().code(), Code::kDataLoss);
  EXPECT_FALSE(UnpackDeb(directory / "absent.deb"));
}

TEST(UnpackDeb, SurvivesDamagedPackages) {
  uint64_t seed = std::random_device{}();
  SCOPED_TRACE(seed);
  Random random(seed);
  TempDir directory;
  std::string file = directory / "p.deb";
  for (const char* compression : {"xz", "gz", "zst", ""}) {
    WriteFakeDeb(file, {{.path = "./usr/bin/tool", .content = random.NextBytes(2000)}},
                 compression);
    const std::string whole = ReadFile(file).value();
    for (int round = 0; round < 20; ++round) {
      std::string damaged = whole;
      for (uint64_t i = 1 + random.Below(3); i-- > 0;)
        damaged[random.Below(damaged.size())] = static_cast<char>(random.Next());
      if (random.OneIn(3)) damaged.resize(random.Below(damaged.size()));
      ASSERT_TRUE(WriteFileAtomically(file, damaged).ok());
      auto tree = UnpackDeb(file, {.bytes_max = 1 << 20});
      if (tree) {
        for (const auto& [path, node] : *tree) EXPECT_EQ(path.find(".."), path.npos);
      }
    }
  }
}

}  // namespace
}  // namespace lre::toolchain

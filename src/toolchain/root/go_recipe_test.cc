#include "toolchain/root/go_recipe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lre::toolchain {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

FileTree Go() {
  FileTree tree;
  for (const char* path : {"usr/lib/go-1.19/bin/go", "usr/lib/go-1.19/bin/gofmt",
                           "usr/lib/go-1.19/pkg/tool/linux_amd64/compile"})
    tree[path] = {.content = "ELF", .executable = true};
  tree["usr/lib/gold-ld/bin/go"] = {.content = "ELF", .executable = true};
  return tree;
}

TEST(GoRecipeTest, FindsGoWhereItsToolsAre) {
  FileTree without_tools = Go();
  without_tools.erase("usr/lib/go-1.19/pkg/tool/linux_amd64/compile");

  EXPECT_EQ(FindGo(Go()), "usr/lib/go-1.19");
  EXPECT_EQ(FindGo(without_tools), std::nullopt);
  EXPECT_EQ(FindGo({}), std::nullopt);
}

TEST(GoRecipeTest, TheLauncherSaysWhereGoLies) {
  FileTree tree = Go();

  ASSERT_TRUE(FinishGo(tree, "usr/lib/go-1.19", "/lre/store/h-go", ElfMachine::kX86_64).ok());

  EXPECT_TRUE(tree["usr/bin/go"].executable);
  EXPECT_THAT(tree["usr/bin/go"].content, HasSubstr("/lre/store/h-go/usr/lib/go-1.19/bin/go"));
  EXPECT_THAT(tree["usr/bin/go"].content, HasSubstr("GOROOT=/lre/store/h-go/usr/lib/go-1.19"));
  EXPECT_EQ(tree["usr/bin/gofmt"].content, "/usr/lib/go-1.19/bin/gofmt");
  EXPECT_TRUE(tree["usr/bin/gofmt"].symlink);
}

TEST(GoRecipeTest, TellsRustByItsCompilerAndItsLibrary) {
  FileTree tree;
  tree["usr/bin/rustc"] = {.content = "ELF", .executable = true};
  EXPECT_FALSE(HasRust(tree));
  tree["usr/lib/rustlib/x/lib/libstd.rlib"] = {.content = "!<arch>"};
  EXPECT_TRUE(HasRust(tree));
  tree["usr/bin/rustc"].symlink = true;
  EXPECT_FALSE(HasRust(tree));
}

TEST(GoRecipeTest, RustLinksWithTheDriverOfTheStore) {
  Reference gcc{.role = "gcc", .path = "/lre/store/h-gcc"};
  gcc.files = {{"usr/bin/x86_64-linux-gnu-gcc-12", true},
               {"usr/bin/x86_64-linux-gnu-gcc-ar-12", true},
               {"usr/bin/x86_64-linux-gnu-g++-12", true}};

  const LauncherConfig launcher = RustLauncher(&gcc, "x86_64-linux-gnu");

  EXPECT_THAT(launcher.arguments,
              ElementsAre("-Clinker=/lre/store/h-gcc/usr/bin/x86_64-linux-gnu-gcc-12"));
  EXPECT_THAT(launcher.drop, Contains("LD_LIBRARY_PATH"));
  EXPECT_THAT(RustLauncher(nullptr, "x86_64-linux-gnu").arguments, IsEmpty());
}

}  // namespace
}  // namespace lre::toolchain

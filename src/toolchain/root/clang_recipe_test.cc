#include "toolchain/root/clang_recipe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"

namespace lre::toolchain {
namespace {

using testing::HasSubstr;
using testing::Not;

const std::string kStore = "/lre/store/00000000000000000000000000000000-";
const std::string kLlvm = "usr/lib/llvm-16";

// What stands in libclang-cpp, each a string of its own.
std::string Library() {
  std::string bytes(1, '\0');
  for (const char* file :
       {"/etc/debian_version", "/etc/gentoo-release", "/etc/lsb-release", "/etc/os-release",
        "/etc/redhat-release", "/etc/SuSE-release", "/usr/lib/os-release", "/usr/lib/gcc"})
    bytes += std::string(file) + '\0';
  return bytes;
}

FileTree Clang() {
  return {{kLlvm + "/bin/clang", {.content = "driver", .executable = true}},
          {kLlvm + "/bin/clang++", {.content = "clang", .symlink = true}},
          {kLlvm + "/bin/lld", {.content = "lld", .executable = true}},
          {kLlvm + "/lib/libclang-cpp.so.16", {.content = Library()}},
          {kLlvm + "/lib/clang/16/lib/linux/libclang_rt.asan-i386.a", {.content = "32"}},
          {kLlvm + "/lib/clang/16/lib/linux/libclang_rt.asan-x86_64.a", {.content = "64"}}};
}

class ClangRecipeTest : public ::testing::Test {
 protected:
  SystemFacts system_ = FindSystem("x86_64-linux").value();
  Reference sysroot_ =
      MakeReference("sysroot", kStore + "sysroot",
                    {.files = {{"usr/lib/gcc/x86_64-linux-gnu/9/crtbegin.o", Digest{}, false},
                               {"usr/lib/gcc/x86_64-linux-gnu/12/crtbegin.o", Digest{}, false},
                               {"usr/lib/gcc/x86_64-linux-gnu/13/only.h", Digest{}, false}}});
  Reference binutils_ =
      MakeReference("binutils", kStore + "binutils",
                    {.files = {{"usr/bin/x86_64-linux-gnu-ld.bfd", Digest{}, true}}});
  RecipeInput input_{.role = "clang",
                     .relocation = {.store_path = kStore + "clang",
                                    .references = {&binutils_, &sysroot_},
                                    .system = system_}};
};

TEST_F(ClangRecipeTest, FindsTheDriverAndNoLinkToOne) {
  FileTree only_links = {{kLlvm + "/bin/clang", {.content = "../x", .symlink = true}}};

  EXPECT_EQ(FindClang(Clang()), kLlvm);
  EXPECT_EQ(FindClang(only_links), std::nullopt);
  EXPECT_EQ(FindClang({{"usr/bin/clang", {.content = "x"}}}), std::nullopt);
}

TEST_F(ClangRecipeTest, KnowsNoDistributionAndNoOtherProcessor) {
  FileTree tree = Clang();

  ASSERT_TRUE(PrepareClang(tree, kLlvm).ok());

  const std::string& library = tree[kLlvm + "/lib/libclang-cpp.so.16"].content;
  EXPECT_THAT(library, Not(HasSubstr("/etc/")));
  EXPECT_THAT(library, HasSubstr("/lre/os-release"));
  EXPECT_THAT(library, HasSubstr("/lre/lib/os-release"));
  EXPECT_THAT(library, HasSubstr("/usr/lib/gcc"));
  EXPECT_FALSE(tree.contains(kLlvm + "/lib/clang/16/lib/linux/libclang_rt.asan-i386.a"));
  EXPECT_TRUE(tree.contains(kLlvm + "/lib/clang/16/lib/linux/libclang_rt.asan-x86_64.a"));
}

TEST_F(ClangRecipeTest, SaysWhichStringANewVersionLacks) {
  FileTree tree = Clang();
  tree[kLlvm + "/lib/libclang-cpp.so.16"].content = std::string("\0/etc/debian_version\0", 21);

  EXPECT_THAT(PrepareClang(tree, kLlvm).message(), HasSubstr("'/etc/gentoo-release'"));
}

TEST_F(ClangRecipeTest, CallsTheDriverByTheNamesOfItsConfigurations) {
  FileTree tree = Clang();

  ASSERT_TRUE(FinishClang(tree, input_, kLlvm).ok());

  EXPECT_EQ(tree[kLlvm + "/libexec/clang"].content, "driver");
  for (const char* name : {"clang", "clang++", "clang-cpp"}) {
    const std::string real = kLlvm + "/libexec/" + name;
    const FileNode& launcher = tree[kLlvm + "/bin/" + name];
    EXPECT_TRUE(launcher.executable && !launcher.symlink) << name;
    EXPECT_THAT(launcher.content, HasSubstr(kStore + "clang/" + real));
    EXPECT_THAT(launcher.content, HasSubstr("CCC_OVERRIDE_OPTIONS="));
    EXPECT_THAT(launcher.content, HasSubstr("CPATH="));
    const std::string config = tree[real + ".cfg"].content;
    EXPECT_THAT(config, HasSubstr("--sysroot=" + kStore + "sysroot\n"));
    EXPECT_THAT(config, HasSubstr("/usr/lib/gcc/x86_64-linux-gnu/12\n"));
    EXPECT_THAT(config, HasSubstr("-Wl,--hash-style=gnu\n"));
  }
}

TEST_F(ClangRecipeTest, FindsTheLinkEditorsOfTheStoreOnly) {
  FileTree tree = Clang();

  ASSERT_TRUE(FinishClang(tree, input_, kLlvm).ok());

  EXPECT_EQ(tree[kLlvm + "/libexec/ld.lld"].content, "/" + kLlvm + "/bin/lld");
  EXPECT_EQ(tree[kLlvm + "/libexec/ld.bfd"].content,
            kStore + "binutils/usr/bin/x86_64-linux-gnu-ld.bfd");
  EXPECT_FALSE(tree.contains(kLlvm + "/libexec/ld.gold"));
}

TEST_F(ClangRecipeTest, NeedsASysrootWithStartFiles) {
  FileTree tree = Clang();
  sysroot_ = MakeReference("sysroot", kStore + "sysroot", {});
  EXPECT_THAT(FinishClang(tree, input_, kLlvm).message(), HasSubstr("crtbegin.o"));
  input_.relocation.references = {&binutils_};
  EXPECT_THAT(FinishClang(tree, input_, kLlvm).message(), HasSubstr("references no sysroot"));
}

TEST(TrimLlvmToolsTest, KeepsWhatBuildsUse) {
  FileTree tree = {{"usr/lib/llvm-16/bin/llvm-cov", {.content = "x", .executable = true}},
                   {"usr/lib/llvm-16/bin/llvm-exegesis", {.content = "94 MB", .executable = true}},
                   {"usr/bin/llvm-cov-16", {.content = "x", .symlink = true}},
                   {"usr/bin/llvm-exegesis-16", {.content = "x", .symlink = true}},
                   {"usr/lib/x86_64-linux-gnu/libcurl.so.4", {.content = "x"}}};
  FileTree other = {{"usr/bin/make", {.content = "x", .executable = true}}};

  TrimLlvmTools(tree);
  TrimLlvmTools(other);

  EXPECT_EQ(tree.size(), 3u);
  EXPECT_TRUE(tree.contains("usr/bin/llvm-cov-16"));
  EXPECT_TRUE(tree.contains("usr/lib/x86_64-linux-gnu/libcurl.so.4"));
  EXPECT_EQ(other.size(), 1u);
}

}  // namespace
}  // namespace lre::toolchain

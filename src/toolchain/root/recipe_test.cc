#include "toolchain/root/recipe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "toolchain/root/probe.h"

namespace lre::toolchain {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::string kStore = "/lre/store/00000000000000000000000000000000-";

Reference LibcOf(const SystemFacts& system) {
  std::string folder = "usr/lib/" + system.triplet + "/";
  return MakeReference("libc", kStore + "libc",
                       {.files = {{folder + system.loader, Digest{}, true},
                                  {folder + "libc.so.6", Digest{}, true},
                                  {"usr/share/libx.so", Digest{}, false}},
                        .symlinks = {{folder + "libm.so.6", "x"}}});
}

class RecipeTest : public ::testing::Test {
 protected:
  RecipeInput Input(const std::string& role) const {
    return {.role = role,
            .relocation = {.store_path = kStore + role, .references = {&libc_}, .system = system_}};
  }
  SystemFacts system_ = FindSystem(ThisSystem()).value();
  Reference libc_ = LibcOf(system_);
  std::string libraries_ = "usr/lib/" + system_.triplet;
};

TEST_F(RecipeTest, GivesProgramsLoaderAndLibrariesOfTheStore) {
  FileTree tree = {
      {"usr/bin/true", {.content = ReadFile("/bin/true").value(), .executable = true}}};
  ASSERT_THAT(ReadElf(tree["usr/bin/true"].content)->needed, ElementsAre("libc.so.6"));

  FileTree made = ApplyRecipe(tree, Input("tools")).value();

  ElfFacts facts = ReadElf(made["usr/bin/true"].content).value();
  EXPECT_EQ(facts.interpreter, kStore + "libc/" + libraries_ + "/" + system_.loader);
  EXPECT_THAT(facts.rpath, ElementsAre(kStore + "libc/" + libraries_));
  EXPECT_EQ(made["bin"].content, "usr/bin");
}

TEST_F(RecipeTest, NamesTheLibraryThatNobodyHas) {
  FileTree tree = {
      {"usr/bin/true", {.content = ReadFile("/bin/true").value(), .executable = true}}};
  RecipeInput input = Input("tools");
  input.relocation.references.clear();

  Status status = ApplyRecipe(tree, input).error();

  EXPECT_EQ(status.code(), Code::kNotFound);
  EXPECT_THAT(status.message(), HasSubstr("usr/bin/true needs libc.so.6"));
}

TEST_F(RecipeTest, PrefersItsOwnLibraries) {
  FileTree tree = {{"usr/bin/true", {.content = ReadFile("/bin/true").value(), .executable = true}},
                   {libraries_ + "/libc.so.6", {.content = "own"}}};

  FileTree made = ApplyRecipe(tree, Input("tools")).value();

  EXPECT_THAT(ReadElf(made["usr/bin/true"].content)->rpath,
              ElementsAre(kStore + "tools/" + libraries_));
}

TEST_F(RecipeTest, PointsScriptsIntoTheStore) {
  FileTree tree = {{"usr/bin/bash", {.content = "x", .executable = true}},
                   {"usr/bin/script", {.content = "#! /bin/bash -e\necho\n", .executable = true}},
                   {"usr/bin/byenv", {.content = "#!/usr/bin/env bash\n", .executable = true}},
                   {"usr/bin/unknown", {.content = "#!/usr/bin/python3\n", .executable = true}},
                   {"usr/share/text", {.content = "#!/bin/bash\n"}}};

  FileTree made = ApplyRecipe(tree, Input("tools")).value();

  EXPECT_EQ(made["usr/bin/script"].content, "#!" + kStore + "tools/usr/bin/bash -e\necho\n");
  EXPECT_EQ(made["usr/bin/byenv"].content, "#!" + kStore + "tools/usr/bin/bash\n");
  EXPECT_EQ(made["usr/bin/unknown"].content, "#!/usr/bin/python3\n");
  EXPECT_EQ(made["usr/share/text"].content, "#!/bin/bash\n");
}

TEST_F(RecipeTest, GivesTheSysrootLinksToTheRuntimeLibraries) {
  FileTree tree = {{"usr/include/stdio.h", {.content = "h"}},
                   {libraries_ + "/libm.so.6", {.content = "own"}}};

  FileTree made = ApplyRecipe(tree, Input("sysroot")).value();

  EXPECT_EQ(made[libraries_ + "/libc.so.6"].content, kStore + "libc/" + libraries_ + "/libc.so.6");
  EXPECT_FALSE(made[libraries_ + "/libm.so.6"].symlink);
  EXPECT_FALSE(made.contains("usr/share/libx.so"));
}

TEST_F(RecipeTest, PutsBashBehindALauncherThatKnowsItsTools) {
  std::string program = ReadFile("/bin/true").value();
  FileTree tree = {{"usr/bin/bash", {.content = program, .executable = true}},
                   {"usr/bin/gawk", {.content = program, .executable = true}},
                   {"usr/lib/locale/C.utf8/LC_CTYPE", {.content = "ctype"}}};

  FileTree made = ApplyRecipe(tree, Input("base")).value();

  EXPECT_THAT(made["usr/bin/bash"].content, HasSubstr("PATH=" + kStore + "base/usr/bin"));
  EXPECT_THAT(made["usr/bin/bash"].content, HasSubstr(kStore + "base/usr/libexec/bash"));
  EXPECT_EQ(ReadElf(made["usr/libexec/bash"].content)->kind, ElfKind::kExecutable);
  EXPECT_THAT(made["usr/bin/bash"].content, HasSubstr("LOCPATH=" + kStore + "base/usr/lib/locale"));
  EXPECT_EQ(made["usr/bin/awk"].content, "gawk");
  EXPECT_EQ(made["usr/bin/sh"].content, "bash");
}

TEST(AddSysrootToSpecs, AddsToBothAndKeepsTheRest) {
  std::string specs =
      "*asm:\n%{m16|m32:--32}\n\n*link:\n%{!r:--build-id} -m elf\n\n*self_spec:\n\n\n*cc1:\nx\n\n";

  EXPECT_EQ(
      AddSysrootToSpecs(specs, "/S").value(),
      "*asm:\n%{m16|m32:--32}\n\n*link:\n%{-sysroot=*:--sysroot=%*} %{!r:--build-id} -m elf\n\n"
      "*self_spec:\n%{!-sysroot=*:--sysroot=/S}\n\n*cc1:\nx\n\n");
  EXPECT_FALSE(AddSysrootToSpecs("*self_spec:\n\n\n", "/S"));
  EXPECT_FALSE(AddSysrootToSpecs("*link:\nx\n\n", "/S"));
}

TEST(ParseIncludeSearch, NormalisesAndKeepsTheOrder) {
  std::string text =
      "ignoring nonexistent directory \"/x\"\n#include \"...\" search starts here:\n#include <...> "
      "search starts here:\n"
      " /s/gcc/usr/lib/gcc/x/12/../../../../include/c++/12\n /s/inc\n /s/inc/\nEnd of search "
      "list.\n";

  EXPECT_THAT(ParseIncludeSearch(text).value(), ElementsAre("/s/gcc/usr/include/c++/12", "/s/inc"));
  EXPECT_FALSE(ParseIncludeSearch("nothing"));
}

}  // namespace
}  // namespace lre::toolchain

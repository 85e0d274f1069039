#include "cli/init_files.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/source_path.h"
#include "toolchain/spec/spec.h"

namespace lre::cli {
namespace {

// So that a new project and this repository share every action of lre-cc.
TEST(InitFilesTest, TheFirstRequestAsksForTheSameToolchainAsThisRepository) {
  const auto own = toolchain::ParseSpec(ReadFile(SourcePath("lre.toml")).value(), "lre.toml");
  const auto first = toolchain::ParseSpec(DefaultSpecText(), "lre.toml");

  ASSERT_TRUE(own && first);
  EXPECT_EQ(first->toolchains.at("lre-cc"), own->toolchains.at("lre-cc"));
  for (const auto& [role, store] : first->store) EXPECT_EQ(store, own->store.at(role)) << role;
  EXPECT_EQ(first->archives[0].suites, own->archives[0].suites);
  for (const std::string& package : first->ignore)
    EXPECT_THAT(own->ignore, testing::Contains(package));
}

TEST(InitFilesTest, EveryEditIsMadeOnceAndKeepsTheRest) {
  for (auto* edit : {WithModule, WithImport, WithIgnored}) {
    const std::string once = edit("mine");
    EXPECT_EQ(edit(once), once);
    EXPECT_THAT(once, testing::HasSubstr("mine"));
    EXPECT_EQ(edit(edit("")), edit(""));
  }
  EXPECT_TRUE(WithImport("build --mine\n").ends_with("build --mine\n"));
  EXPECT_EQ(WithIgnored("other"), "other\nlocal-remote-execution\n");
  EXPECT_EQ(WithIgnored("local-remote-execution"), "local-remote-execution");
}

TEST(InitFilesTest, WhatStandsInACommentIsNotThere) {
  const std::string module = WithModule("# local-remote-execution, one day\n");
  EXPECT_TRUE(FindModuleUse(module).depends);
  EXPECT_TRUE(FindModuleUse(module).override.has_value());
  EXPECT_FALSE(ImportsBazelrc("# try-import %workspace%/lre.bazelrc\nbuild --x=lre.bazelrc\n"));
  EXPECT_TRUE(ImportsBazelrc(WithImport("# try-import %workspace%/lre.bazelrc\n")));
  EXPECT_TRUE(ImportsBazelrc("build --x\n  import %workspace%/tools/lre.bazelrc \n"));
}

TEST(InitFilesTest, OnlyWhatIsMissingIsAdded) {
  const std::string module = WithModule("bazel_dep(name = 'local-remote-execution')\n");

  EXPECT_EQ(module,
            "bazel_dep(name = 'local-remote-execution')\n\nlocal_path_override(\n    module_name = "
            "\"local-remote-execution\",\n    path = \"local-remote-execution\",\n)\n");
}

TEST(InitFilesTest, TheModuleOfAnotherProjectIsToldFromOnesOwn) {
  const auto is_of_others = [](const std::string& text) {
    return FindModuleUse(fmt::format("{}, module_name = \"local-remote-execution\")", text))
        .IsOfOthers();
  };

  EXPECT_FALSE(FindModuleUse("").IsOfOthers());
  EXPECT_FALSE(FindModuleUse(WithModule("")).IsOfOthers());
  EXPECT_FALSE(is_of_others("local_path_override(path = \"./local-remote-execution/\""));
  EXPECT_TRUE(is_of_others("local_path_override(path = \"../it/local-remote-execution\""));
  EXPECT_TRUE(is_of_others("git_override(commit = \"1\""));
}

}  // namespace
}  // namespace lre::cli

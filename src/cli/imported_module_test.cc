#include "cli/imported_module.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/file.h"

namespace lre::cli {
namespace {

using testing::ElementsAre;
using testing::Pair;

TEST(ImportedModuleTest, FindsCallsAndTheirTexts) {
  const auto calls = FindStarlarkCalls(
      "# git_override(module_name = \"commented\")\n"
      "\"\"\"A text with git_override(module_name = \"quoted\")\"\"\"\n"
      "module(name = \"mine\")\n"
      "git_override(\n"
      "    module_name = \"local-remote-execution\",  # the one\n"
      "    commit = 'ab\\'cd',\n"
      "    patches = [\"a\", \"b\"],\n"
      "    remote = \"\"\"https://example.invalid/lre.git\"\"\",\n"
      "    version = 7,\n"
      "    strip_prefix = \"local-remote-execution\",\n"
      ")\n"
      "x = use_extension(\"//:e.bzl\", \"e\")\n"
      "x.tag(name = \"y\", list = f(name = \"inner\"))\n");

  ASSERT_EQ(calls.size(), 4u);
  EXPECT_THAT(calls[0].arguments, ElementsAre(Pair("name", "mine")));
  EXPECT_EQ(calls[1].function, "git_override");
  EXPECT_THAT(calls[1].arguments,
              ElementsAre(Pair("commit", "ab'cd"), Pair("module_name", "local-remote-execution"),
                          Pair("remote", "https://example.invalid/lre.git"),
                          Pair("strip_prefix", "local-remote-execution")));
  EXPECT_THAT(calls[1].lists, ElementsAre(Pair("patches", ElementsAre("a", "b"))));
  EXPECT_TRUE(calls[2].arguments.empty());
  EXPECT_EQ(calls[3].function, "tag");
  EXPECT_THAT(calls[3].arguments, ElementsAre(Pair("name", "y")));
  EXPECT_TRUE(calls[3].lists.empty());
}

TEST(ImportedModuleTest, MayLieInTheFolderOfAnotherProjectThatHasALock) {
  const std::filesystem::path before = std::filesystem::current_path();
  TempDir dir;
  ASSERT_TRUE(SystemFiles().MakeDirectories(dir / "mine").ok());
  ASSERT_TRUE(SystemFiles().MakeDirectories(dir / "theirs/local-remote-execution").ok());
  std::filesystem::current_path(dir / "mine");
  ASSERT_TRUE(WriteFileAtomically("MODULE.bazel",
                                  "local_path_override(module_name = \"local-remote-execution\",\n"
                                  "    path = \"../theirs/local-remote-execution\")\n")
                  .ok());

  const auto without_lock = FindImportedModule(dir / "cache", /*may_download=*/false);
  ASSERT_TRUE(WriteFileAtomically("../theirs/lre.lock", "").ok());
  const auto with_lock = FindImportedModule(dir / "cache", /*may_download=*/false);
  std::filesystem::current_path(before);

  ASSERT_TRUE(without_lock && with_lock);
  EXPECT_FALSE(without_lock->has_value());
  ASSERT_TRUE(with_lock->has_value());
  EXPECT_EQ((*with_lock)->folder, "../theirs/local-remote-execution");
  EXPECT_EQ((*with_lock)->lock, "../theirs/lre.lock");
}

TEST(ImportedModuleTest, ReadsDamagedTextToItsEnd) {
  EXPECT_EQ(FindStarlarkCalls("git_override(remote = \"x").size(), 1u);
  EXPECT_EQ(FindStarlarkCalls("))]}= = f(").size(), 1u);
  EXPECT_EQ(FindStarlarkCalls("'''").size(), 0u);
  EXPECT_EQ(FindStarlarkCalls("\"\\").size(), 0u);
}

}  // namespace
}  // namespace lre::cli

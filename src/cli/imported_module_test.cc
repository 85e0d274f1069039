#include "cli/imported_module.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

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

TEST(ImportedModuleTest, ReadsDamagedTextToItsEnd) {
  EXPECT_EQ(FindStarlarkCalls("git_override(remote = \"x").size(), 1u);
  EXPECT_EQ(FindStarlarkCalls("))]}= = f(").size(), 1u);
  EXPECT_EQ(FindStarlarkCalls("'''").size(), 0u);
  EXPECT_EQ(FindStarlarkCalls("\"\\").size(), 0u);
}

}  // namespace
}  // namespace lre::cli

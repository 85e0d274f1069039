#include "cli/init_files.h"

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

}  // namespace
}  // namespace lre::cli

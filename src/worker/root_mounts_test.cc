#include "worker/root_mounts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "toolchain/root/relocate_tree.h"

namespace lre::worker {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class UserlandOfTest : public ::testing::Test {
 protected:
  UserlandOfTest() {
    manifest_.name = "lre-cc";
    manifest_.system = toolchain::ThisSystem();
    for (const char* role : {"base", "libc"}) {
      const std::string path = directory_ / role;
      EXPECT_TRUE(SystemFiles().MakeDirectories(path + "/usr/bin").ok());
      manifest_.paths.push_back({.role = role, .path = path});
    }
  }

  TempDir directory_;
  toolchain::Manifest manifest_;
};

TEST_F(UserlandOfTest, HasTheShellWhereScriptsLookForIt) {
  auto userland = UserlandOf(manifest_);

  ASSERT_TRUE(userland) << userland.error().ToString();
  EXPECT_THAT(userland->store_paths, ElementsAre(directory_ / "base", directory_ / "libc"));
  ASSERT_FALSE(userland->links.empty());
  EXPECT_EQ(userland->links[0].target, "/bin");
  EXPECT_EQ(userland->links[0].source, directory_ / "base/usr/bin");
}

TEST_F(UserlandOfTest, IsNotThatOfAnotherSystem) {
  manifest_.system = "riscv64-linux";

  auto userland = UserlandOf(manifest_);

  ASSERT_FALSE(userland);
  EXPECT_EQ(userland.error().code(), Code::kFailedPrecondition);
  EXPECT_THAT(userland.error().message(), HasSubstr("lre-cc is for riscv64-linux"));
}

TEST_F(UserlandOfTest, NamesAPathThatIsGone) {
  manifest_.paths[1].path = directory_ / "gone";

  auto userland = UserlandOf(manifest_);

  ASSERT_FALSE(userland);
  EXPECT_THAT(userland.error().message(), HasSubstr(directory_ / "gone"));
}

}  // namespace
}  // namespace lre::worker

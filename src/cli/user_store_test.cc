#include "cli/user_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/subprocess.h"

namespace lre::cli {
namespace {

using testing::IsEmpty;

class UserStoreTest : public ::testing::Test {
 protected:
  // A process of a /proc of the test's own.
  void Process(const std::string& id, std::string_view words) {
    ASSERT_TRUE(SystemFiles().MakeDirectories(directory_ / ("proc/" + id)).ok());
    std::string text(words);
    for (char& c : text) c = c == ' ' ? '\0' : c;
    ASSERT_TRUE(WriteFileAtomically(directory_ / ("proc/" + id + "/cmdline"), text).ok());
  }
  TempDir directory_;
  UserStore store_{.store = directory_ / "store",
                   .root = directory_ / "root",
                   .bazel = "/home/me/bazel-shell",
                   .bin = directory_ / "bin"};
};

TEST_F(UserStoreTest, NamesBazelServersThatHaveAnotherStore) {
  Process("12",
          "bazel(work) -Xverify:none --output_base=/home/me/base --workspace_directory=/work");
  Process("13", "bash -c bazel(work)");
  Process("self", "bazel(self) --output_base=/x");
  Process("14", "");

  const auto servers = FindBazelServers(store_, directory_ / "proc");

  ASSERT_EQ(servers.size(), 1u);
  EXPECT_EQ(servers[0].pid, 12);
  EXPECT_EQ(servers[0].workspace, "/work");
  EXPECT_EQ(servers[0].output_base, "/home/me/base");
  EXPECT_FALSE(servers[0].same_store);
}

TEST_F(UserStoreTest, ServersOfTheWrapperAreNotAsked) {
  Process("12", "bazel(work) --output_base=/home/me/bazel-shell/1234 --workspace_directory=/work");

  EXPECT_THAT(FindBazelServers(store_, directory_ / "proc"), IsEmpty());
}

TEST_F(UserStoreTest, TheWrapperCallsTheBazelOfPathWithAnOutputRootOfItsOwn) {
  const std::string tools = directory_ / "tool's";
  ASSERT_TRUE(SystemFiles().MakeDirectories(tools).ok());
  ASSERT_TRUE(WriteFileAtomically(tools + "/bazel", "#!/bin/sh\necho real \"$@\"\n", 0755).ok());

  ASSERT_TRUE(WriteBazelWrapper(store_, store_.bin + "::" + tools).ok());
  // Called from inside, it does not find itself.
  ASSERT_TRUE(WriteBazelWrapper(store_, store_.bin + ":" + tools).ok());

  const auto result = RunSubprocess({.arguments = {store_.bin + "/bazel", "build", "a b"}});
  ASSERT_TRUE(result);
  EXPECT_EQ(result->output, "real --output_user_root=/home/me/bazel-shell build a b\n");
}

TEST_F(UserStoreTest, WithoutABazelThereIsNoWrapper) {
  ASSERT_TRUE(WriteBazelWrapper(store_, directory_ / "none").ok());

  EXPECT_FALSE(FileExists(store_.bin + "/bazel"));
}

}  // namespace
}  // namespace lre::cli

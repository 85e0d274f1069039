#include "toolchain/root/launcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/lines.h"
#include "base/subprocess.h"
#include "toolchain/root/relocate_tree.h"

namespace lre::toolchain {
namespace {

using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;

class LauncherTest : public ::testing::Test {
 protected:
  SubprocessResult Launch(const LauncherConfig& config, std::vector<std::string> arguments,
                          std::vector<std::string> environment) {
    std::string file = directory_ / "launcher";
    auto system = FindSystem(ThisSystem());
    EXPECT_TRUE(system);
    EXPECT_TRUE(
        WriteFileAtomically(file, MakeLauncher(system->machine, config).value(), 0755).ok());
    arguments.insert(arguments.begin(), file);
    auto result = RunSubprocess({.arguments = arguments, .environment = environment});
    EXPECT_TRUE(result) << result.error().ToString();
    return result.value_or(SubprocessResult{.exit_code = -1});
  }

  TempDir directory_;
};

TEST_F(LauncherTest, CleansAndSetsTheEnvironment) {
  LauncherConfig config = {.target = "/usr/bin/env",
                           .drop = {"CPATH", "LD_PRELOAD"},
                           .set = {"PERL5LIB=/store/lib", "MAGIC="}};

  SubprocessResult result =
      Launch(config, {}, {"CPATH=/evil", "CPATHX=stays", "PERL5LIB=/other", "HOME=/h", "ODD"});

  EXPECT_THAT(Lines(result.output), UnorderedElementsAre("CPATHX=stays", "HOME=/h", "ODD",
                                                         "PERL5LIB=/store/lib", "MAGIC="));
}

TEST_F(LauncherTest, PutsItsDirectoryInFrontOfPathOnce) {
  LauncherConfig config = {.target = "/usr/bin/env", .path_directory = "/store/bin"};

  EXPECT_THAT(Lines(Launch(config, {}, {"PATH=/bin:/usr/bin"}).output),
              ElementsAre("PATH=/store/bin:/bin:/usr/bin"));
  EXPECT_THAT(Lines(Launch(config, {}, {"PATH=/store/bin:/bin"}).output),
              ElementsAre("PATH=/store/bin:/bin"));
  EXPECT_THAT(Lines(Launch(config, {}, {"PATH=/store/binary"}).output),
              ElementsAre("PATH=/store/bin:/store/binary"));
  EXPECT_THAT(Lines(Launch(config, {}, {"PATH="}).output), ElementsAre("PATH=/store/bin"));
  EXPECT_THAT(Lines(Launch(config, {}, {}).output), ElementsAre("PATH=/store/bin"));
}

TEST_F(LauncherTest, PassesArgumentsInOrder) {
  LauncherConfig config = {
      .target = "/bin/sh", .argv0 = "renamed", .arguments = {"-c", "echo \"$0\" \"$@\""}};

  EXPECT_EQ(Launch(config, {"zero", "one two", "", "three"}, {}).output, "zero one two  three\n");
}

TEST_F(LauncherTest, KeepsOrReplacesTheName) {
  EXPECT_THAT(Launch({.target = "/bin/sh"}, {"-c", "tr '\\0' '\\n' < /proc/$$/cmdline | head -1"},
                     {"PATH=/bin:/usr/bin"})
                  .output,
              directory_ / "launcher" + "\n");
  EXPECT_THAT(Launch({.target = "/bin/sh", .argv0 = "/store/sh"},
                     {"-c", "tr '\\0' '\\n' < /proc/$$/cmdline | head -1"}, {"PATH=/bin:/usr/bin"})
                  .output,
              "/store/sh\n");
}

TEST_F(LauncherTest, NamesATargetThatIsNotThere) {
  SubprocessResult result = Launch({.target = "/lre/none/tool"}, {}, {});

  EXPECT_EQ(result.exit_code, 127);
  EXPECT_EQ(result.error_output, "/lre/none/tool\n");
}

TEST(MakeLauncher, RefusesWhatItCannotExpress) {
  EXPECT_FALSE(MakeLauncher(ElfMachine::kX86_64, {.target = "relative"}));
  EXPECT_FALSE(MakeLauncher(ElfMachine::kX86_64, {.target = "/x", .drop = {"A=B"}}));
  EXPECT_FALSE(MakeLauncher(ElfMachine::kX86_64, {.target = "/x", .set = {"A"}}));
  EXPECT_FALSE(MakeLauncher(ElfMachine::kX86_64, {.target = "/x", .arguments = {""}}));
  EXPECT_EQ(MakeLauncher(ElfMachine::kOther, {.target = "/x"}).error().code(),
            Code::kUnimplemented);
}

TEST(MakeLauncher, MakesAStaticProgramOfEveryMachine) {
  for (ElfMachine machine : {ElfMachine::kX86_64, ElfMachine::kAarch64}) {
    ElfFacts facts = ReadElf(MakeLauncher(machine, {.target = "/x"}).value()).value();
    EXPECT_EQ(facts.machine, machine);
    EXPECT_EQ(facts.kind, ElfKind::kStatic);
  }
}

}  // namespace
}  // namespace lre::toolchain

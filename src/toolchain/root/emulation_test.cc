#include "toolchain/root/emulation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/subprocess.h"
#include "toolchain/root/launcher.h"
#include "toolchain/root/relocate_tree.h"

namespace lre::toolchain {
namespace {

using testing::HasSubstr;

constexpr int kSkipped = 77;

// In a process of its own, which has one thread and leaves this one's namespaces alone.
int InChild(int (*run)()) {
  const pid_t child = fork();
  if (child == 0) _exit(run());
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(EmulationTest, ProgramsOfThisSystemRun) {
  EXPECT_TRUE(CheckRunsHere(ThisSystem()).ok());
  EXPECT_TRUE(MakeRunHere(ThisSystem()).ok());
}

TEST(EmulationTest, SaysWhatIsNeededForOthers) {
  const Status status = CheckRunsHere("riscv64-linux");

  EXPECT_EQ(status.code(), Code::kFailedPrecondition);
  EXPECT_THAT(status.message(), HasSubstr("qemu-user"));
}

// The launcher of the other system is the smallest program there is of it; it starts one of this.
TEST(EmulationTest, TheKernelStartsProgramsOfTheOtherSystem) {
  const int result = InChild([] {
    const bool arm = ThisSystem() == "aarch64-linux";
    if (!MakeRunHere(arm ? "x86_64-linux" : "aarch64-linux").ok()) return kSkipped;
    const TempDir directory;
    const std::string program = directory / "launcher";
    const auto launcher =
        MakeLauncher(arm ? ElfMachine::kX86_64 : ElfMachine::kAarch64,
                     {.target = "/bin/sh", .arguments = {"-c", "test $1 = word && exit 42", "sh"}});
    if (!launcher || !WriteFileAtomically(program, *launcher, 0755).ok()) return 1;
    const auto ran = RunSubprocess({.arguments = {program, "word"}});
    return ran ? ran->exit_code : 2;
  });

  if (result == kSkipped) GTEST_SKIP() << "SKIPPED: no qemu-user, or a kernel before 6.7";
  EXPECT_EQ(result, 42);
}

}  // namespace
}  // namespace lre::toolchain

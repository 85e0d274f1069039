// The kernel's own cgroup v2, where this test may make one below its own: each part needs the
// controller that it is about, and says so when it is not there. LRE_TEST_CGROUP names a delegated
// directory without processes to make it in instead.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <poll.h>

#include <cstdlib>
#include <filesystem>

#include "base/lines.h"
#include "sandbox/fake_sandbox_setup.h"

namespace lre::sandbox {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

// Where the hierarchy of version 2 is mounted, and this process is in it; empty: nowhere.
std::string OwnCgroup() {
  if (const char* given = std::getenv("LRE_TEST_CGROUP")) return given;
  std::string mount, own;
  for (const std::string& line : Lines(ReadFile("/proc/self/mountinfo").value_or(""))) {
    if (line.find(" - cgroup2 ") == line.npos) continue;
    std::string_view rest = line;
    for (int field = 0; field < 4; ++field) rest.remove_prefix(rest.find(' ') + 1);
    mount = rest.substr(0, rest.find(' '));
  }
  for (const std::string& line : Lines(ReadFile("/proc/self/cgroup").value_or("")))
    if (line.starts_with("0::")) own = line.substr(3);
  return mount.empty() || own.empty() ? "" : mount + own;
}

class RealCgroupTest : public SandboxTest {
 protected:
  void SetUp() override {
    SandboxTest::SetUp();
    if (IsSkipped()) return;
    std::string own = OwnCgroup();
    cgroup_ = fmt::format("{}/lre-test-{}", own, getpid());
    if (own.empty() || mkdir(cgroup_.c_str(), 0755) != 0) {
      cgroup_.clear();
      GTEST_SKIP() << "SKIPPED: no cgroup v2 that this test may divide";
    }
    launcher_ = *Launcher::Start({.slots = 2, .processes_max = 4000, .cgroup_directory = cgroup_});
  }
  void TearDown() override {
    launcher_.reset();
    if (cgroup_.empty()) return;
    // Slot processes end by themselves, soon.
    UniqueFd events(open((cgroup_ + "/cgroup.events").c_str(), O_RDONLY | O_CLOEXEC));
    while (Read("cgroup.events").find("populated 1") != std::string::npos) {
      pollfd change{events.get(), POLLPRI, 0};
      if (poll(&change, 1, 10'000) <= 0) break;
      char text[256];
      (void)!pread(events.get(), text, sizeof text, 0);
    }
    for (const std::string& slot : Slots()) EXPECT_EQ(rmdir((cgroup_ + "/" + slot).c_str()), 0);
    EXPECT_EQ(rmdir(cgroup_.c_str()), 0) << cgroup_;
  }
  std::string Read(const std::string& file) { return ReadFile(cgroup_ + "/" + file).value_or(""); }
  std::vector<std::string> Slots() {
    std::vector<std::string> slots;
    for (const auto& entry : std::filesystem::directory_iterator(cgroup_))
      if (entry.is_directory()) slots.push_back(entry.path().filename());
    return slots;
  }
  bool Has(const char* controller) {
    return (" " + Read("cgroup.subtree_control")).find(controller) != std::string::npos;
  }

  std::string cgroup_;
};

#define LRE_NEED(controller)                                                      \
  if (!Has(controller))                                                           \
  GTEST_SKIP() << "SKIPPED: the controller " controller " is not delegated here " \
               << "(there are: " << Read("cgroup.controllers") << ")"

TEST_F(RealCgroupTest, ACommandAndWhatItStartsLiveInTheCgroupOfItsSlot) {
  std::string own = Output("cat /proc/self/cgroup | grep ^0:; (cat /proc/self/cgroup | grep ^0:)");

  // Of two slots only the one that ran something has a process.
  ASSERT_EQ(Slots().size(), 1u);
  EXPECT_THAT(Slots()[0], StartsWith("lre-slot-"));
  std::vector<std::string> lines = Lines(own);
  ASSERT_EQ(lines.size(), 2u) << own;
  EXPECT_EQ(lines[0], lines[1]);
  EXPECT_TRUE(lines[0].ends_with(Slots()[0])) << own;
}

TEST_F(RealCgroupTest, TheKernelEndsACommandThatUsesTooMuchMemory) {
  LRE_NEED("memory");
  Command command = Shell("perl -e '$x = \"a\" x 200000000; sleep 1000'");
  command.memory_bytes_max = 50 << 20;

  Outcome outcome = RunOk(command);

  EXPECT_EQ(outcome.ending, Ending::kOutOfMemory);
  EXPECT_LE(outcome.memory_peak_bytes, 51 << 20);
  EXPECT_EQ(RunOk(Shell("true")).ending, Ending::kExited) << "the next one is not bounded by it";
}

TEST_F(RealCgroupTest, ProcessesAreCounted) {
  LRE_NEED("pids");
  ASSERT_EQ(Output("echo x"), "x\n");

  EXPECT_EQ(Read(Slots().at(0) + "/pids.max"), "4000\n");
}

TEST_F(RealCgroupTest, EverySlotHasTheSameShareOfTheProcessor) {
  LRE_NEED("cpu");
  ASSERT_EQ(Output("echo x"), "x\n");
  ASSERT_EQ(Output(Shell("echo x", 1)), "x\n");

  for (const std::string& slot : Slots()) EXPECT_EQ(Read(slot + "/cpu.weight"), "100\n");
}

TEST_F(RealCgroupTest, WhatGoesToADiskIsCounted) {
  LRE_NEED("io");
  Command command = Shell("dd if=/dev/zero of=/data/x bs=1M count=4 oflag=direct");
  command.mounts.push_back({MountKind::kBind, "/data", MakeDirectory("data")});

  Outcome outcome = RunOk(command);

  if (outcome.exit_code != 0) GTEST_SKIP() << "SKIPPED: no direct writes to this file system";
  EXPECT_GE(outcome.write_bytes, 4 << 20);
}

}  // namespace
}  // namespace lre::sandbox

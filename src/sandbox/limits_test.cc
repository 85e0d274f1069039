// What bounds a command: processes, memory, with and without a cgroup.
#include <fcntl.h>
#include <gmock/gmock.h>

#include "sandbox/cgroup.h"
#include "sandbox/fake_sandbox_setup.h"

namespace lre::sandbox {
namespace {

using std::chrono::seconds;

class LimitsTest : public SandboxTest {};

TEST_F(LimitsTest, AForkBombEndsAtItsBoundAndTheSlotServesOn) {
  launcher_ = *Launcher::Start({.slots = 1, .processes_max = 50});
  Command command = Shell("f() { f | f & wait; }; f");
  command.timeout = seconds(2);

  RunOk(command);

  EXPECT_THAT(*ReadFile(command.stderr_path), testing::HasSubstr("fork"));
  EXPECT_EQ(Output("echo again"), "again\n");
}

TEST_F(LimitsTest, ACommandThatUsesTooMuchMemoryIsToldApart) {
  Command command = Shell("perl -e '$x = \"a\" x 100000000; sleep 1000'");
  command.memory_bytes_max = 50 << 20;

  Outcome outcome = RunOk(command);

  EXPECT_EQ(outcome.ending, Ending::kOutOfMemory);
  EXPECT_GT(outcome.memory_peak_bytes, 50 << 20);
}

TEST_F(LimitsTest, FilesInMemoryCountAsMemory) {
  Command command = Shell("head -c 30000000 /dev/zero > /tmp/x; sleep 1000");
  command.memory_bytes_max = 20 << 20;

  EXPECT_EQ(RunOk(command).ending, Ending::kOutOfMemory);
}

TEST_F(LimitsTest, ManyProcessesCountTogether) {
  Command command =
      Shell("for i in 1 2 3 4; do perl -e '$x = \"a\" x 15000000; sleep 1000' & done; wait");
  command.memory_bytes_max = 45 << 20;

  EXPECT_EQ(RunOk(command).ending, Ending::kOutOfMemory);
}

// A directory with the files that a kernel with all controllers offers.
class FakeCgroup {
 public:
  FakeCgroup() {
    for (const char* file : {"cgroup.procs", "memory.max", "memory.swap.max", "pids.max"})
      Write(file, "");
    Write("memory.events", "low 0\noom 1\noom_kill 3\noom_group_kill 0\n");
    Write("memory.peak", "0");
    Write("cpu.weight", "");
    Write("io.stat", "8:0 rbytes=10 wbytes=20 rios=1 wios=1 dbytes=0 dios=0\n");
  }
  void Write(const std::string& file, std::string_view text) {
    (void)SystemFiles().MakeDirectories(path());
    EXPECT_TRUE(WriteFileInPlace(path() + "/" + file, text));
  }
  std::string Read(const std::string& file) { return *ReadFile(path() + "/" + file); }
  std::string path() const { return top_ / "lre-slot-x"; }
  std::string top() const { return top_.path(); }

 private:
  // As the kernel: the file stays the same.
  static bool WriteFileInPlace(const std::string& path, std::string_view text) {
    UniqueFd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    return write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
  }
  TempDir top_;
};

TEST(SlotCgroup, EntersSetsLimitsAndTellsWhatHappened) {
  FakeCgroup fake;
  auto cgroup = SlotCgroup::Enter(fake.top(), "x");
  ASSERT_TRUE(cgroup) << ToStatus(cgroup).ToString();
  EXPECT_EQ(fake.Read("cgroup.procs"), "0");

  cgroup->Begin({.memory_bytes_max = 1000, .processes_max = 7});
  EXPECT_EQ(fake.Read("memory.max"), "1000");
  EXPECT_EQ(fake.Read("memory.swap.max"), "0");
  EXPECT_EQ(fake.Read("pids.max"), "7");
  EXPECT_FALSE(cgroup->RanOutOfMemory());
  fake.Write("memory.events", "low 0\noom 1\noom_kill 4\n");
  fake.Write("memory.peak", "900\n");

  EXPECT_TRUE(cgroup->RanOutOfMemory());
  EXPECT_EQ(cgroup->MemoryPeakBytes(), 900);
  EXPECT_EQ(fake.Read("cpu.weight"), "100");
  fake.Write(
      "io.stat",
      "8:0 rbytes=110 wbytes=20 rios=1 wios=1 dbytes=0 dios=0\n8:16 rbytes=1 wbytes=2 rios=0\n");
  ASSERT_TRUE(cgroup->Transferred());
  EXPECT_EQ(cgroup->Transferred()->read_bytes, 101);
  EXPECT_EQ(cgroup->Transferred()->write_bytes, 2);
  cgroup->Begin({});
  EXPECT_FALSE(cgroup->RanOutOfMemory());
}

TEST(SlotCgroup, WithoutControllersItOnlyHolds) {
  TempDir directory;
  std::string path = directory / "lre-slot-y";
  ASSERT_TRUE(SystemFiles().MakeDirectories(path).ok());
  ASSERT_TRUE(WriteFileAtomically(path + "/cgroup.procs", "").ok());
  auto cgroup = SlotCgroup::Enter(directory.path(), "y");
  ASSERT_TRUE(cgroup);

  cgroup->Begin({.memory_bytes_max = 1000});

  EXPECT_FALSE(cgroup->RanOutOfMemory());
  EXPECT_EQ(cgroup->MemoryPeakBytes(), std::nullopt);
  EXPECT_FALSE(cgroup->Transferred());
}

TEST(SlotCgroup, SaysWhichDirectoryIsNoCgroup) {
  TempDir directory;
  Status status = PrepareCgroup(directory.path());
  EXPECT_THAT(status.message(), testing::HasSubstr(directory.path()));
}

}  // namespace
}  // namespace lre::sandbox

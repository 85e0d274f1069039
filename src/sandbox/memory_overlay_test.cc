#include <gmock/gmock.h>

#include "sandbox/fake_sandbox_setup.h"

namespace lre::sandbox {
namespace {

class MemoryOverlayTest : public SandboxTest {
 protected:
  void SetUp() override {
    SandboxTest::SetUp();
    if (IsSkipped()) return;
    if (!launcher_->memory_overlay_allowed())
      GTEST_SKIP() << "SKIPPED: no overlay in memory on this kernel";
    lower_ = MakeDirectory("lower");
  }
  Command InOverlay(const std::string& script, std::vector<std::string> directories = {}) {
    Command command = Shell(script);
    command.working_directory = "/build";
    command.overlays = {
        {.lower = lower_, .target = "/build", .directories = std::move(directories)}};
    return command;
  }
  std::string lower_;
};

TEST_F(MemoryOverlayTest, HandsOverWhatTheCommandWrote) {
  WriteFile(lower_ + "/input", "before\n");

  Outcome outcome =
      RunOk(InOverlay("cat input; echo after > input; echo x > out/d/new", {"out", "out/d"}));

  EXPECT_EQ(outcome.exit_code, 0) << *ReadFile(directory_ / "stderr0");
  ASSERT_NE(outcome.files, nullptr);
  EXPECT_EQ(*ReadFile(outcome.files->upper() + "/input"), "after\n");
  EXPECT_EQ(*ReadFile(outcome.files->upper() + "/out/d/new"), "x\n");
  EXPECT_EQ(*ReadFile(lower_ + "/input"), "before\n");
}

TEST_F(MemoryOverlayTest, NothingIsLeftForTheNextCommand) {
  Outcome first = RunOk(InOverlay("echo x > new; mkdir -m 000 closed; echo > /tmp/x"));
  ASSERT_EQ(first.exit_code, 0);

  // Also while the files of the first are still held.
  EXPECT_EQ(Output(InOverlay("ls -A . /tmp")), ".:\n\n/tmp:\n");
  std::string upper = first.files->upper();
  first.files.reset();

  EXPECT_FALSE(FileExists(upper));
  EXPECT_EQ(Output(InOverlay("df --output=iused / /tmp /dev/shm | tail -n 1")),
            Output(InOverlay("df --output=iused / /tmp /dev/shm | tail -n 1")));
}

TEST_F(MemoryOverlayTest, TheFirstCommandsOfASlotDoNotMeetTheirWritableDirectories) {
  for (int run = 0; run < 3; ++run) {
    Command command = InOverlay("echo x > /tmp/x && echo x > /more/x && echo x > new && ls");
    command.mounts.push_back({MountKind::kTmpfs, "/more", ""});
    command.slot = 1;
    EXPECT_EQ(Output(command), "new\n");
  }
}

TEST_F(MemoryOverlayTest, ItsFilesMayOutliveTheLauncher) {
  Outcome outcome = RunOk(InOverlay("echo x > new"));
  launcher_.reset();

  EXPECT_EQ(*ReadFile(outcome.files->upper() + "/new"), "x\n");
}

TEST_F(MemoryOverlayTest, EndsTheCommandThatWritesTooMuch) {
  Command command = InOverlay("head -c 3000000 /dev/zero > big; sleep 1000");
  command.memory_files_bytes_max = 1 << 20;

  EXPECT_EQ(RunOk(command).ending, Ending::kOutgrewMemory);

  EXPECT_EQ(Output(InOverlay("ls -A")), "");
}

// As BuildStream wants it: the input root brings everything, the shell included.
TEST_F(MemoryOverlayTest, AnInputRootMayBeTheRoot) {
  Command command =
      InOverlay("ls -A /; echo x > /new; echo > /dev/null; echo > /tmp/t; test -d /proc/1",
                {"proc", "dev", "tmp"});
  command.mounts.push_back({MountKind::kReadOnlyBind, "/build/usr", "/usr"});
  for (const char* name : {"bin", "lib", "lib64"})
    ASSERT_EQ(symlink(fmt::format("usr/{}", name).c_str(), (lower_ + "/" + name).c_str()), 0);
  ASSERT_TRUE(SystemFiles().MakeDirectories(lower_ + "/usr").ok());
  command.root_directory = "/build";
  command.working_directory = "/";

  Outcome outcome = RunOk(command);

  EXPECT_EQ(outcome.exit_code, 0) << *ReadFile(directory_ / "stderr0");
  EXPECT_EQ(*ReadFile(command.stdout_path), "bin\ndev\nlib\nlib64\nproc\ntmp\nusr\n");
  EXPECT_EQ(*ReadFile(outcome.files->upper() + "/new"), "x\n");
}

TEST_F(MemoryOverlayTest, RefusesWhatItCannotMake) {
  auto code = [&](auto change) {
    Command command = InOverlay("true");
    change(command);
    return ToStatus(launcher_->Run(command, {})).code();
  };
  EXPECT_EQ(code([](Command& c) { c.overlays.push_back(c.overlays[0]); }), Code::kInvalidArgument);
  EXPECT_EQ(code([](Command& c) { c.overlays[0].directories = {"../x"}; }), Code::kInvalidArgument);
  EXPECT_EQ(code([](Command& c) { c.overlays[0].upper = "/x"; }), Code::kInvalidArgument);
  EXPECT_EQ(code([](Command& c) {
              for (int i = 0; i < 40; ++i)
                c.mounts.push_back({MountKind::kTmpfs, fmt::format("/t{}", i), ""});
            }),
            Code::kInvalidArgument);
}

TEST_F(MemoryOverlayTest, KeepsSmallOutputsInMemory) {
  Command command = Shell("echo out; head -c 5000 /dev/zero >&2");
  command.output_kept_bytes_max = 4096;

  Outcome outcome = RunOk(command);

  EXPECT_EQ(outcome.stdout_kept, "out\n");
  EXPECT_FALSE(outcome.stdout_in_file);
  EXPECT_FALSE(FileExists(command.stdout_path));
  EXPECT_TRUE(outcome.stderr_in_file);
  EXPECT_EQ(ReadFile(command.stderr_path)->size(), 5000u);
}

TEST_F(MemoryOverlayTest, TellsWhatIsPrintedWhileTheCommandRuns) {
  std::string data = MakeDirectory("data"), seen;
  Command command = Shell("echo one; while ! test -e /data/go; do sleep 0.01; done; echo two >&2");
  command.mounts.push_back({MountKind::kReadOnlyBind, "/data", data});
  command.on_output = [&](bool is_stderr, std::string_view bytes) {
    seen += fmt::format("{}:{}", is_stderr, bytes);
    if (!is_stderr) WriteFile(data + "/go", "");
  };

  EXPECT_EQ(RunOk(command).exit_code, 0);

  EXPECT_EQ(seen, "false:one\ntrue:two\n");
}

}  // namespace
}  // namespace lre::sandbox

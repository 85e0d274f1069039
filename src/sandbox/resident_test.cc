// Processes that stay and are shown one tree of files after another.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <poll.h>

#include "sandbox/fake_sandbox_setup.h"

namespace lre::sandbox {
namespace {

using testing::HasSubstr;

class ResidentTest : public SandboxTest {
 protected:
  void SetUp() override {
    SandboxTest::SetUp();
    if (!IsSkipped() && !launcher_->memory_overlay_allowed())
      GTEST_SKIP() << "SKIPPED: this kernel has no overlays in memory";
  }
  // A lower layer with `in/file` and the file `top`, of this content.
  Command::Overlay Tree(const std::string& content) {
    std::string lower = MakeDirectory(fmt::format("lower{}", trees_++));
    EXPECT_EQ(mkdir((lower + "/in").c_str(), 0755), 0);
    Own(lower + "/in");
    WriteFile(lower + "/in/file", content);
    WriteFile(lower + "/top", content);
    return {.lower = lower,
            .target = "/build",
            .directories = {"out"},
            .by_entry = true,
            .entries = {{"in", true}, {"out", true}, {"top", false}}};
  }
  // Runs `script` whenever it is asked, and says "done".
  std::unique_ptr<Resident> Start(const std::string& script, const Command::Overlay& first) {
    Command command = Shell("while read line; do\n" + script + "\necho done; done");
    command.working_directory = "/build";
    command.overlays = {first};
    auto resident = launcher_->StartResident(command);
    EXPECT_TRUE(resident) << ToStatus(resident).ToString();
    return resident ? std::move(*resident) : nullptr;
  }
  // What the process says until it says "done", or ends.
  static std::string Ask(const Resident& resident) {
    EXPECT_EQ(write(resident.input_fd(), "go\n", 3), 3);
    std::string said;
    while (!said.ends_with("done\n")) {
      pollfd waiting{resident.output_fd(), POLLIN, 0};
      if (poll(&waiting, 1, 60'000) <= 0) break;
      char buffer[4096];
      ssize_t size = read(resident.output_fd(), buffer, sizeof buffer);
      if (size <= 0) break;
      said.append(buffer, static_cast<size_t>(size));
    }
    return said;
  }
  int trees_ = 0;
};

TEST_F(ResidentTest, SeesOneTreeAfterAnotherInItsWorkingDirectory) {
  auto resident = Start("cat in/file top; ls; tr a-z A-Z <in/file >out/file; n=$((n + 1)); echo $n",
                        Tree("one\n"));
  ASSERT_TRUE(resident);

  EXPECT_EQ(Ask(*resident), "one\none\nin\nout\ntop\n1\ndone\n");
  auto files = resident->Hide();
  ASSERT_TRUE(files) << ToStatus(files).ToString();
  EXPECT_EQ(*ReadFile((*files)->upper() + "/out/file"), "ONE\n");

  Status shown = resident->Show(Tree("two\n"));
  ASSERT_TRUE(shown.ok()) << shown.ToString();
  EXPECT_EQ(Ask(*resident), "two\ntwo\nin\nout\ntop\n2\ndone\n");
  auto more = resident->Hide();
  ASSERT_TRUE(more);
  EXPECT_EQ(*ReadFile((*more)->upper() + "/out/file"), "TWO\n");
  EXPECT_EQ(*ReadFile((*files)->upper() + "/out/file"), "ONE\n");
}

TEST_F(ResidentTest, HasTerminalsOfItsOwn) {
  auto resident = Start("exec 3<>/dev/ptmx; ls /dev/pts", Tree("x"));
  ASSERT_TRUE(resident);
  EXPECT_EQ(Ask(*resident), "0\nptmx\ndone\n");

  EXPECT_EQ(Output("ls /dev/pts"), "ptmx\n");
  for (int run = 0; run < 2; ++run)
    EXPECT_EQ(Output("exec 3<>/dev/ptmx; ls /dev/pts"), "0\nptmx\n");
}

TEST_F(ResidentTest, CannotChangeWhatItIsShownAndLeavesNothing) {
  Command::Overlay tree = Tree("good");
  auto resident =
      Start("ls; echo spoilt >in/file; echo new >in/more; echo own >own; mkdir mine", tree);
  ASSERT_TRUE(resident);
  EXPECT_EQ(Ask(*resident), "in\nout\ntop\ndone\n");
  ASSERT_TRUE(resident->Hide());

  EXPECT_EQ(*ReadFile(tree.lower + "/in/file"), "good");
  EXPECT_FALSE(FileExists(tree.lower + "/in/more"));
  ASSERT_TRUE(resident->Show(tree).ok());
  EXPECT_EQ(Ask(*resident), "in\nout\ntop\ndone\n");
}

TEST_F(ResidentTest, ACommandOfTheSlotRunsBesideIt) {
  auto resident = Start("echo $$ >/tmp/mine; cat in/file; ls /tmp", Tree("x\n"));
  ASSERT_TRUE(resident);

  EXPECT_EQ(Output("ls -A /tmp; ls -d /build 2>&1; ps 2>/dev/null | grep -c read; true"),
            "ls: cannot access '/build': No such file or directory\n0\n");
  EXPECT_EQ(Ask(*resident), "x\nmine\ndone\n");
  EXPECT_EQ(Output("ls -A /tmp"), "");
  EXPECT_EQ(Ask(*resident), "x\nmine\ndone\n");
}

TEST_F(ResidentTest, EndsWithEverythingThatItStartedWhenItIsLetGo) {
  auto resident =
      Start("(trap '' TERM HUP; sleep 1000 & sleep 1000) & ls /proc/self/fd >/dev/null", Tree(""));
  ASSERT_TRUE(resident);
  EXPECT_EQ(Ask(*resident), "done\n");
  int error = fcntl(resident->error_fd(), F_DUPFD_CLOEXEC, 3);

  resident.reset();

  // Everybody who could write there is gone.
  char byte;
  EXPECT_EQ(read(error, &byte, 1), 0);
  close(error);
}

TEST_F(ResidentTest, TellsWhatItUses) {
  auto resident =
      Start("i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; head -c 9999 /dev/zero >/tmp/x",
            Tree(""));
  ASSERT_TRUE(resident);
  EXPECT_EQ(Ask(*resident), "done\n");

  auto usage = resident->GetUsage();

  ASSERT_TRUE(usage) << ToStatus(usage).ToString();
  EXPECT_GT((usage->user_cpu + usage->system_cpu).count(), 0);
  EXPECT_GT(usage->memory_bytes, 10'000);
  EXPECT_GE(resident->MemoryFilesBytes(), 9999u);
}

TEST_F(ResidentTest, SaysWhyItCannotStart) {
  Command command = Shell("");
  command.arguments = {"/no/such/program"};
  command.overlays = {Tree("")};

  auto resident = launcher_->StartResident(command);

  ASSERT_FALSE(resident);
  EXPECT_EQ(resident.error().code(), Code::kNotFound);
  EXPECT_EQ(Output("echo the slot serves on"), "the slot serves on\n");
}

TEST_F(ResidentTest, ShowsNoMoreEntriesThanTheBound) {
  Command::Overlay tree = Tree("");
  for (size_t i = 0; i < Command::Overlay::kEntriesMax; ++i)
    tree.entries.push_back({fmt::format("e{}", i), true});
  Command command = Shell("true");
  command.overlays = {tree};

  auto resident = launcher_->StartResident(command);

  ASSERT_FALSE(resident);
  EXPECT_THAT(resident.error().message(), HasSubstr("at most 100"));
}

TEST_F(ResidentTest, RefusesEntriesThatLeadElsewhere) {
  for (const char* name : {"..", "a/b", ""}) {
    Command::Overlay tree = Tree("");
    tree.entries.push_back({name, true});
    Command command = Shell("true");
    command.overlays = {tree};
    EXPECT_EQ(ToStatus(launcher_->StartResident(command)).code(), Code::kInvalidArgument) << name;
  }
}

TEST_F(ResidentTest, EndsWithTheLauncher) {
  auto resident = Start("true", Tree(""));
  ASSERT_TRUE(resident);
  Command::Overlay next = Tree("");
  launcher_.reset();

  pollfd ended{resident->output_fd(), POLLIN, 0};
  EXPECT_EQ(poll(&ended, 1, 60'000), 1);
  EXPECT_EQ(resident->Show(next).code(), Code::kInternal);
}

}  // namespace
}  // namespace lre::sandbox

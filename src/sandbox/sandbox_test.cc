#include "sandbox/sandbox.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <set>
#include <thread>

#include "base/file.h"
#include "base/lines.h"
#include "sandbox/fake_sandbox_setup.h"

namespace lre::sandbox {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::UnorderedElementsAre;

TEST_F(SandboxTest, ReportsExitCodeAndOutput) {
  Command command = Shell("echo out; echo err >&2; exit 7");

  Outcome outcome = RunOk(command);

  EXPECT_EQ(outcome.ending, Ending::kExited);
  EXPECT_EQ(outcome.exit_code, 7);
  EXPECT_EQ(*ReadFile(command.stdout_path), "out\n");
  EXPECT_EQ(*ReadFile(command.stderr_path), "err\n");
  EXPECT_GT(outcome.wall.count(), 0);
  EXPECT_GT(outcome.memory_peak_bytes, 0);
}

TEST_F(SandboxTest, ReportsTheSignalThatEndedTheCommand) {
  Outcome outcome = RunOk(Shell("kill -SEGV $$"));

  EXPECT_EQ(outcome.ending, Ending::kSignalled);
  EXPECT_EQ(outcome.signal, SIGSEGV);
  EXPECT_EQ(outcome.exit_code, 128 + SIGSEGV);
}

TEST_F(SandboxTest, ShowsNothingOfTheHost) {
  EXPECT_THAT(Lines(Output("ls -A /")),
              UnorderedElementsAre("bin", "dev", "lib", "lib64", "proc", "sbin", "tmp", "usr"));
  EXPECT_THAT(Lines(Output("ls -A /dev")),
              UnorderedElementsAre("fd", "full", "null", "ptmx", "pts", "random", "shm", "stderr",
                                   "stdin", "stdout", "tty", "urandom", "zero"));
  EXPECT_EQ(Output("ls -A /tmp /dev/shm"), "/dev/shm:\n\n/tmp:\n");
  EXPECT_THAT(Lines(Output("cut -d' ' -f5 /proc/self/mountinfo")),
              UnorderedElementsAre("/", "/usr", "/proc", "/dev/null", "/dev/zero", "/dev/full",
                                   "/dev/random", "/dev/urandom", "/dev/tty", "/dev/pts", "/tmp",
                                   "/dev/shm"));
}

TEST_F(SandboxTest, SeesOnlyItsOwnProcessesUserHostAndNetwork) {
  EXPECT_EQ(Output("id -u; id -g; uname -n"), "1000\n1000\nlre\n");
  EXPECT_EQ(Output("tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '"), "lo\n");
  EXPECT_EQ(Output("grep -c . /proc/net/route"), "1\n");  // the heading
  // pid 1 and the shell.
  EXPECT_EQ(Output("set -- /proc/[0-9]*; echo $#"), "2\n");
}

TEST_F(SandboxTest, GivesNoCapabilityAndNoWayToGainOne) {
  EXPECT_EQ(Output("grep -E 'Cap(Prm|Eff|Inh|Amb)|NoNewPrivs' /proc/self/status | cut -f2 | uniq"),
            "0000000000000000\n1\n");
  EXPECT_NE(RunOk(Shell("mount -t tmpfs none /tmp")).exit_code, 0);
  EXPECT_NE(RunOk(Shell("ip link set lo down || hostname x")).exit_code, 0);
  EXPECT_NE(RunOk(Shell("echo x > /proc/sys/kernel/core_pattern")).exit_code, 0);
  EXPECT_NE(RunOk(Shell("cat /proc/1/environ || ls /proc/1/root/")).exit_code, 0);
}

TEST_F(SandboxTest, RootIsReadOnlyAndTmpIsNot) {
  EXPECT_NE(RunOk(Shell("touch /x")).exit_code, 0);
  EXPECT_NE(RunOk(Shell("touch /usr/x")).exit_code, 0);
  EXPECT_NE(RunOk(Shell("mkdir /dev/x")).exit_code, 0);
  EXPECT_EQ(
      Output("echo a > /tmp/x; echo b > /dev/shm/y; cat /tmp/x /dev/shm/y; echo z > /dev/null"),
      "a\nb\n");
  EXPECT_EQ(Output("ls /tmp /dev/shm | grep -c '[xy]$'; true"), "0\n");  // gone with the command
}

TEST_F(SandboxTest, BoundsTheFileSystemInMemory) {
  Outcome outcome = RunOk(Shell("head -c 100000000 /dev/zero > /tmp/x"));

  EXPECT_NE(outcome.exit_code, 0);
  EXPECT_THAT(*ReadFile(directory_ / "stderr0"), HasSubstr("No space left"));
}

TEST_F(SandboxTest, PassesOnlyTheGivenEnvironmentAndDescriptors) {
  EXPECT_EQ(Output("env | sort"), "PATH=/usr/bin:/bin\nPWD=/tmp\n");
  EXPECT_EQ(Output("ls /proc/self/fd | tr '\\n' ' '; cat"), "0 1 2 3 ");  // 3 is of ls; empty stdin
  EXPECT_EQ(Output("ulimit -n; umask; ulimit -c"), "1000\n0022\n0\n");
}

TEST_F(SandboxTest, MakesFilesLinksAndDirectoriesInTheRoot) {
  Command command =
      Shell("cat /etc/deep/passwd; readlink /l; ls -d /empty; cat /data/in; echo > /data/in");
  std::string data = MakeDirectory("data");
  WriteFile(data + "/in", "in\n");
  command.mounts.push_back({MountKind::kFile, "/etc/deep/passwd", "line\n"});
  command.mounts.push_back({MountKind::kSymlink, "/l", "nowhere"});
  command.mounts.push_back({MountKind::kDirectory, "/empty", ""});
  command.mounts.push_back({MountKind::kReadOnlyBind, "/data", data});

  Outcome outcome = RunOk(command);

  EXPECT_NE(outcome.exit_code, 0);
  EXPECT_EQ(*ReadFile(command.stdout_path), "line\nnowhere\n/empty\nin\n");
  EXPECT_THAT(*ReadFile(command.stderr_path), HasSubstr("Read-only"));
}

TEST_F(SandboxTest, WritesThroughAWritableBind) {
  Command command = Shell("echo new > /data/file");
  command.mounts.push_back({MountKind::kBind, "/data", MakeDirectory("data")});

  EXPECT_EQ(Output(command), "");

  EXPECT_EQ(*ReadFile(directory_ / "data/file"), "new\n");
}

TEST_F(SandboxTest, AnOverlayKeepsChangesOutOfItsLowerTree) {
  if (!launcher_->overlay_allowed()) GTEST_SKIP() << "SKIPPED: no overlay in user namespaces here";
  Command::Overlay overlay = MakeOverlay("o");
  WriteFile(overlay.lower + "/input", "before\n");
  Command command = Shell("cat input; echo after > input; rm -f gone; mkdir d; echo x > d/new");
  command.working_directory = "/build";
  WriteFile(overlay.lower + "/gone", "");
  command.overlays = {overlay};

  EXPECT_EQ(Output(command), "before\n");

  EXPECT_EQ(*ReadFile(overlay.lower + "/input"), "before\n");
  EXPECT_TRUE(FileExists(overlay.lower + "/gone"));
  EXPECT_EQ(*ReadFile(overlay.upper + "/input"), "after\n");
  EXPECT_EQ(*ReadFile(overlay.upper + "/d/new"), "x\n");
}

TEST_F(SandboxTest, TimeoutKillsTheWholeTree) {
  // The writer of the pipe would hold it open for ever.
  Command command = Shell("echo begun; (setsid sh -c 'while :; do :; done' &) ; sleep 1000");
  command.timeout = milliseconds(300);

  Outcome outcome = RunOk(command);

  EXPECT_EQ(outcome.ending, Ending::kTimedOut);
  EXPECT_GE(outcome.wall, milliseconds(300));
  EXPECT_EQ(*ReadFile(command.stdout_path), "begun\n");
}

// Locked by flock(1) while the daemon lives; the kernel frees the lock with its last process.
TEST_F(SandboxTest, ADaemonDoesNotOutliveItsCommand) {
  for (Isolation isolation : {Isolation::kNamespaces, Isolation::kNone}) {
    std::string data = MakeDirectory(isolation == Isolation::kNone ? "none" : "namespaces");
    Command command = Shell(
        "cd $DATA && (setsid flock lock sh -c 'touch held; sleep 1000' "
        "</dev/null >/dev/null 2>&1 &) ; "
        "while ! test -e held; do sleep 0.01; done");
    command.isolation = isolation;
    if (isolation == Isolation::kNone) {
      command.mounts.clear();
      command.environment.push_back("DATA=" + data);
    } else {
      command.mounts.push_back({MountKind::kBind, "/data", data});
      command.environment.push_back("DATA=/data");
    }
    EXPECT_EQ(Output(command), "");

    Command probe = Shell("flock -n " + data + "/lock true");
    probe.isolation = Isolation::kNone;
    probe.mounts.clear();
    EXPECT_EQ(Output(probe), "") << "the lock is still held";
  }
}

TEST_F(SandboxTest, AStopRequestKillsTheCommand) {
  std::stop_source stop;
  Command command = Shell("touch /data/begun; sleep 1000");
  std::string data = MakeDirectory("data");
  command.mounts.push_back({MountKind::kBind, "/data", data});
  std::jthread stopper([&] {
    while (!FileExists(data + "/begun")) std::this_thread::yield();
    stop.request_stop();
  });

  EXPECT_EQ(RunOk(command, stop.get_token()).ending, Ending::kCancelled);

  EXPECT_EQ(Output("echo again"), "again\n");  // the slot serves on
}

TEST_F(SandboxTest, ARequestAlreadyStoppedIsCancelled) {
  std::stop_source stop;
  stop.request_stop();

  EXPECT_EQ(RunOk(Shell("sleep 1000"), stop.get_token()).ending, Ending::kCancelled);
}

TEST_F(SandboxTest, DropsOutputBeyondItsBound) {
  Command command = Shell("head -c 3000000 /dev/zero; echo end >&2");
  command.output_bytes_max = 1 << 20;

  Outcome outcome = RunOk(command);

  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_TRUE(outcome.output_truncated);
  EXPECT_EQ(ReadFile(command.stdout_path)->size(), 1u << 20);
  EXPECT_EQ(*ReadFile(command.stderr_path), "end\n");
}

TEST_F(SandboxTest, NamesTheProgramThatIsNotThere) {
  Command command = Shell("");
  command.arguments = {"/usr/bin/no-such-program"};
  Result<Outcome> outcome = launcher_->Run(command, {});
  EXPECT_EQ(ToStatus(outcome).code(), Code::kNotFound);
  EXPECT_THAT(ToStatus(outcome).message(), HasSubstr("/usr/bin/no-such-program"));

  command.arguments = {"no-such-program"};
  EXPECT_EQ(ToStatus(launcher_->Run(command, {})).code(), Code::kNotFound);

  command.arguments = {"/usr"};
  EXPECT_EQ(ToStatus(launcher_->Run(command, {})).code(), Code::kPermissionDenied);
}

TEST_F(SandboxTest, SaysWhenTheInterpreterIsMissing) {
  Command command = Shell("");
  command.arguments = {"/script"};
  std::string path = directory_ / "script";
  WriteFile(path, "#!/no/such/interpreter\n");
  chmod(path.c_str(), 0755);
  command.mounts.push_back({MountKind::kReadOnlyBind, "/script", path});

  Result<Outcome> outcome = launcher_->Run(command, {});

  EXPECT_EQ(ToStatus(outcome).code(), Code::kNotFound);
  EXPECT_THAT(ToStatus(outcome).message(), HasSubstr("interpreter"));
}

TEST_F(SandboxTest, NothingOfACommandIsLeftForTheNextOfItsSlot) {
  Output(
      "touch /tmp/file /dev/shm/file; mkdir /tmp/directory; chmod 000 /tmp /dev/ptmx; "
      "ipcmk -Q >/dev/null; true");

  EXPECT_EQ(
      Output("ls -A /tmp /dev/shm; stat -c %a /tmp /dev/pts/ptmx; ipcs -q | grep -c 0x; true"),
      "/dev/shm:\n\n/tmp:\n1777\n666\n0\n");
}

TEST_F(SandboxTest, ASourceThatWasReplacedIsMountedAnew) {
  MakeDirectory("source");
  WriteFile(directory_ / "source/file", "old\n");
  Command command = Shell("cat /data/file");
  command.mounts.push_back({MountKind::kReadOnlyBind, "/data", directory_ / "source"});
  ASSERT_EQ(Output(command), "old\n");

  ASSERT_EQ(rename((directory_ / "source").c_str(), (directory_ / "away").c_str()), 0);
  MakeDirectory("source");
  WriteFile(directory_ / "source/file", "new\n");

  EXPECT_EQ(Output(command), "new\n");
}

TEST_F(SandboxTest, OneSlotServesMoreKindsOfRootsThanItKeeps) {
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 12; ++i) {
      Command command = Shell(fmt::format("cat /file{}", i));
      command.mounts.push_back({MountKind::kFile, fmt::format("/file{}", i), fmt::to_string(i)});
      EXPECT_EQ(Output(command), fmt::to_string(i));
    }
  }
}

TEST_F(SandboxTest, MountsBelowAWritableDirectoryStayOnTopOfIt) {
  Command command = Shell("cat /tmp/data/file; touch /tmp/data/x 2>/dev/null || echo refused");
  command.mounts.push_back({MountKind::kReadOnlyBind, "/tmp/data", MakeDirectory("data")});
  WriteFile(directory_ / "data/file", "in\n");

  EXPECT_EQ(Output(command), "in\nrefused\n");
}

TEST_F(SandboxTest, NamesTheSourceThatCannotBeMounted) {
  Command command = Shell("true");
  command.mounts.push_back({MountKind::kReadOnlyBind, "/data", "/no/such/source"});

  Result<Outcome> outcome = launcher_->Run(command, {});

  EXPECT_EQ(ToStatus(outcome).code(), Code::kInternal);
  EXPECT_THAT(ToStatus(outcome).message(), HasSubstr("/no/such/source"));
}

TEST_F(SandboxTest, RefusesCommandsThatMakeNoSense) {
  auto code = [&](auto change) {
    Command command = Shell("true");
    change(command);
    return ToStatus(launcher_->Run(command, {})).code();
  };
  EXPECT_EQ(code([](Command& c) { c.arguments.clear(); }), Code::kInvalidArgument);
  EXPECT_EQ(code([](Command& c) { c.arguments.push_back(std::string("a\0b", 3)); }),
            Code::kInvalidArgument);
  EXPECT_EQ(code([](Command& c) { c.working_directory = "../x"; }), Code::kInvalidArgument);
  EXPECT_EQ(code([](Command& c) { c.mounts[0].target = "/a/../b"; }), Code::kInvalidArgument);
  EXPECT_EQ(code([](Command& c) { c.slot = 64; }), Code::kInvalidArgument);
  EXPECT_EQ(code([](Command& c) { c.isolation = Isolation::kNone; }), Code::kInvalidArgument);
  EXPECT_EQ(code([](Command& c) { c.working_directory = "/none"; }), Code::kInvalidArgument);
}

TEST_F(SandboxTest, PassesLargeCommands) {
  Command command = Shell("echo $#");
  command.arguments.push_back("sh");
  for (int i = 0; i < 1000; ++i) command.arguments.push_back(std::string(1000, 'x'));

  EXPECT_EQ(Output(command), "1000\n");
}

TEST_F(SandboxTest, RunsManyCommandsAtOnceWithoutTextFileBusy) {
  constexpr int kThreads = 40, kRuns = 5;
  std::atomic<int> good = 0;
  std::string program = *ReadFile("/usr/bin/true");
  std::vector<std::string> directories;
  for (int i = 0; i < kThreads; ++i) directories.push_back(MakeDirectory(fmt::format("d{}", i)));
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([&, i] {
        for (int run = 0; run < kRuns; ++run) {
          // Written and executed at once, while other threads do the same.
          std::string path = fmt::format("{}/program{}", directories[i], run);
          auto file = *SystemFiles().Open(path, OpenMode::kCreate);
          EXPECT_TRUE(file->WriteAt(program, 0).ok());
          file.reset();
          chmod(path.c_str(), 0755);
          Command command = Shell("", i);
          command.arguments = {"/program"};
          command.mounts.push_back({MountKind::kReadOnlyBind, "/program", path});
          Result<Outcome> outcome = launcher_->Run(command, {});
          EXPECT_TRUE(outcome) << ToStatus(outcome).ToString();
          if (outcome && outcome->exit_code == 0) ++good;
        }
      });
    }
  }
  EXPECT_EQ(good, kThreads * kRuns);
}

TEST_F(SandboxTest, LeavesNoDescriptorsBehind) {
  auto count = [] {
    return Lines(fmt::to_string(std::distance(std::filesystem::directory_iterator("/proc/self/fd"),
                                              std::filesystem::directory_iterator())))[0];
  };
  Output("true");
  std::string before = count();

  for (int i = 0; i < 20; ++i) Output("true");

  EXPECT_EQ(count(), before);
}

TEST_F(SandboxTest, RootOfANamespaceWithOneUserCanRunCommands) {
  std::string outside = fmt::format("0 {} 1", geteuid());
  pid_t child = _Fork();  // fork starts the threads of a sanitizer again
  ASSERT_GE(child, 0);
  if (child == 0) {
    auto write_text = [](const char* path, std::string_view text) {
      int fd = open(path, O_WRONLY | O_CLOEXEC);
      if (fd < 0 || write(fd, text.data(), text.size()) != static_cast<ssize_t>(text.size()))
        _exit(2);
      close(fd);
    };
    if (unshare(CLONE_NEWUSER) != 0) _exit(2);
    write_text("/proc/self/setgroups", "deny");
    write_text("/proc/self/uid_map", outside);
    write_text("/proc/self/gid_map", outside);
    auto launcher = Launcher::Start({.slots = 1});
    if (!launcher || (*launcher)->file_owner() != 0) _exit(3);
    Result<Outcome> outcome =
        (*launcher)->Run(Shell("test $(id -u) = 1000 && echo x > /tmp/x"), {});
    _exit(outcome ? outcome->exit_code : 4);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);

  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST_F(SandboxTest, LoopbackWorksAndIsTheSlotsOwn) {
  EXPECT_EQ(Output("bash -c 'exec 3<>/dev/tcp/127.0.0.1/1' 2>&1 | "
                   "grep -q refused && echo up"),
            "up\n");
}

}  // namespace
}  // namespace lre::sandbox

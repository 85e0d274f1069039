#include "sandbox/system_calls.h"

#include <gmock/gmock.h>
#include <sys/syscall.h>

#include <cerrno>

#include "sandbox/fake_sandbox_setup.h"

namespace lre::sandbox {
namespace {

// Calls by number with null arguments from inside; what errno they left, one a line.
std::string Perl(const std::vector<std::pair<long, std::string>>& calls) {
  std::string script = "perl -e '";
  for (const auto& [number, arguments] : calls)
    script += fmt::format("$! = 0; syscall({}{}); print $!+0, \"\\n\";", number, arguments);
  return script + "'";
}

TEST_F(SandboxTest, RefusesSystemCallsThatReachWhatNoBuildNeeds) {
  // Numbers of calls newer than glibc 2.36's headers, and of all others.
  const std::vector<std::pair<long, std::string>> calls = {{SYS_io_uring_setup, ",1,0"},
                                                           {SYS_io_uring_enter, ",0,0,0,0,0,0"},
                                                           {SYS_add_key, ",0,0,0,0,0"},
                                                           {SYS_keyctl, ",0,0,0,0,0"},
                                                           {SYS_request_key, ",0,0,0,0"},
                                                           {SYS_bpf, ",0,0,0"},
                                                           {SYS_perf_event_open, ",0,0,0,0,0"},
                                                           {SYS_userfaultfd, ",0"},
                                                           {SYS_mount, ",0,0,0,0,0"},
                                                           {SYS_umount2, ",0,0"},
                                                           {SYS_move_mount, ",0,0,0,0,0"},
                                                           {SYS_fsopen, ",0,0"},
                                                           {SYS_open_tree, ",0,0,0"},
                                                           {SYS_pivot_root, ",0,0"},
                                                           {SYS_chroot, ",0"},
                                                           {SYS_setns, ",0,0"},
                                                           {SYS_unshare, ",0x10000000"},
                                                           {SYS_clone, ",0x10000011,0,0,0,0"},
                                                           {SYS_init_module, ",0,0,0"},
                                                           {SYS_kexec_load, ",0,0,0,0"},
                                                           {SYS_reboot, ",0,0,0,0"},
                                                           {SYS_sethostname, ",0,0"},
                                                           {SYS_socket, ",40,1,0"},  // AF_VSOCK
                                                           {SYS_open_by_handle_at, ",0,0,0"}};
  std::string expected;
  for (size_t i = 0; i < calls.size(); ++i) expected += fmt::format("{}\n", EPERM);

  EXPECT_EQ(Output(Perl(calls)), expected);
}

TEST_F(SandboxTest, UnknownSystemCallsAreNotThere) {
  EXPECT_EQ(Output(Perl({{SYS_clone3, ",0,0"}, {1023, ""}, {0x40000000 + SYS_getpid, ""}})),
            fmt::format("{0}\n{0}\n{0}\n", ENOSYS));
}

TEST_F(SandboxTest, SyncCostsNothingAndSucceeds) {
  EXPECT_EQ(Output("sync && echo done"), "done\n");
}

TEST_F(SandboxTest, ThreadsSocketsTracingAndTimersWork) {
  EXPECT_EQ(Output(Perl({{SYS_unshare, ",0x400"},  // CLONE_FILES
                         {SYS_socket, ",1,1,0"},
                         {SYS_socket, ",2,1,0"},
                         {SYS_socket, ",16,3,0"},
                         {SYS_personality, ",0x0040000"},
                         {SYS_ptrace, ",0,0,0,0"}})),
            "0\n0\n0\n0\n0\n0\n");
}

// Whether a program built with `flag` runs to `exit_code` in the sandbox.
class SanitizerTest : public SandboxTest, public testing::WithParamInterface<const char*> {};

TEST_P(SanitizerTest, RunsInsideAndFindsItsError) {
  std::string data = MakeDirectory("data");
  WriteFile(data + "/leak.cc",
            "#include <pthread.h>\n#include <stdlib.h>\n"
            "int shared;\nvoid* Add(void*) { shared++; return 0; }\n"
            "int main(int n, char**) { pthread_t t; pthread_create(&t, 0, Add, 0); shared++;\n"
            "  pthread_join(t, 0); void* volatile p = malloc(7 + n); p = 0; return 0; }\n");
  std::string compile =
      fmt::format("c++ -O0 {0} -o {1}/leak {1}/leak.cc 2>/dev/null", GetParam(), data);
  if (system(compile.c_str()) != 0) GTEST_SKIP() << "SKIPPED: no compiler with " << GetParam();
  Command command = Shell("/data/leak");
  command.mounts.push_back({MountKind::kReadOnlyBind, "/data", data});

  Outcome outcome = RunOk(command);

  EXPECT_NE(outcome.exit_code, 0);
  EXPECT_THAT(*ReadFile(command.stderr_path),
              testing::AnyOf(testing::HasSubstr("LeakSanitizer: detected memory leaks"),
                             testing::HasSubstr("ThreadSanitizer: data race")));
}

INSTANTIATE_TEST_SUITE_P(Sanitizers, SanitizerTest,
                         testing::Values("-fsanitize=address", "-fsanitize=thread"),
                         [](const auto& info) { return std::string(info.param).substr(11); });

}  // namespace
}  // namespace lre::sandbox

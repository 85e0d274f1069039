// SandboxTest: a launcher and a directory, and helpers that run scripts over the host's /usr. For
// tests only; confined to the test's thread.
#pragma once

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "base/file.h"
#include "sandbox/sandbox.h"

namespace lre::sandbox {

// The host's /usr, read-only, is the userland of these tests.
inline std::vector<Mount> HostUserland() {
  std::vector<Mount> mounts = {{MountKind::kReadOnlyBind, "/usr", "/usr"}};
  for (const char* name : {"bin", "sbin", "lib", "lib64"})
    mounts.push_back({MountKind::kSymlink, fmt::format("/{}", name), fmt::format("usr/{}", name)});
  return mounts;
}

// Asked of the kernel directly, so that a broken sandbox fails instead of being skipped.
inline bool MachineHasUserNamespaces() {
  static const bool has = [] {
    pid_t child = _Fork();
    if (child == 0) _exit(unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET));
    int status = 1;
    waitpid(child, &status, 0);
    return status == 0;
  }();
  return has;
}

class SandboxTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!MachineHasUserNamespaces())
      GTEST_SKIP() << "SKIPPED: this machine refuses user namespaces";
    ASSERT_TRUE(CheckSandboxSupport().ok()) << CheckSandboxSupport().ToString();
    launcher_ =
        *Launcher::Start({.slots = 64, .tmpfs_bytes_max = 64 << 20, .open_files_max = 1000});
  }
  std::string MakeDirectory(const std::string& name) {
    std::string path = directory_ / name;
    EXPECT_EQ(mkdir(path.c_str(), 0755), 0);
    Own(path);
    return path;
  }
  void WriteFile(const std::string& path, std::string_view bytes) {
    ASSERT_TRUE(WriteFileAtomically(path, bytes).ok());
    Own(path);
  }
  void Own(const std::string& path) {
    if (geteuid() == 0) {
      EXPECT_EQ(chown(path.c_str(), launcher_->file_owner(), launcher_->file_owner()), 0);
    }
  }
  Command Shell(const std::string& script, int slot = 0) {
    Command command;
    command.arguments = {"/bin/sh", "-c", script};
    command.environment = {"PATH=/usr/bin:/bin"};
    command.working_directory = "/tmp";
    command.mounts = HostUserland();
    command.slot = slot;
    command.stdout_path = directory_ / fmt::format("stdout{}", slot);
    command.stderr_path = directory_ / fmt::format("stderr{}", slot);
    return command;
  }
  Outcome RunOk(const Command& command, std::stop_token stop = {}) {
    Result<Outcome> outcome = launcher_->Run(command, stop);
    EXPECT_TRUE(outcome) << ToStatus(outcome).ToString();
    return std::move(outcome).value_or(Outcome{});
  }
  // stdout of a script that must succeed.
  std::string Output(const Command& command) {
    Outcome outcome = RunOk(command);
    EXPECT_EQ(outcome.exit_code, 0) << *ReadFile(command.stderr_path);
    return *ReadFile(command.stdout_path);
  }
  std::string Output(const std::string& script) { return Output(Shell(script)); }
  Command::Overlay MakeOverlay(const std::string& name) {
    return {MakeDirectory(name + "-lower"), MakeDirectory(name + "-upper"),
            MakeDirectory(name + "-work"), "/build"};
  }

  TempDir directory_;
  std::unique_ptr<Launcher> launcher_;
};

}  // namespace lre::sandbox

// What bench_spawn_floor and bench_null_action run: /bin/true with this machine's /usr as userland,
// bare and in the sandbox, with and without an overlay as an action has it. A Stage is used by one
// thread.
#pragma once

#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include "base/check.h"
#include "base/file.h"
#include "sandbox/sandbox.h"

namespace lre::bench {

using sandbox::Command;
using sandbox::Launcher;
using sandbox::MountKind;

struct Stage {
  // Slots 3n to 3n + 2: a slot expects the next command to want the root of the last.
  explicit Stage(const Launcher& launcher, int n) : owner(launcher.file_owner()) {
    Make("lower");
    command.arguments = {"/bin/true"};
    command.working_directory = "/";
    command.stdout_path = directory / "stdout";
    command.stderr_path = directory / "stderr";
    command.slot = 3 * n;
    bare = command;
    bare.isolation = sandbox::Isolation::kNone;
    command.mounts = {{MountKind::kReadOnlyBind, "/usr", "/usr"},
                      {MountKind::kSymlink, "/bin", "usr/bin"},
                      {MountKind::kSymlink, "/lib", "usr/lib"},
                      {MountKind::kSymlink, "/lib64", "usr/lib64"},
                      {MountKind::kFile, "/etc/passwd", "user:x:1000:1000::/:/bin/sh\n"}};
    overlaid = command;
    overlaid.slot = 3 * n + 1;
    overlaid.overlays = {
        {directory / "lower", directory / "upper", directory / "work", "/build", {}}};
    in_memory = command;
    in_memory.slot = 3 * n + 2;
    in_memory.output_kept_bytes_max = 4096;
    in_memory.overlays = {{.lower = directory / "lower", .target = "/build"}};
  }
  void Make(const char* name) {
    std::string path = directory / name;
    CHECK(mkdir(path.c_str(), 0755) == 0);
    if (geteuid() == 0) CHECK(chown(path.c_str(), owner, owner) == 0);
  }
  // Every action has an upper layer of its own: making it belongs to the price. A worker removes
  // the last one after its report was sent: that is measured by itself.
  void MakeUpper() {
    Make("upper");
    Make("work");
  }
  void RemoveUpper() {
    CHECK(RemoveTree(directory / "upper").ok());
    CHECK(RemoveTree(directory / "work").ok());
  }
  uint32_t owner;
  TempDir directory;
  Command bare, command, overlaid, in_memory;
};

inline void RunOnce(Launcher& launcher, const Command& command) {
  auto outcome = launcher.Run(command, {});
  CHECK(outcome && outcome->exit_code == 0, ToStatus(outcome).ToString());
}

}  // namespace lre::bench

#include "toolchain/root/emulation.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "base/file.h"
#include "toolchain/root/relocate_tree.h"

namespace lre::toolchain {
namespace {

constexpr const char* kBinfmt = "/proc/sys/fs/binfmt_misc";

// "aarch64" of "aarch64-linux", as qemu calls it.
std::string Processor(std::string_view system) {
  return std::string(system.substr(0, system.find('-')));
}

Status Write(const std::string& file, const std::string& text) {
  UniqueFd fd(open(file.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd || write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
    return ErrnoStatus(errno, "write " + file);
  return {};
}

std::string FindEmulator(std::string_view system) {
  for (const char* suffix : {"", "-static"}) {
    std::string program = "/usr/bin/qemu-" + Processor(system) + suffix;
    if (access(program.c_str(), X_OK) == 0) return program;
  }
  return "";
}

// Without the flag P (preserve argv[0]) a program cannot see by which name it was called, and
// clang++ would be clang.
bool IsUsable(std::string_view entry) {
  constexpr std::string_view kFlags = "\nflags: ";
  const size_t flags = entry.find(kFlags);
  if (!entry.starts_with("enabled") || flags == entry.npos) return false;
  const std::string_view rest = entry.substr(flags + kFlags.size());
  return rest.substr(0, rest.find('\n')).find('P') != rest.npos;
}

// The first 20 bytes of an ELF file: 64 bits, little-endian, executable or shared (2 or 3), and the
// machine. The kernel undoes the escapes. F: it opens the emulator now, so that it is there under
// any root.
std::string Registration(std::string_view system, const std::string& emulator) {
  const char* machine = system == "aarch64-linux" ? R"(\xb7\x00)" : R"(\x3e\x00)";
  return fmt::format(
      R"(:qemu-{}:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00{})"
      R"(:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:{}:FP)",
      Processor(system), machine, emulator);
}

}  // namespace

Status CheckRunsHere(std::string_view system) {
  if (system == ThisSystem()) return {};
  const std::string entry = fmt::format("{}/qemu-{}", kBinfmt, Processor(system));
  if (IsUsable(ReadFile(entry).value_or(""))) return {};
  return ErrorStatus(Code::kFailedPrecondition,
                     "programs of {} cannot be run here: that needs qemu-user and Linux 6.7, or "
                     "qemu-user-binfmt (Debian packages)",
                     system);
}

Status MakeRunHere(std::string_view system) {
  if (CheckRunsHere(system).ok()) return {};
  TRY(FindSystem(system));
  const std::string emulator = FindEmulator(system);
  if (emulator.empty()) return CheckRunsHere(system);
  const uid_t user = geteuid();
  const gid_t group = getegid();
  if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return ErrnoStatus(errno, "unshare");
  TRY(Write("/proc/self/setgroups", "deny"));
  TRY(Write("/proc/self/uid_map", fmt::format("{0} {0} 1", user)));
  TRY(Write("/proc/self/gid_map", fmt::format("{0} {0} 1", group)));
  if (mount("none", "/", nullptr, MS_REC | MS_SLAVE, nullptr) != 0)
    return ErrnoStatus(errno, "mount --make-rslave /");
  // An older kernel refuses: there only the machine as a whole has one.
  if (mount("binfmt_misc", kBinfmt, "binfmt_misc", 0, nullptr) != 0) return CheckRunsHere(system);
  TRY(Write(std::string(kBinfmt) + "/register", Registration(system, emulator)));
  return CheckRunsHere(system);
}

}  // namespace lre::toolchain

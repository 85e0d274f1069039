// Sandbox: runs one command hermetically on Linux, with a read-only root made of what the caller
// lists and nothing of the host. Each command gets mount, pid and ipc namespaces of its own; user,
// network (loopback only) and uts namespaces are made once per slot, because an action, which holds
// no capability in them, cannot change them and making them costs more than the rest. No privilege
// is needed where the kernel allows user namespaces; see namespaces(7), user_namespaces(7).
//
// Inside, the command is uid and gid 1000 (never root), has no capability and cannot gain one, on a
// host named "lre". Outside, that is the uid of the program, or, when the program is root,
// SandboxOptions.root_runs_as: files under an overlay must belong to Launcher::file_owner().
//
// Commands are spawned by a small launcher process that is forked before any thread starts and
// never holds a writable descriptor to a staged file (else ETXTBSY). Run may be called from several
// threads; commands of one slot run one after another. Nothing a command started outlives it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/file.h"
#include "base/status.h"

namespace lre::sandbox {

enum class MountKind { kReadOnlyBind, kBind, kSymlink, kFile, kDirectory, kTmpfs };

// One thing in the root of the sandbox. Parents are made as needed.
struct Mount {
  MountKind kind;
  std::string target;  // absolute path inside
  std::string source;  // host path; link target; file content, by kind
};

enum class Isolation { kNamespaces, kNone };  // kNone: --sandbox=none, the operator's word

struct Command {
  std::vector<std::string>
      arguments;  // [0]: a path inside; a name without '/' is looked up in PATH of `environment`
  std::vector<std::string> environment;  // "NAME=value"; nothing else is set
  std::string working_directory;         // absolute inside
  // A directory inside that the command sees as "/", with /proc, /dev and /tmp on directories of
  // these names in it, which must exist. Other paths here but working_directory and arguments are
  // those outside of it. Empty: none.
  std::string root_directory;
  std::vector<Mount> mounts;
  // An overlay: `lower` is read-only, changes go to `upper` (with `work` beside it, same file
  // system). Where both are empty changes are kept in memory and handed over as Outcome.files;
  // `directories`, parents first, are then made in the upper layer beforehand. At most one overlay
  // in memory. A disk's file system takes longer to make and remove the few files of most commands
  // than the command runs.
  struct Overlay {
    std::string lower, upper, work, target;
    std::vector<std::string> directories;
    // When `by_entry`, which an overlay in memory may be: `target` is a directory of the command's
    // own, and each of `entries`, files and directories at the top of the overlay, is mounted into
    // it. A command whose working directory is `target` can then be shown another overlay there,
    // see Resident. At most kEntriesMax.
    static constexpr size_t kEntriesMax = 100;
    struct Entry {
      std::string name;
      bool is_directory = false;
    };
    bool by_entry = false;
    std::vector<Entry> entries;
  };
  std::vector<Overlay> overlays;
  // A command that has written more into an overlay in memory, its /tmp and /dev/shm is ended
  // (Ending::kOutgrewMemory), to be run again with an overlay on disk. Looked at ten times a
  // second.
  uint64_t memory_files_bytes_max = uint64_t{256} << 20;
  // Host files, made by the sandbox for an output of more than `output_kept_bytes_max`; a smaller
  // one is in the Outcome only.
  std::string stdout_path, stderr_path;
  uint64_t output_kept_bytes_max = 0;
  uint64_t output_bytes_max =
      64 << 20;  // of each; what is beyond is dropped and `output_truncated` set
  // Told what is printed, as it comes, up to output_bytes_max; called by the thread that calls Run.
  std::function<void(bool is_stderr, std::string_view bytes)> on_output;
  Duration timeout{};  // 0: none
  // Of all its processes and files in memory together; beyond, it ends with Ending::kOutOfMemory.
  // Without a cgroup it is looked at ten times a second. 0: none.
  uint64_t memory_bytes_max = 0;
  bool network = false;  // true: the host's network (operators must allow it)
  int slot = 0;          // network namespaces are kept per slot
  // kNone: `mounts` and `overlays` must be empty and `working_directory` is a host path.
  Isolation isolation = Isolation::kNamespaces;
};

enum class Ending { kExited, kSignalled, kTimedOut, kOutOfMemory, kCancelled, kOutgrewMemory };

// What a command wrote to an overlay in memory. Removed with this, which may outlive the launcher.
class MemoryFiles {
 public:
  // `name`: a directory with the upper and the work directory, in the slot's file system.
  MemoryFiles(std::shared_ptr<const UniqueFd> slot, std::string name);
  MemoryFiles(const MemoryFiles&) = delete;
  MemoryFiles& operator=(const MemoryFiles&) = delete;
  ~MemoryFiles();
  // The upper layer: a path that means something in this process only.
  const std::string& upper() const { return upper_; }

 private:
  const std::shared_ptr<const UniqueFd> slot_;  // shared with the launcher, whichever ends first
  const std::string name_, upper_;
};

struct Outcome {
  Ending ending = Ending::kExited;
  int exit_code = 0;  // as a shell says it: 128 + n for signal n
  int signal = 0;
  bool output_truncated = false;
  Duration wall{}, user_cpu{}, system_cpu{};
  int64_t memory_peak_bytes = 0;            // of the largest process
  int64_t read_bytes = 0, write_bytes = 0;  // from and to block devices
  // Outputs of at most output_kept_bytes_max; empty: none, or in the file.
  std::string stdout_kept, stderr_kept;
  bool stdout_in_file = false, stderr_in_file = false;
  std::unique_ptr<MemoryFiles> files;  // when there was an overlay in memory
};

// A process that stays: it is shown one overlay after another, and what it is to do with each is
// between it and whoever has the other ends of its standard streams. It lives beside the commands
// of its slot in namespaces of its own, with a /tmp of its own that it keeps. Used by one thread at
// a time; it ends with the launcher. Errors are kInternal: the process is then of no use.
class Resident {
 public:
  // Kills it and everything that it started.
  virtual ~Resident() = default;
  // Pipes to its stdin and from its stdout and stderr; ours do not block.
  virtual int input_fd() const = 0;
  virtual int output_fd() const = 0;
  virtual int error_fd() const = 0;
  // Shows another overlay, by entry and on the target of the first. REQUIRES: none is shown.
  virtual Status Show(const Command::Overlay& overlay) = 0;
  // Takes away what is shown and whatever else lies in the target; the first time, what it was
  // started with. Returns what was written to it.
  virtual Result<std::unique_ptr<MemoryFiles>> Hide() = 0;
  struct Usage {
    Duration user_cpu{}, system_cpu{};  // since it was started
    int64_t memory_bytes = 0;           // now, of all its processes, without mapped files
  };
  virtual Result<Usage> GetUsage() = 0;
  // The slot's file system in memory, which all its residents and its command share.
  virtual uint64_t MemoryFilesBytes() const = 0;
};

struct SandboxOptions {
  int slots = 1;
  std::string scratch_directory;  // roots are assembled below it; empty: a temporary one
  // Of the file system in memory that holds /tmp, /dev/shm and other kTmpfs of one command.
  uint64_t tmpfs_bytes_max = uint64_t{2} << 30;
  // The uid and gid outside of a command run by a program that is root. Where the program's user
  // namespace does not have it (a container with one user), the program's own.
  uint32_t root_runs_as = 61000;
  uint64_t processes_max = 8192;  // processes and threads of one command; 0: no bound of ours
  // A cgroup v2 that the operator delegated, without processes of its own; empty: none.
  std::string cgroup_directory;
  uint64_t open_files_max = 65536;  // RLIMIT_NOFILE of the command, clamped to ours
};

class Launcher {
 public:
  // Kills what is left. Every Run must have returned: stop them by their tokens first.
  virtual ~Launcher() = default;
  // Forks the launcher process. Call before the program starts its first thread.
  static Result<std::unique_ptr<Launcher>> Start(SandboxOptions options);
  // Runs to the end; a stop request kills the process tree (Ending::kCancelled). An error means the
  // sandbox could not be made (kInternal), or the program could not be started (kNotFound, with its
  // name; kPermissionDenied; kInvalidArgument): an infrastructure failure is never an Outcome.
  virtual Result<Outcome> Run(const Command& command, std::stop_token stop) = 0;
  // Starts a process that stays. `command` has one overlay, in memory and by entry; its timeout,
  // its bounds on output and `memory_files_bytes_max` are without effect, and memory_bytes_max is
  // kept where there is a cgroup. Errors as of Run.
  virtual Result<std::unique_ptr<Resident>> StartResident(const Command& command) = 0;
  // The uid and gid outside that commands run as.
  virtual uint32_t file_owner() const = 0;
  // Whether the kernel lets a sandbox mount an overlay here; found out by Start. When false, Run
  // with overlays is kFailedPrecondition and the caller stages copies.
  virtual bool overlay_allowed() const = 0;
  // The same of an overlay in memory (the kernel's tmpfs must know user attributes: Linux 6.6).
  virtual bool memory_overlay_allowed() const = 0;
};

// Whether this machine allows the sandbox; the message says what forbids it and how to allow it.
Status CheckSandboxSupport();

}  // namespace lre::sandbox

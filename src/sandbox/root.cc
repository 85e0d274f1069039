// How a root is made, in this order:
//   once for a set of mounts, in a process that ends afterwards (BuildRoot):
//   1. as the slot process's uid, detached copies of every mounted path are opened (open_tree): as
//      a file owner this uid may reach paths that the command's uid may not;
//   2. the uid becomes that of the command (capabilities stay until it executes something);
//   3. a tmpfs becomes the root; directories, links, files and mounts are put into it, terminals
//      (devpts) among them; then it is read-only;
//   4. pivot_root; the host's tree is detached. The mount namespace is kept;
//   for each command, in a copy of that namespace (EnterRoot):
//   5. in the host's namespace, where paths are found and the kernel compares a new /proc with the
//      one there: as 1 and 2, then /proc, the overlay and the writable directories are made as
//      detached mounts. The directories, and the overlay's upper layer when it is in memory, are
//      new ones in a tmpfs that the slot keeps mounted there: layers of an overlay must lie in the
//      namespace where it is made, and a tmpfs per command costs more than a directory;
//   6. setns into the copy, which is a pivot_root without the wait that detaching a tree costs; the
//      detached mounts are put in place.
#include "sandbox/root.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

namespace lre::sandbox {
namespace {

bool Fail(Trouble& trouble, const char* what, const char* path) {
  trouble = {errno, what, path};
  return false;
}

// Writes decimal digits and a NUL: snprintf may allocate.
char* AppendNumber(char* out, uint64_t value) {
  char digits[24];
  int n = 0;
  do {
    digits[n++] = static_cast<char>('0' + value % 10);
    value /= 10;
  } while (value != 0);
  while (n > 0) *out++ = digits[--n];
  *out = 0;
  return out;
}

char* AppendText(char* out, const char* text) {
  size_t size = std::strlen(text);
  std::memcpy(out, text, size + 1);
  return out + size;
}

bool SetMountFlags(int tree, uint64_t flags) {
  mount_attr attributes{};
  attributes.attr_set = flags;
  return mount_setattr(tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes, sizeof attributes) == 0;
}

bool OpenTrees(std::vector<Step>& steps, Trouble& trouble) {
  for (Step& step : steps) {
    uint64_t flags = MOUNT_ATTR_NOSUID;
    if (step.kind == StepKind::kReadOnlyBind) {
      flags |= MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV;
    } else if (step.kind == StepKind::kBind) {
      flags |= MOUNT_ATTR_NODEV;
    } else if (step.kind != StepKind::kDevice) {
      continue;
    }
    step.tree =
        open_tree(AT_FDCWD, step.source, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
    if (step.tree < 0) return Fail(trouble, "open", step.source);
    if (!SetMountFlags(step.tree, flags)) return Fail(trouble, "set mount flags of", step.source);
  }
  return true;
}

// The layers that lie on disk: found before the identity is changed.
bool OpenOverlays(Plan& plan, Trouble& trouble) {
  for (PlannedOverlay& overlay : plan.overlays) {
    overlay.lower_fd = open(overlay.lower, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (overlay.lower_fd < 0) return Fail(trouble, "open", overlay.lower);
    if (overlay.in_memory) continue;
    overlay.upper_fd = open(overlay.upper, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (overlay.upper_fd < 0) return Fail(trouble, "open", overlay.upper);
    overlay.work_fd = open(overlay.work, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (overlay.work_fd < 0) return Fail(trouble, "open", overlay.work);
  }
  return true;
}

// The layers in memory: made by the command's user.
bool MakeUpper(Plan& plan, const SpawnOptions& options, const char* name, Trouble& trouble) {
  for (PlannedOverlay& overlay : plan.overlays) {
    if (!overlay.in_memory) continue;
    if (mkdirat(options.memory_fd, name, 0755) != 0) return Fail(trouble, "make", name);
    int top = openat(options.memory_fd, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (top < 0 || mkdirat(top, "upper", 0755) != 0 || mkdirat(top, "work", 0755) != 0)
      return Fail(trouble, "make", "an overlay in memory");
    overlay.upper_fd = openat(top, "upper", O_PATH | O_DIRECTORY | O_CLOEXEC);
    overlay.work_fd = openat(top, "work", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (overlay.upper_fd < 0 || overlay.work_fd < 0)
      return Fail(trouble, "open", "an overlay in memory");
    close(top);
    for (const char* directory : plan.upper_directories) {
      if (mkdirat(overlay.upper_fd, directory, 0755) != 0 && errno != EEXIST)
        return Fail(trouble, "make", directory);
    }
  }
  return true;
}

// The raw calls: glibc's would signal other threads, of which there are none.
bool TakeIdentity(Trouble& trouble) {
  if (syscall(SYS_setresgid, kInsideId, kInsideId, kInsideId) != 0)
    return Fail(trouble, "set the group id", nullptr);
  if (syscall(SYS_setresuid, kInsideId, kInsideId, kInsideId) != 0)
    return Fail(trouble, "set the user id", nullptr);
  return true;
}

struct FsOption {
  const char* name;
  const char* value;  // null: a flag
  int fd = -1;        // instead of the value
};

// A detached mount of a new file system; -1 with errno.
template <size_t N>
int NewMount(const char* type, const FsOption (&fs_options)[N], unsigned attributes) {
  int context = fsopen(type, FSOPEN_CLOEXEC);
  if (context < 0) return -1;
  bool ok = true;
  for (const FsOption& option : fs_options) {
    if (option.name == nullptr) continue;
    auto command = option.fd >= 0            ? FSCONFIG_SET_FD
                   : option.value == nullptr ? FSCONFIG_SET_FLAG
                                             : FSCONFIG_SET_STRING;
    ok = ok && fsconfig(context, command, option.name, option.value, std::max(option.fd, 0)) == 0;
  }
  ok = ok && fsconfig(context, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) == 0;
  int mount = ok ? fsmount(context, FSMOUNT_CLOEXEC, attributes) : -1;
  int error = errno;
  close(context);
  errno = error;
  return mount;
}

int NewTmpfs(uint64_t bytes_max) {
  char size[24];
  AppendNumber(size, bytes_max);
  return NewMount("tmpfs", {{"mode", "0755"}, {"size", size}},
                  MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
}

bool MountTree(const Step& step, Trouble& trouble) {
  struct stat info;
  if (fstatat(step.tree, "", &info, AT_EMPTY_PATH) != 0) return Fail(trouble, "stat", step.source);
  if (S_ISDIR(info.st_mode)) {
    if (mkdir(step.target, 0755) != 0 && errno != EEXIST)
      return Fail(trouble, "mkdir", step.target);
  } else {
    int fd = open(step.target, O_CREAT | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0 && errno != EROFS) return Fail(trouble, "make", step.target);
    close(fd);
  }
  if (move_mount(step.tree, "", AT_FDCWD, step.target, MOVE_MOUNT_F_EMPTY_PATH) != 0)
    return Fail(trouble, "mount", step.target);
  close(step.tree);
  return true;
}

int NewProc() {
  int mount = NewMount("proc", {{nullptr, nullptr}},
                       MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
  if (mount >= 0 || errno != EPERM) return mount;
  // Where any file under /proc is masked (pods, containers) the kernel refuses a fresh one.
  return open_tree(AT_FDCWD, "/proc", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
}

int NewOverlay(const PlannedOverlay& overlay) {
  // By descriptor: short whatever the paths, and no character of a path is special. Kernels before
  // 6.13 know no others than paths of descriptors.
  static bool takes_descriptors = true;  // of the slot process, whose memory this is
  if (takes_descriptors) {
    int mount = NewMount("overlay",
                         {{"userxattr", nullptr},
                          {overlay.in_memory ? nullptr : "volatile", nullptr},
                          {"lowerdir+", nullptr, overlay.lower_fd},
                          {"upperdir", nullptr, overlay.upper_fd},
                          {"workdir", nullptr, overlay.work_fd}},
                         MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
    if (mount >= 0 || (errno != EINVAL && errno != EBADF)) return mount;
    takes_descriptors = false;
  }
  char paths[3][40];
  const int fds[3] = {overlay.lower_fd, overlay.upper_fd, overlay.work_fd};
  for (int i = 0; i < 3; ++i)
    AppendNumber(AppendText(paths[i], "/proc/self/fd/"), static_cast<uint64_t>(fds[i]));
  // volatile: no sync of the upper layer at unmount; an action cut off by a crash is run again. In
  // memory there is nothing to sync, and the mark of it would be two directories to make and
  // remove.
  return NewMount("overlay",
                  {{"userxattr", nullptr},
                   {overlay.in_memory ? nullptr : "volatile", nullptr},
                   {"lowerdir", paths[0]},
                   {"upperdir", paths[1]},
                   {"workdir", paths[2]}},
                  MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
}

// Read-only, so that no command can change the mode of ptmx, say, for the next one; terminals can
// be made and written to all the same, and each goes with the last process that has it open.
int NewPts() {
  return NewMount("devpts", {{"ptmxmode", "0666"}, {"mode", "0620"}},
                  MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_RDONLY);
}

// New file systems, detached as yet.
bool MakeFresh(std::vector<Step>& steps, Plan& plan, Trouble& trouble) {
  for (Step& step : steps) {
    if (step.kind == StepKind::kProc) {
      step.tree = NewProc();
    } else if (step.kind == StepKind::kPts || step.kind == StepKind::kOwnPts) {
      step.tree = NewPts();
    } else if (step.kind == StepKind::kOverlay) {
      step.tree = NewOverlay(plan.overlays[step.overlay]);
    } else {
      continue;
    }
    if (step.tree < 0) return Fail(trouble, "make the mount", step.target);
  }
  return true;
}

bool Attach(int tree, const char* target, Trouble& trouble) {
  if (move_mount(tree, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH) != 0)
    return Fail(trouble, "mount", target);
  close(tree);
  return true;
}

// Every writable directory lies in the slot's file system in memory, so that they have one bound.
bool MakeWritables(Plan& plan, const SpawnOptions& options, const char* home, Trouble& trouble) {
  char name[2] = {};
  size_t count = 0;
  int top = options.memory_fd;
  if (home != nullptr && (mkdirat(top, home, 0755) != 0 ||
                          (top = openat(top, home, O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0))
    return Fail(trouble, "make", home);
  for (Step& step : plan.live) {
    if (step.kind != StepKind::kWritable) continue;
    name[0] = kWritableNames[count++];
    if (mkdirat(top, name, 0755) != 0 || fchmodat(top, name, 01777, 0) != 0)
      return Fail(trouble, "make", step.target);
    step.tree = open_tree(top, name, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (step.tree < 0) return Fail(trouble, "open", step.target);
  }
  if (home != nullptr) close(top);
  return true;
}

bool WriteContent(const Step& step, Trouble& trouble) {
  int fd = open(step.target, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0644);
  if (fd < 0) return Fail(trouble, "make", step.target);
  size_t done = 0;
  while (done < step.size) {
    ssize_t n = write(fd, step.source + done, step.size - done);
    if (n <= 0) break;
    done += static_cast<size_t>(n);
  }
  close(fd);
  return done == step.size || Fail(trouble, "write", step.target);
}

bool Repeat(const Step& step, Trouble& trouble) {
  int tree = open_tree(AT_FDCWD, step.source, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
  if (tree < 0) return Fail(trouble, "open", step.source);
  // Does not follow a link at the end of the target, which the command's input chose.
  return Attach(tree, step.target, trouble);
}

// Puts each entry of the overlay `tree` into the directory `target`, on a place made for it. Only
// what is attached can be cloned in part: the overlay lies on the target for a moment.
bool AttachEntries(int tree, const char* target, std::vector<PlannedEntry>& entries,
                   Trouble& trouble) {
  // That the target is below is not for the process to change: it cannot mount.
  int place = open(target, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (place < 0) return Fail(trouble, "open", target);
  if (move_mount(tree, "", place, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) != 0)
    return Fail(trouble, "mount", target);
  for (PlannedEntry& entry : entries) {
    entry.tree =
        open_tree(tree, entry.name, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW);
    if (entry.tree < 0) return Fail(trouble, "open", entry.name);
  }
  if (umount2(target, MNT_DETACH | UMOUNT_NOFOLLOW) != 0) return Fail(trouble, "unmount", target);
  close(tree);
  for (PlannedEntry& entry : entries) {
    if (entry.is_directory) {
      if (mkdirat(place, entry.name, 0755) != 0) return Fail(trouble, "make", entry.name);
    } else {
      int fd = openat(place, entry.name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
      if (fd < 0) return Fail(trouble, "make", entry.name);
      close(fd);
    }
    if (move_mount(entry.tree, "", place, entry.name, MOVE_MOUNT_F_EMPTY_PATH) != 0)
      return Fail(trouble, "mount", entry.name);
    close(entry.tree);
  }
  close(place);
  return true;
}

bool Perform(const Step& step, Plan& plan, Trouble& trouble) {
  switch (step.kind) {
    case StepKind::kMakeDirectory:
      return mkdir(step.target, 0755) == 0 || errno == EEXIST ||
             Fail(trouble, "mkdir", step.target);
    case StepKind::kSymlink:
      return symlink(step.source, step.target) == 0 || Fail(trouble, "symlink", step.target);
    case StepKind::kWriteFile:
      return WriteContent(step, trouble);
    case StepKind::kBind:
    case StepKind::kReadOnlyBind:
    case StepKind::kDevice:
      return MountTree(step, trouble);
    case StepKind::kOverlay: {
      PlannedOverlay& overlay = plan.overlays[step.overlay];
      if (overlay.by_entry) return AttachEntries(step.tree, step.target, overlay.entries, trouble);
      return Attach(step.tree, step.target, trouble);
    }
    case StepKind::kProc:
    case StepKind::kPts:
    case StepKind::kOwnPts:
    case StepKind::kWritable:
      return Attach(step.tree, step.target, trouble);
    case StepKind::kRepeat:
      return Repeat(step, trouble);
  }
  return true;
}

}  // namespace

int MountSlotMemory(const SpawnOptions& options, Trouble& trouble) {
  int place = open(options.scratch, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (place < 0) return Fail(trouble, "open", options.scratch) ? 0 : -1;
  char size[24], id[24];
  AppendNumber(size, options.tmpfs_bytes_max);
  AppendNumber(id, kInsideId);
  int memory = NewMount("tmpfs", {{"mode", "0755"}, {"size", size}, {"uid", id}, {"gid", id}},
                        MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
  if (memory < 0 ||
      move_mount(memory, "", place, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) != 0) {
    Fail(trouble, "mount a tmpfs on", options.scratch);
    if (memory >= 0) close(memory);
    memory = -1;
  }
  close(place);
  return memory;
}

bool BuildRoot(Plan& plan, const SpawnOptions& options, Trouble& trouble) {
  umask(022);
  if (unshare(CLONE_NEWNS) != 0) return Fail(trouble, "make a mount namespace", nullptr);
  int scratch = open(options.scratch, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (scratch < 0) return Fail(trouble, "open", options.scratch);
  if (!OpenTrees(plan.prepared, trouble) || !TakeIdentity(trouble)) return false;
  int root = NewTmpfs(options.tmpfs_bytes_max);
  if (root < 0) return Fail(trouble, "make a tmpfs", nullptr);
  if (move_mount(root, "", scratch, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) != 0)
    return Fail(trouble, "mount the root", nullptr);
  if (fchdir(root) != 0) return Fail(trouble, "enter the root", nullptr);
  if (!MakeFresh(plan.prepared, plan, trouble)) return false;
  for (const Step& step : plan.prepared) {
    if (!Perform(step, plan, trouble)) return false;
  }
  mount_attr read_only{};
  read_only.attr_set = MOUNT_ATTR_RDONLY;
  if (mount_setattr(root, "", AT_EMPTY_PATH, &read_only, sizeof read_only) != 0)
    return Fail(trouble, "make the root read-only", nullptr);
  if (syscall(SYS_pivot_root, ".", ".") != 0) return Fail(trouble, "pivot_root", nullptr);
  if (umount2(".", MNT_DETACH) != 0) return Fail(trouble, "detach the host's root", nullptr);
  return true;
}

bool EnterRoot(Plan& plan, const SpawnOptions& options, const SpawnRequest& request,
               Trouble& trouble) {
  umask(022);
  if (setns(request.root.host_fd, CLONE_NEWNS) != 0)
    return Fail(trouble, "enter the host's mount namespace", nullptr);
  if (!OpenTrees(plan.live, trouble) || !OpenOverlays(plan, trouble) || !TakeIdentity(trouble) ||
      !MakeUpper(plan, options, request.memory_name, trouble) ||
      !MakeFresh(plan.live, plan, trouble) ||
      !MakeWritables(plan, options, request.writable_home, trouble))
    return false;
  if (setns(request.root.root_fd, CLONE_NEWNS) != 0)
    return Fail(trouble, "enter the root's mount namespace", nullptr);
  for (const Step& step : plan.live) {
    if (!Perform(step, plan, trouble)) return false;
  }
  return true;
}

}  // namespace lre::sandbox

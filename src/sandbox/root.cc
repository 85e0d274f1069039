// How a root is made, in this order:
//   1. as the slot process's uid, detached copies of every mounted path are opened (open_tree): as
//   a
//      file owner this uid may reach paths that the command's uid may not;
//   2. the uid becomes that of the command (capabilities stay until it executes something);
//   3. one tmpfs becomes the root; directories, links, files and mounts are put into it; /tmp,
//      /dev/shm and the like are writable mounts of its own directories, then the rest of it is
//      made read-only: one file system in memory, one bound;
//   4. pivot_root; the host's tree is detached.
#include "sandbox/root.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

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

bool OpenTrees(Plan& plan, Trouble& trouble) {
  for (Step& step : plan.steps) {
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
  for (PlannedOverlay& overlay : plan.overlays) {
    overlay.lower_fd = open(overlay.lower, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (overlay.lower_fd < 0) return Fail(trouble, "open", overlay.lower);
    overlay.upper_fd = open(overlay.upper, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (overlay.upper_fd < 0) return Fail(trouble, "open", overlay.upper);
    overlay.work_fd = open(overlay.work, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (overlay.work_fd < 0) return Fail(trouble, "open", overlay.work);
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

int MakeRootFs(const SpawnOptions& options, Trouble& trouble) {
  int context = fsopen("tmpfs", FSOPEN_CLOEXEC);
  char size[24];
  AppendNumber(size, options.tmpfs_bytes_max);
  if (context < 0 || fsconfig(context, FSCONFIG_SET_STRING, "mode", "0755", 0) != 0 ||
      fsconfig(context, FSCONFIG_SET_STRING, "size", size, 0) != 0 ||
      fsconfig(context, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
    Fail(trouble, "make a tmpfs", nullptr);
    return -1;
  }
  int root = fsmount(context, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
  close(context);
  if (root < 0) Fail(trouble, "mount a tmpfs", nullptr);
  return root;
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

bool MountProc(const Step& step, Trouble& trouble) {
  constexpr unsigned long kFlags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
  if (mount("proc", step.target, "proc", kFlags, nullptr) == 0) return true;
  if (errno != EPERM) return Fail(trouble, "mount", step.target);
  // Where any file under /proc is masked (pods, containers) the kernel refuses a fresh one.
  int tree = open_tree(AT_FDCWD, "/proc", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
  if (tree < 0) return Fail(trouble, "open", "/proc");
  bool ok = move_mount(tree, "", AT_FDCWD, step.target, MOVE_MOUNT_F_EMPTY_PATH) == 0;
  close(tree);
  return ok || Fail(trouble, "mount", step.target);
}

bool MountOverlay(const PlannedOverlay& overlay, const Step& step, Trouble& trouble) {
  // By descriptor: short whatever the paths, and no character of a path is special.
  char options[256];
  char* out = AppendText(options, "userxattr,volatile,lowerdir=/proc/self/fd/");
  out = AppendNumber(out, static_cast<uint64_t>(overlay.lower_fd));
  out = AppendText(out, ",upperdir=/proc/self/fd/");
  out = AppendNumber(out, static_cast<uint64_t>(overlay.upper_fd));
  out = AppendText(out, ",workdir=/proc/self/fd/");
  AppendNumber(out, static_cast<uint64_t>(overlay.work_fd));
  // volatile: no sync of the upper layer at unmount; an action cut off by a crash is run again.
  if (mount("overlay", step.target, "overlay", MS_NOSUID | MS_NODEV, options) != 0)
    return Fail(trouble, "mount the overlay", step.target);
  return true;
}

bool MakeWritable(const Step& step, Trouble& trouble) {
  int tree = open_tree(AT_FDCWD, step.target, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
  if (tree < 0 || chmod(step.target, 01777) != 0) return Fail(trouble, "open", step.target);
  if (move_mount(tree, "", AT_FDCWD, step.target, MOVE_MOUNT_F_EMPTY_PATH) != 0)
    return Fail(trouble, "mount", step.target);
  close(tree);
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

bool Perform(const Plan& plan, const Step& step, Trouble& trouble) {
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
    case StepKind::kProc:
      return MountProc(step, trouble);
    case StepKind::kPts:
      return mount("devpts", step.target, "devpts", MS_NOSUID | MS_NOEXEC,
                   "newinstance,ptmxmode=0666,mode=0620") == 0 ||
             Fail(trouble, "mount", step.target);
    case StepKind::kWritable:
      return MakeWritable(step, trouble);
    case StepKind::kOverlay:
      return MountOverlay(plan.overlays[step.overlay], step, trouble);
  }
  return true;
}

}  // namespace

bool EnterRoot(Plan& plan, const SpawnOptions& options, Trouble& trouble) {
  umask(022);
  int scratch = open(options.scratch, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (scratch < 0) return Fail(trouble, "open", options.scratch);
  if (!OpenTrees(plan, trouble) || !TakeIdentity(trouble)) return false;
  int root = MakeRootFs(options, trouble);
  if (root < 0) return false;
  if (move_mount(root, "", scratch, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) != 0)
    return Fail(trouble, "mount the root", nullptr);
  if (fchdir(root) != 0) return Fail(trouble, "enter the root", nullptr);
  for (const Step& step : plan.steps) {
    if (!Perform(plan, step, trouble)) return false;
  }
  mount_attr read_only{};
  read_only.attr_set = MOUNT_ATTR_RDONLY;
  if (mount_setattr(root, "", AT_EMPTY_PATH, &read_only, sizeof read_only) != 0)
    return Fail(trouble, "make the root read-only", nullptr);
  if (syscall(SYS_pivot_root, ".", ".") != 0) return Fail(trouble, "pivot_root", nullptr);
  if (umount2(".", MNT_DETACH) != 0) return Fail(trouble, "detach the host's root", nullptr);
  if (chdir("/") != 0) return Fail(trouble, "enter", "/");
  return true;
}

}  // namespace lre::sandbox

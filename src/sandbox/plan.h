// Plan: what pid 1 of a sandbox does, step by step, worked out beforehand: pid 1 shares the slot
// process's memory and must not allocate (killed inside malloc, it would leave the lock held).
// Built by the slot process from a Command; confined to it.
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "base/status.h"
#include "sandbox/sandbox.h"

namespace lre::sandbox {

enum class StepKind {
  kMakeDirectory,
  kSymlink,
  kWriteFile,
  kBind,  // `source` on `target`
  kReadOnlyBind,
  kDevice,  // a device node of the host
  kProc,
  kPts,       // terminals: those of the root, which its commands use one after another
  kOwnPts,    // those of a process that stays beside them
  kWritable,  // the directory `target` of the root becomes writable
  kOverlay,
  kRepeat,  // what is on `source` in the root appears on `target` as well
};

// `target` is relative to the new root. Pointers live as long as the Plan.
struct Step {
  StepKind kind;
  const char* target = nullptr;
  const char* source = nullptr;  // path; link target; content; overlay: unused
  size_t size = 0;               // of content
  int tree = -1;                 // a detached mount, made before the host's root is left
  size_t overlay = 0;            // index into Plan.overlays
};

struct PlannedEntry {
  const char* name;
  bool is_directory = false;
  int tree = -1;
};

struct PlannedOverlay {
  const char *lower, *upper, *work;
  bool in_memory = false, by_entry = false;
  std::vector<PlannedEntry> entries = {};
  int lower_fd = -1, upper_fd = -1, work_fd = -1;
};

struct Plan {
  Plan() = default;
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;

  Command command;  // owns what the pointers below point to
  std::deque<std::string> texts;
  // What stays the same from command to command (and is kept by the slot process, see
  // slot_roots.h), then what every command gets afresh.
  std::vector<Step> prepared, live;
  std::string prepared_key;  // equal keys: equal `prepared` steps
  std::vector<PlannedOverlay> overlays;
  size_t target_writable = 0;  // of an overlay by entry: which of the writable directories
  std::vector<const char*> upper_directories;  // to be made in the overlay that is in memory
  bool in_memory = false;                      // whether there is one
  std::vector<char*> arguments, environment;
  std::vector<const char*> programs;  // tried in order
};

// kInvalidArgument names the argument that is not usable: no program, NUL bytes, a target that is
// not absolute and normal.
Status CheckCommand(const Command& command);
Status CheckOverlay(const Command::Overlay& overlay);
// `stays`: it runs beside others of the same root. REQUIRES: CheckCommand(command).ok().
void BuildPlan(Command command, Plan& plan, bool stays = false);
// What shows the overlays of `command` to a process that is there. REQUIRES: they are checked.
void BuildShowPlan(Command command, Plan& plan);

}  // namespace lre::sandbox

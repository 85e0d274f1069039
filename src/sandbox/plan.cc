#include "sandbox/plan.h"

#include <set>
#include <string_view>

#include "sandbox/spawn.h"

namespace lre::sandbox {
namespace {

bool IsNormalAbsolute(std::string_view path) {
  if (path.empty() || path[0] != '/' || path.find('\0') != path.npos) return false;
  if (path == "/") return true;
  for (size_t at = 1; at <= path.size();) {
    size_t end = std::min(path.find('/', at), path.size());
    std::string_view name = path.substr(at, end - at);
    if (name.empty() || name == "." || name == "..") return false;
    at = end + 1;
  }
  return true;
}

// Adds steps in order; makes each directory once.
class Builder {
 public:
  Builder(Plan& plan, std::vector<Step>& steps) : plan_(plan), steps_(steps) {}

  const char* Keep(std::string_view text) { return plan_.texts.emplace_back(text).c_str(); }
  void MakeDirectories(std::string_view path) {
    for (size_t at = 0; at < path.size();) {
      size_t end = std::min(path.find('/', at), path.size());
      std::string_view prefix = path.substr(0, end);
      if (made_.insert(std::string(prefix)).second)
        steps_.push_back({.kind = StepKind::kMakeDirectory, .target = Keep(prefix)});
      at = end + 1;
    }
  }
  // Makes the parents of the absolute path `target`; returns it relative to the root.
  const char* Place(std::string_view target) {
    target.remove_prefix(1);
    if (size_t slash = target.rfind('/'); slash != target.npos)
      MakeDirectories(target.substr(0, slash));
    return Keep(target);
  }
  void Add(Step step) { steps_.push_back(step); }

 private:
  Plan& plan_;
  std::vector<Step>& steps_;
  std::set<std::string> made_;
};

void AddMount(Builder& builder, const Mount& mount) {
  const char* target = builder.Place(mount.target);
  const char* source = mount.source.c_str();
  switch (mount.kind) {
    case MountKind::kReadOnlyBind:
      return builder.Add({.kind = StepKind::kReadOnlyBind, .target = target, .source = source});
    case MountKind::kBind:
      return builder.Add({.kind = StepKind::kBind, .target = target, .source = source});
    case MountKind::kSymlink:
      return builder.Add({.kind = StepKind::kSymlink, .target = target, .source = source});
    case MountKind::kFile:
      return builder.Add({.kind = StepKind::kWriteFile,
                          .target = target,
                          .source = source,
                          .size = mount.source.size()});
    case MountKind::kDirectory:
      return builder.MakeDirectories(target);
    case MountKind::kTmpfs:
      builder.MakeDirectories(target);
      return builder.Add({.kind = StepKind::kWritable, .target = target});
  }
}

constexpr size_t kSystemWritables = 2;  // /tmp and /dev/shm

void AddSystem(Builder& builder, bool stays) {
  for (const char* directory : {"proc", "dev/pts", "dev/shm", "tmp"})
    builder.MakeDirectories(directory);
  builder.Add({.kind = StepKind::kProc, .target = "proc"});
  static constexpr const char* kDevices[][2] = {
      {"dev/null", "/dev/null"},     {"dev/zero", "/dev/zero"},       {"dev/full", "/dev/full"},
      {"dev/random", "/dev/random"}, {"dev/urandom", "/dev/urandom"}, {"dev/tty", "/dev/tty"}};
  for (auto& [target, source] : kDevices)
    builder.Add({.kind = StepKind::kDevice, .target = target, .source = source});
  builder.Add({.kind = StepKind::kPts, .target = "dev/pts"});
  if (stays) builder.Add({.kind = StepKind::kOwnPts, .target = "dev/pts"});
  static constexpr const char* kLinks[][2] = {{"dev/ptmx", "pts/ptmx"},
                                              {"dev/fd", "/proc/self/fd"},
                                              {"dev/stdin", "/proc/self/fd/0"},
                                              {"dev/stdout", "/proc/self/fd/1"},
                                              {"dev/stderr", "/proc/self/fd/2"}};
  for (auto& [target, source] : kLinks)
    builder.Add({.kind = StepKind::kSymlink, .target = target, .source = source});
  builder.Add({.kind = StepKind::kWritable, .target = "tmp"});
  builder.Add({.kind = StepKind::kWritable, .target = "dev/shm"});
}

bool IsFresh(StepKind kind) {
  return kind == StepKind::kProc || kind == StepKind::kOwnPts || kind == StepKind::kWritable ||
         kind == StepKind::kOverlay || kind == StepKind::kRepeat;
}

// What every command gets afresh, and whatever is put below that, is live.
void Divide(const std::vector<Step>& steps, Plan& plan) {
  std::vector<std::string> fresh;
  for (const Step& step : steps) {
    if (IsFresh(step.kind)) fresh.push_back(std::string(step.target) + "/");
  }
  for (const Step& step : steps) {
    std::string_view target = step.target;
    bool live = IsFresh(step.kind);
    for (const std::string& above : fresh) live |= target.starts_with(above);
    (live ? plan.live : plan.prepared).push_back(step);
    if (live) continue;
    std::string_view source = step.source == nullptr ? "" : step.source;
    if (step.kind == StepKind::kWriteFile) source = {step.source, step.size};
    plan.prepared_key += fmt::format("{} {} {} {} {}\n", static_cast<int>(step.kind), target.size(),
                                     target, source.size(), source);
  }
}

void AddPrograms(Plan& plan) {
  const std::string& name = plan.command.arguments[0];
  if (name.find('/') != name.npos) {
    plan.programs.push_back(name.c_str());
    return;
  }
  std::string_view path = "/usr/local/bin:/usr/bin:/bin";
  for (const std::string& variable : plan.command.environment) {
    if (variable.starts_with("PATH=")) path = std::string_view(variable).substr(5);
  }
  for (size_t at = 0; at <= path.size();) {
    size_t end = std::min(path.find(':', at), path.size());
    std::string_view directory = path.substr(at, end - at);
    std::string candidate(directory.empty() ? "." : directory);
    plan.programs.push_back(plan.texts.emplace_back(candidate + "/" + name).c_str());
    at = end + 1;
  }
}

// Adds the overlay and the step that puts it in its place.
void AddOverlay(Builder& builder, const Command::Overlay& overlay, Plan& plan) {
  builder.Add({.kind = StepKind::kOverlay,
               .target = builder.Keep(std::string_view(overlay.target).substr(1)),
               .overlay = plan.overlays.size()});
  bool in_memory = overlay.upper.empty();
  PlannedOverlay& planned =
      plan.overlays.emplace_back(PlannedOverlay{.lower = overlay.lower.c_str(),
                                                .upper = overlay.upper.c_str(),
                                                .work = overlay.work.c_str(),
                                                .in_memory = in_memory,
                                                .by_entry = overlay.by_entry});
  for (const Command::Overlay::Entry& entry : overlay.entries)
    planned.entries.push_back({.name = entry.name.c_str(), .is_directory = entry.is_directory});
  plan.in_memory |= in_memory;
  for (const std::string& directory : overlay.directories)
    plan.upper_directories.push_back(directory.c_str());
}

}  // namespace

Status CheckOverlay(const Command::Overlay& overlay) {
  if (!IsNormalAbsolute(overlay.target) || overlay.target == "/")
    return ErrorStatus(Code::kInvalidArgument, "overlay target \"{}\" is not absolute and normal",
                       overlay.target);
  if (overlay.upper.empty() != overlay.work.empty())
    return ErrorStatus(Code::kInvalidArgument,
                       "overlay {} has an upper directory and no work directory, or the reverse",
                       overlay.target);
  for (const std::string& directory : overlay.directories) {
    if (!overlay.upper.empty() || !IsNormalAbsolute("/" + directory) || directory.empty())
      return ErrorStatus(Code::kInvalidArgument,
                         "directory \"{}\" cannot be made in the overlay {}", directory,
                         overlay.target);
  }
  if ((overlay.by_entry || !overlay.entries.empty()) &&
      !(overlay.by_entry && overlay.upper.empty() &&
        overlay.entries.size() <= Command::Overlay::kEntriesMax))
    return ErrorStatus(Code::kInvalidArgument,
                       "overlay {}: {} entries; at most {} are possible, of one in memory",
                       overlay.target, overlay.entries.size(), Command::Overlay::kEntriesMax);
  for (const Command::Overlay::Entry& entry : overlay.entries) {
    if (entry.name.empty() || !IsNormalAbsolute("/" + entry.name) ||
        entry.name.find('/') != entry.name.npos)
      return ErrorStatus(Code::kInvalidArgument, "\"{}\" cannot be an entry of the overlay {}",
                         entry.name, overlay.target);
  }
  return {};
}

Status CheckCommand(const Command& command) {
  if (command.arguments.empty() || command.arguments[0].empty())
    return ErrorStatus(Code::kInvalidArgument, "the command has no program");
  for (const auto* list : {&command.arguments, &command.environment}) {
    for (const std::string& text : *list) {
      if (text.find('\0') != text.npos)
        return ErrorStatus(Code::kInvalidArgument, "an argument or variable has a NUL byte: {}",
                           text.c_str());
    }
  }
  if (!IsNormalAbsolute(command.working_directory))
    return ErrorStatus(Code::kInvalidArgument,
                       "working directory \"{}\" is not absolute and normal",
                       command.working_directory);
  if (!command.root_directory.empty() &&
      (!IsNormalAbsolute(command.root_directory) || command.root_directory == "/"))
    return ErrorStatus(Code::kInvalidArgument, "root directory \"{}\" is not absolute and normal",
                       command.root_directory);
  size_t writables = kSystemWritables + 1;  // and perhaps an overlay by entry
  for (const Mount& mount : command.mounts) {
    writables += mount.kind == MountKind::kTmpfs ? 1 : 0;
    if (writables > kWritablesMax)
      return ErrorStatus(Code::kInvalidArgument, "more than {} writable directories in memory",
                         kWritablesMax);
    if (!IsNormalAbsolute(mount.target) || mount.target == "/")
      return ErrorStatus(Code::kInvalidArgument, "mount target \"{}\" is not absolute and normal",
                         mount.target);
    if (mount.kind != MountKind::kFile && mount.source.find('\0') != mount.source.npos)
      return ErrorStatus(Code::kInvalidArgument, "the source of mount {} has a NUL byte",
                         mount.target);
  }
  int in_memory = 0;
  for (const Command::Overlay& overlay : command.overlays) {
    TRY(CheckOverlay(overlay));
    in_memory += overlay.upper.empty() ? 1 : 0;
  }
  if (in_memory > 1)
    return ErrorStatus(Code::kInvalidArgument, "{} overlays in memory, at most 1 is possible",
                       in_memory);
  if (command.isolation == Isolation::kNone &&
      !(command.mounts.empty() && command.overlays.empty()))
    return ErrorStatus(Code::kInvalidArgument, "a command without isolation cannot have mounts");
  return {};
}

void BuildPlan(Command command, Plan& plan, bool stays) {
  plan.command = std::move(command);
  std::vector<Step> steps;
  Builder builder(plan, steps);
  AddSystem(builder, stays);
  for (const Command::Overlay& overlay : plan.command.overlays) {
    std::string_view target = std::string_view(overlay.target).substr(1);
    builder.MakeDirectories(target);
    if (overlay.by_entry) {
      plan.target_writable = kSystemWritables;
      builder.Add({.kind = StepKind::kWritable, .target = builder.Keep(target)});
    }
    AddOverlay(builder, overlay, plan);
  }
  // After the overlays, to be on top where they lie in one.
  for (const Mount& mount : plan.command.mounts) AddMount(builder, mount);
  if (!plan.command.root_directory.empty()) {
    for (const char* source : {"/proc", "/dev", "/tmp"})
      builder.Add({.kind = StepKind::kRepeat,
                   .target = builder.Keep(plan.command.root_directory.substr(1) + source),
                   .source = source});
  }
  Divide(steps, plan);
  for (std::string& text : plan.command.arguments) plan.arguments.push_back(text.data());
  plan.arguments.push_back(nullptr);
  for (std::string& text : plan.command.environment) plan.environment.push_back(text.data());
  plan.environment.push_back(nullptr);
  AddPrograms(plan);
}

void BuildShowPlan(Command command, Plan& plan) {
  plan.command = std::move(command);
  Builder builder(plan, plan.live);
  for (const Command::Overlay& overlay : plan.command.overlays) AddOverlay(builder, overlay, plan);
}

}  // namespace lre::sandbox

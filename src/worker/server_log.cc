#include "worker/server_log.h"

#include <google/protobuf/util/time_util.h>

namespace lre::worker {
namespace {

constexpr size_t kBytesMax = 64 << 10;

const char* NameOf(sandbox::MountKind kind) {
  switch (kind) {
    case sandbox::MountKind::kReadOnlyBind:
      return "read-only";
    case sandbox::MountKind::kBind:
      return "writable";
    case sandbox::MountKind::kSymlink:
      return "link";
    case sandbox::MountKind::kFile:
      return "file";
    case sandbox::MountKind::kDirectory:
      return "directory";
    case sandbox::MountKind::kTmpfs:
      return "in memory";
  }
  return "";
}

void AddSandbox(const sandbox::Command& command, std::string& text) {
  if (command.arguments.empty()) {
    text += "sandbox: not made\n";
    return;
  }
  text += fmt::format("sandbox: program {}, in {}{}, memory bound {} bytes\n", command.arguments[0],
                      command.working_directory,
                      command.root_directory.empty() ? "" : " of " + command.root_directory,
                      command.memory_bytes_max);
  for (const sandbox::Command::Overlay& overlay : command.overlays)
    text += fmt::format("  {}: inputs, changes {}\n", overlay.target,
                        overlay.upper.empty() ? "in memory" : "on disk");
  for (const sandbox::Mount& mount : command.mounts) {
    // The content of a file is no source.
    bool has_source = mount.kind != sandbox::MountKind::kFile;
    text += fmt::format("  {}: {}{}{}\n", mount.target, NameOf(mount.kind), has_source ? " " : "",
                        has_source ? mount.source : "");
  }
}

}  // namespace

std::string ServerLogText(const ServerLogFacts& facts) {
  const v1::Assignment& assignment = facts.assignment;
  const auto& times = facts.metadata;
  std::string text = fmt::format(
      "worker {}, slot {}\noperation {}, attempt {}\naction {}/{}, input root {}/{}\n",
      times.worker(), facts.slot, assignment.attempt().operation(), assignment.attempt().number(),
      assignment.action_digest().hash(), assignment.action_digest().size_bytes(),
      assignment.action().input_root_digest().hash(),
      assignment.action().input_root_digest().size_bytes());
  auto add_time = [&](bool reached, const char* what, const google::protobuf::Timestamp& time) {
    if (reached)
      text += fmt::format("{} {}\n", google::protobuf::util::TimeUtil::ToString(time), what);
  };
  add_time(times.has_queued_timestamp(), "queued", times.queued_timestamp());
  add_time(times.has_worker_start_timestamp(), "the worker begins", times.worker_start_timestamp());
  add_time(times.has_input_fetch_start_timestamp(), "inputs are fetched and staged",
           times.input_fetch_start_timestamp());
  add_time(times.has_input_fetch_completed_timestamp(), "inputs are there",
           times.input_fetch_completed_timestamp());
  add_time(times.has_execution_start_timestamp(), "the command is started",
           times.execution_start_timestamp());
  add_time(times.has_execution_completed_timestamp(), "the command has ended",
           times.execution_completed_timestamp());
  add_time(times.has_output_upload_start_timestamp(), "outputs are uploaded",
           times.output_upload_start_timestamp());
  add_time(times.has_worker_completed_timestamp(), "the worker has ended",
           times.worker_completed_timestamp());
  for (const std::string& note : facts.notes) text += note + "\n";
  text += "result: " + (facts.status.ok() ? "the command ran" : facts.status.ToString()) + "\n";
  AddSandbox(facts.command, text);
  if (text.size() > kBytesMax) text.resize(kBytesMax);
  return text;
}

}  // namespace lre::worker

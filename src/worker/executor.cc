#include "worker/executor.h"

#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>
#include <set>

#include "base/file.h"
#include "base/log.h"
#include "digest/digest.h"
#include "lre/worker/v1/resource_usage.pb.h"
#include "reapi/digest_proto.h"
#include "reapi/error_details.h"
#include "toolchain/root/toolchain_store.h"
#include "worker/attestation.h"
#include "worker/server_log.h"

namespace lre::worker {
namespace {

namespace pb = ::build::bazel::remote::execution::v2;
using sandbox::Ending;
using sandbox::Isolation;

constexpr const char* kChrootPlace = "/build";  // where an input root lies that becomes "/"

void SetTime(WallTime time, google::protobuf::Timestamp* message) {
  int64_t nanos = time.time_since_epoch().count();
  message->set_seconds(nanos / 1'000'000'000);
  message->set_nanos(static_cast<int>(nanos % 1'000'000'000));
}

void SetDuration(Duration duration, google::protobuf::Duration* message) {
  message->set_seconds(duration.count() / 1'000'000'000);
  message->set_nanos(static_cast<int>(duration.count() % 1'000'000'000));
}

Duration FromMessage(const google::protobuf::Duration& message) {
  return std::chrono::seconds(message.seconds()) + Duration(message.nanos());
}

const pb::Platform& PlatformOf(const v1::Assignment& assignment) {
  return assignment.action().has_platform() ? assignment.action().platform()
                                            : assignment.command().platform();
}

// Where the action wants its input root; the name is that of other remote execution services.
std::string InputRootOf(const v1::Assignment& assignment, const std::string& fallback) {
  for (const pb::Platform::Property& property : PlatformOf(assignment).properties()) {
    if (property.name() == "InputRootAbsolutePath") return property.value();
  }
  return fallback;
}

// Whether another worker, or this one later, might do better.
bool IsRetryable(const Status& status) {
  switch (status.code()) {
    case Code::kOk:
    case Code::kInvalidArgument:
    case Code::kDeadlineExceeded:
    case Code::kFailedPrecondition:
    case Code::kCancelled:
    case Code::kNotFound:
    case Code::kPermissionDenied:
      return false;
    default:
      return true;
  }
}

}  // namespace

// One assignment on its way through the stages.
struct Executor::Job {
  const v1::Assignment& assignment;
  const Callbacks& callbacks;
  std::stop_token stop;
  Patience patience;

  pb::ActionResult result;
  DigestFunction function = DigestFunction::kSha256;
  reapi::Command command;
  Digest input_root;
  Duration timeout{};
  std::string root;  // where the command sees its inputs
  sandbox::Outcome outcome;
  Status timed_out;
  std::vector<OutputBlob> blobs;
  std::shared_ptr<const void> store_paths;  // held until the command has ended
  bool attested = false;
  sandbox::Command sandbox;        // as it was run last
  std::vector<std::string> notes;  // for the server log

  store::Partition partition() const { return assignment.partition(); }
  pb::ExecutedActionMetadata* metadata() { return result.mutable_execution_metadata(); }
};

Executor::Executor(ExecutorParts parts, ExecutorOptions options)
    : parts_(parts),
      options_(std::move(options)),
      lower_(parts.directories, parts.files,
             {.directory = options_.directory + "/lower",
              .owner = parts.launcher.file_owner(),
              .store_prefix = options_.store_prefix}),
      workspace_(options_.directory + "/run", parts.launcher, lower_),
      persistent_(parts.launcher, parts.clock, parts.persistent, options_.persistent) {}

Executor::~Executor() { CleanUp(); }

void Executor::CleanUp() {
  for (const OutputBlob& blob : adoptable_)
    parts_.files.Adopt(blob.path, {blob.digest, blob.executable, adoptable_partition_},
                       blob.store_paths);
  adoptable_.clear();
  Status status = workspace_.CleanUp();
  if (!status.ok()) Log(kWarning, "slot_not_cleaned", {{"error", status.ToString()}});
}

v1::Report Executor::Run(const v1::Assignment& assignment, const Callbacks& callbacks,
                         std::stop_token stop) {
  Job job{assignment, callbacks, stop, {parts_.clock, options_.patience, stop}};
  pb::ExecutedActionMetadata& metadata = *job.metadata();
  metadata.set_worker(options_.worker_name);
  *metadata.mutable_queued_timestamp() = assignment.queued_timestamp();
  SetTime(parts_.clock.WallNow(), metadata.mutable_worker_start_timestamp());

  Status status = RunJob(job);

  SetTime(parts_.clock.WallNow(), metadata.mutable_worker_completed_timestamp());
  v1::Report report;
  *report.mutable_attempt() = assignment.attempt();
  if (status.ok()) status = job.timed_out;
  reapi::ToRpcStatus(status, report.mutable_status());
  report.set_retryable(IsRetryable(status));
  report.set_out_of_memory(job.outcome.ending == Ending::kOutOfMemory);
  // A result goes with a command that ran, also when its time was up; of one that ran out of memory
  // what it used tells the scheduler how much to set aside.
  if (status.ok() || status.code() == Code::kDeadlineExceeded || report.out_of_memory())
    *report.mutable_result() = job.result;
  if (!status.ok()) report.set_message(status.message());
  AddServerLog(job, status, report);
  return report;
}

// Of what went wrong in the worker, and of what people will want explained: not of missing inputs,
// which the client uploads, nor of a cancelled action.
void Executor::AddServerLog(Job& job, const Status& status, v1::Report& report) const {
  bool failed = !status.ok() && status.code() != Code::kCancelled &&
                reapi::MissingBlobsOf(status, job.function).empty();
  if (!failed && (job.notes.empty() || job.result.exit_code() == 0)) return;
  OutputBlob blob;
  blob.bytes = Bytes(ServerLogText({.assignment = job.assignment,
                                    .metadata = job.result.execution_metadata(),
                                    .slot = options_.slot,
                                    .command = job.sandbox,
                                    .notes = job.notes,
                                    .status = status}));
  blob.digest = ComputeDigest(job.function, blob.bytes.view());
  auto upload = [&] { return UploadBlobs(parts_.cas, job.partition(), {blob}); };
  // The store may be what failed.
  if (!(status.code() == Code::kUnavailable ? upload() : job.patience.Do(upload)).ok()) return;
  pb::LogFile& log = (*report.mutable_server_logs())["worker"];
  reapi::ToProto(blob.digest, log.mutable_digest());
  log.set_human_readable(true);
}

Status Executor::RunJob(Job& job) {
  if (job.stop.stop_requested()) return ErrorStatus(Code::kCancelled, "the action was cancelled");
  TRY(Parse(job));
  Progress(job, v1::Progress::FETCHING_INPUTS);
  TRY(Stage(job));
  if (job.stop.stop_requested()) return ErrorStatus(Code::kCancelled, "the action was cancelled");
  Progress(job, v1::Progress::RUNNING);
  TRY(Execute(job));
  Progress(job, v1::Progress::UPLOADING_OUTPUTS);
  return Collect(job);
}

void Executor::Progress(Job& job, v1::Progress::Stage stage) {
  if (!job.callbacks.progress) return;
  v1::Progress progress;
  *progress.mutable_attempt() = job.assignment.attempt();
  progress.set_stage(stage);
  *progress.mutable_metadata() = *job.metadata();
  job.callbacks.progress(std::move(progress));
}

Status Executor::Parse(Job& job) {
  const v1::Assignment& assignment = job.assignment;
  TRY_ASSIGN(job.function, reapi::ResolveDigestFunction(assignment.digest_function(),
                                                        assignment.action_digest().hash()));
  TRY_ASSIGN(job.command, reapi::ParseCommand(assignment.command().SerializeAsString()));
  TRY_ASSIGN(job.input_root,
             reapi::FromProto(assignment.action().input_root_digest(), job.function));
  job.root = InputRootOf(assignment, options_.input_root);
  job.timeout =
      FromMessage(assignment.has_timeout() ? assignment.timeout() : assignment.action().timeout());
  uint64_t bytes = 0;
  for (const std::string& argument : job.command.arguments) bytes += argument.size();
  for (const auto& [name, value] : job.command.environment) bytes += name.size() + value.size();
  if (bytes > options_.command_bytes_max)
    return ErrorStatus(Code::kInvalidArgument,
                       "arguments and environment have {} bytes, more than {}", bytes,
                       options_.command_bytes_max);
  return {};
}

Workspace::Kind Executor::KindOfWorkspace(const Job& job) const {
  if (options_.isolation != Isolation::kNamespaces) return Workspace::Kind::kCopy;
  if (parts_.launcher.memory_overlay_allowed() && !parts_.large_actions.Contains(job.assignment))
    return Workspace::Kind::kMemory;
  return parts_.launcher.overlay_allowed() ? Workspace::Kind::kDisk : Workspace::Kind::kCopy;
}

Status Executor::PrepareWorkspace(const Job& job) {
  std::vector<std::string> directories;
  if (job.root == "/") directories = {"dev", "proc", "tmp"};
  return workspace_.Prepare(KindOfWorkspace(job), job.command, directories);
}

Status Executor::Stage(Job& job) {
  SetTime(parts_.clock.WallNow(), job.metadata()->mutable_input_fetch_start_timestamp());
  if (!directory_made_) TRY(SystemFiles().MakeDirectories(options_.directory));
  directory_made_ = true;
  TRY(job.patience.Do([&] { return lower_.Update({job.input_root, job.partition()}); }));
  TRY(PrepareWorkspace(job));
  SetTime(parts_.clock.WallNow(), job.metadata()->mutable_input_fetch_completed_timestamp());
  return {};
}

// Only who asks for it sees a network, and how names are found in it.
Status Executor::AllowNetwork(const Job& job, sandbox::Command& command) const {
  for (const pb::Platform::Property& property : PlatformOf(job.assignment).properties())
    command.network |= property.name() == "network" && property.value() == "host";
  if (!command.network) return {};
  if (!options_.network_allowed)
    return ErrorStatus(Code::kFailedPrecondition,
                       "the action asks for the network (network=host), which worker {} does not "
                       "give: its operator says so by worker.network",
                       options_.worker_name);
  for (sandbox::Mount& mount : command.mounts) {
    if (mount.target == "/etc/nsswitch.conf")
      mount.source = "passwd: files\ngroup: files\nhosts: files dns\nservices: files\n";
  }
  if (FileExists("/etc/resolv.conf"))
    command.mounts.push_back(
        {sandbox::MountKind::kReadOnlyBind, "/etc/resolv.conf", "/etc/resolv.conf"});
  return {};
}

Result<sandbox::Command> Executor::MakeCommand(Job& job) {
  sandbox::Command command;
  command.arguments = job.command.arguments;
  std::set<std::string> store_paths;
  auto scan = [&](std::string_view text) {
    for (std::string& path : toolchain::FindAllReferences(text, options_.store_prefix))
      store_paths.insert(std::move(path));
  };
  for (const std::string& argument : command.arguments) scan(argument);
  for (const auto& [name, value] : job.command.environment) {
    command.environment.push_back(name + "=" + value);
    scan(value);
  }
  for (const auto& [path, files] : lower_.store_paths()) store_paths.insert(path);

  bool namespaces = options_.isolation == Isolation::kNamespaces;
  std::string root = namespaces ? job.root : workspace_.upper();
  command.working_directory = root;
  if (namespaces && job.root == "/") {
    // As BuildStream has it: the input root brings the whole userland.
    root = command.root_directory = kChrootPlace;
  }
  if (!job.command.working_directory.empty())
    command.working_directory +=
        (command.working_directory == "/" ? "" : "/") + job.command.working_directory;
  RootContents root_contents;
  TRY(job.patience.Do([&]() -> Status {
    TRY_ASSIGN(root_contents, parts_.mounts.For(store_paths, job.assignment.action_digest().hash(),
                                                {job.partition(), job.assignment.instance_name()}));
    return {};
  }));
  job.store_paths = std::move(root_contents.hold);
  if (!job.attested) Attest(root_contents.store_paths, job.metadata());
  job.attested = true;
  if (namespaces) {
    command.mounts = std::move(root_contents.mounts);
    workspace_.AddTo(command, root);
    TRY(AllowNetwork(job, command));
  }
  command.stdout_path = workspace_.stdout_path();
  command.stderr_path = workspace_.stderr_path();
  command.output_kept_bytes_max = options_.stdout_kept_bytes_max;
  command.memory_files_bytes_max = options_.memory_files_bytes_max;
  command.output_bytes_max = options_.stdout_bytes_max;
  if (options_.memory_bytes_max != 0)
    command.memory_bytes_max =
        std::max(options_.memory_bytes_max,
                 static_cast<uint64_t>(std::max<int64_t>(job.assignment.memory_bytes(), 0)));
  command.on_output = job.callbacks.output;
  command.timeout = job.timeout;
  command.slot = options_.slot;
  command.isolation = options_.isolation;
  return command;
}

// By a process that stays, when the action asks for it, as if it had been run plainly; and plainly
// when that is not possible or went wrong.
Result<sandbox::Outcome> Executor::RunCommand(Job& job) {
  PersistentWish wish = PersistentWishOf(PlatformOf(job.assignment));
  if (wish.key.empty() || workspace_.kind() != Workspace::Kind::kMemory || job.root == "/" ||
      options_.persistent.processes_max <= 0)
    return RunPlainly(job);
  SetTime(parts_.clock.WallNow(), job.metadata()->mutable_execution_start_timestamp());
  Result<sandbox::Outcome> outcome = RunPersistently(job, wish);
  SetTime(parts_.clock.WallNow(), job.metadata()->mutable_execution_completed_timestamp());
  job.store_paths.reset();
  if (outcome && outcome->ending != Ending::kOutgrewMemory) return outcome;
  if (outcome) parts_.large_actions.Add(job.assignment);
  if (!outcome) {
    job.notes.push_back("run without a persistent process: " + outcome.error().ToString());
    Log(outcome.error().code() == Code::kFailedPrecondition ? kDebug : kInfo,
        "persistent_process_not_used", {{"reason", outcome.error().ToString()}});
  }
  TRY(PrepareWorkspace(job));
  return RunPlainly(job);
}

Result<sandbox::Outcome> Executor::RunPersistently(Job& job, const PersistentWish& wish) {
  TRY_ASSIGN(DirectoryMap tree, parts_.directories.GetTree({job.input_root, job.partition()}));
  TRY_ASSIGN(PersistentAction action,
             MakePersistentAction(job.command, job.input_root, tree, lower_.directory()));
  TRY_ASSIGN(sandbox::Command command, MakeCommand(job));
  TRY_ASSIGN(sandbox::Command::Overlay overlay, workspace_.OverlayByEntry(job.root));
  command.overlays = {std::move(overlay)};
  command.arguments = std::move(action.start_arguments);
  // What a process has seen of one tenant is not for another; nor has it what it was not given.
  std::string key = fmt::format("{} {} {} {} {}\n", job.partition(), action.tool,
                                static_cast<int>(wish.protocol), job.root, wish.key);
  for (const sandbox::Mount& mount : command.mounts) key += mount.target + "\n";
  if (command.network) key += "network\n";
  return persistent_.Run({.key = std::move(key),
                          .command = std::move(command),
                          .protocol = wish.protocol,
                          .work = action.request,
                          .hold = job.store_paths},
                         job.stop);
}

// Runs it again on disk when it wrote more than may be kept in memory: it is hermetic, and nothing
// of the first run is left.
Result<sandbox::Outcome> Executor::RunPlainly(Job& job) {
  for (;;) {
    TRY_ASSIGN(job.sandbox, MakeCommand(job));
    SetTime(parts_.clock.WallNow(), job.metadata()->mutable_execution_start_timestamp());
    Result<sandbox::Outcome> outcome = parts_.launcher.Run(job.sandbox, job.stop);
    job.store_paths.reset();
    SetTime(parts_.clock.WallNow(), job.metadata()->mutable_execution_completed_timestamp());
    if (!outcome || outcome->ending != Ending::kOutgrewMemory) return outcome;
    outcome->files.reset();
    job.notes.emplace_back("wrote more than is kept in memory: run again with its changes on disk");
    parts_.large_actions.Add(job.assignment);
    TRY(PrepareWorkspace(job));
  }
}

void Executor::AddUsage(Job& job, const sandbox::Outcome& outcome) const {
  SetDuration(outcome.wall, job.metadata()->mutable_virtual_execution_duration());
  v1::ResourceUsage usage;
  usage.set_memory_peak_bytes(outcome.memory_peak_bytes);
  SetDuration(outcome.user_cpu, usage.mutable_user_cpu());
  SetDuration(outcome.system_cpu, usage.mutable_system_cpu());
  SetDuration(outcome.wall, usage.mutable_wall());
  usage.set_read_bytes(outcome.read_bytes);
  usage.set_write_bytes(outcome.write_bytes);
  job.metadata()->add_auxiliary_metadata()->PackFrom(usage);
}

Status Executor::Execute(Job& job) {
  Result<sandbox::Outcome> outcome = RunCommand(job);
  if (!outcome) {
    // The program is not there or cannot run: the action's fault, and the same everywhere.
    Code code = outcome.error().code();
    if (code == Code::kNotFound || code == Code::kPermissionDenied) code = Code::kInvalidArgument;
    return ErrorStatus(code, "cannot run the command: {}", outcome.error().message());
  }
  AddUsage(job, *outcome);
  job.result.set_exit_code(outcome->exit_code);
  workspace_.TakeFiles(std::move(outcome->files));
  job.outcome = std::move(*outcome);
  switch (job.outcome.ending) {
    case Ending::kExited:
    case Ending::kSignalled:
      return job.outcome.exit_code == 0 ? Status() : CheckDisk();
    case Ending::kTimedOut:
      job.timed_out = ErrorStatus(
          Code::kDeadlineExceeded, "the command ran longer than {} s",
          std::chrono::duration_cast<std::chrono::duration<double>>(job.timeout).count());
      return {};
    case Ending::kOutgrewMemory:  // RunCommand has seen to it
    case Ending::kOutOfMemory:
      return ErrorStatus(Code::kResourceExhausted,
                         "the command ran out of memory: it used {} bytes, and {} were set aside",
                         job.outcome.memory_peak_bytes, job.sandbox.memory_bytes_max);
    case Ending::kCancelled:
      return ErrorStatus(Code::kCancelled, "the action was cancelled");
  }
  return {};
}

// The command cannot tell us that it failed for want of room; the next worker may have some.
Status Executor::CheckDisk() const {
  if (workspace_.kind() == Workspace::Kind::kMemory) return {};
  struct statvfs info;
  if (statvfs(options_.directory.c_str(), &info) != 0)
    return ErrnoStatus(errno, options_.directory);
  uint64_t free = static_cast<uint64_t>(info.f_bavail) * info.f_frsize;
  if (free >= options_.disk_free_bytes_min) return {};
  return ErrorStatus(Code::kResourceExhausted,
                     "the command failed and the worker's disk is full: {} has {} bytes left",
                     options_.directory, free);
}

Status Executor::AddStream(Job& job, bool is_stderr) {
  const std::string& kept = is_stderr ? job.outcome.stderr_kept : job.outcome.stdout_kept;
  OutputBlob blob;
  if (is_stderr ? job.outcome.stderr_in_file : job.outcome.stdout_in_file) {
    TRY_ASSIGN(blob, HashFile(is_stderr ? workspace_.stderr_path() : workspace_.stdout_path(),
                              {.function = job.function}));
  } else if (kept.size() > options_.inline_bytes_max) {
    blob.digest = ComputeDigest(job.function, kept);
    blob.bytes = Bytes(kept);
  } else {
    if (!kept.empty())
      (is_stderr ? job.result.mutable_stderr_raw() : job.result.mutable_stdout_raw())->assign(kept);
    return {};
  }
  reapi::ToProto(blob.digest, is_stderr ? job.result.mutable_stderr_digest()
                                        : job.result.mutable_stdout_digest());
  job.blobs.push_back(std::move(blob));
  return {};
}

Status Executor::Collect(Job& job) {
  SetTime(parts_.clock.WallNow(), job.metadata()->mutable_output_upload_start_timestamp());
  TRY(AddStream(job, false));
  TRY(AddStream(job, true));
  // After a timeout half-written files are of no use; what it printed is.
  if (job.timed_out.ok()) {
    OutputTree tree = workspace_.Outputs();
    CollectOptions options{.function = job.function, .store_prefix = options_.store_prefix};
    TRY_ASSIGN(Collected collected, CollectOutputs(job.command, tree, options));
    // Fields do not overlap: this one has outputs, ours the rest.
    job.result.MergeFrom(collected.result);
    for (OutputBlob& blob : collected.blobs) job.blobs.push_back(std::move(blob));
  }
  TRY(job.patience.Do([&] { return UploadBlobs(parts_.cas, job.partition(), job.blobs); }));
  adoptable_partition_ = job.partition();
  for (OutputBlob& blob : job.blobs) {
    if (blob.adoptable && options_.adopt_outputs) adoptable_.push_back(std::move(blob));
  }
  SetTime(parts_.clock.WallNow(), job.metadata()->mutable_output_upload_completed_timestamp());
  return {};
}

}  // namespace lre::worker

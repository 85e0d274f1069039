#include "worker/executor.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <set>

#include "base/file.h"
#include "base/log.h"
#include "reapi/digest_proto.h"
#include "reapi/error_details.h"
#include "toolchain/root/toolchain_store.h"

namespace lre::worker {
namespace {

namespace pb = ::build::bazel::remote::execution::v2;
using sandbox::Ending;
using sandbox::Isolation;
using sandbox::MountKind;

void SetTime(WallTime time, google::protobuf::Timestamp* message) {
  int64_t nanos = time.time_since_epoch().count();
  message->set_seconds(nanos / 1'000'000'000);
  message->set_nanos(static_cast<int>(nanos % 1'000'000'000));
}

Duration FromMessage(const google::protobuf::Duration& message) {
  return std::chrono::seconds(message.seconds()) + Duration(message.nanos());
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
  const OnProgress& progress;
  std::stop_token stop;

  pb::ActionResult result;
  DigestFunction function = DigestFunction::kSha256;
  reapi::Command command;
  Digest input_root;
  Duration timeout{};
  bool overlay = true;
  std::string run_directory;  // upper, work, stdout, stderr
  std::string upper;          // what the command writes to
  Status timed_out;
  std::vector<OutputBlob> blobs;
  std::shared_ptr<const void> store_paths;  // held until the command has ended

  pb::ExecutedActionMetadata* metadata() { return result.mutable_execution_metadata(); }
};

Executor::Executor(ExecutorParts parts, ExecutorOptions options)
    : parts_(parts),
      options_(std::move(options)),
      lower_(parts.directories, parts.files,
             {.directory = options_.directory + "/lower", .owner = parts.launcher.file_owner()}) {}

Executor::~Executor() { CleanUp(); }

void Executor::CleanUp() {
  Status status = RemoveTree(options_.directory + "/run");
  if (!status.ok()) Log(kWarning, "slot_not_cleaned", {{"error", status.ToString()}});
}

v1::Report Executor::Run(const v1::Assignment& assignment, const OnProgress& progress,
                         std::stop_token stop) {
  Job job{assignment, progress, std::move(stop)};
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
  // A result goes with a command that ran, also when its time was up.
  if (status.ok() || status.code() == Code::kDeadlineExceeded)
    *report.mutable_result() = job.result;
  if (!status.ok()) report.set_message(status.message());
  return report;
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
  if (!job.progress) return;
  v1::Progress progress;
  *progress.mutable_attempt() = job.assignment.attempt();
  progress.set_stage(stage);
  *progress.mutable_metadata() = *job.metadata();
  job.progress(progress);
}

Status Executor::Parse(Job& job) {
  const v1::Assignment& assignment = job.assignment;
  TRY_ASSIGN(job.function, reapi::ResolveDigestFunction(assignment.digest_function(),
                                                        assignment.action_digest().hash()));
  TRY_ASSIGN(job.command, reapi::ParseCommand(assignment.command().SerializeAsString()));
  TRY_ASSIGN(job.input_root,
             reapi::FromProto(assignment.action().input_root_digest(), job.function));
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

Status Executor::MakeDirectory(const std::string& path) const {
  if (mkdir(path.c_str(), 0755) != 0 && errno != EEXIST) return ErrnoStatus(errno, path);
  uint32_t owner = parts_.launcher.file_owner();
  if (geteuid() == 0 && chown(path.c_str(), owner, owner) != 0) return ErrnoStatus(errno, path);
  return {};
}

Status Executor::Stage(Job& job) {
  SetTime(parts_.clock.WallNow(), job.metadata()->mutable_input_fetch_start_timestamp());
  TRY(SystemFiles().MakeDirectories(options_.directory));
  TRY(lower_.Update(job.input_root));
  TRY(PrepareUpper(job));
  TRY(MakeOutputParents(job));
  SetTime(parts_.clock.WallNow(), job.metadata()->mutable_input_fetch_completed_timestamp());
  return {};
}

Status Executor::PrepareUpper(Job& job) {
  job.overlay = options_.isolation == Isolation::kNamespaces && parts_.launcher.overlay_allowed();
  job.run_directory = options_.directory + "/run";
  job.upper = job.run_directory + "/upper";
  if (mkdir(job.run_directory.c_str(), 0755) != 0) {
    if (errno != EEXIST) return ErrnoStatus(errno, job.run_directory);
    TRY(RemoveTree(job.run_directory));
    if (mkdir(job.run_directory.c_str(), 0755) != 0) return ErrnoStatus(errno, job.run_directory);
  }
  if (!job.overlay) return lower_.CopyTo(job.upper);
  TRY(MakeDirectory(job.upper));
  return MakeDirectory(job.run_directory + "/work");
}

// The REAPI has the worker make the working directory and the parents of outputs. They are made in
// the upper layer, where the lower one does not have them; a file or link in the way stays.
Status Executor::MakeOutputParents(const Job& job) {
  std::set<std::string> wanted;
  const reapi::Command& command = job.command;
  auto add = [&](std::string path) {
    for (size_t at = path.find('/'); at != path.npos; at = path.find('/', at + 1))
      wanted.insert(path.substr(0, at));
  };
  std::string prefix = command.working_directory.empty() ? "" : command.working_directory + "/";
  add(prefix);
  for (const auto* list :
       {&command.output_paths, &command.output_files, &command.output_directories}) {
    for (const std::string& path : *list) add(prefix + path);
  }
  OutputTree tree(job.upper, job.overlay ? lower_.directory() : "");
  for (const std::string& path : wanted) {  // sorted: parents first
    TRY_ASSIGN(OutputTree::Entry entry, tree.Find(path));
    if (entry.kind != OutputTree::Kind::kAbsent) continue;
    size_t slash = path.rfind('/');
    TRY_ASSIGN(OutputTree::Entry parent,
               tree.Find(slash == path.npos ? "" : path.substr(0, slash)));
    if (parent.kind != OutputTree::Kind::kDirectory) continue;
    // The same parents in the upper layer, merged with those of the lower one.
    for (size_t at = path.find('/'); at != path.npos; at = path.find('/', at + 1))
      TRY(MakeDirectory(job.upper + "/" + path.substr(0, at)));
    TRY(MakeDirectory(job.upper + "/" + path));
  }
  return {};
}

Result<sandbox::Command> Executor::MakeCommand(Job& job) {
  sandbox::Command command;
  command.arguments = job.command.arguments;
  std::set<std::string> store_paths;
  auto scan = [&](std::string_view text) {
    for (std::string& path : toolchain::FindStoreReferences(text, options_.store_prefix))
      store_paths.insert(std::move(path));
  };
  for (const std::string& argument : command.arguments) scan(argument);
  for (const auto& [name, value] : job.command.environment) {
    command.environment.push_back(name + "=" + value);
    scan(value);
  }
  for (const auto& [path, files] : lower_.store_paths()) store_paths.insert(path);

  bool namespaces = options_.isolation == Isolation::kNamespaces;
  std::string root = namespaces ? options_.input_root : job.upper;
  command.working_directory = root;
  if (!job.command.working_directory.empty())
    command.working_directory += "/" + job.command.working_directory;
  TRY_ASSIGN(RootContents root_contents,
             parts_.mounts.For(store_paths, job.assignment.action_digest().hash()));
  job.store_paths = std::move(root_contents.hold);
  if (namespaces) {
    command.mounts = std::move(root_contents.mounts);
    if (job.overlay) {
      command.overlays.push_back({.lower = lower_.directory(),
                                  .upper = job.upper,
                                  .work = job.run_directory + "/work",
                                  .target = root});
    } else {
      command.mounts.push_back({MountKind::kBind, root, job.upper});
    }
  }
  command.stdout_path = job.run_directory + "/stdout";
  command.stderr_path = job.run_directory + "/stderr";
  command.output_bytes_max = options_.stdout_bytes_max;
  command.timeout = job.timeout;
  command.slot = options_.slot;
  command.isolation = options_.isolation;
  return command;
}

Status Executor::Execute(Job& job) {
  TRY_ASSIGN(sandbox::Command command, MakeCommand(job));
  SetTime(parts_.clock.WallNow(), job.metadata()->mutable_execution_start_timestamp());
  Result<sandbox::Outcome> outcome = parts_.launcher.Run(command, job.stop);
  job.store_paths.reset();
  SetTime(parts_.clock.WallNow(), job.metadata()->mutable_execution_completed_timestamp());
  if (!outcome) {
    // The program is not there or cannot run: the action's fault, and the same everywhere.
    Code code = outcome.error().code();
    if (code == Code::kNotFound || code == Code::kPermissionDenied) code = Code::kInvalidArgument;
    return ErrorStatus(code, "cannot run the command: {}", outcome.error().message());
  }
  int64_t nanos = outcome->wall.count();
  auto* wall = job.metadata()->mutable_virtual_execution_duration();
  wall->set_seconds(nanos / 1'000'000'000);
  wall->set_nanos(static_cast<int>(nanos % 1'000'000'000));
  job.result.set_exit_code(outcome->exit_code);
  switch (outcome->ending) {
    case Ending::kExited:
    case Ending::kSignalled:
      return {};
    case Ending::kTimedOut:
      job.timed_out = ErrorStatus(
          Code::kDeadlineExceeded, "the command ran longer than {} s",
          std::chrono::duration_cast<std::chrono::duration<double>>(job.timeout).count());
      return {};
    case Ending::kOutOfMemory:
      return ErrorStatus(Code::kResourceExhausted, "the command ran out of memory");
    case Ending::kCancelled:
      return ErrorStatus(Code::kCancelled, "the action was cancelled");
  }
  return {};
}

Status Executor::AddStream(Job& job, const std::string& path, bool is_stderr) {
  struct stat info;
  if (stat(path.c_str(), &info) != 0) return ErrnoStatus(errno, path);
  if (info.st_size == 0) return {};
  if (static_cast<uint64_t>(info.st_size) <= options_.inline_bytes_max) {
    TRY_ASSIGN(std::string bytes, ReadFile(path));
    (is_stderr ? job.result.mutable_stderr_raw() : job.result.mutable_stdout_raw())
        ->assign(std::move(bytes));
    return {};
  }
  TRY_ASSIGN(OutputBlob blob, HashFile(path, {.function = job.function}));
  reapi::ToProto(blob.digest, is_stderr ? job.result.mutable_stderr_digest()
                                        : job.result.mutable_stdout_digest());
  job.blobs.push_back(std::move(blob));
  return {};
}

Status Executor::Collect(Job& job) {
  SetTime(parts_.clock.WallNow(), job.metadata()->mutable_output_upload_start_timestamp());
  TRY(AddStream(job, job.run_directory + "/stdout", false));
  TRY(AddStream(job, job.run_directory + "/stderr", true));
  // After a timeout half-written files are of no use; what it printed is.
  if (job.timed_out.ok()) {
    OutputTree tree(job.upper, job.overlay ? lower_.directory() : "");
    CollectOptions options{.function = job.function, .store_prefix = options_.store_prefix};
    TRY_ASSIGN(Collected collected, CollectOutputs(job.command, tree, options));
    // Fields do not overlap: this one has outputs, ours the rest.
    job.result.MergeFrom(collected.result);
    for (OutputBlob& blob : collected.blobs) job.blobs.push_back(std::move(blob));
  }
  TRY(UploadBlobs(parts_.cas, options_.partition, job.blobs));
  for (const OutputBlob& blob : job.blobs) {
    if (blob.adoptable)
      parts_.files.Adopt(blob.path, {blob.digest, blob.executable}, blob.store_paths);
  }
  SetTime(parts_.clock.WallNow(), job.metadata()->mutable_output_upload_completed_timestamp());
  return {};
}

}  // namespace lre::worker

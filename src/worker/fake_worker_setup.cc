#include "worker/fake_worker_setup.h"

#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include "reapi/digest_proto.h"
#include "reapi/tree.h"

namespace lre::worker {
namespace {

namespace pb = ::build::bazel::remote::execution::v2;

}  // namespace

Result<StoreClosure> FakeStorePaths::Closure(const std::vector<std::string>& paths,
                                             const std::string& /*user*/) {
  std::vector<HeldPath> all;
  for (const std::string& path : paths) {
    auto it = closures.find(path);
    if (it == closures.end()) return Error(Code::kNotFound, "{}", path);
    for (const std::string& held : it->second) all.push_back({held, "sha256:"});
  }
  return StoreClosure{.paths = std::move(all), .hold = nullptr};
}

bool MachineHasUserNamespaces() {
  static const bool has = [] {
    pid_t child = _Fork();
    if (child == 0) _exit(unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET));
    int status = 1;
    waitpid(child, &status, 0);
    return status == 0;
  }();
  return has;
}

std::vector<sandbox::Mount> HostUserland() {
  using sandbox::MountKind;
  return {{MountKind::kReadOnlyBind, "/usr", "/usr"},
          {MountKind::kSymlink, "/bin", "usr/bin"},
          {MountKind::kSymlink, "/lib", "usr/lib"},
          {MountKind::kSymlink, "/lib64", "usr/lib64"}};
}

// The launcher before any thread.
WorkerSetup::WorkerSetup(int slots) : launcher(*sandbox::Launcher::Start({.slots = slots})) {}

void WorkerSetup::Start(WorkerOptions options) {
  options.directory = directory / "worker";
  options.name = "tester";
  if (options.isolation == sandbox::Isolation::kNamespaces) options.extra_mounts = HostUserland();
  auto started = Worker::Start({cas, *launcher, server, store_paths, SystemClock(), metrics},
                               std::move(options));
  ASSERT_TRUE(started) << ToStatus(started).ToString();
  worker = std::move(*started);
  ASSERT_TRUE(server.NextOf(v1::FromWorker::kHello));
  Welcome();
}

void WorkerSetup::Welcome() {
  v1::ToWorker message;
  message.mutable_welcome()->set_version(1);
  message.mutable_welcome()->mutable_heartbeat_interval()->set_seconds(20);
  message.mutable_welcome()->mutable_silence_max()->set_seconds(60);
  server.Send(message);
}

v1::Assignment WorkerSetup::Assign(const TestAction& action,
                                   const std::function<void(v1::Assignment&)>& change) {
  reapi::TreeBuilder inputs(DigestFunction::kSha256);
  for (const auto& [path, content] : action.files)
    EXPECT_TRUE(inputs.AddFile(path, cas.Add(content), path.ends_with(".sh")).ok());
  for (const auto& [path, target] : action.symlinks)
    EXPECT_TRUE(inputs.AddSymlink(path, target).ok());
  reapi::TreeBuilder::Built built = inputs.Build();
  for (const reapi::NewBlob& blob : built.directories) cas.Add(blob.bytes);

  v1::Assignment assignment;
  pb::Command& command = *assignment.mutable_command();
  for (const std::string& argument : action.arguments.empty()
                                         ? std::vector<std::string>{"/bin/sh", "-c", action.script}
                                         : action.arguments)
    command.add_arguments(argument);
  for (const auto& [name, value] : action.environment) {
    auto* variable = command.add_environment_variables();
    variable->set_name(name);
    variable->set_value(value);
  }
  for (const std::string& path : action.output_paths) command.add_output_paths(path);
  for (const std::string& path : action.output_files) command.add_output_files(path);
  for (const std::string& path : action.output_directories) command.add_output_directories(path);
  command.set_working_directory(action.working_directory);
  reapi::ToProto(built.root, assignment.mutable_action()->mutable_input_root_digest());
  reapi::ToProto(reapi::DigestOfMessage(DigestFunction::kSha256, command),
                 assignment.mutable_action()->mutable_command_digest());
  reapi::ToProto(reapi::DigestOfMessage(DigestFunction::kSha256, assignment.action()),
                 assignment.mutable_action_digest());
  assignment.set_digest_function(pb::DigestFunction::SHA256);
  assignment.mutable_attempt()->set_operation(fmt::format("operation-{}", ++attempts));
  assignment.mutable_attempt()->set_number(1);
  if (action.timeout > Duration(0)) {
    assignment.mutable_timeout()->set_seconds(action.timeout.count() / 1'000'000'000);
    assignment.mutable_timeout()->set_nanos(
        static_cast<int>(action.timeout.count() % 1'000'000'000));
  }
  if (change) change(assignment);
  v1::ToWorker message;
  *message.mutable_assignment() = assignment;
  server.Send(message);
  return assignment;
}

v1::Report WorkerSetup::WaitForReport() {
  auto message = server.NextOf(v1::FromWorker::kReport);
  EXPECT_TRUE(message) << "no report came";
  return message ? message->report() : v1::Report();
}

v1::Report WorkerSetup::Run(const TestAction& action) {
  Assign(action);
  v1::Report report = WaitForReport();
  Acknowledge(report.attempt());
  return report;
}

void WorkerSetup::Acknowledge(const v1::Attempt& attempt) {
  v1::ToWorker message;
  *message.mutable_acknowledge()->mutable_attempt() = attempt;
  server.Send(message);
}

void WorkerSetup::Cancel(const v1::Attempt& attempt) {
  v1::ToWorker message;
  *message.mutable_cancel()->mutable_attempt() = attempt;
  server.Send(message);
}

std::string WorkerSetup::Blob(const pb::Digest& digest) {
  auto parsed = reapi::FromProto(digest);
  if (!parsed) return "(no digest)";
  auto bytes = store::ReadAll(cas, {*parsed, 0});
  return bytes ? *bytes : ToStatus(bytes).ToString();
}

std::string WorkerSetup::Output(const v1::Report& report, const std::string& path) {
  for (const auto& file : report.result().output_files())
    if (file.path() == path) return Blob(file.digest());
  return "(absent)";
}

}  // namespace lre::worker

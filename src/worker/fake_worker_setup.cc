#include "worker/fake_worker_setup.h"

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

std::vector<std::string> FakeStorePaths::Verified() {
  std::vector<std::string> paths;
  for (const auto& [path, closure] : closures) paths.push_back(path);
  return paths;
}

// The launcher before any thread.
WorkerSetup::WorkerSetup(int slots) : launcher(*sandbox::Launcher::Start({.slots = slots})) {}

void WorkerSetup::Start(WorkerOptions options) {
  options.directory = directory / "worker";
  options.name = "tester";
  if (options.isolation == sandbox::Isolation::kNamespaces) options.extra_mounts = HostUserland();
  auto started = Worker::Start({*blobs, *launcher, server, store_paths, SystemClock(), metrics},
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

Digest WorkerSetup::Upload(const TestAction& action) {
  reapi::TreeBuilder inputs(DigestFunction::kSha256);
  auto add = [&](const std::string& content) {
    return cas.Add(content, DigestFunction::kSha256, action.partition);
  };
  for (const auto& [path, content] : action.files)
    EXPECT_TRUE(inputs
                    .AddFile(path, add(content),
                             path.ends_with(".sh") || content.starts_with("\x7f"
                                                                          "ELF"))
                    .ok());
  for (const auto& [path, target] : action.symlinks)
    EXPECT_TRUE(inputs.AddSymlink(path, target).ok());
  reapi::TreeBuilder::Built built = inputs.Build();
  std::map<Digest, std::string> messages;
  for (const reapi::NewBlob& blob : built.directories) {
    messages[blob.digest] = blob.bytes;
    add(blob.bytes);
  }
  if (action.tools.empty()) return built.root;
  // Once more, with marks.
  std::function<Digest(const Digest&, const std::string&)> mark = [&](const Digest& digest,
                                                                      const std::string& prefix) {
    pb::Directory directory;
    EXPECT_TRUE(directory.ParseFromString(messages.at(digest)));
    for (auto& child : *directory.mutable_directories())
      reapi::ToProto(mark(*reapi::FromProto(child.digest()), prefix + child.name() + "/"),
                     child.mutable_digest());
    for (auto& file : *directory.mutable_files()) {
      if (action.tools.contains(prefix + file.name()))
        file.mutable_node_properties()->add_properties()->set_name("bazel_tool_input");
    }
    return add(directory.SerializeAsString());
  };
  return mark(built.root, "");
}

v1::Assignment WorkerSetup::Assign(const TestAction& action,
                                   const std::function<void(v1::Assignment&)>& change) {
  Digest root = Upload(action);
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
  for (const auto& [name, value] : action.platform) {
    auto* property = command.mutable_platform()->add_properties();
    property->set_name(name);
    property->set_value(value);
  }
  assignment.set_partition(action.partition);
  reapi::ToProto(root, assignment.mutable_action()->mutable_input_root_digest());
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

std::string WorkerSetup::Blob(const pb::Digest& digest, store::Partition partition) {
  auto parsed = reapi::FromProto(digest);
  if (!parsed) return "(no digest)";
  auto bytes = store::ReadAll(cas, {*parsed, partition});
  return bytes ? *bytes : ToStatus(bytes).ToString();
}

std::string WorkerSetup::Output(const v1::Report& report, const std::string& path) {
  for (const auto& file : report.result().output_files())
    if (file.path() == path) return Blob(file.digest());
  return "(absent)";
}

}  // namespace lre::worker

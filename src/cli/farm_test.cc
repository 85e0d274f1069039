// A farm in two halves, as `lre serve` and `lre worker` make it, and its tenants.
#include "cli/farm.h"

#include <gmock/gmock.h>

#include "base/file.h"
#include "build/bazel/remote/execution/v2/remote_execution.pb.h"
#include "cli/fake_server.h"
#include "cli/remote_server.h"
#include "google/longrunning/operations.pb.h"
#include "http_client/http_client.h"
#include "reapi/digest_proto.h"
#include "reapi/tree.h"
#include "service/partitions.h"
#include "store/partition_name.h"
#include "store/remote_store.h"
#include "worker/grpc_link.h"

namespace lre::cli {
namespace {

namespace pb = build::bazel::remote::execution::v2;
using testing::ElementsAre;
using testing::IsEmpty;

// A server for the tenants blue and red, and a worker that reaches it over the network only.
class FarmTest : public testing::Test {
 protected:
  FarmTest() {
    // Before the first thread.
    server::Config worker;
    worker.worker_directory = directory_ / "worker";
    worker.worker_sandbox = "none";  // this machine's shell is the userland
    worker.worker_slots = 1;
    launcher_ = StartLauncher(worker).value();
    server::Config config = SmallServer(directory_ / "data");
    config.partition_instances = {{"blue", "b"}, {"red", "r"}};
    server_ = server::Server::Start(config, SystemClock()).value();
    channel_ = rpc::Channel::Create(server_->addresses()[0]).value();
    cas_ = store::NewRemoteStore(channel_, {.instance_name = "main"});
    worker_ = StartWorker(worker,
                          {*cas_, *launcher_, metrics_,
                           [](const Digest&) -> Result<Bytes> {
                             return Error(Code::kNotFound, "no store paths");
                           }},
                          worker::NewGrpcLinkConnector(channel_))
                  .value();
  }

  struct Action {
    Digest digest, input;
  };
  // An action of the tenant whose instance this is, with all that it needs in its CAS.
  Action Upload(const std::string& instance, const std::string& input) {
    auto cas = store::NewRemoteStore(channel_, {.instance_name = instance});
    auto put = [&](const std::string& bytes) {
      Digest digest = ComputeDigest(DigestFunction::kSha256, bytes);
      EXPECT_EQ(store::Put(*cas, {digest, 0}, Bytes(bytes)), Status());
      return digest;
    };
    Action uploaded{.digest = {}, .input = put(input)};
    reapi::TreeBuilder tree(DigestFunction::kSha256);
    EXPECT_EQ(tree.AddFile("in", uploaded.input, false), Status());
    reapi::TreeBuilder::Built inputs = tree.Build();
    for (const reapi::NewBlob& directory : inputs.directories) put(directory.bytes);
    pb::Command command;
    for (const char* argument :
         {"/bin/sh", "-c", "echo made of; cat in; { echo made of; cat in; } >out; seq 2000 >&2"})
      command.add_arguments(argument);
    command.add_output_paths("out");
    pb::Action action;
    reapi::ToProto(put(command.SerializeAsString()), action.mutable_command_digest());
    reapi::ToProto(inputs.root, action.mutable_input_root_digest());
    uploaded.digest = put(action.SerializeAsString());
    return uploaded;
  }
  Result<pb::ExecuteResponse> Execute(const std::string& instance, const Digest& action) {
    pb::ExecuteRequest request;
    request.set_instance_name(instance);
    reapi::ToProto(action, request.mutable_action_digest());
    rpc::BlockingStream stream(*channel_, "/build.bazel.remote.execution.v2.Execution/Execute",
                               {.timeout = std::chrono::minutes(1)});
    stream.Write({Bytes(request.SerializeAsString())});
    stream.HalfClose();
    google::longrunning::Operation operation;
    while (std::optional<Bytes> message = stream.Read())
      EXPECT_TRUE(operation.ParseFromArray(message->data(), static_cast<int>(message->size())));
    TRY(stream.Finish());
    pb::ExecuteResponse response;
    EXPECT_TRUE(operation.response().UnpackTo(&response));
    return response;
  }
  // The tenants, of none, blue and red, that have the blob.
  std::vector<std::string> OwnersOf(const Digest& digest) {
    std::vector<std::string> owners;
    for (const char* name : {"", "blue", "red"}) {
      store::Partition partition = *name == 0 ? 0 : service::PartitionNumber(name);
      if (server_->cas().FindMissing(partition, {{digest}})->empty()) owners.emplace_back(name);
    }
    return owners;
  }
  static Digest DigestOf(const pb::Digest& message) { return reapi::FromProto(message).value(); }

  TempDir directory_;
  std::unique_ptr<sandbox::Launcher> launcher_;
  std::unique_ptr<server::Server> server_;
  std::shared_ptr<rpc::Channel> channel_;
  std::unique_ptr<store::BlobStore> cas_;
  Metrics metrics_;
  WorkerHandle worker_;
};

TEST_F(FarmTest, AWorkerElsewhereReadsAndWritesInThePartitionOfEachAction) {
  Action blue = Upload("b", "blue\n"), red = Upload("r", "red\n");

  auto of_blue = Execute("b", blue.digest), of_red = Execute("r", red.digest);

  for (auto [answer, action, name] : {std::tuple(&of_blue, blue, "blue"), {&of_red, red, "red"}}) {
    ASSERT_TRUE(*answer) << ToStatus(*answer).ToString();
    const pb::ActionResult& result = (*answer)->result();
    EXPECT_EQ((*answer)->status().code(), 0) << (*answer)->DebugString();
    EXPECT_EQ(result.stdout_raw(), std::string("made of\n") + name + "\n");
    ASSERT_EQ(result.output_files_size(), 1);
    for (const Digest& digest :
         {action.input, action.digest, DigestOf(result.output_files(0).digest())})
      EXPECT_THAT(OwnersOf(digest), ElementsAre(name));
  }
  // Both printed this.
  EXPECT_THAT(OwnersOf(DigestOf(of_blue->result().stderr_digest())), ElementsAre("blue", "red"));
}

TEST_F(FarmTest, WhatOneTenantHasIsMissingToAnother) {
  Action blue = Upload("b", "blue\n"), red = Upload("r", "blue\n");
  ASSERT_EQ(blue.digest, red.digest);
  ASSERT_TRUE(Execute("b", blue.digest));

  // An action of its own that names an input of blue's only.
  auto cas = store::NewRemoteStore(channel_, {.instance_name = "r"});
  Action other = Upload("b", "secret\n");
  std::string action =
      store::ReadAll(server_->cas(), {other.digest, service::PartitionNumber("blue")}).value();
  ASSERT_EQ(store::Put(*cas, {other.digest, 0}, Bytes(action)), Status());
  auto refused = Execute("r", other.digest);

  ASSERT_FALSE(refused && refused->status().code() == 0);
  EXPECT_EQ(refused ? static_cast<Code>(refused->status().code()) : refused.error().code(),
            Code::kFailedPrecondition);
  EXPECT_THAT(OwnersOf(other.input), ElementsAre("blue"));
  // The same action of two tenants has two results.
  auto again = Execute("r", red.digest);
  ASSERT_TRUE(again) << ToStatus(again).ToString();
  EXPECT_FALSE(again->cached_result());
  EXPECT_TRUE(Execute("r", red.digest)->cached_result());
  EXPECT_THAT(OwnersOf(ComputeDigest(DigestFunction::kSha256, "nothing")), IsEmpty());
}

TEST_F(FarmTest, AWorkerReadsWhatATenantWroteUnderTheTenantsName) {
  const Digest action = ComputeDigest(DigestFunction::kSha256, "a store path");
  pb::ActionResult result;
  result.set_stdout_raw("record");
  ASSERT_EQ(RemoteServer(channel_, "b").PutResult(action, result.SerializeAsString()), Status());
  auto read = [&](const std::string& instance, const std::string& tenant) {
    return RemoteServer(channel_,
                        store::InstanceWithPartition(instance, service::PartitionNumber(tenant)))
        .GetResult(action);
  };

  EXPECT_TRUE(read("b", "blue"));
  EXPECT_EQ(ToStatus(read("main", "blue")).code(), Code::kNotFound);
  EXPECT_EQ(ToStatus(read("b", "red")).code(), Code::kNotFound);
}

TEST(WorkerStatus, IsServedWhereTheConfigurationSays) {
  server::Config config;
  Metrics metrics;
  service::HealthState health(std::set<std::string>{});
  EXPECT_EQ(ServeWorkerStatus(config, metrics, health).value(), nullptr);
  config.worker_server = "elsewhere:1";
  config.worker_status_listen = "127.0.0.1:0";
  metrics.AddCounter("lre_worker_tries_total", "Tries").Add(3);
  HttpClient http;

  const auto status = ServeWorkerStatus(config, metrics, health).value();

  auto get = [&, url = "http://" + status->addresses().at(0)](const std::string& path) {
    return http.Send({.url = url + path}).value();
  };
  EXPECT_THAT(get("/metrics").body, testing::HasSubstr("lre_worker_tries_total 3"));
  EXPECT_THAT(get("/").body, testing::HasSubstr("elsewhere:1"));
  EXPECT_EQ(get("/healthz").status, 200);
  health.SetServing(false);
  EXPECT_EQ(get("/healthz").status, 503);
}

TEST(WorkerOptions, AreWhatTheConfigurationSays) {
  server::Config config;
  const Status status = server::ApplyConfigText(R"(
[worker]
directory = "/worker"
name = "a"
slots = 3
cache_size_max = "1GiB"
directory_cache_max = "1MiB"
server_away_max = "7s"
stdout_max = "2MiB"
memory_files_max = "3MiB"
action_memory_max = "4MiB"
network = "host"
sandbox = "none"
properties = ["pool=b"]
persistent_max = 5
persistent_idle = "6s"
persistent_requests = 8
persistent_memory_max = "9MiB"
)",
                                                "lre.conf", config);
  ASSERT_TRUE(status.ok()) << status.ToString();

  const worker::WorkerOptions options = WorkerOptionsOf(config);

  EXPECT_EQ(options.directory, "/worker");
  EXPECT_EQ(options.name, "a");
  EXPECT_EQ(options.slots, 3);
  EXPECT_EQ(options.cache_bytes_max, 1u << 30);
  EXPECT_EQ(options.directory_cache_bytes_max, 1u << 20);
  EXPECT_EQ(options.patience.away_max, std::chrono::seconds(7));
  EXPECT_EQ(options.stdout_bytes_max, 2u << 20);
  EXPECT_EQ(options.memory_files_bytes_max, 3u << 20);
  EXPECT_EQ(options.action_memory_bytes_max, 4u << 20);
  EXPECT_TRUE(options.network_allowed);
  EXPECT_EQ(options.isolation, sandbox::Isolation::kNone);
  EXPECT_THAT(options.properties, ElementsAre(testing::Pair("pool", "b")));
  EXPECT_EQ(options.persistent.processes_max, 5);
  EXPECT_EQ(options.persistent.idle_max, std::chrono::seconds(6));
  EXPECT_EQ(options.persistent.requests_max, 8);
  EXPECT_EQ(options.persistent.memory_bytes_max, 9u << 20);
}

TEST(WorkerOptions, OfNothingSaidAreTheWorkersOwnDefaults) {
  const worker::WorkerOptions ours = WorkerOptionsOf(server::Config()), its;
  EXPECT_EQ(ours.cache_bytes_max, its.cache_bytes_max);
  EXPECT_EQ(ours.directory_cache_bytes_max, its.directory_cache_bytes_max);
  EXPECT_EQ(ours.patience.away_max, its.patience.away_max);
  EXPECT_EQ(ours.stdout_bytes_max, its.stdout_bytes_max);
  EXPECT_EQ(ours.memory_files_bytes_max, its.memory_files_bytes_max);
  EXPECT_EQ(ours.action_memory_bytes_max, its.action_memory_bytes_max);
  EXPECT_EQ(ours.network_allowed, its.network_allowed);
  EXPECT_EQ(ours.isolation, its.isolation);
  EXPECT_EQ(ours.properties, its.properties);
  EXPECT_EQ(ours.persistent.processes_max, its.persistent.processes_max);
  EXPECT_EQ(ours.persistent.idle_max, its.persistent.idle_max);
  EXPECT_EQ(ours.persistent.requests_max, its.persistent.requests_max);
  EXPECT_EQ(ours.persistent.memory_bytes_max, its.persistent.memory_bytes_max);
}

}  // namespace
}  // namespace lre::cli

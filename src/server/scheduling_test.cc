// What the configuration of scheduling does to a running server.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>

#include "build/bazel/remote/execution/v2/remote_execution.grpc.pb.h"
#include "lre/worker/v1/worker.grpc.pb.h"
#include "server/server.h"
#include "service/worker_link.h"

namespace lre::server {
namespace {

namespace pb = build::bazel::remote::execution::v2;
using testing::HasSubstr;

struct Context : grpc::ClientContext {
  Context() { set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20)); }
};

std::unique_ptr<Server> StartWith(std::string_view text) {
  Config config;
  config.listen = {"127.0.0.1:0"};
  config.loops = 1;
  config.io_threads = 2;
  config.drain_max = std::chrono::seconds(5);
  EXPECT_EQ(ApplyConfigText(text, "lre.conf", config), Status());
  EXPECT_EQ(CheckConfig(config), Status());
  auto server = Server::Start(config, SystemClock());
  EXPECT_TRUE(server) << ToStatus(server).ToString();
  return std::move(*server);
}

std::shared_ptr<grpc::Channel> ChannelTo(const Server& server) {
  return grpc::CreateChannel(server.addresses()[0], grpc::InsecureChannelCredentials());
}

pb::Digest Put(const std::shared_ptr<grpc::Channel>& channel,
               const google::protobuf::Message& blob) {
  const std::string bytes = blob.SerializeAsString();
  const Digest digest = ComputeDigest(DigestFunction::kSha256, bytes);
  pb::BatchUpdateBlobsRequest request;
  auto* added = request.add_requests();
  added->mutable_digest()->set_hash(digest.Hex());
  added->mutable_digest()->set_size_bytes(digest.size_bytes);
  added->set_data(bytes);
  pb::BatchUpdateBlobsResponse response;
  Context context;
  auto stub = pb::ContentAddressableStorage::NewStub(channel);
  EXPECT_TRUE(stub->BatchUpdateBlobs(&context, request, &response).ok());
  return request.requests(0).digest();
}

// The first answer to Execute of an action that asks for this pool.
google::longrunning::Operation Execute(const std::shared_ptr<grpc::Channel>& channel,
                                       const std::string& pool) {
  pb::Command command;
  command.add_arguments("true");
  pb::Action action;
  *action.mutable_command_digest() = Put(channel, command);
  *action.mutable_input_root_digest() = Put(channel, pb::Directory());
  auto* property = action.mutable_platform()->add_properties();
  property->set_name("Pool");
  property->set_value(pool);
  pb::ExecuteRequest request;
  *request.mutable_action_digest() = Put(channel, action);
  Context context;
  auto stub = pb::Execution::NewStub(channel);
  auto reader = stub->Execute(&context, request);
  google::longrunning::Operation operation;
  if (!reader->Read(&operation)) {
    const grpc::Status status = reader->Finish();
    operation.mutable_error()->set_code(status.error_code());
    operation.mutable_error()->set_message(status.error_message());
    return operation;
  }
  context.TryCancel();
  reader->Finish();
  return operation;
}

TEST(Scheduling, ExpectsTheWorkersOfTheConfiguredPoolsAndNoOthers) {
  const auto server = StartWith(R"(
[scheduler]
pools = ["gpu:OSFamily=linux;Pool=gpu"]
pools_only = true
adoption_grace = "0s"
[execution]
worker_grace = "1h"
)");
  const auto channel = ChannelTo(*server);
  server->scheduler()->Flush();  // adoption_grace is over
  server->scheduler()->Flush();  // and so the pools are closed

  const auto expected = Execute(channel, "gpu");
  EXPECT_FALSE(expected.done());
  EXPECT_FALSE(expected.has_error()) << expected.error().message();
  const auto refused = Execute(channel, "tpu");

  EXPECT_EQ(refused.error().code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(refused.error().message(),
              HasSubstr("offers Pool=\"tpu\" (pool \"gpu\", the nearest, has \"gpu\")"));
}

TEST(Scheduling, TellsWorkersHowOftenToSayThatTheyLiveAndWhenToComeBack) {
  const auto server = StartWith(R"(
[scheduler]
worker_heartbeat = "2s"
worker_silence_max = "9s"
workers_max = 1
workers_retry = "42s"
)");
  auto stub = worker::v1::WorkerLink::NewStub(ChannelTo(*server));
  auto hello = [](const std::string& id) {
    worker::v1::FromWorker message;
    message.mutable_hello()->set_version(service::kWorkerLinkVersion);
    message.mutable_hello()->set_worker_id(id);
    message.mutable_hello()->set_slots(1);
    return message;
  };
  Context first_context, second_context;
  auto first = stub->Connect(&first_context);
  first->Write(hello("first"));
  worker::v1::ToWorker welcome;
  ASSERT_TRUE(first->Read(&welcome));
  EXPECT_EQ(welcome.welcome().heartbeat_interval().seconds(), 2);
  EXPECT_EQ(welcome.welcome().silence_max().seconds(), 9);
  server->scheduler()->Flush();

  auto second = stub->Connect(&second_context);
  second->Write(hello("second"));
  worker::v1::ToWorker quit;
  ASSERT_TRUE(second->Read(&welcome) && second->Read(&quit));

  EXPECT_THAT(quit.quit().status().message(), HasSubstr("try again in 42"));
  first->WritesDone();
  second->WritesDone();
  first->Finish();
  second->Finish();
}

}  // namespace
}  // namespace lre::server

#include "server/server.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <thread>

#include "base/file.h"
#include "build/bazel/remote/execution/v2/remote_execution.grpc.pb.h"
#include "grpc/health/v1/health.grpc.pb.h"

namespace lre::server {
namespace {

namespace pb = build::bazel::remote::execution::v2;

Config LoopbackConfig() {
  Config config;
  config.listen = {"127.0.0.1:0", "127.0.0.1:0"};
  config.loops = 1;
  config.io_threads = 2;
  config.store_size_bytes_max = 64 << 20;
  config.drain_max = std::chrono::seconds(5);
  return config;
}

std::shared_ptr<grpc::Channel> ChannelTo(const std::string& address) {
  return grpc::CreateChannel(address, grpc::InsecureChannelCredentials());
}

struct Context : grpc::ClientContext {
  Context() { set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20)); }
};

bool Has(const std::string& address, const pb::Digest& digest) {
  pb::FindMissingBlobsRequest request;
  *request.add_blob_digests() = digest;
  pb::FindMissingBlobsResponse response;
  Context context;
  grpc::Status status = pb::ContentAddressableStorage::NewStub(ChannelTo(address))
                            ->FindMissingBlobs(&context, request, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return response.missing_blob_digests_size() == 0;
}

TEST(Server, ServesEveryServiceOnEveryAddress) {
  auto server = Server::Start(LoopbackConfig(), SystemClock());
  ASSERT_TRUE(server) << ToStatus(server).ToString();
  ASSERT_EQ((*server)->addresses().size(), 2u);
  for (const std::string& address : (*server)->addresses()) {
    pb::ServerCapabilities response;
    Context context;
    ASSERT_TRUE(pb::Capabilities::NewStub(ChannelTo(address))
                    ->GetCapabilities(&context, pb::GetCapabilitiesRequest(), &response)
                    .ok());
    EXPECT_TRUE(response.execution_capabilities().exec_enabled());
    EXPECT_EQ(response.cache_capabilities().max_cas_blob_size_bytes(), 1 << 30);
  }
}

TEST(Server, IsOnlyACacheWhenExecutionIsOff) {
  Config config = LoopbackConfig();
  config.execution = false;
  auto server = Server::Start(config, SystemClock());
  ASSERT_TRUE(server);
  EXPECT_EQ((*server)->scheduler(), nullptr);
  auto channel = ChannelTo((*server)->addresses()[0]);
  pb::ServerCapabilities response;
  Context context, execute_context;
  ASSERT_TRUE(pb::Capabilities::NewStub(channel)
                  ->GetCapabilities(&context, pb::GetCapabilitiesRequest(), &response)
                  .ok());
  EXPECT_FALSE(response.has_execution_capabilities());
  auto stream = pb::Execution::NewStub(channel)->Execute(&execute_context, pb::ExecuteRequest());
  google::longrunning::Operation operation;
  EXPECT_FALSE(stream->Read(&operation));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::UNIMPLEMENTED);
}

TEST(Server, KeepsBlobsOverARestart) {
  TempDir dir;
  Config config = LoopbackConfig();
  config.data_dir = dir / "data";
  pb::Digest digest;
  {
    auto server = Server::Start(config, SystemClock());
    ASSERT_TRUE(server) << ToStatus(server).ToString();
    Digest stored = ComputeDigest(DigestFunction::kSha256, "kept");
    ASSERT_TRUE(store::Put((*server)->cas(), {stored}, Bytes::Static("kept")).ok());
    digest.set_hash(stored.Hex());
    digest.set_size_bytes(4);
    (*server)->Drain();
  }
  auto server = Server::Start(config, SystemClock());
  ASSERT_TRUE(server) << ToStatus(server).ToString();
  EXPECT_TRUE(Has((*server)->addresses()[0], digest));
}

TEST(Server, RefusesADataDirectoryInUse) {
  TempDir dir;
  Config config = LoopbackConfig();
  config.data_dir = dir / "data";
  auto first = Server::Start(config, SystemClock());
  ASSERT_TRUE(first) << ToStatus(first).ToString();

  auto second = Server::Start(config, SystemClock());

  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code(), Code::kFailedPrecondition);
  EXPECT_NE(second.error().message().find(config.data_dir), std::string::npos);
}

TEST(Server, RefusesAnAddressThatIsTaken) {
  auto first = Server::Start(LoopbackConfig(), SystemClock());
  ASSERT_TRUE(first);
  Config config = LoopbackConfig();
  config.listen = {(*first)->addresses()[0]};
  auto second = Server::Start(config, SystemClock());
  ASSERT_FALSE(second);
  EXPECT_NE(second.error().message().find(config.listen[0]), std::string::npos);
}

TEST(Server, TellsWatchersThatItDrains) {
  Config config = LoopbackConfig();
  // An idle grpc++ client answers no PING, so the drain uses up its patience.
  config.drain_max = std::chrono::milliseconds(300);
  auto server = Server::Start(config, SystemClock());
  ASSERT_TRUE(server);
  Context context;
  auto watch = grpc::health::v1::Health::NewStub(ChannelTo((*server)->addresses()[0]))
                   ->Watch(&context, grpc::health::v1::HealthCheckRequest());
  grpc::health::v1::HealthCheckResponse response;
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), response.SERVING);

  std::jthread drain([&] { (*server)->Drain(); });

  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), response.NOT_SERVING);
  EXPECT_FALSE(watch->Read(&response));
  EXPECT_EQ(watch->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
}

}  // namespace
}  // namespace lre::server

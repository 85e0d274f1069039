// A server behind which another one stands: what is missing here comes from there.
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include "action_cache/action_cache.h"
#include "base/file.h"
#include "build/bazel/remote/execution/v2/remote_execution.grpc.pb.h"
#include "server/server.h"

namespace lre::server {
namespace {

namespace pb = build::bazel::remote::execution::v2;

Config SmallConfig() {
  Config config;
  config.listen = {"127.0.0.1:0"};
  config.loops = 1;
  config.io_threads = 2;
  config.execution = false;
  config.drain_max = std::chrono::milliseconds(100);
  return config;
}

std::unique_ptr<Server> Start(const Config& config) {
  auto server = Server::Start(config, SystemClock());
  EXPECT_TRUE(server) << ToStatus(server).ToString();
  return std::move(*server);
}

// A client of one server.
class Client {
 public:
  explicit Client(const Server& server, std::string instance_name = "main")
      : instance_name_(std::move(instance_name)) {
    auto channel = grpc::CreateChannel(server.addresses()[0], grpc::InsecureChannelCredentials());
    cas_ = pb::ContentAddressableStorage::NewStub(channel);
    results_ = pb::ActionCache::NewStub(channel);
  }
  static pb::Digest DigestOf(const std::string& text) {
    const Digest digest = ComputeDigest(DigestFunction::kSha256, text);
    pb::Digest message;
    message.set_hash(digest.Hex());
    message.set_size_bytes(digest.size_bytes);
    return message;
  }
  // Code of the blob's status.
  int Put(const std::string& text) {
    pb::BatchUpdateBlobsRequest request;
    request.set_instance_name(instance_name_);
    auto* added = request.add_requests();
    *added->mutable_digest() = DigestOf(text);
    added->set_data(text);
    pb::BatchUpdateBlobsResponse response;
    Context context;
    EXPECT_TRUE(cas_->BatchUpdateBlobs(&context, request, &response).ok());
    return response.responses(0).status().code();
  }
  bool Reads(const std::string& text) {
    pb::BatchReadBlobsRequest request;
    *request.add_digests() = DigestOf(text);
    pb::BatchReadBlobsResponse response;
    Context context;
    EXPECT_TRUE(cas_->BatchReadBlobs(&context, request, &response).ok());
    return response.responses(0).status().code() == 0 && response.responses(0).data() == text;
  }
  bool Has(const std::string& text) {
    pb::FindMissingBlobsRequest request;
    *request.add_blob_digests() = DigestOf(text);
    pb::FindMissingBlobsResponse response;
    Context context;
    EXPECT_TRUE(cas_->FindMissingBlobs(&context, request, &response).ok());
    return response.missing_blob_digests().empty();
  }
  grpc::StatusCode PutResult(const std::string& action, const std::string& output) {
    pb::UpdateActionResultRequest request;
    request.set_instance_name(instance_name_);
    *request.mutable_action_digest() = DigestOf(action);
    auto* file = request.mutable_action_result()->add_output_files();
    file->set_path("out");
    *file->mutable_digest() = DigestOf(output);
    pb::ActionResult response;
    Context context;
    return results_->UpdateActionResult(&context, request, &response).error_code();
  }
  grpc::StatusCode GetResult(const std::string& action) {
    pb::GetActionResultRequest request;
    request.set_instance_name(instance_name_);
    *request.mutable_action_digest() = DigestOf(action);
    pb::ActionResult response;
    Context context;
    return results_->GetActionResult(&context, request, &response).error_code();
  }

 private:
  struct Context : grpc::ClientContext {
    Context() { set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20)); }
  };
  const std::string instance_name_;
  std::unique_ptr<pb::ContentAddressableStorage::Stub> cas_;
  std::unique_ptr<pb::ActionCache::Stub> results_;
};

class UpstreamTest : public testing::TestWithParam<bool> {
 protected:
  UpstreamTest() : upstream_(Start(SmallConfig())) {
    config_ = SmallConfig();
    if (GetParam()) config_.data_dir = dir_ / "data";
    config_.upstream = "grpc://" + upstream_->addresses()[0];
    // As long as any test may take: what was found down stays so.
    config_.upstream_down_pause = std::chrono::hours(1);
  }

  TempDir dir_;
  std::unique_ptr<Server> upstream_;
  Config config_;
};

TEST_P(UpstreamTest, ReadsThroughAndKeepsWhenItIsGone) {
  Client there(*upstream_);
  ASSERT_EQ(there.Put("output"), 0);
  ASSERT_EQ(there.Put("not asked for"), 0);
  ASSERT_EQ(there.PutResult("action", "output"), grpc::OK);
  ASSERT_EQ(there.PutResult("other action", "not asked for"), grpc::OK);
  auto server = Start(config_);
  Client here(*server);

  EXPECT_EQ(here.GetResult("action"), grpc::OK);
  EXPECT_TRUE(here.Has("output"));
  EXPECT_TRUE(here.Reads("output"));
  EXPECT_EQ(here.GetResult("no action"), grpc::NOT_FOUND);
  EXPECT_FALSE(here.Has("nowhere"));
  upstream_.reset();

  EXPECT_EQ(here.GetResult("action"), grpc::OK);
  EXPECT_TRUE(here.Reads("output"));
  EXPECT_EQ(here.GetResult("other action"), grpc::NOT_FOUND);
  EXPECT_FALSE(here.Reads("not asked for"));
  EXPECT_EQ(here.Put("written alone"), 0);
  EXPECT_EQ(here.PutResult("action alone", "written alone"), grpc::OK);
  EXPECT_EQ(here.GetResult("action alone"), grpc::OK);
}

TEST_P(UpstreamTest, StartsWhileTheUpstreamIsDown) {
  upstream_.reset();
  auto server = Start(config_);
  Client here(*server);
  EXPECT_EQ(here.Put("x"), 0);
  EXPECT_TRUE(here.Reads("x"));
  EXPECT_EQ(here.GetResult("action"), grpc::NOT_FOUND);
}

TEST_P(UpstreamTest, WritesThroughOnlyWhenTold) {
  Client there(*upstream_);
  {
    auto server = Start(config_);
    Client here(*server);
    ASSERT_EQ(here.Put("kept here"), 0);
    EXPECT_FALSE(there.Has("kept here"));
  }
  config_.upstream_write_through = true;
  auto server = Start(config_);
  Client here(*server);
  ASSERT_EQ(here.Put("for all"), 0);
  ASSERT_EQ(here.PutResult("action", "for all"), grpc::OK);
  EXPECT_TRUE(there.Has("for all"));
  EXPECT_EQ(there.GetResult("action"), grpc::OK);
}

TEST_P(UpstreamTest, InstanceNamesAreTheClientsOwnOrTheOneThatIsSet) {
  Client there(*upstream_, "theirs");
  ASSERT_EQ(there.Put("x"), 0);
  ASSERT_EQ(there.PutResult("action", "x"), grpc::OK);
  {
    auto server = Start(config_);
    EXPECT_EQ(Client(*server, "ours").GetResult("action"), grpc::NOT_FOUND);
    EXPECT_EQ(Client(*server, "theirs").GetResult("action"), grpc::OK);
  }
  config_.upstream_instance_name = "theirs";
  auto server = Start(config_);
  EXPECT_EQ(Client(*server, "ours").GetResult("action"), grpc::OK);
}

INSTANTIATE_TEST_SUITE_P(Stores, UpstreamTest, testing::Bool(), [](const auto& info) {
  return std::string(info.param ? "Disk" : "Memory");
});

TEST(UpdatePermissions, AreOfTheInstance) {
  Config config = SmallConfig();
  config.action_cache_update_instances = {"scratch"};
  auto server = Start(config);
  Client scratch(*server, "scratch"), release(*server, "release");
  ASSERT_EQ(scratch.Put("x"), 0);
  EXPECT_EQ(scratch.PutResult("action", "x"), grpc::OK);
  EXPECT_EQ(release.PutResult("action", "x"), grpc::PERMISSION_DENIED);
  auto stub = pb::Capabilities::NewStub(
      grpc::CreateChannel(server->addresses()[0], grpc::InsecureChannelCredentials()));
  for (const auto& [name, may] : {std::pair("scratch", true), {"release", false}}) {
    pb::GetCapabilitiesRequest request;
    request.set_instance_name(name);
    pb::ServerCapabilities response;
    grpc::ClientContext context;
    ASSERT_TRUE(stub->GetCapabilities(&context, request, &response).ok());
    EXPECT_EQ(response.cache_capabilities().action_cache_update_capabilities().update_enabled(),
              may);
  }
}

TEST(BlobBound, IsAnnounced) {
  Config config = SmallConfig();
  config.store_blob_bytes_max = 1 << 20;
  auto server = Start(config);
  auto stub = pb::Capabilities::NewStub(
      grpc::CreateChannel(server->addresses()[0], grpc::InsecureChannelCredentials()));
  pb::ServerCapabilities response;
  grpc::ClientContext context;
  ASSERT_TRUE(stub->GetCapabilities(&context, pb::GetCapabilitiesRequest(), &response).ok());
  EXPECT_EQ(response.cache_capabilities().max_cas_blob_size_bytes(), 1 << 20);
}

}  // namespace
}  // namespace lre::server

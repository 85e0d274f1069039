// Tenants of one server: what is in one partition is in no other, over every protocol.
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "build/bazel/remote/asset/v1/remote_asset.grpc.pb.h"
#include "build/bazel/remote/execution/v2/remote_execution.grpc.pb.h"
#include "google/bytestream/bytestream.grpc.pb.h"
#include "http_client/http_client.h"
#include "reapi/resource_name.h"
#include "server/server.h"
#include "service/partitions.h"

namespace lre::server {
namespace {

namespace pb = build::bazel::remote::execution::v2;
namespace asset_pb = build::bazel::remote::asset::v1;

struct Context : grpc::ClientContext {
  Context() { set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20)); }
};

Digest Sha256(const std::string& text) { return ComputeDigest(DigestFunction::kSha256, text); }

pb::Digest DigestOf(const std::string& text) {
  const Digest digest = Sha256(text);
  pb::Digest message;
  message.set_hash(digest.Hex());
  message.set_size_bytes(digest.size_bytes);
  return message;
}

// One tenant's view of the server.
class Tenant {
 public:
  Tenant(const Server& server, std::string instance)
      : address_(server.addresses()[0]), instance_(std::move(instance)) {
    channel_ = grpc::CreateChannel(address_, grpc::InsecureChannelCredentials());
  }
  void Put(const std::string& text) {
    pb::BatchUpdateBlobsRequest request;
    request.set_instance_name(instance_);
    auto* added = request.add_requests();
    *added->mutable_digest() = DigestOf(text);
    added->set_data(text);
    pb::BatchUpdateBlobsResponse response;
    Context context;
    ASSERT_TRUE(Cas()->BatchUpdateBlobs(&context, request, &response).ok());
    EXPECT_EQ(response.responses(0).status().code(), 0);
  }
  bool Finds(const std::string& text) {
    pb::FindMissingBlobsRequest request;
    request.set_instance_name(instance_);
    *request.add_blob_digests() = DigestOf(text);
    pb::FindMissingBlobsResponse response;
    Context context;
    EXPECT_TRUE(Cas()->FindMissingBlobs(&context, request, &response).ok());
    return response.missing_blob_digests().empty();
  }
  bool ReadsInBatch(const std::string& text) {
    pb::BatchReadBlobsRequest request;
    request.set_instance_name(instance_);
    *request.add_digests() = DigestOf(text);
    pb::BatchReadBlobsResponse response;
    Context context;
    EXPECT_TRUE(Cas()->BatchReadBlobs(&context, request, &response).ok());
    return response.responses(0).data() == text;
  }
  bool ReadsStream(const std::string& text) {
    google::bytestream::ReadRequest request;
    request.set_resource_name(
        reapi::PrintResourceName({.instance_name = instance_, .digest = Sha256(text)}));
    Context context;
    auto reader = google::bytestream::ByteStream::NewStub(channel_)->Read(&context, request);
    google::bytestream::ReadResponse response;
    return reader->Read(&response) && response.data() == text;
  }
  bool Splits(const std::string& text) {
    pb::SplitBlobRequest request;
    request.set_instance_name(instance_);
    *request.mutable_blob_digest() = DigestOf(text);
    pb::SplitBlobResponse response;
    Context context;
    return Cas()->SplitBlob(&context, request, &response).ok();
  }
  bool HasTree(const std::string& root) {
    pb::GetTreeRequest request;
    request.set_instance_name(instance_);
    *request.mutable_root_digest() = DigestOf(root);
    Context context;
    auto reader = Cas()->GetTree(&context, request);
    pb::GetTreeResponse response;
    return reader->Read(&response);
  }
  // What /cas/ answers, or with a body takes.
  int Http(const std::string& method, const std::string& path, const std::string& body = "") {
    HttpClient client({.attempts_max = 1, .http_proxy = "DIRECT"});
    auto response = client.Send(
        {.url = fmt::format("http://{}{}", address_, path), .method = method, .body = body});
    EXPECT_TRUE(response) << ToStatus(response).ToString();
    return response ? response->status : 0;
  }
  int GetOverHttp(const std::string& text) {
    return Http("GET", fmt::format("/{}/cas/{}", instance_, Sha256(text).Hex()));
  }
  int PutOverHttp(const std::string& text) {
    return Http("PUT", fmt::format("/{}/cas/{}", instance_, Sha256(text).Hex()), text);
  }
  void PutResult(const std::string& action, const std::string& out) {
    pb::UpdateActionResultRequest request;
    request.set_instance_name(instance_);
    *request.mutable_action_digest() = DigestOf(action);
    *request.mutable_action_result()->mutable_stdout_digest() = DigestOf(out);
    pb::ActionResult response;
    Context context;
    const grpc::Status status =
        pb::ActionCache::NewStub(channel_)->UpdateActionResult(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
  }
  bool HasResult(const std::string& action) {
    pb::GetActionResultRequest request;
    request.set_instance_name(instance_);
    *request.mutable_action_digest() = DigestOf(action);
    pb::ActionResult response;
    Context context;
    return pb::ActionCache::NewStub(channel_)->GetActionResult(&context, request, &response).ok();
  }
  void Push(const std::string& uri, const std::string& text) {
    asset_pb::PushBlobRequest request;
    request.set_instance_name(instance_);
    request.add_uris(uri);
    request.mutable_blob_digest()->set_hash(Sha256(text).Hex());
    request.mutable_blob_digest()->set_size_bytes(Sha256(text).size_bytes);
    asset_pb::PushBlobResponse response;
    Context context;
    const grpc::Status status =
        asset_pb::Push::NewStub(channel_)->PushBlob(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
  }
  // Code of the answer's status.
  int Fetch(const std::string& uri) {
    asset_pb::FetchBlobRequest request;
    request.set_instance_name(instance_);
    request.add_uris(uri);
    asset_pb::FetchBlobResponse response;
    Context context;
    EXPECT_TRUE(asset_pb::Fetch::NewStub(channel_)->FetchBlob(&context, request, &response).ok());
    return response.status().code();
  }

 private:
  std::unique_ptr<pb::ContentAddressableStorage::Stub> Cas() {
    return pb::ContentAddressableStorage::NewStub(channel_);
  }
  const std::string address_, instance_;
  std::shared_ptr<grpc::Channel> channel_;
};

class PartitionTest : public testing::Test {
 protected:
  PartitionTest() {
    config_.listen = {"127.0.0.1:0"};
    config_.data_dir = dir_ / "data";
    config_.loops = 1;
    config_.io_threads = 2;
    config_.execution = false;
    config_.store_size_bytes_max = 64 << 20;
    config_.drain_max = std::chrono::milliseconds(100);
    config_.partition_instances = {{"red", "team/red"}, {"red", "raw/red"}, {"blue", "team/blue"}};
  }
  void Start() {
    auto server = Server::Start(config_, SystemClock());
    ASSERT_TRUE(server) << ToStatus(server).ToString();
    server_ = std::move(*server);
  }

  TempDir dir_;
  Config config_;
  std::unique_ptr<Server> server_;
};

TEST_F(PartitionTest, BlobsOfOneAreInNoOther) {
  Start();
  Tenant red(*server_, "team/red/ci"), blue(*server_, "team/blue"), main(*server_, "main");

  red.Put("secret");

  EXPECT_TRUE(red.Finds("secret"));
  EXPECT_TRUE(red.ReadsInBatch("secret"));
  EXPECT_TRUE(red.ReadsStream("secret"));
  EXPECT_TRUE(red.Splits("secret"));
  EXPECT_TRUE(Tenant(*server_, "team/red").Finds("secret"));
  for (Tenant* other : {&blue, &main}) {
    EXPECT_FALSE(other->Finds("secret"));
    EXPECT_FALSE(other->ReadsInBatch("secret"));
    EXPECT_FALSE(other->ReadsStream("secret"));
    EXPECT_FALSE(other->Splits("secret"));
    EXPECT_EQ(other->GetOverHttp("secret"), 404);
  }
}

TEST_F(PartitionTest, TreesAreWalkedInTheirOwn) {
  Start();
  Tenant red(*server_, "team/red"), blue(*server_, "team/blue");
  pb::Directory directory;
  directory.add_symlinks()->set_name("link");
  directory.mutable_symlinks(0)->set_target("target");
  red.Put(directory.SerializeAsString());

  EXPECT_TRUE(red.HasTree(directory.SerializeAsString()));
  EXPECT_FALSE(blue.HasTree(directory.SerializeAsString()));
}

TEST_F(PartitionTest, ResultsAndAssetsOfOneAreInNoOther) {
  Start();
  Tenant red(*server_, "team/red"), blue(*server_, "team/blue");
  red.Put("out");

  red.PutResult("action", "out");
  red.Push("urn:x", "out");

  EXPECT_TRUE(red.HasResult("action"));
  EXPECT_FALSE(blue.HasResult("action"));
  EXPECT_EQ(red.Fetch("urn:x"), grpc::OK);
  EXPECT_EQ(blue.Fetch("urn:x"), grpc::NOT_FOUND);
}

TEST_F(PartitionTest, HttpGoesByTheInstanceInThePath) {
  Start();
  Tenant red(*server_, "team/red"), blue(*server_, "team/blue");

  EXPECT_EQ(red.PutOverHttp("by http"), 200);

  EXPECT_EQ(red.GetOverHttp("by http"), 200);
  EXPECT_EQ(blue.GetOverHttp("by http"), 404);
  EXPECT_TRUE(red.Finds("by http"));
  EXPECT_EQ(red.Http("PUT", "/raw/red/key", "value"), 201);
  EXPECT_EQ(red.Http("GET", "/raw/red/key"), 200);
  EXPECT_TRUE(ToStatus(server_->cas().Read({Sha256("by http"), 0}, {})).code() == Code::kNotFound);
}

TEST_F(PartitionTest, AreTheSameAfterARestart) {
  Start();
  Tenant(*server_, "team/red").Put("kept");
  server_->Drain();
  server_.reset();
  Start();

  EXPECT_TRUE(Tenant(*server_, "team/red").Finds("kept"));
  EXPECT_FALSE(Tenant(*server_, "team/blue").Finds("kept"));
}

TEST_F(PartitionTest, OneIsCompressedOnTheDiskAndTheOthersAreNot) {
  config_.partition_at_rest = {{"red", "zstd"}};
  Start();
  const std::string text(200'000, 'x');
  auto frame = [&](const char* name) {
    const store::BlobKey key{Sha256(text), service::PartitionNumber(name)};
    return server_->cas().ReadZstd(key, 0).value().has_value();
  };

  Tenant red(*server_, "team/red"), blue(*server_, "team/blue");
  red.Put(text);
  blue.Put(text);

  EXPECT_TRUE(frame("red"));
  EXPECT_FALSE(frame("blue"));
  EXPECT_TRUE(red.ReadsInBatch(text));
  EXPECT_TRUE(blue.ReadsInBatch(text));
}

TEST_F(PartitionTest, WorkersElsewhereReadTheOneThatTheyAreTold) {
  Start();
  Tenant(*server_, "team/red").Put("input");

  Tenant worker(*server_, fmt::format("main/partition-{}", service::PartitionNumber("red")));

  EXPECT_TRUE(worker.Finds("input"));
  EXPECT_FALSE(Tenant(*server_, "main").Finds("input"));
}

}  // namespace
}  // namespace lre::server

// The bounds of the storage services, one by one: what passes them is refused, and says so.
#include <gtest/gtest.h>

#include "reapi/tree.h"
#include "service/blocking.h"
#include "service/fake_asset_server.h"
#include "service/fake_call.h"
#include "service/fake_storage_server.h"

namespace lre::service {
namespace {

using google::bytestream::ByteStream;

TEST(StorageBounds, OfOneBatch) {
  TestServer server({.cas = {.batch_bytes_max = 1000}});
  auto cas = pb::ContentAddressableStorage::NewStub(server.channel);
  auto find = [&](int digests) {
    pb::FindMissingBlobsRequest request;
    for (int i = 0; i < digests; i++) *request.add_blob_digests() = DigestOf(std::to_string(i));
    pb::FindMissingBlobsResponse response;
    Context context;
    return cas->FindMissingBlobs(&context, request, &response).error_code();
  };

  EXPECT_EQ(find(10), grpc::StatusCode::OK);
  EXPECT_EQ(find(20), grpc::StatusCode::RESOURCE_EXHAUSTED);
}

TEST(StorageBounds, OfTheDirectoriesOfOneTree) {
  TestServer server({.cas = {.tree_directories_max = 3}});
  auto cas = pb::ContentAddressableStorage::NewStub(server.channel);
  auto walk = [&](const char* path) {
    reapi::TreeBuilder builder(kSha256);
    EXPECT_EQ(builder.AddDirectory(path), Status());
    auto built = builder.Build();
    for (reapi::NewBlob& directory : built.directories) server.store.Add(directory.bytes);
    pb::GetTreeRequest request;
    *request.mutable_root_digest() = reapi::ToProto(built.root);
    Context context;
    auto reader = cas->GetTree(&context, request);
    for (pb::GetTreeResponse page; reader->Read(&page);) {
    }
    return reader->Finish().error_code();
  };

  EXPECT_EQ(walk("a/b"), grpc::StatusCode::OK);
  EXPECT_EQ(walk("a/b/c"), grpc::StatusCode::RESOURCE_EXHAUSTED);
}

class WriteBounds : public testing::Test {
 protected:
  explicit WriteBounds(ByteStreamOptions options = {}) : server_({.byte_stream = options}) {
    stub_ = ByteStream::NewStub(server_.channel);
  }
  static std::string NameOf(const std::string& blob) {
    return reapi::PrintResourceName({.upload_id = "u", .digest = ComputeDigest(kSha256, blob)});
  }
  grpc::StatusCode Write(const std::string& blob, const std::string& data) {
    google::bytestream::WriteRequest request;
    request.set_resource_name(NameOf(blob));
    request.set_data(data);
    Context context;
    google::bytestream::WriteResponse response;
    auto writer = stub_->Write(&context, &response);
    writer->Write(request);
    writer->WritesDone();
    return writer->Finish().error_code();
  }
  int64_t Committed(const std::string& blob) {
    google::bytestream::QueryWriteStatusRequest request;
    request.set_resource_name(NameOf(blob));
    google::bytestream::QueryWriteStatusResponse response;
    Context context;
    EXPECT_TRUE(stub_->QueryWriteStatus(&context, request, &response).ok());
    return response.committed_size();
  }

  TestServer server_;
  std::unique_ptr<ByteStream::Stub> stub_;
};

TEST_F(WriteBounds, ABrokenUploadWaitsNoLongerThanItsBound) {
  const std::string blob(500'000, 'x');
  ASSERT_EQ(Write(blob, blob.substr(0, 300'000)), grpc::StatusCode::OK);
  server_.clock.Advance(std::chrono::minutes(9));
  EXPECT_EQ(Committed(blob), 300'000);

  server_.clock.Advance(std::chrono::minutes(2));

  EXPECT_EQ(Committed(blob), 0);
}

class MessageBounds : public WriteBounds {
 protected:
  MessageBounds() : WriteBounds({.write_message_bytes_max = 10'000}) {}
};

TEST_F(MessageBounds, OneMessageOfAWriteIsNoLargerThanItsBound) {
  const std::string blob(50'000, 'x');

  EXPECT_EQ(Write(blob, blob.substr(0, 9'000)), grpc::StatusCode::OK);
  EXPECT_EQ(Write(blob, blob.substr(0, 11'000)), grpc::StatusCode::RESOURCE_EXHAUSTED);
}

TEST(StorageBounds, OfWhatAnAnswerCarriesInlineAndOfOneResult) {
  TestServer server({.action_cache = {.result_bytes_max = 1000, .inline_bytes_max = 5}});
  auto stub = pb::ActionCache::NewStub(server.channel);
  pb::UpdateActionResultRequest update;
  *update.mutable_action_digest() = DigestOf("action");
  auto& result = *update.mutable_action_result();
  *result.mutable_stdout_digest() = reapi::ToProto(server.store.Add("12345"));
  *result.mutable_stderr_digest() = reapi::ToProto(server.store.Add("6"));
  pb::ActionResult answer;
  Context update_context, get_context, large_context;
  ASSERT_TRUE(stub->UpdateActionResult(&update_context, update, &answer).ok());
  pb::GetActionResultRequest get;
  *get.mutable_action_digest() = DigestOf("action");
  get.set_inline_stdout(true);
  get.set_inline_stderr(true);

  ASSERT_TRUE(stub->GetActionResult(&get_context, get, &answer).ok());
  EXPECT_EQ(answer.stdout_raw(), "12345");
  EXPECT_EQ(answer.stderr_raw(), "") << "does not fit any more";
  result.set_stdout_raw(std::string(1000, 'x'));
  EXPECT_EQ(stub->UpdateActionResult(&large_context, update, &answer).error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
}

TEST(StorageBounds, OfRequestsThatWaitForTheDisk) {
  ThreadPool full({.threads = 1, .queue_items_max = 0});
  auto call = std::make_shared<FakeCall>("ci");

  RunBlocking(full, call, [] { FAIL() << "there is no room for it"; });

  EXPECT_EQ(ToStatus(call->Wait()).code(), Code::kResourceExhausted);
}

class AssetBounds : public AssetFixture {};

TEST_F(AssetBounds, OfTheUrisOfOneRequest) {
  Start({.uris_max = 2});
  auto push = PushOf("urn:a", "bytes");
  push.add_uris("urn:b");
  EXPECT_EQ(PushBlob(push), grpc::OK);

  push.add_uris("urn:c");

  EXPECT_EQ(PushBlob(push), grpc::INVALID_ARGUMENT);
}

TEST_F(AssetBounds, OfFetchesThatWait) {
  Start({.fetches_waiting_max = 0});
  asset_pb::FetchBlobRequest request;
  request.add_uris(origin_.Url("/a"));
  asset_pb::FetchBlobResponse response;
  Context context;

  EXPECT_EQ(fetch_->FetchBlob(&context, request, &response).error_code(), grpc::RESOURCE_EXHAUSTED);
}

}  // namespace
}  // namespace lre::service

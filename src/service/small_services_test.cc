// Capabilities, ActionCache and Health.
#include "service/fake_storage_server.h"

namespace lre::service {
namespace {

TEST(CapabilitiesService, SaysWhatIsTrue) {
  TestServer server;
  pb::GetCapabilitiesRequest request;
  request.set_instance_name("any/name");
  pb::ServerCapabilities response;
  Context context;

  grpc::Status status =
      pb::Capabilities::NewStub(server.channel)->GetCapabilities(&context, request, &response);

  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.low_api_version().major(), 2);
  EXPECT_EQ(response.low_api_version().minor(), 0);
  EXPECT_EQ(response.cache_capabilities().digest_functions(0), pb::DigestFunction::SHA256);
  EXPECT_EQ(response.cache_capabilities().max_batch_total_size_bytes(), (4 << 20) - (64 << 10));
  EXPECT_TRUE(response.cache_capabilities().split_blob_support());
  EXPECT_TRUE(response.cache_capabilities().splice_blob_support());
  EXPECT_EQ(response.cache_capabilities().fast_cdc_2020_params().avg_chunk_size_bytes(), 512 << 10);
  EXPECT_TRUE(response.execution_capabilities().exec_enabled());
}

class ActionCacheServiceTest : public testing::TestWithParam<bool> {
 protected:
  ActionCacheServiceTest() {
    server_.store.would_block = GetParam();
    stub_ = pb::ActionCache::NewStub(server_.channel);
    Digest out = server_.store.Add("output"), log = server_.store.Add("log");
    auto* file = result_.add_output_files();
    file->set_path("a.o");
    *file->mutable_digest() = reapi::ToProto(out);
    *result_.mutable_stdout_digest() = reapi::ToProto(log);
  }
  grpc::Status Put(const std::string& instance, pb::ActionResult* answer = nullptr) {
    pb::UpdateActionResultRequest request;
    request.set_instance_name(instance);
    *request.mutable_action_digest() = DigestOf("action");
    *request.mutable_action_result() = result_;
    pb::ActionResult response;
    Context context;
    grpc::Status status = stub_->UpdateActionResult(&context, request, &response);
    if (answer) *answer = response;
    return status;
  }
  grpc::Status Get(pb::GetActionResultRequest request, pb::ActionResult* response) {
    *request.mutable_action_digest() = DigestOf("action");
    Context context;
    return stub_->GetActionResult(&context, request, response);
  }
  TestServer server_;
  std::unique_ptr<pb::ActionCache::Stub> stub_;
  pb::ActionResult result_;
};

INSTANTIATE_TEST_SUITE_P(Stores, ActionCacheServiceTest, testing::Bool());

TEST_P(ActionCacheServiceTest, ServesWhatWasPutPerInstance) {
  pb::ActionResult answer, got;
  grpc::Status status = Put("main", &answer);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(answer.SerializeAsString(), result_.SerializeAsString());
  pb::GetActionResultRequest request;
  EXPECT_EQ(Get(request, &got).error_code(), grpc::StatusCode::NOT_FOUND);
  request.set_instance_name("main");
  ASSERT_TRUE(Get(request, &got).ok());
  EXPECT_EQ(got.SerializeAsString(), result_.SerializeAsString());
}

TEST_P(ActionCacheServiceTest, InlinesWhatIsAskedFor) {
  ASSERT_TRUE(Put("").ok());
  pb::GetActionResultRequest request;
  request.set_inline_stdout(true);
  request.add_inline_output_files("a.o");
  request.add_inline_output_files("unknown");
  pb::ActionResult got;
  ASSERT_TRUE(Get(request, &got).ok());
  EXPECT_EQ(got.stdout_raw(), "log");
  EXPECT_EQ(got.output_files(0).contents(), "output");
  EXPECT_TRUE(got.has_stdout_digest());
}

TEST_P(ActionCacheServiceTest, MissesWhileABlobIsGone) {
  ASSERT_TRUE(Put("").ok());
  server_.store.Lose(ComputeDigest(kSha256, "output"));
  pb::ActionResult got;
  EXPECT_EQ(Get({}, &got).error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(Put("").error_code(), grpc::StatusCode::FAILED_PRECONDITION);
}

TEST_P(ActionCacheServiceTest, RefusesRequestsWithoutDigestOrResult) {
  pb::ActionResult response;
  for (bool digest : {false, true}) {
    pb::UpdateActionResultRequest request;
    if (digest) *request.mutable_action_digest() = DigestOf("action");
    if (!digest) request.mutable_action_result();
    Context context;
    EXPECT_EQ(stub_->UpdateActionResult(&context, request, &response).error_code(),
              grpc::StatusCode::INVALID_ARGUMENT);
  }
}

TEST(ActionCacheService, TakesUpdatesOnlyWhereTheyAreAllowed) {
  auto code = [](const UpdatePermission& update, const std::string& instance_name) {
    TestServer server({.action_cache = {.update = update}});
    pb::UpdateActionResultRequest request;
    request.set_instance_name(instance_name);
    *request.mutable_action_digest() = DigestOf("action");
    request.mutable_action_result();
    pb::ActionResult response;
    Context context;
    return pb::ActionCache::NewStub(server.channel)
        ->UpdateActionResult(&context, request, &response)
        .error_code();
  };
  EXPECT_EQ(code({}, "any"), grpc::StatusCode::OK);
  EXPECT_EQ(code({.enabled = false}, "any"), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(code({.instances = {"scratch", ""}}, "scratch"), grpc::StatusCode::OK);
  EXPECT_EQ(code({.instances = {"scratch", ""}}, ""), grpc::StatusCode::OK);
  EXPECT_EQ(code({.instances = {"scratch"}}, "release"), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(code({.instances = {"scratch"}}, ""), grpc::StatusCode::PERMISSION_DENIED);
}

TEST(HealthService, ChecksAndWatches) {
  TestServer server;
  auto stub = grpc::health::v1::Health::NewStub(server.channel);
  grpc::health::v1::HealthCheckRequest request;
  grpc::health::v1::HealthCheckResponse response;
  {
    Context context;
    ASSERT_TRUE(stub->Check(&context, request, &response).ok());
    EXPECT_EQ(response.status(), response.SERVING);
  }
  {
    Context context;
    request.set_service("no.such.Service");
    EXPECT_EQ(stub->Check(&context, request, &response).error_code(), grpc::StatusCode::NOT_FOUND);
  }
  Context context, unknown_context;
  auto unknown = stub->Watch(&unknown_context, request);
  ASSERT_TRUE(unknown->Read(&response));
  EXPECT_EQ(response.status(), response.SERVICE_UNKNOWN);
  request.set_service("google.bytestream.ByteStream");
  auto watch = stub->Watch(&context, request);
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), response.SERVING);

  server.health.SetServing(false);

  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), response.NOT_SERVING);
  context.TryCancel();
  unknown_context.TryCancel();
}

}  // namespace
}  // namespace lre::service

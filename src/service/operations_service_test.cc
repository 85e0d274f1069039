#include <gmock/gmock.h>

#include "lre/worker/v1/queue_state.pb.h"
#include "service/fake_execution_server.h"

namespace lre::service {
namespace {

namespace longrunning = google::longrunning;

// A server with one queued operation.
struct OperationsServiceTest : testing::Test {
  OperationsServiceTest() : call(server, server.AddAction({"true"})) {
    EXPECT_TRUE(call.Read());
    name = call.operation.name();
  }
  ~OperationsServiceTest() override {
    call.context.TryCancel();
    call.Finish();
  }
  grpc::Status Get(longrunning::Operation* operation) {
    longrunning::GetOperationRequest request;
    request.set_name(name);
    Context context;
    return server.operations->GetOperation(&context, request, operation);
  }

  ExecutionServer server;
  ExecuteCall call;
  std::string name;
};

TEST_F(OperationsServiceTest, GetsAnOperationByName) {
  longrunning::Operation operation;

  ASSERT_TRUE(Get(&operation).ok());

  EXPECT_EQ(operation.name(), name);
  EXPECT_FALSE(operation.done());
  name = "operations/none";
  EXPECT_EQ(Get(&operation).error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(OperationsServiceTest, ListsOperationsByStageInPages) {
  ExecuteCall second(server, server.AddAction({"two"}));
  ASSERT_TRUE(second.Read());
  longrunning::ListOperationsRequest request;
  request.set_page_size(1);
  longrunning::ListOperationsResponse page;
  {
    Context context;
    ASSERT_TRUE(server.operations->ListOperations(&context, request, &page).ok());
  }
  ASSERT_EQ(page.operations_size(), 1);
  EXPECT_EQ(page.operations(0).name(), name);
  request.set_page_token(page.next_page_token());
  {
    Context context;
    ASSERT_TRUE(server.operations->ListOperations(&context, request, &page).ok());
  }
  ASSERT_EQ(page.operations_size(), 1);
  EXPECT_EQ(page.operations(0).name(), second.operation.name()) << "the oldest first";

  longrunning::ListOperationsRequest completed;
  completed.set_filter("stage=completed");
  {
    Context context;
    ASSERT_TRUE(server.operations->ListOperations(&context, completed, &page).ok());
  }
  EXPECT_EQ(page.operations_size(), 0);
  completed.set_filter("colour=blue");
  {
    Context context;
    const grpc::Status refused = server.operations->ListOperations(&context, completed, &page);
    EXPECT_EQ(refused.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    EXPECT_THAT(refused.error_message(), testing::HasSubstr(kOperationFilterHelp));
  }
  completed.clear_filter();
  completed.set_page_token("from elsewhere");
  Context context;
  EXPECT_EQ(server.operations->ListOperations(&context, completed, &page).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  second.context.TryCancel();
  second.Finish();
}

TEST_F(OperationsServiceTest, ListsWhatAllConditionsOfTheFilterHoldFor) {
  auto count = [&](const std::string& filter) {
    Context context;
    longrunning::ListOperationsRequest request;
    longrunning::ListOperationsResponse page;
    request.set_filter(filter);
    const grpc::Status status = server.operations->ListOperations(&context, request, &page);
    return status.ok() ? page.operations_size() : -1;
  };
  ExecuteCall second(server, server.AddAction({"two"}));
  ASSERT_TRUE(second.Read());

  EXPECT_EQ(count("stage=queued AND instance=main"), 2);
  EXPECT_EQ(count("instance=other"), 0);
  EXPECT_EQ(count("stage=queued AND action=" + second.metadata.action_digest().hash()), 1);
  EXPECT_EQ(count("stage=executing AND instance=main"), 0);
  EXPECT_EQ(count("worker=nobody"), 0);
  EXPECT_EQ(count("invocation=nobody"), 0);
  EXPECT_EQ(count("user="), 2) << "nobody showed a certificate";
  EXPECT_EQ(count("user=nobody"), 0);
  std::string many = "stage=queued";
  for (int i = 0; i < 19; i++) many += " AND stage=queued";
  EXPECT_EQ(count(many), 2);
  EXPECT_EQ(count(many + " AND stage=queued"), -1) << "too many conditions";
  EXPECT_EQ(count("stage=queued AND"), -1);
  EXPECT_EQ(count("stage=unheard"), -1);
  second.context.TryCancel();
  second.Finish();
}

TEST_F(OperationsServiceTest, SaysWhereInTheQueueAnOperationStands) {
  ExecuteCall second(server, server.AddAction({"two"}));
  ASSERT_TRUE(second.Read());

  const auto& known = second.metadata.partial_execution_metadata();
  worker::v1::QueueState state;
  ASSERT_EQ(known.auxiliary_metadata_size(), 1);
  ASSERT_TRUE(known.auxiliary_metadata(0).UnpackTo(&state));
  EXPECT_EQ(state.position(), 2);
  EXPECT_EQ(state.attempts(), 0);
  second.context.TryCancel();
  second.Finish();
}

TEST_F(OperationsServiceTest, CancelsAnOperationAndTellsItsClient) {
  longrunning::CancelOperationRequest request;
  request.set_name(name);
  google::protobuf::Empty empty;
  {
    Context context;
    ASSERT_TRUE(server.operations->CancelOperation(&context, request, &empty).ok());
  }

  EXPECT_TRUE(call.Finish().ok());
  EXPECT_EQ(call.response.status().code(), static_cast<int>(Code::kCancelled));
  request.set_name("operations/none");
  Context context;
  EXPECT_EQ(server.operations->CancelOperation(&context, request, &empty).error_code(),
            grpc::StatusCode::NOT_FOUND);
}

TEST_F(OperationsServiceTest, DeletesAFinishedOperation) {
  FakeWorker worker(server.scheduler, {.answer = [](const auto& a) { return ReportOf(a); }});
  EXPECT_TRUE(call.Finish().ok());
  longrunning::Operation operation;
  ASSERT_TRUE(Get(&operation).ok());
  EXPECT_TRUE(operation.done());

  longrunning::DeleteOperationRequest request;
  request.set_name(name);
  google::protobuf::Empty empty;
  Context context;
  ASSERT_TRUE(server.operations->DeleteOperation(&context, request, &empty).ok());

  EXPECT_EQ(Get(&operation).error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(OperationsServiceTest, WaitsForTheEndOrUntilTheTimeIsUp) {
  longrunning::WaitOperationRequest request;
  request.set_name(name);
  request.mutable_timeout()->set_nanos(1000);
  longrunning::Operation operation;
  {
    Context context;
    ASSERT_TRUE(server.operations->WaitOperation(&context, request, &operation).ok());
  }
  EXPECT_FALSE(operation.done());

  FakeWorker worker(server.scheduler, {.answer = [](const auto& a) { return ReportOf(a); }});
  request.clear_timeout();
  Context context;
  ASSERT_TRUE(server.operations->WaitOperation(&context, request, &operation).ok());

  EXPECT_TRUE(operation.done());
}

}  // namespace
}  // namespace lre::service

// Bounds of execution, operations and the worker link that no other test reaches.
#include <gmock/gmock.h>

#include <latch>

#include "service/execution_payload.h"
#include "service/fake_execution_server.h"

namespace lre::service {
namespace {

namespace longrunning = google::longrunning;
using testing::HasSubstr;
using worker::v1::FromWorker;
using worker::v1::ToWorker;

const scheduler::SchedulerOptions kAlone{.adoption_grace = Duration(0)};

TEST(ExecutionBounds, OfTheBytesOfAnActionAndOfACommand) {
  ExecutionServer server(kAlone, Partitions::None(),
                         {.execution = {.action_bytes_max = 300, .command_bytes_max = 200}});
  FakeWorker worker(server.scheduler, {.answer = [](const auto& a) { return ReportOf(a); }});
  EXPECT_TRUE(ExecuteCall(server, server.AddAction({"true"})).Finish().ok());

  const grpc::Status command =
      ExecuteCall(server, server.AddAction({std::string(201, 'x')})).Finish();
  const grpc::Status action =
      ExecuteCall(server, server.AddAction({"true"}, false, {{"p", std::string(300, 'x')}}))
          .Finish();

  EXPECT_EQ(command.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(command.error_message(), HasSubstr("at most 200 bytes"));
  EXPECT_EQ(action.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(action.error_message(), HasSubstr("at most 300 bytes"));
}

TEST(ExecutionBounds, OfWhatAnAnswerHoldsInline) {
  ExecutionServer server(kAlone, Partitions::None(), {.execution = {.inline_bytes_max = 5}});
  for (const char* text : {"12345", "123456"}) {
    const pb::Digest out = server.Add(text);
    FakeWorker worker(server.scheduler, {.answer = [&](const auto& assignment) {
                        auto report = ReportOf(assignment);
                        *report.mutable_result()->mutable_stdout_digest() = out;
                        return report;
                      }});
    const pb::Digest action = server.AddAction({text});
    ASSERT_TRUE(ExecuteCall(server, action).Finish().ok());
    ExecuteCall cached(server, action);
    ASSERT_TRUE(cached.Finish().ok());

    EXPECT_TRUE(cached.response.cached_result());
    EXPECT_EQ(cached.response.result().stdout_raw(), std::string(text) == "12345" ? text : "");
  }
}

TEST(ExecutionBounds, OfTheEventsThatWaitForTheScheduler) {
  Metrics metrics;
  SchedulerThread scheduler(
      {.mailbox_events_max = 2}, [](const auto&, const auto&) {}, SystemClock(), metrics);
  struct Silent : ClientStream {
    void OnStage(const scheduler::StageChanged&) override {}
    void OnAnswer(const scheduler::Answer&) override {}
    void OnUnknown(const scheduler::OperationName&) override {}
  };
  auto execute = [&](int i) {
    scheduler::ActionRequest request;
    request.action = ComputeDigest(kSha256, std::to_string(i));
    return scheduler.Execute("operations/" + std::to_string(i), std::move(request),
                             std::make_shared<Silent>());
  };
  auto busy = std::make_shared<std::latch>(1), go_on = std::make_shared<std::latch>(1);
  ASSERT_TRUE(scheduler.Query([busy, go_on](const auto&, Instant) {
    busy->count_down();
    go_on->wait();
  }));
  busy->wait();

  EXPECT_TRUE(execute(1));
  EXPECT_TRUE(execute(2));
  const auto refused = execute(3);
  EXPECT_FALSE(scheduler.Query([](const auto&, Instant) {}));
  go_on->count_down();

  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kResourceExhausted);
  EXPECT_THAT(refused.error().message(), HasSubstr("mailbox_events_max"));
  scheduler.Flush();
  EXPECT_TRUE(execute(4));
}

TEST(ExecutionBounds, OfOnePageAndOfOneWait) {
  ExecutionServer server(
      kAlone, Partitions::None(),
      {.operations = {.operations_page_max = 2, .wait_max = std::chrono::milliseconds(1)}});
  ExecuteCall one(server, server.AddAction({"1"})), two(server, server.AddAction({"2"})),
      three(server, server.AddAction({"3"}));
  for (ExecuteCall* call : {&one, &two, &three}) ASSERT_TRUE(call->Read());

  longrunning::ListOperationsRequest list;
  list.set_page_size(1000);
  std::vector<int> pages;
  do {
    Context context;
    longrunning::ListOperationsResponse page;
    ASSERT_TRUE(server.operations->ListOperations(&context, list, &page).ok());
    pages.push_back(page.operations_size());
    list.set_page_token(page.next_page_token());
  } while (!list.page_token().empty());
  EXPECT_THAT(pages, testing::ElementsAre(2, 1));

  longrunning::WaitOperationRequest wait;
  wait.set_name(one.operation.name());
  wait.mutable_timeout()->set_seconds(3600);
  Context context;
  longrunning::Operation operation;
  EXPECT_TRUE(server.operations->WaitOperation(&context, wait, &operation).ok());
  EXPECT_FALSE(operation.done());

  for (ExecuteCall* call : {&one, &two, &three}) {
    call->context.TryCancel();
    call->Finish();
  }
}

TEST(ExecutionBounds, OfAWorkersHelloAndOfItsMessages) {
  ExecutionServer server(
      kAlone, Partitions::None(),
      {.link = {.message_bytes_max = 10000, .running_max = 1, .properties_max = 1}});
  auto say = [&](const FromWorker& message) {
    Context context;
    auto stub = worker::v1::WorkerLink::NewStub(server.channel);
    auto stream = stub->Connect(&context);
    stream->Write(message);
    stream->WritesDone();
    ToWorker answer;
    while (stream->Read(&answer)) {
    }
    return stream->Finish();
  };
  FromWorker good;
  good.mutable_hello()->set_version(kWorkerLinkVersion);
  good.mutable_hello()->set_worker_id("w");
  good.mutable_hello()->set_slots(1);
  good.mutable_hello()->add_running()->set_operation("operations/1");
  good.mutable_hello()->mutable_platform()->add_properties()->set_name("a");
  EXPECT_TRUE(say(good).ok());

  FromWorker running = good, properties = good, large = good;
  running.mutable_hello()->add_running()->set_operation("operations/2");
  properties.mutable_hello()->mutable_platform()->add_properties()->set_name("b");
  large.mutable_hello()->set_name(std::string(10000, 'x'));

  EXPECT_EQ(say(running).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(say(properties).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(say(large).error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
}

}  // namespace
}  // namespace lre::service

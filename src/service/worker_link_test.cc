// The worker link over gRPC and in process, and the golden messages of each version.
#include "service/worker_link.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "base/source_path.h"
#include "google/rpc/error_details.pb.h"
#include "lre/worker/v1/resource_usage.pb.h"
#include "service/execution_payload.h"
#include "service/fake_execution_server.h"

namespace lre::service {
namespace {

using testing::HasSubstr;
using worker::v1::FromWorker;
using worker::v1::ToWorker;

// A worker on the other end of a gRPC stream.
struct RpcWorker {
  explicit RpcWorker(ExecutionServer& server)
      : stub(worker::v1::WorkerLink::NewStub(server.channel)), stream(stub->Connect(&context)) {}
  void Hello(int version = kWorkerLinkVersion) {
    FromWorker hello;
    hello.mutable_hello()->set_version(version);
    hello.mutable_hello()->set_worker_id("remote");
    hello.mutable_hello()->set_slots(1);
    stream->Write(hello);
  }
  ToWorker Read() {
    ToWorker message;
    EXPECT_TRUE(stream->Read(&message));
    return message;
  }
  grpc::Status End() {
    stream->WritesDone();
    ToWorker message;
    while (stream->Read(&message)) {
    }
    return stream->Finish();
  }

  Context context;
  std::unique_ptr<worker::v1::WorkerLink::Stub> stub;
  std::unique_ptr<grpc::ClientReaderWriter<FromWorker, ToWorker>> stream;
};

TEST(WorkerLink, RunsAnActionOverGrpc) {
  ExecutionServer server;
  RpcWorker worker(server);
  worker.Hello();
  const ToWorker welcome = worker.Read();
  ASSERT_TRUE(welcome.has_welcome());
  EXPECT_EQ(welcome.welcome().version(), 1);
  EXPECT_EQ(welcome.welcome().silence_max().seconds(), 30);

  ExecuteCall call(server, server.AddAction({"true"}));
  const ToWorker assignment = worker.Read();
  ASSERT_TRUE(assignment.has_assignment());
  FromWorker report;
  *report.mutable_report() = ReportOf(assignment.assignment());
  worker.stream->Write(report);

  EXPECT_TRUE(worker.Read().has_acknowledge());
  EXPECT_TRUE(call.Finish().ok());
  EXPECT_TRUE(worker.End().ok());
}

TEST(WorkerLink, AnswersHeartbeats) {
  ExecutionServer server;
  RpcWorker worker(server);
  worker.Hello();
  worker.Read();
  FromWorker heartbeat;
  heartbeat.mutable_heartbeat()->set_sequence(7);

  worker.stream->Write(heartbeat);

  EXPECT_EQ(worker.Read().heartbeat().sequence(), 7);
  worker.End();
}

TEST(WorkerLink, EndsTheLinkOfAnotherVersionAndSaysWhy) {
  ExecutionServer server;
  RpcWorker worker(server);

  worker.Hello(99);

  const ToWorker quit = worker.Read();
  ASSERT_TRUE(quit.has_quit());
  EXPECT_THAT(quit.quit().status().message(), HasSubstr("version 99"));
  EXPECT_EQ(worker.End().error_code(), grpc::StatusCode::FAILED_PRECONDITION);
}

TEST(WorkerLink, EndsALinkThatDoesNotBeginWithAHello) {
  ExecutionServer server;
  RpcWorker worker(server);
  FromWorker heartbeat;
  heartbeat.mutable_heartbeat();

  worker.stream->Write(heartbeat);

  EXPECT_TRUE(worker.Read().has_quit());
  EXPECT_EQ(worker.End().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST(WorkerLink, TellsAWorkerThereIsNoPlaceForWhenToComeBack) {
  ExecutionServer server({.workers_max = 1, .workers_retry = std::chrono::seconds(42)});
  FakeWorker first(server.scheduler);
  RpcWorker second(server);
  second.Hello();
  EXPECT_TRUE(second.Read().has_welcome());

  const ToWorker quit = second.Read();

  ASSERT_TRUE(quit.has_quit());
  EXPECT_EQ(quit.quit().status().code(), static_cast<int>(Code::kUnavailable));
  ASSERT_EQ(quit.quit().status().details_size(), 1);
  google::rpc::RetryInfo retry;
  ASSERT_TRUE(quit.quit().status().details(0).UnpackTo(&retry));
  EXPECT_EQ(retry.retry_delay().seconds(), 42);
  EXPECT_EQ(second.End().error_code(), grpc::StatusCode::UNAVAILABLE);
  first.Disconnect();
  server.scheduler.Flush();
  RpcWorker third(server);
  third.Hello();
  EXPECT_TRUE(third.Read().has_welcome());
  ExecuteCall call(server, server.AddAction({"true"}));
  EXPECT_TRUE(third.Read().has_assignment()) << "there is a place now";
  call.context.TryCancel();
  call.Finish();
}

TEST(WorkerLink, GivesTheWorkOfABrokenLinkToAnotherWorker) {
  ExecutionServer server({.reconnect_grace = Duration(0)});
  ExecuteCall call(server, server.AddAction({"true"}));
  {
    FakeWorker first(server.scheduler, {.id = "first"});
    EXPECT_EQ(first.NextAssignment().attempt().number(), 1);
  }

  FakeWorker second(server.scheduler, {.id = "second"});
  const auto assignment = second.NextAssignment();
  EXPECT_EQ(assignment.attempt().number(), 2);
  second.SendReport(ReportOf(assignment));

  EXPECT_TRUE(call.Finish().ok());
  EXPECT_EQ(call.response.status().code(), 0);
}

TEST(WorkerLink, AdoptsWhatAReturningWorkerStillRuns) {
  ExecutionServer server;
  ExecuteCall call(server, server.AddAction({"true"}));
  worker::v1::Assignment assignment;
  {
    FakeWorker worker(server.scheduler);
    assignment = worker.NextAssignment();
  }

  FakeWorker again(server.scheduler, {.running = {{assignment.attempt().operation(), 1}}});
  again.SendReport(ReportOf(assignment));

  EXPECT_TRUE(call.Finish().ok());
  EXPECT_EQ(call.response.status().code(), 0);
  EXPECT_TRUE(again.Next().has_acknowledge());
}

TEST(WorkerLink, StopsAnAttemptThatNobodyKnows) {
  ExecutionServer server;

  FakeWorker worker(server.scheduler, {.running = {{"operations/old", 4}}});

  EXPECT_EQ(worker.NextCancel().attempt().operation(), "operations/old");
}

TEST(WorkerLink, LetsANewerLinkOfTheSameWorkerReplaceTheOlder) {
  ExecutionServer server;
  FakeWorker old(server.scheduler);
  FakeWorker fresh(server.scheduler);

  EXPECT_TRUE(old.Next().has_quit());
  ExecuteCall call(server, server.AddAction({"true"}));
  fresh.SendReport(ReportOf(fresh.NextAssignment()));

  EXPECT_TRUE(call.Finish().ok());
}

TEST(WorkerLink, TellsTheClientHowFarTheWorkerIs) {
  ExecutionServer server;
  FakeWorker worker(server.scheduler);
  ExecuteCall call(server, server.AddAction({"true"}));
  const auto assignment = worker.NextAssignment();
  FromWorker progress;
  *progress.mutable_progress()->mutable_attempt() = assignment.attempt();
  progress.mutable_progress()->mutable_metadata()->set_worker("told by worker");
  progress.mutable_progress()->mutable_metadata()->mutable_worker_start_timestamp()->set_seconds(9);

  worker.Send(progress);
  while (call.metadata.partial_execution_metadata().worker_start_timestamp().seconds() != 9) {
    ASSERT_TRUE(call.Read());
  }

  EXPECT_EQ(call.metadata.partial_execution_metadata().worker(), "told by worker");
  worker.SendReport(ReportOf(assignment));
  EXPECT_TRUE(call.Finish().ok());
}

TEST(WorkerLink, RunsAnActionOnceMoreThatRanOutOfMemory) {
  ExecutionServer server;
  FakeWorker worker(server.scheduler);
  ExecuteCall call(server, server.AddAction({"true"}));
  worker::v1::Report report = ReportOf(worker.NextAssignment());
  report.mutable_status()->set_code(static_cast<int>(Code::kResourceExhausted));
  report.mutable_status()->set_message("the command ran out of memory");
  report.set_retryable(true);

  worker.SendReport(report);
  const worker::v1::Assignment second = worker.NextAssignment();
  EXPECT_EQ(second.attempt().number(), 2);
  *report.mutable_attempt() = second.attempt();
  report.set_retryable(false);
  worker.SendReport(report);

  EXPECT_TRUE(call.Finish().ok());
  EXPECT_EQ(call.response.status().code(), static_cast<int>(Code::kResourceExhausted));
}

TEST(WorkerLink, LearnsFromWhatTheWorkerMeasured) {
  ExecutionServer server;
  FakeWorker worker(server.scheduler, {.slots = 2, .properties = {{"memory", "3GiB"}}});
  auto run = [&](const std::string& name) {
    return std::make_unique<ExecuteCall>(server, server.AddAction({name}), false, "CppCompile");
  };
  auto first = run("first");
  worker::v1::Report report = ReportOf(worker.NextAssignment());
  worker::v1::ResourceUsage usage;
  usage.set_memory_peak_bytes(int64_t{1500} << 20);
  report.mutable_result()->mutable_execution_metadata()->add_auxiliary_metadata()->PackFrom(usage);
  worker.SendReport(report);
  ASSERT_TRUE(first->Finish().ok());

  auto second = run("second");
  const worker::v1::Assignment assigned = worker.NextAssignment();
  auto third = run("third");
  ASSERT_TRUE(third->Read());

  EXPECT_EQ(third->metadata.stage(), pb::ExecutionStage::QUEUED) << "no room beside the second";
  worker.SendReport(ReportOf(assigned));
  worker.SendReport(ReportOf(worker.NextAssignment()));
  EXPECT_TRUE(second->Finish().ok());
  EXPECT_TRUE(third->Finish().ok());
}

TEST(SchedulerThread, MeasuresWhatWaitsByItsProperties) {
  ExecutionServer server;
  server.scheduler.DeclarePool({"large", {{"Pool", "lar\"ge"}}});
  ExecuteCall call(server, server.AddAction({"true"}, false, {{"Pool", "lar\"ge"}}));
  ASSERT_TRUE(call.Read());

  // Metrics are no older than a second.
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  const std::string wanted = "lre_scheduler_queue_actions{properties=\"Pool=lar\\\"ge\"} 1\n";
  while (server.metrics.Print().find(wanted) == std::string::npos &&
         std::chrono::steady_clock::now() < give_up) {
    server.scheduler.Flush();
    std::this_thread::yield();
  }

  EXPECT_THAT(server.metrics.Print(), HasSubstr(wanted));
  EXPECT_THAT(server.metrics.Print(), HasSubstr("lre_scheduler_queue_wait_estimate_seconds{"));
  call.context.TryCancel();
}

struct SilentStream : ClientStream {
  void OnStage(const scheduler::StageChanged&) override {}
  void OnAnswer(const scheduler::Answer&) override {}
  void OnUnknown(const scheduler::OperationName&) override {}
};

// What an autoscaler reads: how many wait for which workers, how long, and for how long one more.
TEST(SchedulerThread, HasMetricsThatAreNoOlderThanASecond) {
  FakeClock clock;
  Metrics metrics;
  SchedulerThread scheduler(
      {},
      [](const scheduler::Publish& publish, const std::function<void(scheduler::Published)>& done) {
        done({publish.attempt, Status(), false, publish.answer});
      },
      clock, metrics);
  auto a_second_later = [&] {
    clock.Advance(std::chrono::seconds(1));
    scheduler.Flush();  // begins to look at the time
    scheduler.Flush();  // has looked
    return metrics.Print();
  };
  a_second_later();
  for (int i = 0; i < 20; i++) {
    scheduler::ActionRequest request;
    request.action = ComputeDigest(kSha256, std::to_string(i));
    request.properties = {{"Pool", "large"}};
    request.payload = std::make_shared<const ExecutionPayload>();
    ASSERT_TRUE(scheduler.Execute("operations/" + std::to_string(i), std::move(request),
                                  std::make_shared<SilentStream>()));
  }
  scheduler.Flush();

  const std::string waiting = a_second_later();
  EXPECT_THAT(waiting, HasSubstr("lre_scheduler_queue_actions{properties=\"Pool=large\"} 20\n"));
  EXPECT_THAT(waiting,
              HasSubstr("lre_scheduler_queue_oldest_wait_seconds{properties=\"Pool=large\"} 1\n"));
  EXPECT_THAT(waiting, HasSubstr("lre_scheduler_actions{stage=\"queued\"} 20\n"));
  FakeWorker worker(scheduler, {.slots = 10, .properties = {{"Pool", "large"}}});
  const std::string half = a_second_later();
  EXPECT_THAT(half, HasSubstr("lre_scheduler_queue_actions{properties=\"Pool=large\"} 10\n"));
  EXPECT_THAT(half, HasSubstr("lre_scheduler_slots_busy 10\n"));
  // Ten started in this second and none before: 1.33 a second of late, and ten wait.
  EXPECT_THAT(
      half, HasSubstr("lre_scheduler_queue_wait_estimate_seconds{properties=\"Pool=large\"} 7\n"));
}

// The messages of version 1 as they were first sent, in the encoding of the wire; each must be read
// as the text beside it says. LRE_GOLDEN_ACCEPT=1 writes new ones alone: another old one would
// break workers.
class GoldenMessages : public testing::TestWithParam<std::string> {};

std::string ReadFile(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file) << path;
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

template <typename Message>
void CheckGolden(const std::filesystem::path& text_path) {
  Message expected;
  ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(ReadFile(text_path), &expected));
  std::filesystem::path bytes_path = text_path;
  bytes_path.replace_extension(".bin");
  if (std::getenv("LRE_GOLDEN_ACCEPT") != nullptr && !std::filesystem::exists(bytes_path)) {
    std::ofstream(bytes_path, std::ios::binary) << reapi::SerializeDeterministically(expected);
  }
  Message read;
  ASSERT_TRUE(read.ParseFromString(ReadFile(bytes_path)));
  EXPECT_EQ(read.DebugString(), expected.DebugString());
}

TEST_P(GoldenMessages, StayReadable) {
  const std::filesystem::path path =
      SourcePath("test/golden/worker_link/v1/" + GetParam() + ".textproto");
  if (GetParam().starts_with("from_worker")) {
    CheckGolden<FromWorker>(path);
  } else {
    CheckGolden<ToWorker>(path);
  }
}

INSTANTIATE_TEST_SUITE_P(V1, GoldenMessages,
                         testing::Values("from_worker_hello", "from_worker_heartbeat",
                                         "from_worker_report", "from_worker_progress",
                                         "from_worker_drain", "from_worker_output",
                                         "from_worker_hello_held", "to_worker_welcome",
                                         "to_worker_heartbeat", "to_worker_assignment",
                                         "to_worker_cancel", "to_worker_acknowledge",
                                         "to_worker_quit"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace lre::service

// Execute and WaitExecution, judged by grpc++, with a worker that runs nothing.
#include <gmock/gmock.h>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "reapi/error_details.h"
#include "service/fake_execution_server.h"

namespace lre::service {
namespace {

using testing::HasSubstr;

TEST(ExecutionService, RunsAnActionOnAWorkerAndStreamsItsStages) {
  ExecutionServer server;
  const pb::Digest action = server.AddAction({"true"});
  ExecuteCall call(server, action);
  ASSERT_TRUE(call.Read());
  EXPECT_EQ(call.metadata.stage(), pb::ExecutionStage::QUEUED);
  EXPECT_THAT(call.operation.name(), testing::StartsWith("operations/"));
  EXPECT_EQ(call.metadata.action_digest().hash(), action.hash());

  FakeWorker worker(server.scheduler);
  const auto assignment = worker.NextAssignment();
  EXPECT_EQ(assignment.command().arguments(0), "true");
  EXPECT_EQ(assignment.instance_name(), "main");
  EXPECT_EQ(assignment.action_digest().hash(), action.hash());
  EXPECT_EQ(assignment.timeout().seconds(), 15 * 60);
  ASSERT_TRUE(call.Read());
  EXPECT_EQ(call.metadata.stage(), pb::ExecutionStage::EXECUTING);
  EXPECT_EQ(call.metadata.partial_execution_metadata().worker(), "name of w1");
  auto report = ReportOf(assignment);
  auto* file = report.mutable_result()->add_output_files();
  file->set_path("out");
  *file->mutable_digest() = server.Add("output");
  report.mutable_result()->mutable_execution_metadata()->set_worker("w1");
  worker.SendReport(report);

  ASSERT_TRUE(call.Finish().ok());
  EXPECT_TRUE(call.operation.done());
  EXPECT_EQ(call.metadata.stage(), pb::ExecutionStage::COMPLETED);
  EXPECT_EQ(call.response.status().code(), 0);
  EXPECT_FALSE(call.response.cached_result());
  EXPECT_EQ(call.response.result().output_files(0).path(), "out");
  EXPECT_EQ(call.response.result().execution_metadata().worker(), "w1");
  EXPECT_TRUE(call.response.result().execution_metadata().has_queued_timestamp());
}

TEST(ExecutionService, AnswersFromTheActionCacheTheSecondTimeUnlessToldNotTo) {
  ExecutionServer server;
  const pb::Digest action = server.AddAction({"true"});
  const pb::Digest out = server.Add("hello");
  FakeWorker worker(server.scheduler, {.answer = [&](const auto& assignment) {
                      auto report = ReportOf(assignment);
                      *report.mutable_result()->mutable_stdout_digest() = out;
                      return report;
                    }});
  ASSERT_TRUE(ExecuteCall(server, action).Finish().ok());

  ExecuteCall again(server, action);
  ASSERT_TRUE(again.Finish().ok());
  EXPECT_TRUE(again.operation.done());
  EXPECT_TRUE(again.response.cached_result());
  EXPECT_EQ(again.response.result().stdout_raw(), "hello") << "asked for inline";
  ExecuteCall fresh(server, action, /*skip_cache_lookup=*/true);

  ASSERT_TRUE(fresh.Finish().ok());
  EXPECT_FALSE(fresh.response.cached_result());
}

TEST(ExecutionService, NeverCachesFailuresOrWhatMustNotBeCached) {
  ExecutionServer server;
  const pb::Digest failing = server.AddAction({"false"});
  const pb::Digest uncacheable = server.AddAction({"date"}, /*do_not_cache=*/true);
  FakeWorker worker(server.scheduler, {.answer = [](const auto& assignment) {
                      const bool fails = assignment.command().arguments(0) == "false";
                      return ReportOf(assignment, fails ? 1 : 0);
                    }});

  for (const pb::Digest& action : {failing, uncacheable}) {
    for (int i = 0; i < 2; i++) {
      ExecuteCall call(server, action);
      ASSERT_TRUE(call.Finish().ok());
      EXPECT_FALSE(call.response.cached_result());
    }
  }
}

std::vector<std::string> MissingSubjects(const grpc::Status& status) {
  google::rpc::Status details;
  EXPECT_TRUE(details.ParseFromString(status.error_details()));
  std::vector<std::string> subjects;
  for (const auto& any : details.details()) {
    google::rpc::PreconditionFailure failure;
    if (!any.UnpackTo(&failure)) continue;
    for (const auto& violation : failure.violations()) {
      EXPECT_EQ(violation.type(), "MISSING");
      subjects.push_back(violation.subject());
    }
  }
  return subjects;
}

std::string Subject(const pb::Digest& digest) {
  return "blobs/" + digest.hash() + "/" + std::to_string(digest.size_bytes());
}

TEST(ExecutionService, NamesTheMissingBlobsSoThatTheClientUploadsThem) {
  ExecutionServer server;
  const pb::Digest absent = DigestOf("an action that nobody uploaded");

  const grpc::Status status = ExecuteCall(server, absent).Finish();

  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(MissingSubjects(status), testing::ElementsAre(Subject(absent)));
}

TEST(ExecutionService, NamesAMissingCommandAndInputRoot) {
  ExecutionServer server;
  pb::Action action;
  *action.mutable_command_digest() = DigestOf("no command");
  *action.mutable_input_root_digest() = DigestOf("no root");

  const grpc::Status status = ExecuteCall(server, server.Add(action.SerializeAsString())).Finish();

  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(MissingSubjects(status), testing::ElementsAre(Subject(action.command_digest()),
                                                            Subject(action.input_root_digest())));
}

TEST(ExecutionService, RefusesWhatIsNoDigestOrNoAction) {
  ExecutionServer server;
  pb::Digest bad;
  bad.set_hash("nonsense");
  EXPECT_EQ(ExecuteCall(server, bad).Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT);

  const grpc::Status status = ExecuteCall(server, server.Add("this is no action")).Finish();

  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST(ExecutionService, PassesTheWorkersErrorOnWithItsDetailsAndResult) {
  ExecutionServer server;
  const Digest missing = ComputeDigest(kSha256, "input");
  FakeWorker worker(
      server.scheduler, {.answer = [&](const auto& assignment) {
        auto report = ReportOf(assignment, 0);
        report.clear_result();
        reapi::ToRpcStatus(reapi::MissingBlobsStatus({&missing, 1}), report.mutable_status());
        return report;
      }});

  ExecuteCall call(server, server.AddAction({"true"}));
  ASSERT_TRUE(call.Finish().ok()) << "the operation was made: its response has the error";

  EXPECT_EQ(call.response.status().code(), static_cast<int>(Code::kFailedPrecondition));
  EXPECT_EQ(reapi::MissingBlobsOf(reapi::FromRpcStatus(call.response.status()), kSha256),
            std::vector<Digest>{missing});
}

TEST(ExecutionService, RunsAgainWhenTheWorkerNamesBlobsThatAreNotThereAndThenSaysSo) {
  ExecutionServer server({.attempts_max = 2});
  std::atomic<int> attempts = 0;
  FakeWorker worker(server.scheduler, {.answer = [&](const auto& assignment) {
                      attempts++;
                      auto report = ReportOf(assignment);
                      *report.mutable_result()->mutable_stdout_digest() = DigestOf("not there");
                      return report;
                    }});

  ExecuteCall call(server, server.AddAction({"true"}));
  ASSERT_TRUE(call.Finish().ok());

  EXPECT_EQ(attempts.load(), 2);
  EXPECT_EQ(call.response.status().code(), static_cast<int>(Code::kInternal));
  EXPECT_THAT(call.response.status().message(), HasSubstr("incomplete"));
  EXPECT_FALSE(call.response.has_result());
}

TEST(ExecutionService, MergesIdenticalActionsAndAnswersBoth) {
  ExecutionServer server;
  const pb::Digest action = server.AddAction({"true"});
  ExecuteCall first(server, action), second(server, action);
  ASSERT_TRUE(first.Read());
  ASSERT_TRUE(second.Read());
  EXPECT_EQ(first.operation.name(), second.operation.name());

  FakeWorker worker(server.scheduler, {.answer = [](const auto& a) { return ReportOf(a); }});

  EXPECT_TRUE(first.Finish().ok());
  EXPECT_TRUE(second.Finish().ok());
  EXPECT_TRUE(first.operation.done());
  EXPECT_TRUE(second.operation.done());
}

TEST(ExecutionService, FindsTheOperationAgainAfterALostConnection) {
  ExecutionServer server;
  ExecuteCall lost(server, server.AddAction({"true"}));
  ASSERT_TRUE(lost.Read());
  lost.context.TryCancel();

  ExecuteCall wait(server, lost.operation.name());
  ASSERT_TRUE(wait.Read());
  EXPECT_EQ(wait.metadata.stage(), pb::ExecutionStage::QUEUED);
  FakeWorker worker(server.scheduler, {.answer = [](const auto& a) { return ReportOf(a); }});

  EXPECT_TRUE(wait.Finish().ok());
  EXPECT_TRUE(wait.operation.done());
  ExecuteCall late(server, lost.operation.name());
  EXPECT_TRUE(late.Finish().ok());
  EXPECT_TRUE(late.operation.done()) << "finished operations are kept for a while";
  lost.Finish();
}

TEST(ExecutionService, SaysNotFoundForAnUnknownOperation) {
  ExecutionServer server;

  EXPECT_EQ(ExecuteCall(server, std::string("operations/none")).Finish().error_code(),
            grpc::StatusCode::NOT_FOUND);
}

TEST(ExecutionService, StopsTheActionWhenItsOnlyClientLeaves) {
  ExecutionServer server({.client_grace = Duration(0)});
  FakeWorker worker(server.scheduler);
  ExecuteCall call(server, server.AddAction({"sleep"}));
  const auto assignment = worker.NextAssignment();

  call.context.TryCancel();
  call.Finish();

  EXPECT_EQ(worker.NextCancel().attempt().operation(), assignment.attempt().operation());
}

TEST(ExecutionService, SaysWhichPropertyNoWorkerHas) {
  ExecutionServer server({.worker_grace = Duration(0)});
  FakeWorker worker(server.scheduler, {.properties = {{"OSFamily", "linux"}}});

  ExecuteCall call(server, server.AddAction({"true"}, false, {{"OSFamily", "windows"}}));
  ASSERT_TRUE(call.Finish().ok());

  EXPECT_EQ(call.response.status().code(), static_cast<int>(Code::kFailedPrecondition));
  EXPECT_THAT(call.response.status().message(), HasSubstr("OSFamily=\"windows\""));
}

TEST(ExecutionService, RefusesAtOnceWithTheCallsStatusWhenTheQueueIsFull) {
  ExecutionServer server({.queued_actions_max = 1});
  ExecuteCall first(server, server.AddAction({"one"}));
  ASSERT_TRUE(first.Read());

  const grpc::Status status = ExecuteCall(server, server.AddAction({"two"})).Finish();

  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  first.context.TryCancel();
  first.Finish();
}

TEST(ExecutionService, AnswersEveryClientWhenTheSchedulerStops) {
  ExecutionServer server;
  ExecuteCall call(server, server.AddAction({"true"}));
  ASSERT_TRUE(call.Read());

  server.scheduler.Stop();

  EXPECT_EQ(call.Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(ExecuteCall(server, server.AddAction({"false"})).Finish().error_code(),
            grpc::StatusCode::UNAVAILABLE);
}

}  // namespace
}  // namespace lre::service

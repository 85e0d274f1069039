// What clients learn of an attempt: ExecuteOperationMetadata, ExecutedActionMetadata,
// ExecuteResponse.
#include <gmock/gmock.h>

#include "lre/worker/v1/queue_state.pb.h"
#include "lre/worker/v1/resource_usage.pb.h"
#include "reapi/error_details.h"
#include "service/fake_execution_server.h"

namespace lre::service {
namespace {

using testing::HasSubstr;

// Every field that ExecutedActionMetadata has.
pb::ExecutedActionMetadata Complete() {
  pb::ExecutedActionMetadata metadata;
  metadata.set_worker("the worker");
  int64_t seconds = 1000;
  for (auto* time : {metadata.mutable_queued_timestamp(), metadata.mutable_worker_start_timestamp(),
                     metadata.mutable_input_fetch_start_timestamp(),
                     metadata.mutable_input_fetch_completed_timestamp(),
                     metadata.mutable_execution_start_timestamp(),
                     metadata.mutable_execution_completed_timestamp(),
                     metadata.mutable_output_upload_start_timestamp(),
                     metadata.mutable_output_upload_completed_timestamp(),
                     metadata.mutable_worker_completed_timestamp()}) {
    time->set_seconds(seconds++);
  }
  metadata.mutable_virtual_execution_duration()->set_seconds(3);
  worker::v1::ResourceUsage usage;
  usage.set_memory_peak_bytes(12345678);
  usage.mutable_user_cpu()->set_seconds(2);
  usage.mutable_system_cpu()->set_seconds(1);
  usage.mutable_wall()->set_seconds(4);
  usage.set_read_bytes(5);
  usage.set_write_bytes(6);
  metadata.add_auxiliary_metadata()->PackFrom(usage);
  const auto* type = metadata.GetDescriptor();
  for (int i = 0; i < type->field_count(); i++) {
    const auto* field = type->field(i);
    const auto* reflection = metadata.GetReflection();
    EXPECT_TRUE(field->is_repeated() ? reflection->FieldSize(metadata, field) > 0
                                     : reflection->HasField(metadata, field))
        << field->name() << " is not among what is tested";
  }
  return metadata;
}

std::string Text(const google::protobuf::Message& message) { return message.DebugString(); }

TEST(ExecutionMetadata, OfAResultIsWholeInTheResponseTheOperationAndTheActionCache) {
  ExecutionServer server;
  const pb::Digest action = server.AddAction({"true"});
  FakeWorker worker(server.scheduler, {.answer = [](const auto& assignment) {
                      auto report = ReportOf(assignment);
                      *report.mutable_result()->mutable_execution_metadata() = Complete();
                      return report;
                    }});
  ExecuteCall call(server, action);
  ASSERT_TRUE(call.Finish().ok());

  EXPECT_EQ(Text(call.response.result().execution_metadata()), Text(Complete()));
  EXPECT_EQ(Text(call.metadata.partial_execution_metadata()), Text(Complete()));
  ExecuteCall cached(server, action);
  ASSERT_TRUE(cached.Finish().ok());
  EXPECT_TRUE(cached.response.cached_result());
  EXPECT_EQ(Text(cached.response.result().execution_metadata()), Text(Complete()));
}

TEST(ExecutionMetadata, OfAFailureIsWholeAsWell) {
  ExecutionServer server;
  FakeWorker worker(server.scheduler, {.answer = [](const auto& assignment) {
                      auto report = ReportOf(assignment);
                      *report.mutable_result()->mutable_execution_metadata() = Complete();
                      reapi::ToRpcStatus(Status(Code::kDeadlineExceeded, "took too long"),
                                         report.mutable_status());
                      return report;
                    }});
  ExecuteCall call(server, server.AddAction({"true"}));
  ASSERT_TRUE(call.Finish().ok());

  EXPECT_EQ(call.response.status().code(), static_cast<int>(Code::kDeadlineExceeded));
  EXPECT_EQ(Text(call.response.result().execution_metadata()), Text(Complete()));
  EXPECT_EQ(Text(call.metadata.partial_execution_metadata()), Text(Complete()));
}

TEST(ExecutionMetadata, GetsFromTheServerWhatTheWorkerLeavesOut) {
  ExecutionServer server;
  FakeWorker worker(server.scheduler,
                    {.answer = [](const auto& assignment) { return ReportOf(assignment); }});
  ExecuteCall call(server, server.AddAction({"true"}));
  ASSERT_TRUE(call.Finish().ok());

  // ExecutedActionMetadata.worker, .queued_timestamp
  EXPECT_EQ(call.response.result().execution_metadata().worker(), "name of w1");
  EXPECT_TRUE(call.response.result().execution_metadata().has_queued_timestamp());
}

// ExecuteOperationMetadata.stage, .action_digest, .digest_function, .stdout_stream_name,
// .stderr_stream_name, .partial_execution_metadata
TEST(ExecutionMetadata, TellsStageQueuePositionWorkerAndStreamsOnTheWay) {
  ExecutionServer server;
  ExecuteCall first(server, server.AddAction({"one"}));
  ASSERT_TRUE(first.Read());
  const pb::Digest action = server.AddAction({"two"});
  ExecuteCall second(server, action);
  ASSERT_TRUE(second.Read());
  EXPECT_EQ(second.metadata.stage(), pb::ExecutionStage::QUEUED);
  EXPECT_EQ(second.metadata.action_digest().hash(), action.hash());
  EXPECT_EQ(second.metadata.digest_function(), pb::DigestFunction::SHA256);
  EXPECT_TRUE(second.metadata.partial_execution_metadata().has_queued_timestamp());
  EXPECT_EQ(second.metadata.partial_execution_metadata().worker(), "");
  worker::v1::QueueState state;
  ASSERT_TRUE(second.metadata.partial_execution_metadata().auxiliary_metadata(0).UnpackTo(&state));
  EXPECT_EQ(state.position(), 2);

  FakeWorker worker(server.scheduler);
  worker.SendReport(ReportOf(worker.NextAssignment()));
  const worker::v1::Assignment assignment = worker.NextAssignment();
  ASSERT_TRUE(second.Read());
  EXPECT_EQ(second.metadata.stage(), pb::ExecutionStage::EXECUTING);
  EXPECT_EQ(second.metadata.partial_execution_metadata().worker(), "name of w1");
  EXPECT_TRUE(second.metadata.partial_execution_metadata().has_queued_timestamp());
  EXPECT_EQ(second.metadata.stdout_stream_name(), assignment.stdout_stream_name());
  EXPECT_EQ(second.metadata.stderr_stream_name(), assignment.stderr_stream_name());
  // The worker fails: it is queued again, and says that it was tried.
  worker::v1::Report report = ReportOf(assignment);
  reapi::ToRpcStatus(Status(Code::kInternal, "disk full"), report.mutable_status());
  report.set_retryable(true);
  worker.SendReport(report);
  ASSERT_TRUE(second.Read());
  EXPECT_EQ(second.metadata.stage(), pb::ExecutionStage::QUEUED);
  ASSERT_TRUE(second.metadata.partial_execution_metadata().auxiliary_metadata(0).UnpackTo(&state));
  EXPECT_EQ(state.attempts(), 1);

  FakeWorker other(server.scheduler, {.id = "w2"});
  other.SendReport(ReportOf(other.NextAssignment()));
  EXPECT_TRUE(first.Finish().ok());
  EXPECT_TRUE(second.Finish().ok());
  EXPECT_EQ(second.metadata.stage(), pb::ExecutionStage::COMPLETED);
  EXPECT_EQ(second.metadata.partial_execution_metadata().worker(), "name of w2");
}

// ExecuteResponse.server_logs, .message
TEST(ExecutionMetadata, CarriesTheLogsAndTheMessageOfAFailure) {
  ExecutionServer server({.worker_rest_max = Duration(0), .attempts_max = 2});
  const pb::Digest log = server.Add("what the sandbox said");
  bool retryable = false;
  FakeWorker worker(server.scheduler, {.answer = [&](const auto& assignment) {
                      auto report = ReportOf(assignment);
                      report.clear_result();
                      pb::LogFile& file = (*report.mutable_server_logs())["sandbox"];
                      *file.mutable_digest() = log;
                      file.set_human_readable(true);
                      report.set_message("see the log");
                      report.set_retryable(retryable);
                      reapi::ToRpcStatus(Status(Code::kInternal, "no sandbox"),
                                         report.mutable_status());
                      return report;
                    }});
  for (const bool again : {false, true}) {
    retryable = again;
    ExecuteCall call(server, server.AddAction({again ? "one" : "two"}));
    ASSERT_TRUE(call.Finish().ok());

    EXPECT_EQ(call.response.status().code(), static_cast<int>(Code::kInternal));
    EXPECT_THAT(call.response.status().message(), HasSubstr("no sandbox"));
    EXPECT_EQ(call.response.message(), "see the log");
    ASSERT_EQ(call.response.server_logs().count("sandbox"), 1u);
    EXPECT_EQ(call.response.server_logs().at("sandbox").digest().hash(), log.hash());
    EXPECT_EQ(call.metadata.partial_execution_metadata().worker(), "name of w1");
    EXPECT_TRUE(call.metadata.partial_execution_metadata().has_queued_timestamp());
  }
}

// PreconditionFailure.Violation.type, .subject: one for each input, so that clients upload all.
TEST(ExecutionMetadata, NamesEachMissingInputInAViolationOfItsOwn) {
  ExecutionServer server;
  const Digest missing[] = {ComputeDigest(kSha256, "one"), ComputeDigest(kSha256, "two"),
                            ComputeDigest(kSha256, "three")};
  FakeWorker worker(server.scheduler, {.answer = [&](const auto& assignment) {
                      auto report = ReportOf(assignment);
                      report.clear_result();
                      reapi::ToRpcStatus(reapi::MissingBlobsStatus(missing),
                                         report.mutable_status());
                      return report;
                    }});
  ExecuteCall call(server, server.AddAction({"true"}));
  ASSERT_TRUE(call.Finish().ok());

  EXPECT_EQ(call.response.status().code(), static_cast<int>(Code::kFailedPrecondition));
  ASSERT_EQ(call.response.status().details_size(), 1);
  google::rpc::PreconditionFailure failure;
  ASSERT_TRUE(call.response.status().details(0).UnpackTo(&failure));
  std::vector<std::string> subjects, wanted;
  for (const auto& violation : failure.violations()) {
    EXPECT_EQ(violation.type(), "MISSING");
    subjects.push_back(violation.subject());
  }
  for (const Digest& digest : missing) {
    wanted.push_back(fmt::format("blobs/{}/{}", digest.Hex(), digest.size_bytes));
  }
  EXPECT_EQ(subjects, wanted);
}

}  // namespace
}  // namespace lre::service

// What a server learns and shows of attempts while they run: over a restart, and of their output.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "build/bazel/remote/logstream/v1/remote_logstream.grpc.pb.h"
#include "google/bytestream/bytestream.grpc.pb.h"
#include "service/fake_execution_server.h"

namespace lre::service {
namespace {

namespace bytestream = google::bytestream;
namespace logstream = build::bazel::remote::logstream::v1;
using testing::HasSubstr;

// The assignment as a worker keeps it: of the command only the platform.
worker::v1::Assignment Lean(worker::v1::Assignment assignment) {
  pb::Command command;
  if (assignment.command().has_platform()) {
    *command.mutable_platform() = assignment.command().platform();
  }
  *assignment.mutable_command() = command;
  return assignment;
}

TEST(ServerRestart, FindsAnOperationThatAWorkerStillRuns) {
  worker::v1::Assignment assignment;
  pb::Digest action;
  {
    ExecutionServer before;
    ExecuteCall call(before, before.AddAction({"true"}));
    FakeWorker worker(before.scheduler);
    assignment = worker.NextAssignment();
    before.scheduler.Stop();
  }

  ExecutionServer after;
  action = after.AddAction({"true"});
  FakeWorker worker(after.scheduler, {.held = {Lean(assignment)}});
  ExecuteCall wait(after, assignment.attempt().operation());
  ASSERT_TRUE(wait.Read());
  EXPECT_EQ(wait.metadata.stage(), pb::ExecutionStage::EXECUTING);
  EXPECT_EQ(wait.metadata.action_digest().hash(), action.hash());
  worker.SendReport(ReportOf(assignment));

  EXPECT_TRUE(wait.Finish().ok());
  EXPECT_EQ(wait.response.status().code(), 0);
  // The result was published like any other.
  ExecuteCall again(after, action);
  EXPECT_TRUE(again.Finish().ok());
  EXPECT_TRUE(again.response.cached_result());
}

TEST(ServerRestart, LetsAClientWaitForTheWorkerAndSaysNotFoundWhenNoneComes) {
  ExecutionServer server({.adoption_grace = std::chrono::milliseconds(50)});

  ExecuteCall wait(server, "operations/of-before");

  EXPECT_EQ(wait.Finish().error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST(ServerRestart, NeverCachesAResultThatMustNotBe) {
  ExecutionServer server;
  const pb::Digest action = server.AddAction({"true"}, /*do_not_cache=*/true);
  ExecuteCall call(server, action);
  worker::v1::Assignment assignment;
  {
    FakeWorker worker(server.scheduler);
    assignment = worker.NextAssignment();
  }
  ExecutionServer after;
  EXPECT_EQ(after.AddAction({"true"}, true).hash(), action.hash());
  FakeWorker worker(after.scheduler, {.held = {Lean(assignment)}});
  ExecuteCall wait(after, assignment.attempt().operation());
  worker.SendReport(ReportOf(assignment));
  ASSERT_TRUE(wait.Finish().ok());

  ExecuteCall again(after, action);
  const worker::v1::Assignment second = worker.NextAssignment();

  EXPECT_EQ(second.action_digest().hash(), action.hash()) << "it runs again";
  worker.SendReport(ReportOf(second));
  EXPECT_TRUE(again.Finish().ok());
}

struct StreamReader {
  StreamReader(ExecutionServer& server, const std::string& name, int64_t offset = 0)
      : stub(bytestream::ByteStream::NewStub(server.channel)) {
    bytestream::ReadRequest request;
    request.set_resource_name(name);
    request.set_read_offset(offset);
    reader = stub->Read(&context, request);
  }
  std::string Next() {
    bytestream::ReadResponse response;
    return reader->Read(&response) ? response.data() : "(end)";
  }
  Context context;
  std::unique_ptr<bytestream::ByteStream::Stub> stub;
  std::unique_ptr<grpc::ClientReader<bytestream::ReadResponse>> reader;
};

TEST(LiveOutput, IsReadWhileTheCommandRunsUnderTheNamesInTheMetadata) {
  ExecutionServer server;
  ExecuteCall call(server, server.AddAction({"true"}));
  FakeWorker worker(server.scheduler);
  const worker::v1::Assignment assignment = worker.NextAssignment();
  do ASSERT_TRUE(call.Read());
  while (call.metadata.stage() != pb::ExecutionStage::EXECUTING);
  EXPECT_THAT(call.metadata.stdout_stream_name(), testing::StartsWith("main/logstreams/"));
  EXPECT_EQ(call.metadata.stdout_stream_name(), assignment.stdout_stream_name());
  EXPECT_EQ(call.metadata.stderr_stream_name(), assignment.stderr_stream_name());

  StreamReader reader(server, call.metadata.stdout_stream_name());
  auto print = [&](int64_t offset, const std::string& text, bool is_stderr) {
    worker::v1::FromWorker message;
    auto* output = message.mutable_output();
    *output->mutable_attempt() = assignment.attempt();
    output->set_is_stderr(is_stderr);
    output->set_offset(offset);
    output->set_data(text);
    worker.Send(message);
  };
  print(0, "first", false);
  EXPECT_EQ(reader.Next(), "first");
  print(5, "second", false);
  EXPECT_EQ(reader.Next(), "second");
  print(0, "warning", true);
  StreamReader errors(server, call.metadata.stderr_stream_name(), 4);
  EXPECT_EQ(errors.Next(), "ing");
  worker.SendReport(ReportOf(assignment));

  EXPECT_EQ(reader.Next(), "(end)");
  EXPECT_TRUE(reader.reader->Finish().ok());
  EXPECT_EQ(errors.Next(), "(end)");
  EXPECT_TRUE(call.Finish().ok());
}

TEST(LiveOutput, EndsWithTheLinkOfItsWorker) {
  ExecutionServer server;
  ExecuteCall call(server, server.AddAction({"true"}));
  auto worker = std::make_unique<FakeWorker>(server.scheduler);
  const worker::v1::Assignment assignment = worker->NextAssignment();
  StreamReader reader(server, assignment.stdout_stream_name());
  worker::v1::FromWorker message;
  *message.mutable_output()->mutable_attempt() = assignment.attempt();
  message.mutable_output()->set_data("text");
  worker->Send(message);
  EXPECT_EQ(reader.Next(), "text");

  worker.reset();

  EXPECT_EQ(reader.Next(), "(end)");
  call.context.TryCancel();
}

TEST(LiveOutput, OfAnAttemptOfAnotherWorkerIsNotTaken) {
  ExecutionServer server;
  ExecuteCall call(server, server.AddAction({"true"}));
  FakeWorker worker(server.scheduler);
  const worker::v1::Assignment assignment = worker.NextAssignment();
  FakeWorker other(server.scheduler, {.id = "w2"});
  worker::v1::FromWorker message;
  *message.mutable_output()->mutable_attempt() = assignment.attempt();
  message.mutable_output()->set_data("forged");
  other.Send(message);
  StreamReader reader(server, assignment.stdout_stream_name());
  message.mutable_output()->set_data("true");
  worker.Send(message);

  EXPECT_EQ(reader.Next(), "true");
  call.context.TryCancel();
}

TEST(LogStreamService, IsWrittenByWhoMadeItAndReadByOthers) {
  ExecutionServer server;
  auto stub = logstream::LogStreamService::NewStub(server.channel);
  logstream::CreateLogStreamRequest request;
  request.set_parent("main");
  logstream::LogStream made;
  Context create;
  ASSERT_TRUE(stub->CreateLogStream(&create, request, &made).ok());
  StreamReader reader(server, made.name());

  auto bytes = bytestream::ByteStream::NewStub(server.channel);
  Context write_context;
  bytestream::WriteResponse written;
  auto writer = bytes->Write(&write_context, &written);
  bytestream::WriteRequest part;
  part.set_resource_name(made.write_resource_name());
  part.set_data("begun ");
  writer->Write(part);
  EXPECT_EQ(reader.Next(), "begun ");
  part.clear_resource_name();
  part.set_write_offset(6);
  part.set_data("ended");
  part.set_finish_write(true);
  writer->Write(part);
  writer->WritesDone();
  EXPECT_TRUE(writer->Finish().ok());

  EXPECT_EQ(written.committed_size(), 11);
  EXPECT_EQ(reader.Next(), "ended");
  EXPECT_EQ(reader.Next(), "(end)");
  Context query_context;
  bytestream::QueryWriteStatusRequest query;
  bytestream::QueryWriteStatusResponse status;
  query.set_resource_name(made.write_resource_name());
  ASSERT_TRUE(bytes->QueryWriteStatus(&query_context, query, &status).ok());
  EXPECT_EQ(status.committed_size(), 11);
  EXPECT_TRUE(status.complete());
}

TEST(LogStreamService, LeavesBlobsAsTheyAre) {
  ExecutionServer server;
  const pb::Digest blob = server.Add("the text of a blob");

  StreamReader reader(server,
                      "main/blobs/" + blob.hash() + "/" + std::to_string(blob.size_bytes()));
  EXPECT_EQ(reader.Next(), "the text of a blob");
  EXPECT_EQ(reader.Next(), "(end)");
  StreamReader unknown(server, "main/logstreams/unknown");
  EXPECT_EQ(unknown.Next(), "(end)");
  EXPECT_EQ(unknown.reader->Finish().error_code(), grpc::StatusCode::NOT_FOUND);
}

}  // namespace
}  // namespace lre::service

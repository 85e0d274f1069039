// What a worker tells of an action besides its result: usage, output while it runs, what it holds.
#include <gmock/gmock.h>

#include "lre/worker/v1/resource_usage.pb.h"
#include "worker/fake_worker_setup.h"

namespace lre::worker {
namespace {

using std::chrono::seconds;
using testing::HasSubstr;

class LiveWorkerTest : public WorkerSetupTest {
 protected:
  static std::function<void(v1::Assignment&)> InputRootAt(const std::string& path) {
    return [path](v1::Assignment& assignment) {
      auto* property = assignment.mutable_command()->mutable_platform()->add_properties();
      property->set_name("InputRootAbsolutePath");
      property->set_value(path);
    };
  }
};

TEST_F(LiveWorkerTest, TellsWhatTheCommandUsed) {
  setup_->Start();

  v1::Report report = setup_->Run({.script = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"});

  const auto& metadata = report.result().execution_metadata();
  ASSERT_GE(metadata.auxiliary_metadata_size(), 1);
  v1::ResourceUsage usage;
  bool found = false;
  for (const auto& any : metadata.auxiliary_metadata()) found |= any.UnpackTo(&usage);
  ASSERT_TRUE(found);
  EXPECT_GT(usage.memory_peak_bytes(), 100'000);
  EXPECT_GT(usage.user_cpu().nanos() + usage.system_cpu().nanos(), 0);
  EXPECT_GT(usage.wall().nanos() + usage.wall().seconds(), 0);
  for (const auto* time :
       {&metadata.worker_start_timestamp(), &metadata.input_fetch_start_timestamp(),
        &metadata.input_fetch_completed_timestamp(), &metadata.execution_start_timestamp(),
        &metadata.execution_completed_timestamp(), &metadata.output_upload_start_timestamp(),
        &metadata.output_upload_completed_timestamp(), &metadata.worker_completed_timestamp()})
    EXPECT_GT(time->seconds(), 0);
}

TEST_F(LiveWorkerTest, SendsOutputWhileTheCommandRunsWhenSomebodyListens) {
  setup_->Start();
  v1::Assignment assignment =
      setup_->Assign({.script = "echo one; sleep 1000", .timeout = seconds(60)},
                     [](v1::Assignment& change) { change.set_stdout_stream_name("stream"); });

  auto message = setup_->server.NextOf(v1::FromWorker::kOutput);

  ASSERT_TRUE(message);
  EXPECT_EQ(message->output().data(), "one\n");
  EXPECT_EQ(message->output().offset(), 0);
  EXPECT_FALSE(message->output().is_stderr());
  EXPECT_EQ(message->output().attempt().operation(), assignment.attempt().operation());
  setup_->Cancel(assignment.attempt());
  setup_->WaitForReport();
}

TEST_F(LiveWorkerTest, AnActionThatWritesMuchIsGivenADisk) {
  setup_->Start({.memory_files_bytes_max = 1 << 20});
  // Slow enough to be looked at.
  TestAction action{.script = "head -c 3000000 /dev/zero > out; sleep 0.3; echo x >> log",
                    .files = {{"log", ""}},
                    .output_paths = {"out", "log"}};

  for (int round = 0; round < 2; ++round) {
    v1::Report report = setup_->Run(action);

    EXPECT_EQ(report.result().exit_code(), 0) << report.DebugString();
    EXPECT_EQ(setup_->Output(report, "out").size(), 3'000'000u);
    EXPECT_EQ(setup_->Output(report, "log"), "x\n") << "nothing of the first run is left";
  }
}

TEST_F(LiveWorkerTest, AnActionWithoutMemoryIsToldApart) {
  setup_->Start({.action_memory_bytes_max = 30 << 20});

  v1::Report report = setup_->Run(
      {.script = "perl -e '$x = \"a\" x 60000000; sleep 1000'", .timeout = seconds(60)});

  EXPECT_TRUE(report.out_of_memory());
  EXPECT_EQ(report.status().code(), static_cast<int>(Code::kResourceExhausted));
  EXPECT_TRUE(report.retryable());
  v1::ResourceUsage usage;
  ASSERT_GE(report.result().execution_metadata().auxiliary_metadata_size(), 1);
  ASSERT_TRUE(report.result().execution_metadata().auxiliary_metadata(0).UnpackTo(&usage));
  EXPECT_GT(usage.memory_peak_bytes(), 30 << 20);
}

TEST_F(LiveWorkerTest, TheInputRootMayBeTheRootOfTheFileSystem) {
  setup_->Start();
  setup_->Assign({.arguments = {"/sh"}}, InputRootAt("/"));

  v1::Report report = setup_->WaitForReport();

  // The worker's own userland is not there.
  EXPECT_EQ(report.status().code(), static_cast<int>(Code::kInvalidArgument));
  EXPECT_THAT(report.status().message(), HasSubstr("/sh"));
}

TEST_F(LiveWorkerTest, AnActionMaySayWhereItsInputsLie) {
  setup_->Start();
  setup_->Assign({.script = "pwd"}, InputRootAt("/workspace/project"));

  EXPECT_EQ(setup_->WaitForReport().result().stdout_raw(), "/workspace/project\n");
}

}  // namespace
}  // namespace lre::worker

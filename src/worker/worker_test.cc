#include "worker/worker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "lre/worker/v1/store_paths.pb.h"
#include "reapi/error_details.h"
#include "reapi/tree.h"
#include "worker/fake_worker_setup.h"

namespace lre::worker {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

Code CodeOf(const v1::Report& report) { return static_cast<Code>(report.status().code()); }

class WorkerTest : public WorkerSetupTest {
 protected:
  void Start(WorkerOptions options = {}) { setup_->Start(std::move(options)); }
  v1::Report Run(const TestAction& action) { return setup_->Run(action); }
  v1::Report RunOk(const TestAction& action) {
    v1::Report report = Run(action);
    EXPECT_EQ(report.status().code(), 0) << report.status().message();
    EXPECT_EQ(report.result().exit_code(), 0) << report.result().stderr_raw();
    return report;
  }
};

TEST_F(WorkerTest, RunsACommandOnItsInputsAndReportsItsOutputs) {
  Start();

  v1::Report report = RunOk({.script = "cat a/in > b/out; echo said; echo wrong >&2",
                             .files = {{"a/in", "content"}},
                             .output_paths = {"b/missing", "b/out"}});

  EXPECT_EQ(setup_->Output(report, "b/out"), "content");
  EXPECT_THAT(report.result().output_files(), SizeIs(1));
  EXPECT_EQ(report.result().stdout_raw(), "said\n");
  EXPECT_EQ(report.result().stderr_raw(), "wrong\n");
  EXPECT_FALSE(report.retryable());
}

TEST_F(WorkerTest, FillsInTheExecutionMetadata) {
  Start();

  const auto metadata = RunOk({.script = "true"}).result().execution_metadata();

  EXPECT_EQ(metadata.worker(), "tester");
  std::vector<std::pair<int64_t, int>> times;
  for (const auto& time :
       {metadata.worker_start_timestamp(), metadata.input_fetch_start_timestamp(),
        metadata.input_fetch_completed_timestamp(), metadata.execution_start_timestamp(),
        metadata.execution_completed_timestamp(), metadata.output_upload_start_timestamp(),
        metadata.output_upload_completed_timestamp(), metadata.worker_completed_timestamp()}) {
    EXPECT_GT(time.seconds(), 0);
    times.emplace_back(time.seconds(), time.nanos());
  }
  EXPECT_TRUE(std::is_sorted(times.begin(), times.end()));
}

TEST_F(WorkerTest, ReportsANonZeroExitAsAResultWithItsOutputs) {
  Start();

  v1::Report report = Run({.script = "echo x > out; exit 3", .output_paths = {"out"}});

  EXPECT_EQ(CodeOf(report), Code::kOk);
  EXPECT_EQ(report.result().exit_code(), 3);
  EXPECT_EQ(setup_->Output(report, "out"), "x\n");
}

TEST_F(WorkerTest, AnActionThatChangesItsInputLeavesTheNextOneUnharmed) {
  Start();
  TestAction spoil{.script =
                       "echo spoilt >> in; rm d/gone; echo more > d/new; chmod 777 d run.sh; "
                       "mv d/kept d/moved",
                   .files = {{"in", "good\n"}, {"d/gone", ""}, {"d/kept", ""}, {"run.sh", "#!"}}};
  RunOk(spoil);

  spoil.script = "cat in; ls d; ls -l run.sh | cut -c1-10";

  EXPECT_EQ(RunOk(spoil).result().stdout_raw(), "good\ngone\nkept\n-rwxr-xr-x\n");
}

TEST_F(WorkerTest, ShowsTheInputsAndNothingOfTheHost) {
  Start();

  v1::Report report =
      RunOk({.script = "pwd; ls -A; ls -A /; ls /etc; id -un", .files = {{"only", ""}}});

  EXPECT_EQ(report.result().stdout_raw(),
            "/build\nonly\nbin\nbuild\ndev\netc\nlib\nlib64\nproc\nsbin\ntmp\nusr\n"
            "group\nhosts\nlocaltime\nnsswitch.conf\npasswd\nlre\n");
}

TEST_F(WorkerTest, MakesTheWorkingDirectoryAndTheParentsOfOutputs) {
  Start();

  v1::Report report = RunOk({.script = "pwd; echo 1 > deep/er/a; echo 2 > in/b; cat in/c",
                             .files = {{"w/in/c", "3\n"}},
                             .output_paths = {"deep/er/a", "in/b"},
                             .working_directory = "w"});

  EXPECT_EQ(report.result().stdout_raw(), "/build/w\n3\n");
  EXPECT_EQ(setup_->Output(report, "deep/er/a"), "1\n");
  EXPECT_EQ(setup_->Output(report, "in/b"), "2\n");
  EXPECT_EQ(
      RunOk({.script = "pwd", .working_directory = "not/in/the/inputs"}).result().stdout_raw(),
      "/build/not/in/the/inputs\n");
}

TEST_F(WorkerTest, CapturesLinksDirectoriesAndTheExecutableBit) {
  Start();

  v1::Report report =
      RunOk({.script = "mkdir -p d/empty; echo x > d/file; chmod +x d/file; ln -s file d/link; "
                       "ln -s /nowhere absolute; ln -s gone dangling; ln -s d to_d; "
                       "echo y > plain; cp plain tool; chmod 755 tool",
             .output_paths = {"absolute", "d", "dangling", "plain", "to_d", "tool"}});

  const auto& result = report.result();
  ASSERT_THAT(result.output_symlinks(), SizeIs(3));
  EXPECT_EQ(result.output_symlinks(0).target(), "/nowhere");
  EXPECT_EQ(result.output_symlinks(1).target(), "gone");
  EXPECT_EQ(result.output_symlinks(2).target(), "d");
  ASSERT_THAT(result.output_files(), SizeIs(2));
  EXPECT_FALSE(result.output_files(0).is_executable());
  EXPECT_TRUE(result.output_files(1).is_executable());
  ASSERT_THAT(result.output_directories(), SizeIs(1));
  auto tree = reapi::ParseTree(setup_->Blob(result.output_directories(0).tree_digest()),
                               DigestFunction::kSha256);
  ASSERT_TRUE(tree) << ToStatus(tree).ToString();
  ASSERT_THAT(tree->root.files, SizeIs(1));
  EXPECT_TRUE(tree->root.files[0].is_executable);
  ASSERT_THAT(tree->root.directories, SizeIs(1));
  EXPECT_EQ(tree->root.directories[0].name, "empty");
  ASSERT_THAT(tree->root.symlinks, SizeIs(1));
  EXPECT_EQ(tree->root.symlinks[0].target, "file");
}

TEST_F(WorkerTest, AnswersTheOldListsInTheOldFields) {
  Start();

  v1::Report report = RunOk({.script = "mkdir d; echo a > f; ln -s f lf; ln -s d ld; ln -s x lx",
                             .output_files = {"f", "lf", "lx", "ld"},
                             .output_directories = {"d"}});

  const auto& result = report.result();
  EXPECT_THAT(result.output_files(), SizeIs(1));
  EXPECT_THAT(result.output_directories(), SizeIs(1));
  EXPECT_THAT(result.output_file_symlinks(), SizeIs(2));
  EXPECT_THAT(result.output_directory_symlinks(), SizeIs(1));
  EXPECT_THAT(result.output_symlinks(), SizeIs(0));
}

TEST_F(WorkerTest, AnOutputDirectoryHoldsItsInputsToo) {
  Start();

  v1::Report report =
      RunOk({.script = "rm d/a; echo new > d/c; rm -r d/s; mkdir d/s; echo 1 > d/s/t",
             .files = {{"d/a", "a"}, {"d/b", "b"}, {"d/s/old", ""}},
             .output_paths = {"d"}});

  ASSERT_THAT(report.result().output_directories(), SizeIs(1));
  auto tree = *reapi::ParseTree(setup_->Blob(report.result().output_directories(0).tree_digest()),
                                DigestFunction::kSha256);
  std::vector<std::string> names;
  for (const auto& file : tree.root.files) names.push_back(file.name);
  for (const auto& [digest, child] : tree.children)
    for (const auto& file : child.files) names.push_back("s/" + file.name);
  EXPECT_THAT(names, ElementsAre("b", "c", "s/t"));
}

TEST_F(WorkerTest, RefusesAnOutputPathThatLeavesTheInputRoot) {
  Start();

  for (const char* path : {"../x", "a/../../x", "/etc/passwd"}) {
    v1::Report report = Run({.script = "true", .output_paths = {path}});
    EXPECT_EQ(CodeOf(report), Code::kInvalidArgument) << path;
    EXPECT_FALSE(report.has_result());
  }
}

TEST_F(WorkerTest, FollowsNoLinkToAnOutput) {
  Start();

  v1::Report report = RunOk({.script = "ln -s /etc d", .output_paths = {"d/passwd"}});

  EXPECT_THAT(report.result().output_files(), SizeIs(0));
}

TEST_F(WorkerTest, KeepsWhatWasPrintedBeforeTheTimeout) {
  Start();

  v1::Report report = Run({.script = "echo begun; sleep 1000", .timeout = milliseconds(200)});

  EXPECT_EQ(CodeOf(report), Code::kDeadlineExceeded);
  EXPECT_EQ(report.result().stdout_raw(), "begun\n");
  EXPECT_EQ(report.result().exit_code(), 137);
  EXPECT_FALSE(report.retryable());
}

TEST_F(WorkerTest, NamesEveryMissingInput) {
  Start();
  reapi::TreeBuilder builder(DigestFunction::kSha256);
  Digest gone = ComputeDigest(DigestFunction::kSha256, "never uploaded");
  Digest also = ComputeDigest(DigestFunction::kSha256, "nor this");
  ASSERT_TRUE(builder.AddFile("x", gone, false).ok());
  ASSERT_TRUE(builder.AddFile("y/z", also, true).ok());
  auto built = builder.Build();
  for (const auto& blob : built.directories) setup_->cas.Add(blob.bytes);
  v1::ToWorker message;
  *message.mutable_assignment() = [&] {
    v1::Assignment assignment;
    assignment.mutable_attempt()->set_operation("missing");
    assignment.mutable_attempt()->set_number(1);
    assignment.mutable_command()->add_arguments("true");
    assignment.mutable_action()->mutable_input_root_digest()->set_hash(built.root.Hex());
    assignment.mutable_action()->mutable_input_root_digest()->set_size_bytes(built.root.size_bytes);
    assignment.mutable_action_digest()->set_hash(built.root.Hex());
    return assignment;
  }();
  setup_->server.Send(message);
  v1::Report report = setup_->WaitForReport();

  EXPECT_EQ(CodeOf(report), Code::kFailedPrecondition);
  EXPECT_FALSE(report.retryable());
  EXPECT_THAT(reapi::MissingBlobsOf(reapi::FromRpcStatus(report.status()), DigestFunction::kSha256),
              testing::UnorderedElementsAre(gone, also));
}

TEST_F(WorkerTest, AFailingStoreIsTheWorkersFailure) {
  Start({.patience = {.away_max = Duration(0)}});
  setup_->Assign(
      {.script = "echo slow; sleep 0.2; echo unheard-of > out", .output_paths = {"out"}});
  auto running = [&] {
    while (auto next = setup_->server.NextOf(v1::FromWorker::kProgress))
      if (next->progress().stage() == v1::Progress::RUNNING) return;
  };
  running();
  setup_->cas.Fail(Status(Code::kUnavailable, "store is down"));
  v1::Report report = setup_->WaitForReport();

  EXPECT_EQ(CodeOf(report), Code::kUnavailable);
  EXPECT_TRUE(report.retryable());
  EXPECT_FALSE(report.has_result());
}

TEST_F(WorkerTest, ACommandThatIsNotThereIsTheActionsFault) {
  Start();

  v1::Report report = Run({.arguments = {"/no/such/tool"}});

  EXPECT_EQ(CodeOf(report), Code::kInvalidArgument);
  EXPECT_THAT(report.status().message(), HasSubstr("/no/such/tool"));
}

class WorkerStoreTest : public WorkerTest {
 protected:
  void SetUp() override {
    WorkerTest::SetUp();
    if (IsSkipped()) return;
    prefix_ = setup_->directory / "store";
    tool_ = prefix_ + "/0123456789abcdef0123456789abcdef-tool";
    library_ = prefix_ + "/fedcba9876543210fedcba9876543210-library";
    for (const std::string& path : {tool_, library_}) {
      ASSERT_TRUE(SystemFiles().MakeDirectories(path).ok());
      ASSERT_TRUE(WriteFileAtomically(path + "/file", path.substr(prefix_.size())).ok());
    }
    setup_->store_paths.closures = {{tool_, {library_, tool_}}};
  }
  // A store elsewhere than /lre/store, so that the test needs no privilege.
  std::string prefix_, tool_, library_;
};

TEST_F(WorkerStoreTest, BindsTheStorePathsThatArgumentsEnvironmentAndInputsName) {
  Start({.store_prefix = prefix_});

  EXPECT_EQ(RunOk({.script = "ls " + prefix_ + "; cat " + tool_ + "/file"}).result().stdout_raw(),
            "0123456789abcdef0123456789abcdef-tool\nfedcba9876543210fedcba9876543210-library\n"
            "/0123456789abcdef0123456789abcdef-tool");
  EXPECT_EQ(RunOk({.script = "cat $TOOL/file",
                   .environment = {{"PATH", "/usr/bin:/bin"}, {"TOOL", tool_}}})
                .result()
                .stdout_raw(),
            "/0123456789abcdef0123456789abcdef-tool");
  EXPECT_EQ(
      RunOk({.script = "cat $(cat named)/file", .files = {{"named", tool_}}}).result().stdout_raw(),
      "/0123456789abcdef0123456789abcdef-tool");
  EXPECT_EQ(
      RunOk({.script = "cat link", .symlinks = {{"link", tool_ + "/file"}}}).result().stdout_raw(),
      "/0123456789abcdef0123456789abcdef-tool")
      << "as virtual environments of Python lead to their interpreter";
  // What named it is gone from the tree, and so is the path.
  EXPECT_NE(Run({.script = "ls -d " + prefix_}).result().exit_code(), 0);
}

TEST_F(WorkerStoreTest, StorePathsAreReadOnlyGiveNoPrivilegesAndAreNotTheActions) {
  Start({.store_prefix = prefix_});

  std::string mounts =
      RunOk({.script = "cat /proc/self/mountinfo; : " + tool_}).result().stdout_raw();
  for (const std::string& path : {tool_, library_}) {
    size_t at = mounts.rfind(" " + path + " ");  // the mount point, after its place in the source
    ASSERT_NE(at, std::string::npos) << path << " in " << mounts;
    EXPECT_EQ(mounts.substr(at + path.size() + 2, 16), "ro,nosuid,nodev,") << mounts;
  }
  EXPECT_NE(Run({.script = "echo x >" + tool_ + "/file"}).result().exit_code(), 0);
  // A worker of one user has no other to run actions as.
  if (geteuid() == 0) RunOk({.script = "test $(stat -c %u " + tool_ + ") != $(id -u)"});
}

TEST_F(WorkerStoreTest, SaysWhichStorePathsItHasAndAttestsThoseOfAnAction) {
  setup_->Start({.store_prefix = prefix_});
  setup_->server.Break(Status(Code::kUnavailable, "gone"));
  auto hello = setup_->server.NextOf(v1::FromWorker::kHello);
  ASSERT_TRUE(hello);
  setup_->Welcome();

  EXPECT_THAT(hello->hello().store_paths(), ElementsAre(tool_));
  v1::Report report = RunOk({.script = "cat " + tool_ + "/file"});
  v1::StorePaths attested;
  for (const auto& any : report.result().execution_metadata().auxiliary_metadata())
    if (any.Is<v1::StorePaths>()) any.UnpackTo(&attested);
  EXPECT_THAT(attested.names(), SizeIs(2));
}

TEST_F(WorkerTest, NamesTheStorePathThatTheWorkerDoesNotHave) {
  Start();
  std::string path = "/lre/store/0123456789abcdef0123456789abcdef-gone";

  v1::Report report = Run({.script = path + "/bin/cc"});

  EXPECT_EQ(CodeOf(report), Code::kFailedPrecondition);
  EXPECT_THAT(report.status().message(), HasSubstr(path));
  EXPECT_THAT(report.status().message(), HasSubstr("lre sync"));
}

TEST_F(WorkerTest, BoundsWhatACommandPrintsAndUploadsWhatIsLong) {
  Start({.stdout_bytes_max = 100000});

  v1::Report report = RunOk({.script = "head -c 1000000 /dev/zero"});

  EXPECT_EQ(report.result().stdout_raw(), "");
  EXPECT_EQ(setup_->Blob(report.result().stdout_digest()), std::string(100000, '\0'));
}

TEST_F(WorkerTest, CancelEndsTheCommand) {
  Start();
  v1::Assignment assignment = setup_->Assign({.script = "sleep 1000"});

  setup_->Cancel(assignment.attempt());
  v1::Report report = setup_->WaitForReport();

  EXPECT_EQ(CodeOf(report), Code::kCancelled);
  EXPECT_FALSE(report.has_result());
}

TEST_F(WorkerTest, ReportsAgainOverTheNextLinkUntilAcknowledged) {
  Start({.reconnect_min = milliseconds(1), .reconnect_max = milliseconds(2)});
  v1::Assignment assignment = setup_->Assign({.script = "echo once"});
  v1::Report first = setup_->WaitForReport();

  setup_->server.Break(Status(Code::kUnavailable, "the network is gone"));
  auto hello = setup_->server.NextOf(v1::FromWorker::kHello);
  ASSERT_TRUE(hello);
  setup_->Welcome();
  v1::Report second = setup_->WaitForReport();

  ASSERT_THAT(hello->hello().running(), SizeIs(1));
  EXPECT_EQ(hello->hello().running(0).operation(), assignment.attempt().operation());
  EXPECT_EQ(second.SerializeAsString(), first.SerializeAsString());
  setup_->Acknowledge(second.attempt());
  setup_->server.Break(Status(Code::kUnavailable, "again"));
  hello = setup_->server.NextOf(v1::FromWorker::kHello);
  EXPECT_THAT(hello->hello().running(), SizeIs(0));
}

TEST_F(WorkerTest, DropsWhatTheServerNoLongerWants) {
  Start({.reconnect_min = milliseconds(1), .reconnect_max = milliseconds(2)});
  v1::Assignment assignment = setup_->Assign({.script = "sleep 1000"});
  setup_->server.Break(Status(Code::kUnavailable, "the network is gone"));
  ASSERT_TRUE(setup_->server.NextOf(v1::FromWorker::kHello));

  v1::ToWorker message;
  message.mutable_welcome()->set_version(1);
  *message.mutable_welcome()->add_drop() = assignment.attempt();
  setup_->server.Send(message);

  // The slots are free again, and the next report is not of the dropped one.
  v1::Report report = RunOk({.script = "true"});
  EXPECT_NE(report.attempt().operation(), assignment.attempt().operation());
}

TEST_F(WorkerTest, DrainsAfterWhatRuns) {
  Start();
  setup_->Assign({.script = "sleep 0.1; echo done"});
  setup_->worker->Drain("going down");
  ASSERT_TRUE(setup_->server.NextOf(v1::FromWorker::kDrain));

  v1::Report report = setup_->WaitForReport();
  setup_->Acknowledge(report.attempt());

  EXPECT_EQ(report.result().stdout_raw(), "done\n");
  EXPECT_TRUE(setup_->worker->WaitForEnd({}).ok());
}

TEST_F(WorkerTest, EndsWhenTheServerRefusesIt) {
  Start();
  v1::ToWorker message;
  message.mutable_quit()->mutable_status()->set_code(static_cast<int>(Code::kPermissionDenied));
  message.mutable_quit()->mutable_status()->set_message("name not allowed");
  setup_->server.Send(message);

  EXPECT_EQ(setup_->worker->WaitForEnd({}).code(), Code::kPermissionDenied);
}

TEST_F(WorkerTest, RefusesMoreThanItsSlots) {
  Start({.slots = 1});
  v1::Assignment first = setup_->Assign({.script = "sleep 1000"});
  setup_->Assign({.script = "true"});

  v1::Report report = setup_->WaitForReport();

  EXPECT_EQ(CodeOf(report), Code::kUnavailable);
  EXPECT_TRUE(report.retryable());
  setup_->Cancel(first.attempt());
}

TEST_F(WorkerTest, RunsWithoutIsolationWhenTheOperatorSaysSo) {
  Start({.isolation = sandbox::Isolation::kNone});
  TestAction action{.script = "cat d/in > out; echo spoilt > d/in",
                    .files = {{"d/in", "good"}},
                    .output_paths = {"out"}};

  EXPECT_EQ(setup_->Output(RunOk(action), "out"), "good");
  EXPECT_EQ(setup_->Output(RunOk(action), "out"), "good");
}

TEST_F(WorkerTest, DoesNotCrashOnNonsense) {
  Start();
  v1::ToWorker message;
  message.mutable_assignment()->mutable_attempt()->set_operation("empty");
  setup_->server.Send(message);

  EXPECT_EQ(CodeOf(setup_->WaitForReport()), Code::kInvalidArgument);
}

}  // namespace
}  // namespace lre::worker

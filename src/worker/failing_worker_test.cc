// What a worker says of actions that fail, its own failures told apart; and where it stands with a
// server that has no place for it.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "google/rpc/error_details.pb.h"
#include "reapi/digest_proto.h"
#include "worker/fake_worker_setup.h"

namespace lre::worker {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;
using testing::Not;

class FailingWorkerTest : public WorkerSetupTest {
 protected:
  static Code CodeOf(const v1::Report& report) { return static_cast<Code>(report.status().code()); }
  std::string ServerLog(const v1::Report& report) {
    auto it = report.server_logs().find("worker");
    if (it == report.server_logs().end()) return "(none)";
    EXPECT_TRUE(it->second.human_readable());
    return setup_->Blob(it->second.digest());
  }
};

TEST_F(FailingWorkerTest, UploadsALogThatSaysHowFarItCame) {
  setup_->Start();
  TestAction action{.arguments = {"/no/such/tool"}};

  std::string log = ServerLog(setup_->Run(action));

  EXPECT_THAT(log, HasSubstr("worker tester, slot "));
  EXPECT_THAT(log, HasSubstr("operation operation-1, attempt 1"));
  EXPECT_THAT(log, HasSubstr("the command is started"));
  EXPECT_THAT(log, HasSubstr("cannot run the command: /no/such/tool"));
  EXPECT_THAT(log, HasSubstr("/usr: read-only /usr"));
  EXPECT_THAT(log, HasSubstr("/build: inputs"));
}

TEST_F(FailingWorkerTest, TheLogOfATimeoutIsThereAndHasNothingOfTheEnvironment) {
  setup_->Start();
  TestAction action{.script = "sleep 1000", .timeout = milliseconds(100)};
  action.environment.emplace_back("TOKEN", "very secret");

  std::string log = ServerLog(setup_->Run(action));

  EXPECT_THAT(log, HasSubstr("DEADLINE_EXCEEDED"));
  EXPECT_THAT(log, Not(HasSubstr("secret")));
}

TEST_F(FailingWorkerTest, ThereIsNoLogOfWhatRanOrLacksInputs) {
  setup_->Start();

  EXPECT_EQ(ServerLog(setup_->Run({.script = "true"})), "(none)");
  EXPECT_EQ(ServerLog(setup_->Run({.script = "exit 3"})), "(none)");
  TestAction missing{.script = "true", .files = {{"x", "never mind"}}};
  setup_->cas.Lose(ComputeDigest(DigestFunction::kSha256, "never mind"));
  setup_->Assign(missing, [&](v1::Assignment&) {
    setup_->cas.Lose(ComputeDigest(DigestFunction::kSha256, "never mind"));
  });
  v1::Report report = setup_->WaitForReport();
  EXPECT_EQ(CodeOf(report), Code::kFailedPrecondition);
  EXPECT_EQ(ServerLog(report), "(none)");
}

TEST_F(FailingWorkerTest, ACommandThatFailsOnAFullDiskIsTheWorkersFailure) {
  // Full from the beginning.
  setup_->Start({.memory_files_bytes_max = 1 << 20, .disk_free_bytes_min = UINT64_MAX});
  std::string much = "head -c 3000000 /dev/zero >out; sleep 0.3; ";

  v1::Report failed = setup_->Run({.script = much + "exit 1", .output_paths = {"out"}});
  v1::Report fine = setup_->Run({.script = much, .output_paths = {"out"}});
  v1::Report small = setup_->Run({.arguments = {"/usr/bin/false"}});

  EXPECT_EQ(CodeOf(failed), Code::kResourceExhausted);
  EXPECT_THAT(failed.status().message(), HasSubstr("disk is full"));
  EXPECT_TRUE(failed.retryable());
  EXPECT_FALSE(failed.has_result());
  EXPECT_THAT(ServerLog(failed), HasSubstr("run again with its changes on disk"));
  EXPECT_EQ(CodeOf(fine), Code::kOk);
  // It wrote to memory: the disk has nothing to do with it.
  EXPECT_EQ(CodeOf(small), Code::kOk);
  EXPECT_EQ(small.result().exit_code(), 1);
}

TEST_F(FailingWorkerTest, AnActionThatFillsItsMemoryAtOnceIsRunAgainOnDisk) {
  setup_->Start({.memory_files_bytes_max = 1 << 20});

  // Gone before anybody looks, as if there were no room for more.
  v1::Report report =
      setup_->Run({.script = "head -c 3000000 /dev/zero >out; test -e /dev/shm/x || "
                             "df --output=fstype . | grep -q overlay; exit 4",
                   .output_paths = {"out"}});

  EXPECT_EQ(report.result().exit_code(), 4);
  EXPECT_EQ(setup_->Output(report, "out").size(), 3'000'000u);
  EXPECT_THAT(ServerLog(report), HasSubstr("run again with its changes on disk"));
}

TEST_F(FailingWorkerTest, ACacheSmallerThanOneActionServesIt) {
  setup_->Start({.cache_bytes_max = 10, .directory_cache_bytes_max = 10});
  TestAction action{.script = "cat a b/c d/e/f > out", .output_paths = {"out"}};
  for (const char* path : {"a", "b/c", "d/e/f"}) action.files[path] = std::string(1000, *path);

  for (int round = 0; round < 2; ++round)
    EXPECT_EQ(setup_->Output(setup_->Run(action), "out").size(), 3000u);
}

TEST_F(FailingWorkerTest, ComesBackWhenAServerWithoutAPlaceSays) {
  setup_->Start({.reconnect_min = milliseconds(1), .reconnect_max = milliseconds(2)});
  auto refuse = [&](Duration delay) {
    v1::ToWorker message;
    auto* status = message.mutable_quit()->mutable_status();
    status->set_code(static_cast<int>(Code::kUnavailable));
    google::rpc::RetryInfo info;
    info.mutable_retry_delay()->set_nanos(static_cast<int>(delay.count()));
    status->add_details()->PackFrom(info);
    setup_->server.Send(message);
  };
  Instant before = SystemClock().Now();

  refuse(milliseconds(300));

  ASSERT_TRUE(setup_->server.NextOf(v1::FromWorker::kHello));
  EXPECT_GE(SystemClock().Now() - before, milliseconds(300));
}

// A port of this machine, and a script that fails unless it can connect to it.
class Listener {
 public:
  Listener() : socket_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(listen(socket_.get(), 10), 0);
    EXPECT_EQ(getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(address.sin_port);
  }
  std::string Script() const {
    return fmt::format(
        "perl -MIO::Socket::INET -e 'exit(defined(IO::Socket::INET->new(\"127.0.0.1:{}\")) ? 0 : "
        "9)'",
        port_);
  }

 private:
  UniqueFd socket_;
  int port_ = 0;
};

TEST_F(FailingWorkerTest, OnlyAnActionThatAsksSeesTheNetwork) {
  setup_->Start({.network_allowed = true});
  Listener listener;
  TestAction action{.script = listener.Script()};

  EXPECT_EQ(setup_->Run(action).result().exit_code(), 9);
  action.platform = {{"network", "host"}};
  EXPECT_EQ(setup_->Run(action).result().exit_code(), 0);
  action.platform.clear();
  EXPECT_EQ(setup_->Run(action).result().exit_code(), 9);
}

TEST_F(FailingWorkerTest, TheNetworkIsForTheOperatorToAllow) {
  setup_->Start();
  Listener listener;

  v1::Report report = setup_->Run({.script = listener.Script(), .platform = {{"network", "host"}}});

  EXPECT_EQ(CodeOf(report), Code::kFailedPrecondition);
  EXPECT_THAT(report.status().message(), HasSubstr("network=host"));
}

class WorkerOutputsTest : public FailingWorkerTest {};

TEST_F(WorkerOutputsTest, ADirectoryIsATreeOrDirectoriesOrBothAsTheCommandSays) {
  namespace pb = ::build::bazel::remote::execution::v2;
  setup_->Start();
  for (auto format :
       {pb::Command::TREE_ONLY, pb::Command::DIRECTORY_ONLY, pb::Command::TREE_AND_DIRECTORY}) {
    setup_->Assign({.script = "mkdir -p d/e/empty; echo x > d/e/f", .output_paths = {"d"}},
                   [&](v1::Assignment& assignment) {
                     assignment.mutable_command()->set_output_directory_format(format);
                   });
    v1::Report report = setup_->WaitForReport();

    ASSERT_EQ(report.result().output_directories_size(), 1);
    const pb::OutputDirectory& directory = report.result().output_directories(0);
    EXPECT_EQ(directory.has_tree_digest(), format != pb::Command::DIRECTORY_ONLY);
    EXPECT_EQ(directory.has_root_directory_digest(), format != pb::Command::TREE_ONLY);
    if (!directory.has_root_directory_digest()) continue;
    pb::Directory root, child;
    ASSERT_TRUE(root.ParseFromString(setup_->Blob(directory.root_directory_digest())));
    ASSERT_EQ(root.directories_size(), 1);
    ASSERT_TRUE(child.ParseFromString(setup_->Blob(root.directories(0).digest())));
    EXPECT_EQ(child.directories(0).name(), "empty");
    EXPECT_EQ(setup_->Blob(child.files(0).digest()), "x\n");
  }
}

TEST_F(WorkerOutputsTest, NodePropertiesAreThoseThatWereAskedFor) {
  setup_->Start();
  setup_->Assign(
      {.script = "echo x > f; chmod 640 f; touch -d @1234567890.5 f", .output_paths = {"f"}},
      [](v1::Assignment& assignment) {
        assignment.mutable_command()->add_output_node_properties("mtime");
        assignment.mutable_command()->add_output_node_properties("unix_mode");
      });

  const v1::Report report = setup_->WaitForReport();
  const auto& properties = report.result().output_files(0).node_properties();

  EXPECT_EQ(properties.unix_mode().value() & 0777, 0640u);
  EXPECT_EQ(properties.mtime().seconds(), 1234567890);
  EXPECT_EQ(properties.mtime().nanos(), 500'000'000);
  EXPECT_FALSE(setup_->Run({.script = "echo x > f", .output_paths = {"f"}})
                   .result()
                   .output_files(0)
                   .has_node_properties());
}

TEST_F(WorkerOutputsTest, AnInputRootThatIsTheRootBringsItsOwnUserland) {
  setup_->Start();
  // A shell with its loader and libraries, as BuildStream stages them.
  TestAction action{.script =
                        "set -e; pwd; echo /*; read os </etc/os; echo $os; echo made >out/made; "
                        ": >/dev/null; test -r /proc/self/stat; echo x >/tmp/x",
                    .files = {{"etc/os", "mine\n"}},
                    .output_paths = {"out/made"},
                    .working_directory = "work"};
  for (const char* path :
       {"/bin/sh", "/lib64/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/libc.so.6"}) {
    auto bytes = ReadFile(path);
    if (!bytes) GTEST_SKIP() << "SKIPPED: this machine has no " << path;
    action.files[path + 1] = *bytes;
  }
  setup_->Assign(action, [](v1::Assignment& assignment) {
    auto* property = assignment.mutable_command()->mutable_platform()->add_properties();
    property->set_name("InputRootAbsolutePath");
    property->set_value("/");
  });

  v1::Report report = setup_->WaitForReport();

  EXPECT_EQ(report.result().exit_code(), 0) << report.DebugString();
  EXPECT_EQ(report.result().stdout_raw(),
            "/work\n/bin /dev /etc /lib /lib64 /proc /tmp /work\nmine\n");
  EXPECT_EQ(setup_->Output(report, "out/made"), "made\n");
}

}  // namespace
}  // namespace lre::worker

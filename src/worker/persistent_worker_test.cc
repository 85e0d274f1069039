// Actions that ask for a persistent process, run by a real worker with a real small program.
#include <gmock/gmock.h>

#include "worker/fake_worker_setup.h"

namespace lre::worker {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

// Copies its input to its output in capitals, behind how many requests it has served; run without
// --persistent_worker it does the same for the flag file. `trouble` in the request makes trouble.
constexpr const char* kTool = R"(#!/usr/bin/python3
import json, os, select, signal, sys
served = 0

def work(arguments):
    global served
    served += 1
    options = dict(a.split("=", 1) for a in arguments)
    trouble = options.get("trouble", "")
    persistent = "--persistent_worker" in sys.argv
    if trouble == "hang": signal.pause()
    if trouble == "fail": return 3, "it is wrong\n"
    if persistent and trouble == "crash":
        sys.stderr.write("I crash\n")
        sys.stderr.flush()
        os._exit(7)
    if persistent and trouble == "print":
        print("debugging", flush=True)
        signal.pause()
    if trouble == "allocate":
        keep = bytearray(int(options["bytes"]))
        if persistent: signal.pause()
    if trouble == "fill":
        with open(os.path.dirname(options["out"]) + "/large", "wb") as large:
            large.write(bytes(int(options["bytes"])))
        select.select([], [], [], 0.5)
    with open(options["in"]) as source: text = source.read()
    with open(options["out"], "w") as out: out.write(text.upper())
    if "count" in options:
        with open(options["count"], "w") as out: out.write(str(served))
    return 0, "warned about " + options["in"] + "\n"

def expand(arguments):
    for a in arguments:
        if a.startswith("@"):
            with open(a[1:]) as f: yield from expand(f.read().splitlines())
        else: yield a

def varint(value):
    out = b""
    while value > 127: out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])

def read_varint(read):
    value = shift = 0
    while True:
        byte = read(1)
        if not byte: sys.exit(0)
        value |= (byte[0] & 127) << shift
        shift += 7
        if byte[0] < 128: return value

def arguments_of(message):
    import io
    fields, arguments = io.BytesIO(message), []
    while fields.tell() < len(message):
        tag = read_varint(fields.read)
        if tag & 7 == 0: read_varint(fields.read)
        else:
            value = fields.read(read_varint(fields.read))
            if tag >> 3 == 1: arguments.append(value.decode())
    return arguments

if "--persistent_worker" not in sys.argv:
    code, said = work(list(expand(a for a in sys.argv[1:] if a.startswith("@"))))
    sys.stderr.write(said)
    sys.exit(code)
if "--json" in sys.argv:
    for line in sys.stdin:
        code, said = work(json.loads(line)["arguments"])
        print(json.dumps({"exitCode": code, "output": said}), flush=True)
else:
    while True:
        size = read_varint(sys.stdin.buffer.read)
        code, said = work(arguments_of(sys.stdin.buffer.read(size)))
        said = said.encode()
        answer = b"\x08" + varint(code) + b"\x12" + varint(len(said)) + said
        sys.stdout.buffer.write(varint(len(answer)) + answer)
        sys.stdout.buffer.flush()
)";

class PersistentWorkerTest : public WorkerSetupTest {
 protected:
  void SetUp() override {
    WorkerSetupTest::SetUp();
    if (setup_ != nullptr && !setup_->launcher->memory_overlay_allowed())
      GTEST_SKIP() << "SKIPPED: this kernel has no overlays in memory";
  }
  void Start(PersistentOptions options = {}, WorkerOptions worker = {}) {
    worker.slots = 1;
    worker.persistent = options;
    setup_->Start(std::move(worker));
  }
  // Makes bin/out of `text`, with more lines in the flag file.
  static TestAction Action(const std::string& text, const std::string& more = "",
                           const std::string& key = "some key") {
    return {.files = {{"tool/tool.sh", kTool},
                      {"src/in", text},
                      {"bin/flags", "in=src/in\nout=bin/out\r\n@bin/more\n"},
                      {"bin/more", more}},
            .output_paths = {"bin/count", "bin/out"},
            .arguments = {"tool/tool.sh", "@bin/flags"},
            .tools = {"tool/tool.sh"},
            .platform = {{"persistentWorkerKey", key}}};
  }
  v1::Report RunOk(const TestAction& action) {
    v1::Report report = setup_->Run(action);
    EXPECT_EQ(report.status().code(), 0) << report.status().message();
    EXPECT_EQ(report.result().exit_code(), 0) << report.result().stderr_raw();
    return report;
  }
  // Which request of its process an action was; "(absent)" when it could not tell.
  std::string Count(const TestAction& action) { return setup_->Output(RunOk(action), "bin/count"); }
  std::string Counters() {
    std::string text = setup_->metrics.Print(), counters;
    for (const char* name : {"requests_total", "starts_total", "failures_total", "processes"}) {
      std::string line = fmt::format("\nlre_worker_persistent_{} ", name);
      size_t at = text.find(line);
      if (at == text.npos) return "no counter " + line;
      at += line.size();
      counters += text.substr(at, text.find('\n', at) - at) + " ";
    }
    return counters;
  }
};

TEST_F(PersistentWorkerTest, OneProcessServesOneActionAfterAnotherInBothProtocols) {
  Start();
  for (bool json : {false, true}) {
    TestAction action = Action("one", "count=bin/count\n");
    if (json) {
      action.arguments.insert(action.arguments.begin() + 1, "--json");
      action.platform.emplace_back("requires-worker-protocol", "json");
    }

    v1::Report first = RunOk(action);
    action.files["src/in"] = "two";
    v1::Report second = RunOk(action);

    EXPECT_EQ(setup_->Output(first, "bin/out"), "ONE");
    EXPECT_EQ(setup_->Output(first, "bin/count"), "1");
    EXPECT_EQ(setup_->Output(second, "bin/out"), "TWO");
    EXPECT_EQ(setup_->Output(second, "bin/count"), "2");
    EXPECT_EQ(second.result().stderr_raw(), "warned about src/in\n");
    EXPECT_EQ(second.result().stdout_raw(), "");
  }
  EXPECT_EQ(Counters(), "4 2 0 2 ");
}

TEST_F(PersistentWorkerTest, TheResultIsThatOfAPlainRun) {
  Start();
  for (const char* more : {"", "trouble=fail\n"}) {
    TestAction action = Action("text", more);
    setup_->Run(action);
    v1::Report persistent = setup_->Run(action);
    action.platform.clear();
    v1::Report plain = setup_->Run(action);

    persistent.mutable_result()->clear_execution_metadata();
    plain.mutable_result()->clear_execution_metadata();
    EXPECT_EQ(persistent.result().SerializeAsString(), plain.result().SerializeAsString())
        << persistent.DebugString() << plain.DebugString();
  }
  EXPECT_EQ(Counters(), "4 1 0 1 ");
}

TEST_F(PersistentWorkerTest, AnotherToolAnotherTenantOrAnotherKeyIsAnotherProcess) {
  Start({.processes_max = 10});
  TestAction action = Action("x", "count=bin/count\n");
  EXPECT_EQ(Count(action), "1");
  EXPECT_EQ(Count(action), "2");

  TestAction other_tool = action;
  other_tool.files["tool/tool.sh"] += "# changed\n";
  EXPECT_EQ(Count(other_tool), "1");
  TestAction other_key = Action("x", "count=bin/count\n", "another");
  EXPECT_EQ(Count(other_key), "1");
  TestAction other_arguments = action;
  other_arguments.arguments.insert(other_arguments.arguments.begin() + 1, "--verbose");
  EXPECT_EQ(Count(other_arguments), "1");
  TestAction other_environment = action;
  other_environment.environment.emplace_back("X", "1");
  TestAction other_tenant = action;
  other_tenant.partition = 7;
  v1::Report report = RunOk(other_tenant);
  for (const auto& file : report.result().output_files()) {
    if (file.path() != "bin/count") continue;
    EXPECT_EQ(setup_->Blob(file.digest(), 7), "1");
  }
  EXPECT_EQ(Count(other_environment), "1");
  EXPECT_EQ(Counters(), "7 6 0 6 ");
  EXPECT_EQ(Count(action), "3");
}

TEST_F(PersistentWorkerTest, AProcessSeesNothingOfTheActionBefore) {
  Start();
  TestAction first = Action("secret");
  first.files["src/other"] = "only here";
  RunOk(first);
  TestAction second = Action("x", "in=src/other\n");

  v1::Report report = setup_->Run(second);

  EXPECT_NE(report.result().exit_code(), 0);
  EXPECT_THAT(report.result().stderr_raw(), HasSubstr("No such file"));
}

TEST_F(PersistentWorkerTest, WhatGoesWrongWithTheProcessIsNotTheActions) {
  Start();
  for (const char* trouble : {"crash", "print"}) {
    v1::Report report = RunOk(Action("text", fmt::format("trouble={}\n", trouble)));

    EXPECT_EQ(setup_->Output(report, "bin/out"), "TEXT");
    EXPECT_EQ(RunOk(Action("text")).result().stderr_raw(), "warned about src/in\n");
  }
  EXPECT_EQ(Counters(), "2 3 2 1 ");
}

TEST_F(PersistentWorkerTest, AToolThatFailsInARowIsRunPlainly) {
  Start({.failures_max = 2});
  for (int i = 0; i < 4; ++i) RunOk(Action("text", "trouble=crash\n"));

  EXPECT_EQ(Counters(), "0 2 2 0 ");
  // For good.
  EXPECT_EQ(Count(Action("text", "count=bin/count\n")), "1");
  EXPECT_EQ(Counters(), "0 2 2 0 ");
}

TEST_F(PersistentWorkerTest, ATimeoutKillsTheProcessAndIsTheActions) {
  Start();
  TestAction action = Action("x", "trouble=hang\n");
  action.timeout = milliseconds(300);

  v1::Report report = setup_->Run(action);

  EXPECT_EQ(report.status().code(), static_cast<int>(Code::kDeadlineExceeded));
  EXPECT_EQ(report.result().exit_code(), 137);
  EXPECT_FALSE(report.retryable());
  EXPECT_EQ(Counters(), "0 1 0 0 ");
}

TEST_F(PersistentWorkerTest, CancelEndsTheProcess) {
  Start();
  v1::Assignment assignment = setup_->Assign(Action("x", "trouble=hang\n"));
  while (auto next = setup_->server.NextOf(v1::FromWorker::kProgress))
    if (next->progress().stage() == v1::Progress::RUNNING) break;
  setup_->Cancel(assignment.attempt());

  EXPECT_EQ(setup_->WaitForReport().status().code(), static_cast<int>(Code::kCancelled));
  EXPECT_EQ(Count(Action("x", "count=bin/count\n")), "1");
}

TEST_F(PersistentWorkerTest, AProcessServesNoMoreRequestsThanTheBound) {
  Start({.requests_max = 2});
  TestAction action = Action("x", "count=bin/count\n");

  for (const char* count : {"1", "2", "1"}) EXPECT_EQ(Count(action), count);
}

TEST_F(PersistentWorkerTest, ThereAreNoMoreProcessesThanTheBound) {
  Start({.processes_max = 1});
  TestAction one = Action("x", "count=bin/count\n", "one"),
             two = Action("x", "count=bin/count\n", "two");

  std::string counts;
  for (const TestAction* action : {&one, &one, &two, &two, &one}) counts += Count(*action);
  EXPECT_EQ(counts, "12121");
  EXPECT_EQ(Counters(), "5 3 0 1 ");
}

TEST_F(PersistentWorkerTest, AnIdleProcessEnds) {
  Start({.idle_max = milliseconds(50)});
  RunOk(Action("x"));

  while (Counters() != "1 1 0 0 ") std::this_thread::yield();
}

TEST_F(PersistentWorkerTest, AProcessThatUsesTooMuchMemoryIsEndedAndTheActionRunPlainly) {
  Start({.memory_bytes_max = 50 << 20});

  v1::Report report = RunOk(Action("text", "trouble=allocate\nbytes=80000000\n"));

  EXPECT_EQ(setup_->Output(report, "bin/out"), "TEXT");
  EXPECT_EQ(Counters(), "0 1 1 0 ");
}

TEST_F(PersistentWorkerTest, AnActionThatWritesMuchIsGivenADisk) {
  Start({}, {.memory_files_bytes_max = 1 << 20});

  v1::Report report = RunOk(Action("text", "trouble=fill\nbytes=3000000\n"));

  EXPECT_EQ(setup_->Output(report, "bin/out"), "TEXT");
  EXPECT_EQ(Counters(), "0 1 0 0 ");
}

TEST_F(PersistentWorkerTest, AnActionThatLacksSomethingIsRunPlainly) {
  Start();
  TestAction no_tool = Action("x");
  no_tool.tools.clear();
  TestAction no_flag_file = Action("x");
  no_flag_file.arguments = {"/bin/sh", "-c", "cp src/in bin/out"};
  TestAction at_the_top = Action("x");
  at_the_top.output_paths.push_back("top");
  TestAction link = Action("x");
  link.symlinks["link"] = "src";
  TestAction many = Action("x");
  for (int i = 0; i < 100; ++i) many.files[fmt::format("many{}/x", i)] = "";
  TestAction deep = Action("x");
  deep.files["bin/more"] = "@bin/more\n";
  deep.arguments = {"/bin/sh", "-c", "cp src/in bin/out", "@bin/flags"};
  for (const TestAction& action : {no_tool, no_flag_file, at_the_top, link, many, deep})
    EXPECT_NE(setup_->Output(RunOk(action), "bin/out"), "(absent)");

  EXPECT_EQ(Counters(), "0 0 0 0 ");
}

TEST_F(PersistentWorkerTest, NoneAreStartedWhenTheOperatorSaysSo) {
  Start({.processes_max = 0});

  RunOk(Action("x"));

  EXPECT_EQ(Counters(), "0 0 0 0 ");
}

TEST_F(PersistentWorkerTest, AFlagFileDoesNotLeadOutOfTheInputs) {
  Start();
  TestAction action = Action("x");
  action.symlinks["bin/elsewhere"] = "/etc";
  for (const char* path : {"@../../../etc/passwd", "@/etc/passwd", "@bin/elsewhere/passwd"}) {
    action.arguments = {"/bin/sh", "-c", "cp src/in bin/out", path};
    RunOk(action);
  }
  EXPECT_EQ(Counters(), "0 0 0 0 ");
}

TEST_F(PersistentWorkerTest, OneTenantsInputsAreNotAnothers) {
  Start();
  TestAction action = Action("x");
  RunOk(action);
  v1::Report report;

  setup_->Assign(action, [](v1::Assignment& assignment) { assignment.set_partition(9); });
  report = setup_->WaitForReport();

  EXPECT_EQ(report.status().code(), static_cast<int>(Code::kFailedPrecondition));
}

}  // namespace
}  // namespace lre::worker

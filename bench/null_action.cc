// What remote execution costs when the action does nothing: /bin/true (or the program given) run
// through a server with our own client, each time with another Command so that no cache answers.
// One at a time, then with many in flight. In turn with each the floor, so that a noisy machine is
// noisy for both: what the worker cannot do without (namespaces, mounts, an overlay, exec, wait, by
// our launcher) in a loop on all cores, without server, client and staging.
//
//   bench_null_action grpc://127.0.0.1:50052 [rounds [program [instance [pid]]]]
//
// Each figure is the median of the turns. With the server's process id also the processor time that
// it and its workers need for one action.
//
// The server is `lre up` (or any REAPI server with a worker); give a program that its workers have,
// e.g. /usr/bin/true of the toolchain's base.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <thread>

#include "base/check.h"
#include "base/clock.h"
#include "base/random.h"
#include "build/bazel/remote/execution/v2/remote_execution.pb.h"
#include "cpu_time.h"
#include "google/longrunning/operations.pb.h"
#include "reapi/digest_proto.h"
#include "rpc/client.h"
#include "spawn_stage.h"
#include "store/remote_store.h"

namespace {

namespace pb = ::build::bazel::remote::execution::v2;
using lre::Bytes;
using lre::DigestFunction;

struct Client {
  std::shared_ptr<lre::rpc::Channel> channel;
  std::unique_ptr<lre::store::BlobStore> cas;
  std::string instance, program;
  std::string run = lre::RandomHex(8);
  std::atomic<int> number{0};
  pid_t server = 0;
};

// The blobs of one action, uploaded; returns the request to execute it.
pb::ExecuteRequest Upload(Client& client) {
  pb::Command command;
  command.add_arguments(client.program);
  auto* variable = command.add_environment_variables();
  variable->set_name("RUN");
  variable->set_value(fmt::format("{}-{}", client.run, client.number++));
  pb::Action action;
  std::string command_bytes, action_bytes;
  lre::Digest command_digest =
      lre::reapi::DigestOfMessage(DigestFunction::kSha256, command, &command_bytes);
  lre::reapi::ToProto(command_digest, action.mutable_command_digest());
  lre::reapi::ToProto(lre::EmptyDigest(DigestFunction::kSha256),
                      action.mutable_input_root_digest());
  action.set_do_not_cache(true);
  lre::Digest action_digest =
      lre::reapi::DigestOfMessage(DigestFunction::kSha256, action, &action_bytes);
  std::pair<lre::Digest, Bytes> blobs[] = {{command_digest, Bytes(std::move(command_bytes))},
                                           {action_digest, Bytes(std::move(action_bytes))}};
  for (const lre::Status& status : client.cas->PutMany(0, blobs))
    CHECK(status.ok(), status.ToString());
  pb::ExecuteRequest request;
  request.set_instance_name(client.instance);
  request.set_skip_cache_lookup(true);
  request.set_digest_function(pb::DigestFunction::SHA256);
  lre::reapi::ToProto(action_digest, request.mutable_action_digest());
  return request;
}

void Execute(Client& client, const pb::ExecuteRequest& request) {
  lre::rpc::BlockingStream stream(*client.channel,
                                  "/build.bazel.remote.execution.v2.Execution/Execute",
                                  {.timeout = std::chrono::seconds(60)});
  stream.Write({Bytes(request.SerializeAsString())});
  stream.HalfClose();
  google::longrunning::Operation operation;
  while (auto message = stream.Read())
    CHECK(operation.ParseFromArray(message->data(), static_cast<int>(message->size())));
  lre::Status status = stream.Finish();
  CHECK(status.ok(), status.ToString());
  pb::ExecuteResponse response;
  CHECK(operation.done() && operation.response().UnpackTo(&response), operation.DebugString());
  CHECK(response.status().code() == 0 && response.result().exit_code() == 0,
        response.DebugString());
}

double Seconds(lre::Instant since) {
  return std::chrono::duration<double>(lre::SystemClock().Now() - since).count();
}

template <typename Number>
Number Median(std::vector<Number> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// The floor: the same spawns by as many threads as there are cores.
class Floor {
 public:
  Floor() : cores_(std::max(1u, std::thread::hardware_concurrency())) {
    auto launcher = lre::sandbox::Launcher::Start({.slots = static_cast<int>(3 * cores_)});
    CHECK(launcher.has_value(), lre::ToStatus(launcher).ToString());
    launcher_ = std::move(*launcher);
    for (unsigned i = 0; i < cores_; ++i)
      stages_.push_back(std::make_unique<lre::bench::Stage>(*launcher_, static_cast<int>(i)));
    PerSecond(10);  // starts the slot processes
  }
  double PerSecond(int rounds) {
    std::atomic<int> next{0};
    auto start = lre::SystemClock().Now();
    {
      std::vector<std::jthread> threads;
      for (auto& stage : stages_) {
        threads.emplace_back([&, stage = stage.get()] {
          while (next++ < rounds) lre::bench::RunOnce(*launcher_, Fit(*stage));
        });
      }
    }
    return rounds / Seconds(start);
  }
  double OneMillis() {
    auto start = lre::SystemClock().Now();
    lre::bench::RunOnce(*launcher_, Fit(*stages_[0]));
    return Seconds(start) * 1000;
  }

 private:
  const lre::sandbox::Command& Fit(const lre::bench::Stage& stage) const {
    return launcher_->memory_overlay_allowed() ? stage.in_memory : stage.command;
  }
  const unsigned cores_;
  std::unique_ptr<lre::sandbox::Launcher> launcher_;
  std::vector<std::unique_ptr<lre::bench::Stage>> stages_;
};

struct Series {
  std::vector<double> millis;  // of each action
  double per_second = 0, cpu_millis = 0;
};

Series Run(Client& client, int in_flight, int rounds) {
  // Uploads are not part of it: they are made before.
  std::vector<pb::ExecuteRequest> requests;
  for (int i = 0; i < rounds; ++i) requests.push_back(Upload(client));
  Series series;
  double cpu = lre::bench::CpuSecondsOfTree(client.server);
  series.millis.resize(static_cast<size_t>(rounds));
  std::atomic<int> next{0};
  auto start = lre::SystemClock().Now();
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < in_flight; ++t) {
      threads.emplace_back([&] {
        for (int i; (i = next++) < rounds;) {
          auto begin = lre::SystemClock().Now();
          Execute(client, requests[static_cast<size_t>(i)]);
          series.millis[static_cast<size_t>(i)] = Seconds(begin) * 1000;
        }
      });
    }
  }
  series.per_second = rounds / Seconds(start);
  series.cpu_millis = (lre::bench::CpuSecondsOfTree(client.server) - cpu) * 1000 / rounds;
  return series;
}

constexpr int kTurns = 7;

void PrintOneAtATime(Client& client, Floor& floor, int rounds) {
  std::vector<double> millis, floors;
  for (int turn = 0; turn < kTurns; ++turn) {
    for (double each : Run(client, 1, rounds / kTurns + 1).millis) millis.push_back(each);
    for (int i = 0; i < rounds / kTurns + 1; ++i) floors.push_back(floor.OneMillis());
  }
  std::sort(millis.begin(), millis.end());
  double p50 = Median(millis), floor_p50 = Median(floors);
  fmt::print("{:4} in flight: p50 {:6.2f} ms  p99 {:6.2f} ms   floor p50 {:6.2f} ms  x{:.2f}\n", 1,
             p50, millis[millis.size() * 99 / 100], floor_p50, p50 / floor_p50);
}

void PrintRate(Client& client, Floor& floor, int in_flight, int rounds) {
  std::vector<double> rates, floors, shares, millis, cpu;
  for (int turn = 0; turn < kTurns; ++turn) {
    // Before and after: what else the machine does changes meanwhile.
    double before = floor.PerSecond(rounds);
    Series series = Run(client, in_flight, rounds);
    double around = (before + floor.PerSecond(rounds)) / 2;
    rates.push_back(series.per_second);
    floors.push_back(around);
    shares.push_back(series.per_second / around);
    millis.push_back(Median(series.millis));
    cpu.push_back(series.cpu_millis);
  }
  fmt::print(
      "{:4} in flight: p50 {:6.2f} ms  {:5.0f}/s   floor {:5.0f}/s   {:.0f} % of it   CPU {:.2f} "
      "ms\n",
      in_flight, Median(millis), Median(rates), Median(floors), 100 * Median(shares), Median(cpu));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    fmt::print(stderr, "usage: {} grpc://host:port [rounds [program [instance [pid]]]]\n", argv[0]);
    return 2;
  }
  int rounds = argc > 2 ? std::atoi(argv[2]) : 500;
  Floor floor;  // before the first thread
  auto channel = lre::rpc::Channel::Create(argv[1]);
  CHECK(channel.has_value(), lre::ToStatus(channel).ToString());
  Client client;
  client.channel = *channel;
  client.program = argc > 3 ? argv[3] : "/bin/true";
  client.instance = argc > 4 ? argv[4] : "main";
  if (argc > 5) client.server = std::atoi(argv[5]);
  client.cas = lre::store::NewRemoteStore(*channel, {.instance_name = client.instance});
  Run(client, 1, std::max(rounds / 10, 10));  // warm
  PrintOneAtATime(client, floor, rounds);
  PrintRate(client, floor, 32, rounds);
  PrintRate(client, floor, 200, rounds);
}

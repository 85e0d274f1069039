// What remote execution costs when the action does nothing: /bin/true (or the program given) run
// through a server with our own client, each time with another Command so that no cache answers.
// One at a time, then with many in flight.
//
//   bench_null_action grpc://127.0.0.1:50052 [rounds [program [instance]]]
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
#include "google/longrunning/operations.pb.h"
#include "reapi/digest_proto.h"
#include "rpc/client.h"
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

void PrintSeries(Client& client, int in_flight, int rounds) {
  // Uploads are not part of it: they are made before.
  std::vector<pb::ExecuteRequest> requests;
  for (int i = 0; i < rounds; ++i) requests.push_back(Upload(client));
  std::vector<double> millis(static_cast<size_t>(rounds));
  std::atomic<int> next{0};
  auto start = lre::SystemClock().Now();
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < in_flight; ++t) {
      threads.emplace_back([&] {
        for (int i; (i = next++) < rounds;) {
          auto begin = lre::SystemClock().Now();
          Execute(client, requests[static_cast<size_t>(i)]);
          millis[static_cast<size_t>(i)] =
              std::chrono::duration<double, std::milli>(lre::SystemClock().Now() - begin).count();
        }
      });
    }
  }
  std::chrono::duration<double> elapsed = lre::SystemClock().Now() - start;
  std::sort(millis.begin(), millis.end());
  fmt::print("{:4} in flight: p50 {:7.2f} ms  p99 {:7.2f} ms  {:6.0f}/s\n", in_flight,
             millis[millis.size() / 2], millis[millis.size() * 99 / 100], rounds / elapsed.count());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    fmt::print(stderr, "usage: {} grpc://host:port [rounds [program [instance]]]\n", argv[0]);
    return 2;
  }
  int rounds = argc > 2 ? std::atoi(argv[2]) : 500;
  auto channel = lre::rpc::Channel::Create(argv[1]);
  CHECK(channel.has_value(), lre::ToStatus(channel).ToString());
  Client client;
  client.channel = *channel;
  client.program = argc > 3 ? argv[3] : "/bin/true";
  client.instance = argc > 4 ? argv[4] : "main";
  client.cas = lre::store::NewRemoteStore(*channel, {.instance_name = client.instance});
  PrintSeries(client, 1, std::max(rounds / 10, 10));  // warm
  PrintSeries(client, 1, rounds);
  PrintSeries(client, 32, rounds * 4);
  PrintSeries(client, 200, rounds * 4);
}

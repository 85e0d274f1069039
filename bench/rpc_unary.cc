// Server CPU of the transport alone, with canned answers: unary calls (64 in flight on 4
// connections), streams of 64 KiB and 1 MiB messages (16 and 8 in flight), and uploads of 1 MiB
// messages. The server runs in a process of its own; its CPU time is read before and after each
// run.
//
//   bench_rpc_unary [seconds per run, default 3] [loops of the server, default 2]
#include <fmt/core.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <functional>
#include <string>
#include <thread>

#include "base/check.h"
#include "rpc/client.h"
#include "rpc/server.h"

namespace {

using namespace lre;  // NOLINT: a program of one file
using namespace lre::rpc;

int64_t CpuNanos() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return time.tv_sec * 1'000'000'000 + time.tv_nsec;
}

// Sends `left` bytes as messages of `piece`, keeping the socket busy.
class Reader final : public CallHandler {
 public:
  Reader(std::shared_ptr<ServerCall> call, Bytes piece, size_t left)
      : call_(std::move(call)), piece_(std::move(piece)), left_(left) {
    OnWritable();
  }
  void OnMessage(Bytes) override {}
  void OnWritable() override {
    while (left_ > 0 && call_->queued_bytes() < kWritableLowWaterBytes) {
      call_->Send({piece_});
      left_ -= std::min(left_, piece_.size());
    }
    if (left_ == 0) call_->Finish({});
  }

 private:
  std::shared_ptr<ServerCall> call_;
  Bytes piece_;
  size_t left_;
};

class Writer final : public CallHandler {
 public:
  explicit Writer(std::shared_ptr<ServerCall> call) : call_(std::move(call)) {}
  void OnMessage(Bytes bytes) override { size_ += bytes.size(); }
  void OnHalfClose() override { call_->Respond(std::to_string(size_)); }

 private:
  std::shared_ptr<ServerCall> call_;
  size_t size_ = 0;
};

std::vector<Method> Methods() {
  std::vector<Method> methods;
  auto canned = std::make_shared<Bytes>(std::string(60, 'x'));
  methods.push_back(UnaryMethod("/bench/Unary",
                                [canned](auto call, Bytes) { call->Respond(BytesList{*canned}); }));
  methods.push_back(UnaryMethod(
      "/bench/Cpu", [](auto call, Bytes) { call->Respond(std::to_string(CpuNanos())); }));
  for (size_t piece : {64ul << 10, 1ul << 20}) {
    auto bytes = std::make_shared<Bytes>(std::string(piece, 'x'));
    methods.push_back(ServerStreamMethod(
        fmt::format("/bench/Read{}", piece >> 10), [bytes](auto call, Bytes request) {
          return std::make_unique<Reader>(call, *bytes, std::stoull(std::string(request.view())));
        }));
  }
  methods.push_back(
      {.path = "/bench/Write", .start = [](auto call) -> std::unique_ptr<CallHandler> {
         return std::make_unique<Writer>(call);
       }});
  return methods;
}

// Keeps `in_flight` calls of one kind open until told to stop.
struct Load {
  Channel& channel;
  std::string method;
  BytesList request;
  int messages = 1;
  std::atomic<bool> stop{false};
  std::atomic<int64_t> calls{0}, bytes{0}, errors{0};
  std::atomic<int> open{0};

  struct Call : ClientHandler {
    explicit Call(Load& load_in) : load(load_in) {}
    void OnMessage(Bytes message) override { load.bytes += static_cast<int64_t>(message.size()); }
    void OnEnd(Status status, Metadata) override {
      if (!status.ok() && load.errors++ == 0) fmt::print("{}\n", status.ToString());
      ++load.calls;
      if (load.stop) {
        --load.open;
      } else {
        load.Start();
      }
    }
    Load& load;
  };
  void Start() {
    auto call = channel.Start(method, {}, std::make_shared<Call>(*this));
    for (int i = 0; i < messages; ++i) call->Send(request);
    call->HalfClose();
  }
};

int64_t ServerCpu(Channel& channel) {
  auto answer = channel.Unary("/bench/Cpu", {});
  CHECK(answer.has_value());
  return std::stoll(std::string(answer->view()));
}

void Run(Channel& channel, const std::string& name, Load& load, int in_flight, double seconds) {
  load.open = in_flight;
  for (int i = 0; i < in_flight; ++i) load.Start();
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  int64_t cpu = ServerCpu(channel), calls = load.calls, bytes = load.bytes;
  auto begin = std::chrono::steady_clock::now();
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
  cpu = ServerCpu(channel) - cpu;
  calls = load.calls - calls;
  bytes = load.bytes - bytes;
  if (load.messages > 1)
    bytes = calls * load.messages * static_cast<int64_t>(load.request[0].size());
  double took = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  load.stop = true;
  while (load.open > 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  fmt::print("{:<34} {:>9.0f}/s  {:>8.2f} us CPU per call", name, static_cast<double>(calls) / took,
             static_cast<double>(cpu) / 1e3 / static_cast<double>(calls));
  if (bytes > 1'000'000'000 / 10) {
    fmt::print("  {:.2f} GB/s  {:.3f} CPU-s/GB", static_cast<double>(bytes) / 1e9 / took,
               static_cast<double>(cpu) / static_cast<double>(bytes));
  }
  fmt::print("\n");
}

}  // namespace

int main(int argc, char** argv) {
  double seconds = argc > 1 ? std::atof(argv[1]) : 3;
  int loops = argc > 2 ? std::atoi(argv[2]) : 2;
  int to_client[2], to_server[2];
  CHECK(pipe(to_client) == 0 && pipe(to_server) == 0);
  pid_t child = fork();
  if (child == 0) {
    close(to_server[1]);
    Metrics metrics;
    auto server = Server::Start({.listen = {"127.0.0.1:0"}, .loops = loops}, Methods(), nullptr,
                                metrics, SystemClock());
    CHECK(server.has_value());
    const std::string& address = (*server)->addresses()[0];
    CHECK(write(to_client[1], address.data(), address.size()) > 0);
    char byte;
    [[maybe_unused]] ssize_t n = read(to_server[0], &byte, 1);  // until the client is gone
    return 0;
  }
  char address[128] = "";
  CHECK(read(to_client[0], address, sizeof address - 1) > 0);
  auto channel = *Channel::Create(address, {.connections = 4});
  auto run = [&](const std::string& name, const std::string& method, BytesList request,
                 int in_flight, int messages = 1) {
    Load load{
        .channel = *channel, .method = method, .request = std::move(request), .messages = messages};
    Run(*channel, name, load, in_flight, seconds);
  };
  run("unary, 64 in flight", "/bench/Unary", {Bytes(std::string(60, 'q'))}, 64);
  run("unary, 1 in flight", "/bench/Unary", {Bytes(std::string(60, 'q'))}, 1);
  run("read 64 KiB, 16 in flight", "/bench/Read64", {Bytes(std::to_string(64 << 10))}, 16);
  run("read 1 MiB, 8 in flight", "/bench/Read1024", {Bytes(std::to_string(1 << 20))}, 8);
  run("read 16 MiB, 4 in flight", "/bench/Read1024", {Bytes(std::to_string(16 << 20))}, 4);
  run("write 16 x 64 KiB, 8 in flight", "/bench/Write", {Bytes(std::string(64 << 10, 'w'))}, 8, 16);
  run("write 16 x 1 MiB, 4 in flight", "/bench/Write", {Bytes(std::string(1 << 20, 'w'))}, 4, 16);
  close(to_server[1]);
  waitpid(child, nullptr, 0);
}

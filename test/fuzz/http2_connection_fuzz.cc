// A server's HTTP/2 connection, in memory: whatever a peer sends after an honest start, every call
// that was started is destroyed when the connection has gone, and nothing stays counted.
#include <fmt/format.h>
#include <sys/eventfd.h>

#include "base/check.h"
#include "base/metrics.h"
#include "fuzz.h"
#include "rpc/fake_peer.h"
#include "rpc/server_connection.h"

namespace lre::fuzz {
namespace {

using namespace rpc;

// Takes all that is written; has nothing to read.
class Sink final : public Socket {
 public:
  IoResult Read(char*, size_t) override { return {.kind = IoResult::kAgain}; }
  IoResult Write(const iovec* pieces, int) override {
    return {.kind = IoResult::kDone, .bytes = pieces[0].iov_len};
  }
  int fd() const override { return fd_.get(); }
  void ShutdownWrite() override {}

 private:
  UniqueFd fd_{eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
};

class Echoing final : public CallHandler {
 public:
  Echoing(std::shared_ptr<ServerCall> call, int& alive) : call_(std::move(call)), alive_(alive) {
    ++alive_;
  }
  ~Echoing() override { --alive_; }
  void OnMessage(Bytes message) override {
    call_->Consumed(message.size());
    call_->Send({std::move(message)});
  }
  void OnHalfClose() override { call_->Finish({}); }

 private:
  std::shared_ptr<ServerCall> call_;
  int& alive_;
};

class OneConnection final : public ServedSet {
 public:
  explicit OneConnection(Loop& loop) : loop_(loop) {}
  void Remove(Served&) override { loop_.Stop(); }
  void Replace(Served&, std::shared_ptr<Served>) override {}

 private:
  Loop& loop_;
};

std::string Prefixed(std::string_view message) {
  return std::string("\0\0\0\0", 4) + static_cast<char>(message.size()) + std::string(message);
}

std::string Call(uint32_t stream, const std::string& path, const std::string& message) {
  return FakePeer::Frame(kFrameHeaders, kFlagEndHeaders, stream,
                         FakePeer::HeaderBlock({{":method", "POST"},
                                                {":scheme", "http"},
                                                {":path", path},
                                                {":authority", "test"},
                                                {"te", "trailers"},
                                                {"grpc-timeout", "10S"},
                                                {"x-bin", "YWJj"},
                                                {"content-type", "application/grpc"}})) +
         FakePeer::Frame(kFrameData, 0, stream, Prefixed(message)) +
         FakePeer::Frame(kFrameData, kFlagEndStream, stream, Prefixed("end"));
}

void RunConnection(std::string_view bytes) {
  int alive = 0;
  Metrics metrics;
  std::vector<Method> methods;
  for (bool manual : {false, true}) {
    methods.push_back({.path = manual ? "/t/Manual" : "/t/Echo",
                       .start =
                           [&alive](std::shared_ptr<ServerCall> call) {
                             return std::make_unique<Echoing>(std::move(call), alive);
                           },
                       .request_bytes_max = 1000,
                       .manual_flow = manual});
  }
  ServerContext context(
      {.http_body_bytes_max = 1000}, std::move(methods),
      [](HttpRequest request, auto respond) {
        respond({.status = 200, .headers = {}, .body = {Bytes(request.body)}});
      },
      metrics, SystemClock());
  auto loop = std::make_shared<Loop>(context.clock);
  OneConnection set(*loop);
  auto connection =
      std::make_shared<ServerConnection>(loop, std::make_unique<Sink>(), context, set);
  loop->Post([&] {
    connection->Start(bytes);
    // After the answers of this iteration have left.
    loop->Post([&] { connection->Drop(); });
  });
  loop->Run();
  connection.reset();
  loop.reset();
  CHECK(alive == 0, fmt::format("{} calls outlive their connection", alive));
  CHECK(*context.http_bodies_bytes == 0);
}

}  // namespace

std::vector<std::string> Seeds() {
  std::string get = FakePeer::Frame(kFrameHeaders, kFlagEndHeaders, 5,
                                    FakePeer::HeaderBlock({{":method", "PUT"},
                                                           {":scheme", "http"},
                                                           {":path", "/page?x"},
                                                           {":authority", "test"}})) +
                    FakePeer::Frame(kFrameData, kFlagEndStream, 5, "body");
  std::string ping = FakePeer::Frame(kFramePing, 0, 0, "12345678");
  std::string cancel = FakePeer::Frame(kFrameReset, 0, 1, {"\0\0\0\x8", 4});
  std::string window = FakePeer::Frame(kFrameWindowUpdate, 0, 0, {"\0\1\0\0", 4});
  return {Call(1, "/t/Echo", "one") + Call(3, "/t/Manual", "two"), get + ping + window,
          Call(1, "/t/Unknown", "x") + cancel + get, Call(1, "/t/Echo", "x") + cancel + ping};
}

}  // namespace lre::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // Said at start-up only: an abusive peer is logged, once each.
  std::string input = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  input += lre::rpc::FakePeer::Frame(lre::rpc::kFrameSettings, 0, 0, {});
  input += lre::fuzz::Text(data, size);
  lre::fuzz::RunConnection(input);
  return 0;
}

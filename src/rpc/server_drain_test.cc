// Orderly ends: drain, connection age, the end of the server.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <nghttp2/nghttp2.h>

#include <thread>

#include "google/bytestream/bytestream.grpc.pb.h"
#include "rpc/client.h"
#include "rpc/fake_peer.h"
#include "rpc/fake_services.h"

namespace lre::rpc {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

BytesList Message(std::string text) { return {Bytes(std::move(text))}; }

TEST(Drain, SaysGoawayTwiceWithAPingBetween) {
  TestServer server;
  FakePeer peer(server.address());
  peer.Hello();
  peer.StartCall(1, "/test/Bidi");
  peer.SendMessage(1, "open", false);
  ASSERT_TRUE(peer.NextOf(kFrameData).has_value());
  std::jthread drain([&] { server.server().Drain(seconds(20)); });

  auto notice = peer.NextOf(kFrameGoaway);
  ASSERT_TRUE(notice.has_value());
  EXPECT_EQ(notice->goaway_last_stream(), 0x7fffffffu);
  EXPECT_EQ(notice->error(), NGHTTP2_NO_ERROR);
  auto ping = peer.NextOf(kFramePing);
  ASSERT_TRUE(ping.has_value());
  // This call was sent before the client could know: it is accepted and answered.
  peer.StartCall(3, "/test/Unary");
  peer.SendMessage(3, "late", true);
  peer.SendFrame(kFramePing, kFlagAck, 0, ping->payload);

  bool answered = false;
  std::optional<uint32_t> last;
  while (!answered || !last) {
    auto frame = peer.Next();
    ASSERT_TRUE(frame.has_value());
    if (frame->type == kFrameGoaway) last = frame->goaway_last_stream();
    answered = answered || frame->payload.find("late") != std::string::npos;
  }
  EXPECT_EQ(*last, 3u);
  // The open call still runs; the connection ends with it.
  peer.SendMessage(1, "bye", true);
  auto bye = peer.NextOf(kFrameData);
  ASSERT_TRUE(bye.has_value());
  EXPECT_THAT(bye->payload, testing::HasSubstr("bye"));
  EXPECT_TRUE(peer.Closed());
  peer.StopWriting();  // else the server lingers
}

TEST(Drain, EndsCallsWithUnavailableWhenPatienceIsOver) {
  TestServer server;
  auto channel = Channel::Create(server.address());
  ASSERT_TRUE(channel.has_value());
  BlockingStream stream(**channel, "/test/Bidi", {});
  stream.Write(Message("x"));
  ASSERT_TRUE(stream.Read().has_value());

  server.server().Drain(milliseconds(20));

  EXPECT_EQ(stream.Finish().code(), Code::kUnavailable) << stream.Finish().ToString();
}

TEST(Drain, LosesNoAcceptedCall) {
  for (int round = 0; round < 5; ++round) {
    auto first = std::make_unique<TestServer>();
    std::string address = first->address();
    auto channel = Channel::Create(address, {.connections = 2});
    ASSERT_TRUE(channel.has_value());
    std::atomic<bool> stop{false};
    std::atomic<int> answered{0}, refused{0}, lost{0};
    std::vector<std::jthread> callers;
    for (int i = 0; i < 4; ++i) {
      callers.emplace_back([&] {
        while (!stop) {
          auto answer = (*channel)->Unary("/test/Unary", Message("x"), {.timeout = seconds(10)});
          if (answer) {
            ++answered;
          } else if (answer.error().message().find("connect: Connection refused") !=
                     std::string::npos) {
            // Nobody listens any more; only calls that were on a connection count.
            ++refused;
            std::this_thread::yield();
          } else {
            ++lost;
            ADD_FAILURE() << answer.error().ToString();
          }
        }
      });
    }
    EXPECT_TRUE(Eventually([&] { return answered > 200; }));
    first->server().Drain(seconds(10));
    stop = true;
    callers.clear();
    EXPECT_EQ(lost, 0);
  }
}

TEST(Drain, LosesNoCallOfGrpcClients) {
  TestServer server;
  auto channel = grpc::CreateChannel(server.address(), grpc::InsecureChannelCredentials());
  std::atomic<int> answered{0};
  std::atomic<bool> draining{false};
  std::jthread caller([&] {
    auto stub = google::bytestream::ByteStream::NewStub(channel);
    for (;;) {
      grpc::ClientContext context;
      google::bytestream::QueryWriteStatusRequest request;
      google::bytestream::QueryWriteStatusResponse response;
      request.set_resource_name("echo");
      grpc::Status status = stub->QueryWriteStatus(&context, request, &response);
      if (!status.ok()) {
        EXPECT_TRUE(draining);
        EXPECT_THAT(status.error_message(), testing::HasSubstr("onnect")) << status.error_code();
        return;
      }
      ++answered;
    }
  });
  EXPECT_TRUE(Eventually([&] { return answered > 100; }));
  draining = true;
  server.server().Drain(seconds(10));
}

TEST(Drain, MovesCallsOffOldConnections) {
  TestServer server({.connection_age_max = milliseconds(20)});
  auto channel = Channel::Create(server.address());
  ASSERT_TRUE(channel.has_value());
  auto connections = [&] { return server.metrics.AddCounter("rpc_connections_total", "").value(); };
  EXPECT_TRUE(Eventually([&] {
    auto answer = (*channel)->Unary("/test/Unary", Message("x"));
    EXPECT_TRUE(answer.has_value()) << answer.error().ToString();
    return connections() >= 5;
  }));
}

TEST(Drain, EndsCallsOfOldConnectionsAfterTheirGrace) {
  TestServer server(
      {.connection_age_max = milliseconds(20), .connection_age_grace = milliseconds(30)});
  auto channel = Channel::Create(server.address());
  ASSERT_TRUE(channel.has_value());
  BlockingStream stream(**channel, "/test/Bidi", {.timeout = seconds(50)});
  stream.Write(Message("x"));

  Status status = stream.Finish();

  EXPECT_EQ(status.code(), Code::kUnavailable) << status.ToString();
  EXPECT_THAT(status.message(), testing::HasSubstr("shutting down"));
}

// Under the PING's own patience (20 s) and that of a handshake (10 s).
TEST(Drain, DoesNotWaitLongForConnectionsWithoutCalls) {
  TestServer server({.drain_idle_max = milliseconds(20)});
  FakePeer silent(server.address());  // not even a preface
  FakePeer deaf(server.address());    // answers no PING
  deaf.Hello();
  deaf.StartCall(1, "/test/Unary");
  deaf.SendMessage(1, "x", true);
  ASSERT_TRUE(deaf.NextOf(kFrameData).has_value());
  auto begin = std::chrono::steady_clock::now();

  server.server().Drain(seconds(30));

  EXPECT_LT(std::chrono::steady_clock::now() - begin, seconds(8));
}

TEST(Drain, IsQuickWhenNothingIsOpen) {
  auto begin = std::chrono::steady_clock::now();
  {
    TestServer server;
    auto channel = Channel::Create(server.address());
    ASSERT_TRUE((*channel)->Unary("/test/Unary", Message("x")).has_value());
    server.server().Drain(seconds(30));
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begin, seconds(5));
}

}  // namespace
}  // namespace lre::rpc

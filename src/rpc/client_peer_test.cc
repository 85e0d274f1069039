// Our client against servers that refuse, go away or talk nonsense.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nghttp2/nghttp2.h>
#include <sys/socket.h>

#include <future>

#include "base/random.h"
#include "rpc/client.h"
#include "rpc/fake_peer.h"
#include "rpc/fake_services.h"

namespace lre::rpc {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

class ClientAndBadServers : public testing::Test {
 protected:
  std::shared_ptr<Channel> Connect(ChannelOptions options = {}) {
    return *Channel::Create(listener_.address(), std::move(options));
  }
  std::future<Result<Bytes>> Call(std::shared_ptr<Channel> channel,
                                  Duration timeout = seconds(10)) {
    return std::async(std::launch::async, [channel, timeout] {
      return channel->Unary("/test/Method", {Bytes::Static("x")}, {.timeout = timeout});
    });
  }
  // Reads one request and returns its stream.
  static uint32_t TakeRequest(FakePeer& server) {
    uint32_t stream = 0;
    for (;;) {
      auto frame = server.Next();
      if (!frame) return 0;
      if (frame->type == kFrameHeaders) stream = frame->stream;
      if (frame->type == kFrameData && frame->flags & kFlagEndStream) return stream;
    }
  }
  static void Answer(FakePeer& server, uint32_t stream, std::string_view text) {
    server.SendHeaders(stream, {{":status", "200"}, {"content-type", "application/grpc"}});
    server.SendMessage(stream, text, false);
    server.SendHeaders(stream, {{"grpc-status", "0"}}, kFlagEndHeaders | kFlagEndStream);
  }
  static std::string Big(uint32_t value) {
    std::string out;
    for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(value >> shift));
    return out;
  }

  FakeListener listener_;
};

TEST_F(ClientAndBadServers, StartsCallsAboveTheLastStreamOfAGoawayAgain) {
  auto channel = Connect();
  auto answer = Call(channel);
  FakePeer first = listener_.Accept();
  first.Greet();
  ASSERT_NE(TakeRequest(first), 0u);
  first.SendFrame(kFrameGoaway, 0, 0, Big(0) + Big(NGHTTP2_NO_ERROR));

  FakePeer second = listener_.Accept();
  second.Greet();
  Answer(second, TakeRequest(second), "again");

  auto result = answer.get();
  ASSERT_TRUE(result.has_value()) << result.error().ToString();
  EXPECT_EQ(result->view(), "again");
}

TEST_F(ClientAndBadServers, StartsRefusedCallsAgainAFewTimes) {
  auto channel = Connect();
  auto answer = Call(channel);
  FakePeer server = listener_.Accept();
  server.Greet();
  server.SendFrame(kFrameReset, 0, TakeRequest(server), Big(NGHTTP2_REFUSED_STREAM));
  Answer(server, TakeRequest(server), "taken");
  EXPECT_EQ(answer.get()->view(), "taken");

  answer = Call(channel);
  for (int i = 0; i < 4; ++i) {
    server.SendFrame(kFrameReset, 0, TakeRequest(server), Big(NGHTTP2_REFUSED_STREAM));
  }
  EXPECT_EQ(answer.get().error().code(), Code::kUnavailable);
}

TEST_F(ClientAndBadServers, NamesAnswersThatAreNotGrpc) {
  struct Case {
    FakePeer::Fields fields;
    Code code;
    const char* text;
  };
  auto channel = Connect();
  std::optional<FakePeer> server;
  for (const Case& c : {
           Case{{{":status", "503"}}, Code::kUnavailable, "503"},
           Case{{{":status", "404"}, {"content-type", "text/html"}}, Code::kUnimplemented, "404"},
           Case{{{":status", "200"}, {"content-type", "text/html"}}, Code::kUnknown, "text/html"},
           Case{{{":status", "200"}, {"content-type", "application/grpc"}},
                Code::kInternal,
                "status"},
           Case{{{":status", "200"}, {"content-type", "application/grpc"}, {"grpc-status", "77"}},
                Code::kUnknown,
                ""},
           Case{{{":status", "200"}, {"content-type", "application/grpc"}, {"grpc-status", "0"}},
                Code::kInternal,
                "0 messages"},
           Case{{{":status", "200"},
                 {"content-type", "application/grpc"},
                 {"grpc-status", "5"},
                 {"grpc-message", "gone%20away%"}},
                Code::kNotFound,
                "gone away%"},
       }) {
    auto answer = Call(channel);
    if (!server) {
      server.emplace(listener_.Accept());
      server->Greet();
    }
    server->SendHeaders(TakeRequest(*server), c.fields, kFlagEndHeaders | kFlagEndStream);
    auto result = answer.get();
    ASSERT_FALSE(result.has_value());
    EXPECT_EQ(result.error().code(), c.code) << result.error().ToString();
    EXPECT_THAT(result.error().message(), HasSubstr(c.text));
  }
}

TEST_F(ClientAndBadServers, RefusesAnswersAboveItsLimits) {
  auto channel = Connect({.response_bytes_max = 1000});
  auto answer = Call(channel);
  FakePeer server = listener_.Accept();
  server.Greet();
  Answer(server, TakeRequest(server), std::string(1001, 'l'));
  EXPECT_EQ(answer.get().error().code(), Code::kResourceExhausted);

  answer = Call(channel);
  FakePeer::Fields fields = {{":status", "200"}, {"content-type", "application/grpc"}};
  uint32_t stream = TakeRequest(server);
  for (int i = 0; i < 5; ++i) {
    fields.emplace_back("x-large-" + std::to_string(i), std::string(15'000, 'h'));
  }
  server.SendHeaders(stream, fields);
  EXPECT_EQ(answer.get().error().code(), Code::kResourceExhausted);
}

TEST_F(ClientAndBadServers, GivesUpOnServersThatAcceptAndSayNothing) {
  for (const char* scheme : {"grpc://", "grpcs://"}) {
    auto channel =
        *Channel::Create(scheme + listener_.address(), {.connect_timeout = milliseconds(100)});
    auto answer = Call(channel, seconds(60));
    FakePeer silent = listener_.Accept();
    auto result = answer.get();
    ASSERT_FALSE(result.has_value());
    EXPECT_EQ(result.error().code(), Code::kUnavailable) << result.error().ToString();
    EXPECT_THAT(result.error().message(), HasSubstr("handshake"));
  }
}

TEST_F(ClientAndBadServers, StartsCallsAgainWhoseHeadersNeverLeft) {
  // The first answer holds the channel's thread until its connection is reset, then starts a call:
  // the channel finds out only when it writes the call's headers.
  struct Second : ClientHandler {
    std::promise<Status> ended;
    std::string text;
    void OnMessage(Bytes message) override { text = message.view(); }
    void OnEnd(Status status, Metadata) override { ended.set_value(status); }
  };
  struct First : ClientHandler {
    Channel* channel = nullptr;
    std::promise<void> ended;
    std::future<void> reset;
    std::shared_ptr<Second> second = std::make_shared<Second>();
    void OnMessage(Bytes) override {}
    void OnEnd(Status, Metadata) override {
      ended.set_value();
      reset.wait();
      auto call = channel->Start("/test/Method", {}, second);
      call->Send({Bytes::Static("x")});
      call->HalfClose();
    }
  };
  auto channel = Connect();
  auto first = std::make_shared<First>();
  std::promise<void> reset;
  first->channel = channel.get();
  first->reset = reset.get_future();
  auto call = channel->Start("/test/Method", {}, first);
  call->Send({Bytes::Static("x")});
  call->HalfClose();
  {
    FakePeer server = listener_.Accept();
    server.Greet();
    Answer(server, TakeRequest(server), "one");
    first->ended.get_future().wait();
    linger at_once{.l_onoff = 1, .l_linger = 0};
    setsockopt(server.fd(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  }
  reset.set_value();

  FakePeer again = listener_.Accept();
  again.Greet();
  Answer(again, TakeRequest(again), "two");

  Status status = first->second->ended.get_future().get();
  EXPECT_TRUE(status.ok()) << status.ToString();
  EXPECT_EQ(first->second->text, "two");
}

TEST_F(ClientAndBadServers, GivesUpOnServersThatDoNotAnswerKeepAlive) {
  auto channel =
      Connect({.keepalive_interval = milliseconds(30), .keepalive_timeout = milliseconds(30)});
  auto answer = Call(channel);
  FakePeer server = listener_.Accept();
  server.Greet();
  ASSERT_NE(TakeRequest(server), 0u);
  auto result = answer.get();
  EXPECT_EQ(result.error().code(), Code::kUnavailable);
  EXPECT_THAT(result.error().message(), HasSubstr("keep-alive"));
}

TEST_F(ClientAndBadServers, SurvivesRandomAnswers) {
  uint64_t seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Random random(seed);
  for (int round = 0; round < 50; ++round) {
    auto channel = Connect();
    auto answer = Call(channel, milliseconds(300));  // a retry finds nobody who answers
    FakePeer server = listener_.Accept();
    server.Greet();
    TakeRequest(server);
    for (int i = 0; i < 5; ++i) {
      server.SendFrame(static_cast<uint8_t>(random.Below(11)), static_cast<uint8_t>(random.Next()),
                       static_cast<uint32_t>(random.Below(3)), random.NextBytes(random.Below(64)));
    }
    { FakePeer gone = std::move(server); }
  }
}

TEST(ClientEnds, MayBeDroppedByItsOwnCallback) {
  TestServer server;
  struct Handler : ClientHandler {
    std::shared_ptr<Channel> channel;
    std::promise<Status> ended;
    void OnMessage(Bytes) override {}
    void OnEnd(Status status, Metadata) override {
      channel.reset();
      ended.set_value(status);
    }
  };
  auto handler = std::make_shared<Handler>();
  handler->channel = *Channel::Create(server.address());
  auto call = handler->channel->Start("/test/Unary", {}, handler);
  call->Send({Bytes(std::string("x"))});
  call->HalfClose();
  EXPECT_TRUE(handler->ended.get_future().get().ok());
}

}  // namespace
}  // namespace lre::rpc

// Our server against peers that break the rules or lean on them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nghttp2/nghttp2.h>

#include "base/random.h"
#include "rpc/fake_peer.h"
#include "rpc/fake_services.h"
#include "rpc/message_reader.h"

namespace lre::rpc {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

constexpr uint8_t kPingPayload[8] = {1, 2, 3, 4, 5, 6, 7, 8};
const std::string kPing(reinterpret_cast<const char*>(kPingPayload), 8);

TEST(ServerAndBadPeers, EndsPingFloodsWithEnhanceYourCalm) {
  TestServer server({.ping_interval_min = seconds(5), .ping_strikes_max = 3});
  FakePeer peer(server.address());
  peer.Hello();
  for (int i = 0; i < 50; ++i) peer.SendFrame(kFramePing, 0, 0, kPing);

  auto goaway = peer.NextOf(kFrameGoaway);

  ASSERT_TRUE(goaway.has_value());
  EXPECT_EQ(goaway->error(), NGHTTP2_ENHANCE_YOUR_CALM);
  EXPECT_THAT(goaway->payload, HasSubstr("too_many_pings"));
  EXPECT_TRUE(peer.Closed());
}

TEST(ServerAndBadPeers, AnswersPingsThatFollowAnswers) {
  TestServer server({.ping_interval_min = seconds(1000), .ping_strikes_max = 0});
  FakePeer peer(server.address());
  peer.Hello();
  // What BDP probes and keep-alives of honest clients look like: one ping per answer.
  for (uint32_t i = 0; i < 100; ++i) {
    peer.StartCall(2 * i + 1, "/test/Unary");
    peer.SendMessage(2 * i + 1, "x", true);
    ASSERT_TRUE(peer.NextOf(kFrameData).has_value());
    peer.SendFrame(kFramePing, 0, 0, kPing);
    auto pong = peer.NextOf(kFramePing);
    ASSERT_TRUE(pong.has_value());
    EXPECT_EQ(pong->payload, kPing);
  }
}

TEST(ServerAndBadPeers, EndsSettingsFloods) {
  TestServer server({.settings_burst_max = 10, .settings_per_second_max = 1});
  FakePeer peer(server.address());
  peer.Hello();
  for (int i = 0; i < 100; ++i) peer.SendFrame(kFrameSettings, 0, 0, {});
  auto goaway = peer.NextOf(kFrameGoaway);
  ASSERT_TRUE(goaway.has_value());
  EXPECT_EQ(goaway->error(), NGHTTP2_ENHANCE_YOUR_CALM);
  EXPECT_TRUE(peer.Closed());
}

TEST(ServerAndBadPeers, EndsRapidResets) {
  TestServer server({.resets_burst_max = 50, .resets_per_second_max = 1});
  FakePeer peer(server.address());
  peer.Hello();
  std::string cancel("\0\0\0\x8", 4);
  for (uint32_t i = 0; i < 200; ++i) {
    if (!peer.StartCall(2 * i + 1, "/test/Unary")) break;
    if (!peer.SendFrame(kFrameReset, 0, 2 * i + 1, cancel)) break;
  }
  auto goaway = peer.NextOf(kFrameGoaway);
  ASSERT_TRUE(goaway.has_value());
  EXPECT_EQ(goaway->error(), NGHTTP2_ENHANCE_YOUR_CALM);
}

TEST(ServerAndBadPeers, ClosesConnectionsThatNeverSayHello) {
  TestServer server({.handshake_max = milliseconds(50)});
  FakePeer silent(server.address());
  FakePeer half(server.address());
  half.SendRaw("PRI * HTTP/2.0\r\n\r\n");
  EXPECT_TRUE(silent.Closed());
  EXPECT_TRUE(half.Closed());
}

TEST(ServerAndBadPeers, ClosesConnectionsWhoseHeadersNeverEnd) {
  TestServer server({.handshake_max = milliseconds(50)});
  FakePeer peer(server.address());
  peer.Hello();
  peer.SendHeaders(1, {{":method", "POST"}}, 0);  // no END_HEADERS, no CONTINUATION
  EXPECT_TRUE(peer.Closed());
}

TEST(ServerAndBadPeers, RefusesHeadersAboveTheLimitAndGoesOn) {
  TestServer server({.header_bytes_max = 4 << 10});
  FakePeer peer(server.address());
  peer.Hello();
  peer.StartCall(1, "/test/Unary", {{"x-large", std::string(5000, 'h')}});
  auto refused = peer.NextOf(kFrameHeaders);
  ASSERT_TRUE(refused.has_value());
  EXPECT_EQ(refused->flags & kFlagEndStream, kFlagEndStream);

  peer.StartCall(3, "/test/Unary");
  peer.SendMessage(3, "still here", true);
  auto answer = peer.NextOf(kFrameData);
  ASSERT_TRUE(answer.has_value());
  EXPECT_THAT(answer->payload, HasSubstr("still here"));
}

TEST(ServerAndBadPeers, RefusesStreamsAboveTheLimit) {
  TestServer server({.streams_max = 2});
  FakePeer peer(server.address());
  peer.Hello();
  peer.SendFrame(kFramePing, 0, 0, kPing);
  ASSERT_TRUE(peer.NextOf(kFramePing).has_value());  // both sides know the SETTINGS now
  for (uint32_t stream : {1u, 3u, 5u}) peer.StartCall(stream, "/test/Bidi");
  auto refusal = peer.Next();
  ASSERT_TRUE(refusal.has_value());
  EXPECT_TRUE(refusal->type == kFrameReset || refusal->type == kFrameGoaway);
  EXPECT_TRUE(refusal->error() == NGHTTP2_REFUSED_STREAM ||
              refusal->error() == NGHTTP2_PROTOCOL_ERROR);
}

TEST(ServerAndBadPeers, RefusesMessagesThatClaimTooMuch) {
  TestServer server;
  FakePeer peer(server.address());
  peer.Hello();
  peer.StartCall(1, "/test/Unary");
  peer.SendFrame(kFrameData, 0, 1, std::string_view("\0\xff\xff\xff\xff", 5));
  auto answer = peer.NextOf(kFrameHeaders);
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->flags & kFlagEndStream, kFlagEndStream);
  auto reset = peer.NextOf(kFrameReset);
  ASSERT_TRUE(reset.has_value());
  EXPECT_EQ(reset->error(), NGHTTP2_NO_ERROR);
}

TEST(ServerAndBadPeers, BoundsTheIncompleteMessagesOfAConnection) {
  TestServer server({.stream_window_bytes = 60'000, .assembling_bytes_max = 50'000});
  FakePeer peer(server.address());
  peer.Hello();
  std::string begin("\0\0\0\x9c\x40", 5);  // a message of 40,000 bytes
  for (uint32_t stream : {1u, 3u}) {
    peer.StartCall(stream, "/test/Unary");
    peer.SendFrame(kFrameData, 0, stream, begin + std::string(15'000, 'm'));
    peer.SendFrame(kFrameData, 0, stream, std::string(15'000, 'm'));
  }

  auto refused = peer.NextOf(kFrameHeaders);
  ASSERT_TRUE(refused.has_value());
  EXPECT_EQ(refused->stream, 3u);
  EXPECT_EQ(refused->flags & kFlagEndStream, kFlagEndStream);

  peer.SendFrame(kFrameData, kFlagEndStream, 1, std::string(10'000, 'm'));
  auto answer = peer.NextOf(kFrameData);
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->stream, 1u);
  EXPECT_GT(answer->payload.size(), 10'000u);
}

TEST(ServerAndBadPeers, RefusesGzipThatDecompressesToTooMuch) {
  TestServer server;
  FakePeer peer(server.address());
  peer.Hello();
  std::string bomb = Gzip(std::string(8 << 20, '\0'));
  ASSERT_LT(bomb.size(), 60'000u);
  peer.StartCall(1, "/test/Unary", {{"grpc-encoding", "gzip"}});
  std::string payload("\1", 1);
  for (int shift = 24; shift >= 0; shift -= 8) {
    payload.push_back(static_cast<char>(bomb.size() >> shift));
  }
  payload += bomb;
  for (size_t at = 0; at < payload.size(); at += 16000) {
    peer.SendFrame(kFrameData, 0, 1, std::string_view(payload).substr(at, 16000));
  }
  auto answer = peer.NextOf(kFrameHeaders);
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->flags & kFlagEndStream, kFlagEndStream);
}

TEST(ServerAndBadPeers, SurvivesRandomBytesAfterAnHonestStart) {
  uint64_t seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Random random(seed);
  TestServer server;
  for (int round = 0; round < 200; ++round) {
    FakePeer peer(server.address());
    peer.Hello();
    peer.StartCall(1, "/test/Bidi");
    for (int i = 0; i < 5; ++i) {
      std::string payload = random.NextBytes(random.Below(64));
      peer.SendFrame(static_cast<uint8_t>(random.Below(11)), static_cast<uint8_t>(random.Next()),
                     static_cast<uint32_t>(random.Below(4)), payload);
    }
  }
  FakePeer honest(server.address());
  honest.Hello();
  honest.StartCall(1, "/test/Unary");
  honest.SendMessage(1, "alive", true);
  auto answer = honest.NextOf(kFrameData);
  ASSERT_TRUE(answer.has_value());
  EXPECT_THAT(answer->payload, HasSubstr("alive"));
}

TEST(ServerAndBadPeers, RefusesConnectionsAboveTheLimit) {
  TestServer server({.connections_max = 2});
  FakePeer first(server.address()), second(server.address());
  for (FakePeer* peer : {&first, &second}) {
    peer->Hello();
    peer->SendFrame(kFramePing, 0, 0, kPing);
    ASSERT_TRUE(peer->NextOf(kFramePing).has_value());
  }
  FakePeer third(server.address());
  EXPECT_TRUE(third.Closed());
}

TEST(ServerAndBadPeers, HoldsNoMoreForASlowReaderThanItsWindow) {
  TestServer server;
  FakePeer peer(server.address());
  peer.Hello({{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 100'000}});
  peer.StartCall(1, "/google.bytestream.ByteStream/Read");
  peer.SendMessage(1, "\x0a\x0bn:1000:65536", true);  // ReadRequest{resource_name}; 64 MiB in all

  size_t received = 0;
  while (received < 65'535) {  // the connection's window
    auto data = peer.NextOf(kFrameData);
    ASSERT_TRUE(data.has_value());
    received += data->payload.size();
  }

  EXPECT_EQ(received, 65'535u);
  EXPECT_LE(server.services.queued_bytes_peak, kWritableLowWaterBytes + (128u << 10));
}

TEST(ServerAndBadPeers, ResetsReadersThatTakeNothing) {
  TestServer server({.stream_stall_max = milliseconds(50)});
  FakePeer peer(server.address());
  peer.Hello({{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 10}});
  peer.StartCall(1, "/google.bytestream.ByteStream/Read");
  peer.SendMessage(1, "\x0a\x0bn:1000:65536", true);
  auto reset = peer.NextOf(kFrameReset);
  ASSERT_TRUE(reset.has_value());
  EXPECT_EQ(reset->error(), NGHTTP2_CANCEL);
  EXPECT_TRUE(Eventually([&] { return server.services.cancelled == 1; }));
}

TEST(ServerAndBadPeers, DropsPeersThatDoNotAnswerKeepAlive) {
  TestServer server(
      {.keepalive_interval = milliseconds(30), .keepalive_timeout = milliseconds(50)});
  FakePeer peer(server.address());
  peer.Hello();
  EXPECT_TRUE(peer.NextOf(kFramePing).has_value());  // which this peer never acknowledges
  EXPECT_TRUE(peer.Closed());
}

TEST(ServerAndBadPeers, GivesWindowBackOnlyWhenTheHandlerSaysSo) {
  TestServer server({.stream_window_bytes = 100'000});
  FakePeer peer(server.address());
  peer.Hello();
  peer.SendFrame(kFramePing, 0, 0, kPing);
  ASSERT_TRUE(peer.NextOf(kFramePing).has_value());  // both sides know the SETTINGS now
  peer.StartCall(1, "/test/Manual");
  std::string message(16'000, 'm');
  for (int i = 0; i < 6; ++i) ASSERT_TRUE(peer.SendMessage(1, message, false));
  for (size_t answered = 0; answered < 60;) {  // six times "16000" and its prefix
    auto data = peer.NextOf(kFrameData);
    ASSERT_TRUE(data.has_value());
    answered += data->payload.size();
  }
  // 96,030 of 100,000 are used; nothing was given back, so this oversteps the window.
  peer.SendMessage(1, message, false);
  auto reset = peer.Next();
  ASSERT_TRUE(reset.has_value());
  EXPECT_TRUE(reset->type == kFrameReset || reset->type == kFrameGoaway);
  EXPECT_EQ(reset->error(), NGHTTP2_FLOW_CONTROL_ERROR);
}

}  // namespace
}  // namespace lre::rpc

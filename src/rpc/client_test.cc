// Our client against our server.
#include "rpc/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>
#include <thread>

#include "google/bytestream/bytestream.pb.h"
#include "rpc/fake_services.h"

namespace lre::rpc {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

std::shared_ptr<Channel> Connect(const std::string& address, ChannelOptions options = {}) {
  auto channel = Channel::Create(address, std::move(options));
  EXPECT_TRUE(channel.has_value());
  return *channel;
}

BytesList Message(std::string text) { return {Bytes(std::move(text))}; }

TEST(Client, GetsUnaryAnswers) {
  TestServer server;
  auto channel = Connect(server.address());
  for (size_t size : {0ul, 1ul, 1000ul, 20000ul, 4ul << 20}) {
    auto answer = channel->Unary("/test/Unary", Message(std::string(size, 'u')));
    ASSERT_TRUE(answer.has_value()) << answer.error().ToString();
    EXPECT_EQ(answer->view(), std::string(size, 'u'));
  }
}

TEST(Client, SendsMessagesOfManyPieces) {
  TestServer server;
  auto channel = Connect(server.address());
  BytesList pieces;
  std::string all;
  for (int i = 0; i < 300; ++i) {
    std::string piece(static_cast<size_t>(i * 13 % 3000), static_cast<char>('a' + i % 26));
    all += piece;
    pieces.emplace_back(std::move(piece));
  }
  auto answer = channel->Unary("/test/Unary", pieces);
  ASSERT_TRUE(answer.has_value()) << answer.error().ToString();
  EXPECT_EQ(answer->view(), all);
}

TEST(Client, StreamsBothWays) {
  TestServer server;
  auto channel = Connect(server.address());
  BlockingStream stream(*channel, "/test/Bidi", {});
  for (int i = 0; i < 100; ++i) {
    std::string text(static_cast<size_t>(i) * 1000, 'b');
    ASSERT_TRUE(stream.Write(Message(text)));
    auto echo = stream.Read();
    ASSERT_TRUE(echo.has_value());
    EXPECT_EQ(echo->view(), text);
  }
  stream.HalfClose();
  EXPECT_FALSE(stream.Read().has_value());
  EXPECT_TRUE(stream.Finish().ok());
}

TEST(Client, ReportsStatusDetailsAndDeadline) {
  TestServer server;
  auto channel = Connect(server.address());
  google::bytestream::QueryWriteStatusRequest request;
  request.set_resource_name("status:9:wörds%");
  const std::string method = "/google.bytestream.ByteStream/QueryWriteStatus";

  auto failed = channel->Unary(method, Message(request.SerializeAsString()));
  request.set_resource_name("hang");
  auto late =
      channel->Unary(method, Message(request.SerializeAsString()), {.timeout = milliseconds(30)});

  ASSERT_FALSE(failed.has_value());
  EXPECT_EQ(failed.error().code(), Code::kFailedPrecondition);
  EXPECT_EQ(failed.error().message(), "wörds%");
  EXPECT_FALSE(failed.error().details().empty());
  ASSERT_FALSE(late.has_value());
  EXPECT_EQ(late.error().code(), Code::kDeadlineExceeded);
  EXPECT_TRUE(Eventually([&] { return server.services.cancelled == 1; }));
}

TEST(Client, SaysUnavailableWhenNobodyListensAndReconnectsLater) {
  TestServer first;
  std::string address = first.address();
  auto channel = Connect(address);
  ASSERT_TRUE(channel->Unary("/test/Unary", Message("x")).has_value());
  first.Stop();

  auto failed = channel->Unary("/test/Unary", Message("x"), {.timeout = seconds(10)});
  ASSERT_FALSE(failed.has_value());
  EXPECT_EQ(failed.error().code(), Code::kUnavailable) << failed.error().ToString();

  TestServer second({.listen = {address}});
  EXPECT_TRUE(Eventually([&] { return channel->Unary("/test/Unary", Message("x")).has_value(); }));
}

TEST(Client, EndsOpenCallsWhenTheChannelGoes) {
  TestServer server;
  auto channel = Connect(server.address());
  auto stream = std::make_unique<BlockingStream>(*channel, "/test/Bidi", CallOptions{});
  stream->Write(Message("x"));
  ASSERT_TRUE(stream->Read().has_value());
  channel.reset();
  EXPECT_EQ(stream->Finish().code(), Code::kCancelled);
}

TEST(Client, RunsManyCallsAtOnceOverSeveralConnections) {
  TestServer server;
  auto channel = Connect(server.address(), {.connections = 4});
  struct Counter : ClientHandler {
    std::atomic<int>* left;
    std::atomic<int>* wrong;
    std::string want, got;
    void OnMessage(Bytes message) override { got = message.view(); }
    void OnEnd(Status status, Metadata) override {
      if (!status.ok() || got != want) ++*wrong;
      --*left;
    }
  };
  std::atomic<int> left{5000}, wrong{0};
  for (int i = 0; i < 5000; ++i) {
    auto handler = std::make_shared<Counter>();
    handler->left = &left;
    handler->wrong = &wrong;
    handler->want = std::to_string(i);
    auto call = channel->Start("/test/Unary", {}, handler);
    call->Send(Message(std::to_string(i)));
    call->HalfClose();
  }
  EXPECT_TRUE(Eventually([&] { return left == 0; }));
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace lre::rpc

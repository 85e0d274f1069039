// Which answers are compressed, as they lie on the wire. That clients can read them is what
// server_grpc_test.cc asks grpc++.
#include <gtest/gtest.h>

#include "rpc/fake_peer.h"
#include "rpc/fake_services.h"
#include "rpc/message_reader.h"

namespace lre::rpc {
namespace {

// DATA of the answer of an echo.
std::string Echoed(const TestServer& server, std::string_view message,
                   const FakePeer::Fields& headers) {
  FakePeer peer(server.address());
  peer.Hello();
  peer.StartCall(1, "/test/Unary", headers);
  peer.SendMessage(1, message, true);
  auto answer = peer.NextOf(kFrameData);
  return answer ? answer->payload : "no answer";
}

const FakePeer::Fields kTakesGzip = {{"grpc-accept-encoding", "identity, deflate,gzip"}};
const std::string kMessage(3000, 'z');

TEST(GzipAnswers, AreSmallerAndSaySo) {
  TestServer server({.gzip_answers = true});

  std::string answer = Echoed(server, kMessage, kTakesGzip);

  ASSERT_GT(answer.size(), 5u);
  EXPECT_LT(answer.size(), 200u);
  EXPECT_EQ(answer[0], 1);
  auto plain = Gunzip(std::string_view(answer).substr(5), 1 << 20);
  ASSERT_TRUE(plain) << plain.error().ToString();
  EXPECT_EQ(plain->view(), kMessage);
}

TEST(GzipAnswers, AreNotSentWhereNobodyAskedForThem) {
  TestServer off, on({.gzip_answers = true, .gzip_bytes_min = 100, .gzip_bytes_max = 3000});
  const std::string plain = std::string("\0\0\0\x0b\xb8", 5) + kMessage;

  EXPECT_EQ(Echoed(off, kMessage, kTakesGzip), plain) << "without the option";
  EXPECT_EQ(Echoed(on, kMessage, {}), plain) << "to a client that did not say";
  EXPECT_EQ(Echoed(on, kMessage, {{"grpc-accept-encoding", "identity,xgzip"}}), plain);
  EXPECT_EQ(Echoed(on, kMessage, {{"grpc-accept-encoding", "gzip"}})[0], 1);
  EXPECT_EQ(Echoed(on, std::string(99, 'z'), kTakesGzip)[0], 0) << "too small";
  EXPECT_EQ(Echoed(on, std::string(100, 'z'), kTakesGzip)[0], 1);
  EXPECT_EQ(Echoed(on, std::string(3001, 'z'), kTakesGzip)[0], 0) << "too large";
  std::string noise;
  for (int i = 0; i < 256; ++i) noise.push_back(static_cast<char>(i * 167));
  EXPECT_EQ(Echoed(on, noise, kTakesGzip)[0], 0) << "gzip makes it longer";
}

}  // namespace
}  // namespace lre::rpc

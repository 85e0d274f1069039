// HTTP on the gRPC port: the HTTP/1.1 parser alone, then the server judged by raw requests and
// curl.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <thread>

#include "base/random.h"
#include "base/source_path.h"
#include "base/subprocess.h"
#include "rpc/client.h"
#include "rpc/fake_peer.h"
#include "rpc/fake_services.h"
#include "rpc/http1_parser.h"

namespace lre::rpc {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;
using State = Http1Parser::State;

// Feeds `text` in steps of `step` bytes; what is left stays in `text`.
State FeedAll(Http1Parser& parser, std::string_view& text, size_t step) {
  while (!text.empty()) {
    std::string_view part = text.substr(0, step);
    size_t before = part.size();
    State state = parser.Feed(part);
    text.remove_prefix(before - part.size());
    if (state == State::kComplete || state == State::kError) return state;
  }
  return parser.state();
}

TEST(Http1Parser, TakesRequestsInPartsOfAnySize) {
  constexpr std::string_view kText =
      "PUT /cas/abc?x=1 HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nX-A:  b \r\n\r\nhello"
      "\r\nPOST /up HTTP/1.1\r\nTransfer-Encoding: "
      "chunked\r\n\r\n3\r\nabc\r\n0a;e=1\r\n0123456789\r\n"
      "0\r\nTrailer: x\r\n\r\nGET / HTTP/1.0\r\n\r\n";
  for (size_t step = 1; step < kText.size(); ++step) {
    Http1Parser parser({});
    std::string_view text = kText;

    ASSERT_EQ(FeedAll(parser, text, step), State::kComplete) << step;
    EXPECT_TRUE(parser.keep_alive());
    HttpRequest put = parser.Take();
    ASSERT_EQ(FeedAll(parser, text, step), State::kComplete) << step;
    HttpRequest post = parser.Take();
    ASSERT_EQ(FeedAll(parser, text, step), State::kComplete) << step;
    EXPECT_FALSE(parser.keep_alive());

    EXPECT_EQ(put.method, "PUT");
    EXPECT_EQ(put.path, "/cas/abc");
    EXPECT_EQ(put.query, "x=1");
    EXPECT_EQ(put.body, "hello");
    EXPECT_EQ(FindMetadata(put.headers, "x-a"), "b");
    EXPECT_EQ(post.body, "abc0123456789");
    EXPECT_EQ(parser.Take().path, "/");
    EXPECT_TRUE(text.empty());
  }
}

TEST(Http1Parser, RefusesWhatTwoParsersCouldReadDifferently) {
  struct Case {
    const char* text;
    int status;
  };
  for (Case c : {
           Case{"GET / HTTP/1.1\nHost: x\n\n", 400},
           Case{"GET /\r\n\r\n", 400},
           Case{"GET  / HTTP/1.1\r\n\r\n", 400},
           Case{"G(T / HTTP/1.1\r\n\r\n", 400},
           Case{"GET x HTTP/1.1\r\n\r\n", 400},
           Case{"GET / HTTP/2.0\r\n\r\n", 505},
           Case{"GET / JUNK\r\n\r\n", 400},
           Case{"GET / HTTP/1.1\r\nA : b\r\n\r\n", 400},
           Case{"GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n", 400},
           Case{"GET / HTTP/1.1\r\nA: b\rc\r\n\r\n", 400},
           Case{"PUT / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", 400},
           Case{"PUT / HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\nx", 400},
           Case{"PUT / HTTP/1.1\r\nContent-Length: -1\r\n\r\nx", 400},
           Case{"PUT / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\nx", 400},
           Case{"PUT / HTTP/1.1\r\nContent-Length: 5000\r\n\r\nx", 413},
           Case{"PUT / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
           Case{"PUT / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", 501},
           Case{"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400},
           Case{"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", 400},
           Case{"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfff\r\n", 413},
           Case{"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n", 413},
       }) {
    Http1Parser parser({.header_bytes_max = 1000, .body_bytes_max = 1000});
    std::string_view text = c.text;
    EXPECT_EQ(FeedAll(parser, text, 7), State::kError) << c.text;
    EXPECT_EQ(parser.error_status(), c.status) << c.text;
  }
  Http1Parser parser({.header_bytes_max = 1000});
  std::string large = "GET / HTTP/1.1\r\nA: " + std::string(1000, 'a');
  std::string_view text = large;
  EXPECT_EQ(FeedAll(parser, text, 100), State::kError);
  EXPECT_EQ(parser.error_status(), 431);
}

TEST(Http1Parser, SurvivesRandomChangesOfRequests) {
  uint64_t seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Random random(seed);
  const std::string good =
      "POST /up?q HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
  for (int round = 0; round < 20'000; ++round) {
    std::string bad = good;
    for (uint64_t i = random.Below(4); i < 4; ++i) {
      bad[random.Below(bad.size())] = static_cast<char>(random.Next());
    }
    Http1Parser parser({.header_bytes_max = 200, .body_bytes_max = 100});
    std::string_view text = bad;
    FeedAll(parser, text, 1 + random.Below(bad.size()));
  }
}

// Echoes what it was asked; "/later" from another thread; "/large" 10 MiB.
HttpHandler Echo() {
  return [](HttpRequest request, std::function<void(HttpResponse)> respond) {
    HttpResponse response{
        .status = 200,
        .headers = {{"content-type", "text/plain"}},
        .body = {Bytes(fmt::format("{} {} {} ", request.method, request.path, request.query)),
                 Bytes(request.body)}};
    if (request.path == "/large") response.body = {Bytes(std::string(10 << 20, 'l'))};
    if (request.path == "/none") response = {.status = 204};
    if (request.path == "/hang") return;
    if (request.path != "/later") return respond(std::move(response));
    std::jthread([respond, response] { respond(response); });
  };
}

Result<std::string> Curl(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {"curl", "-sS", "--max-time", "20"});
  TRY_ASSIGN(SubprocessResult ran, RunSubprocess({.arguments = std::move(arguments)}));
  if (ran.exit_code != 0) return Error(Code::kUnavailable, "curl: {}", ran.error_output);
  return ran.output;
}

// Sends `text` on a new connection and returns all that comes until the server closes it.
std::string Talk(const TestServer& server, const std::string& text) {
  FakePeer peer(server.address());
  peer.SendRaw(text);
  return peer.ReadAll();
}

TEST(ServerWithHttp1, AnswersPipelinedRequestsInOrder) {
  TestServer server({}, Echo());
  std::string answer = Talk(server,
                            "GET /a?b HTTP/1.1\r\nHost: x\r\n\r\n"
                            "PUT /later HTTP/1.1\r\nContent-Length: 3\r\n\r\nxyz"
                            "HEAD /large HTTP/1.1\r\n\r\n"
                            "GET /none HTTP/1.1\r\n\r\n"
                            "GET /end HTTP/1.1\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(
      answer,
      "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 9\r\n\r\nGET /a b "
      "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 15\r\n\r\nPUT /later  xyz"
      "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 10485760\r\n\r\n"
      "HTTP/1.1 204 No Content\r\n\r\n"
      "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 10\r\n"
      "connection: close\r\n\r\nGET /end  ");
}

TEST(ServerWithHttp1, AnswersErrorsAndCloses) {
  TestServer server({.header_bytes_max = 1000, .http_body_bytes_max = 1000}, Echo());
  EXPECT_THAT(Talk(server, "GARBAGE\r\n\r\n"), HasSubstr("HTTP/1.1 400 Bad Request"));
  EXPECT_THAT(Talk(server, "PUT / HTTP/1.1\r\nContent-Length: 1001\r\n\r\n"), HasSubstr(" 413 "));
  EXPECT_THAT(Talk(server, "GET / HTTP/1.1\r\nA: " + std::string(2000, 'a')), HasSubstr(" 431 "));
}

TEST(ServerWithHttp, BoundsTheBodiesOfAllConnectionsTogether) {
  TestServer server({.http_bodies_bytes_max = 1000}, Echo());
  auto put = [](const char* path, size_t size) {
    return fmt::format("PUT {} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{}", path,
                       size, std::string(size, 'b'));
  };
  std::optional<FakePeer> holder(server.address());
  holder->SendRaw(put("/", 900).substr(0, 800));  // never the rest

  EXPECT_TRUE(Eventually(
      [&] { return Talk(server, put("/other", 400)).find(" 503 ") != std::string::npos; }));
  EXPECT_THAT(Talk(server, put("/other", 200)), HasSubstr(" 200 "));
  holder.reset();
  EXPECT_TRUE(Eventually(
      [&] { return Talk(server, put("/other", 400)).find(" 200 ") != std::string::npos; }));

  auto http2 = Curl({"--http2-prior-knowledge", "-o", "/dev/null", "-w", "%{http_code}", "-T",
                     SourcePath("LICENSE"), "http://" + server.address() + "/other"});
  ASSERT_TRUE(http2.has_value()) << http2.error().ToString();
  EXPECT_EQ(*http2, "503");
}

TEST(ServerWithHttp1, ClosesSlowRequests) {
  TestServer server({.handshake_max = milliseconds(50)}, Echo());
  EXPECT_EQ(Talk(server, "GET / HT"), "");
  EXPECT_EQ(Talk(server, "PUT / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhel"), "");
}

TEST(ServerWithHttp1, EndsWithTheServer) {
  TestServer server({}, Echo());
  FakePeer idle(server.address()), waiting(server.address());
  idle.SendRaw("GET /none HTTP/1.1\r\n\r\n");
  ASSERT_TRUE(idle.ReadUntil("No Content\r\n\r\n"));
  waiting.SendRaw("GET /none HTTP/1.1\r\n\r\nGET /hang HTTP/1.1\r\n\r\n");
  ASSERT_TRUE(waiting.ReadUntil("No Content\r\n\r\n"));
  std::jthread drain([&] { server.server().Drain(milliseconds(100)); });
  EXPECT_EQ(idle.ReadAll(), "");
  EXPECT_THAT(waiting.ReadAll(), HasSubstr("503 Service Unavailable"));
  for (FakePeer* peer : {&idle, &waiting}) peer->StopWriting();  // else the server lingers
}

TEST(ServerWithHttp, AnswersCurlWithBothVersions) {
  TestServer server({}, Echo());
  std::string url = "http://" + server.address();
  for (const char* version : {"--http1.1", "--http2-prior-knowledge"}) {
    auto get = Curl({version, url + "/path?query"});
    auto put = Curl({version, "-T", SourcePath("LICENSE"), url + "/later"});
    auto large =
        Curl({version, "-w", "%{http_code} %{size_download}", "-o", "/dev/null", url + "/large"});
    auto head = Curl({version, "-I", url + "/large"});
    auto none = Curl({version, "-w", "%{http_code}", url + "/none"});
    for (auto& result : {get, put, large, head, none}) {
      ASSERT_TRUE(result.has_value()) << version << result.error().ToString();
    }
    EXPECT_EQ(*get, "GET /path query ");
    EXPECT_THAT(*put, testing::StartsWith("PUT /later  "));
    EXPECT_THAT(*put, HasSubstr("Apache License"));
    EXPECT_EQ(*large, "200 10485760");
    EXPECT_THAT(*head, HasSubstr("content-length: 10485760"));
    EXPECT_EQ(*none, "204");
  }
}

TEST(ServerWithHttp, ServesGrpcAndHttpOnOnePortAndOnUnixSockets) {
  TempDir folder;
  TestServer server({.listen = {"unix:" + (folder / "s")}}, Echo());
  auto channel = Channel::Create(server.address());
  ASSERT_TRUE(channel.has_value());
  auto answer = (*channel)->Unary("/test/Unary", {Bytes(std::string("over a file"))});
  ASSERT_TRUE(answer.has_value()) << answer.error().ToString();
  EXPECT_EQ(answer->view(), "over a file");
  auto page = Curl({"--unix-socket", folder / "s", "http://localhost/page"});
  ASSERT_TRUE(page.has_value());
  EXPECT_EQ(*page, "GET /page  ");
}

}  // namespace
}  // namespace lre::rpc

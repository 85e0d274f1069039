#include "http_client/http_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <thread>

#include "base/file.h"
#include "digest/digest.h"
#include "http_client/fake_http_server.h"
#include "http_client/partial_file.h"

namespace lre {
namespace {

using testing::HasSubstr;
using testing::Not;

HttpClientOptions Quick() {
  return {.backoff_first = std::chrono::milliseconds(1),
          .backoff_max = std::chrono::milliseconds(2),
          .http_proxy = "DIRECT"};
}

std::string Sha256(std::string_view bytes) {
  return ComputeDigest(DigestFunction::kSha256, bytes).Hex();
}

std::string SomeBytes(size_t size) {
  std::string bytes(size, '\0');
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i * 7 + i / 251);
  return bytes;
}

TEST(HttpClientTest, GetsABodyAndKeepsTheConnection) {
  FakeHttpServer server([](const FakeHttpRequest& r) { return AnswerBytes(r, "hello " + r.path); });
  HttpClient client(Quick());

  EXPECT_EQ(client.Get({.url = server.Url("/a")}), "hello /a");
  EXPECT_EQ(client.Get({.url = server.Url("/b")}), "hello /b");
  EXPECT_EQ(server.connections(), 1);
}

TEST(HttpClientTest, VerifiesHashAndSize) {
  FakeHttpServer server([](const FakeHttpRequest& r) { return AnswerBytes(r, "hello"); });
  HttpClient client(Quick());
  const HttpRequest request{.url = server.Url("/")};

  EXPECT_TRUE(client.Get(request, {.sha256 = Sha256("hello"), .size_bytes = 5}));
  const auto wrong_hash = client.Get(request, {.sha256 = Sha256("other")});
  ASSERT_FALSE(wrong_hash);
  EXPECT_EQ(wrong_hash.error().code(), Code::kDataLoss);
  EXPECT_THAT(wrong_hash.error().message(), HasSubstr(Sha256("other")));
  EXPECT_THAT(wrong_hash.error().message(), HasSubstr(Sha256("hello")));
  EXPECT_EQ(client.Get(request, {.size_bytes = 4}).error().code(), Code::kDataLoss);
  EXPECT_EQ(client.Get(request, {.size_bytes = 6}).error().code(), Code::kDataLoss);
}

TEST(HttpClientTest, RefusesABodyBeyondItsLimit) {
  FakeHttpServer server([](const FakeHttpRequest& r) { return AnswerBytes(r, SomeBytes(1001)); });
  HttpClient client(Quick());

  EXPECT_EQ(client.Get({.url = server.Url("/"), .body_bytes_max = 1000}).error().code(),
            Code::kOutOfRange);
  EXPECT_TRUE(client.Get({.url = server.Url("/"), .body_bytes_max = 1001}));
}

TEST(HttpClientTest, RefusesHeadersBeyondTheirLimit) {
  FakeHttpServer server([](const FakeHttpRequest&) {
    return FakeHttpAnswer{.headers = {"X-Long: " + std::string(5000, 'x')}};
  });
  HttpClientOptions options = Quick();
  options.header_bytes_max = 4096;
  HttpClient client(options);

  EXPECT_EQ(client.Get({.url = server.Url("/")}).error().code(), Code::kOutOfRange);
}

TEST(HttpClientTest, FollowsRedirectsUpToItsLimit) {
  FakeHttpServer server([](const FakeHttpRequest& r) -> FakeHttpAnswer {
    const int left = std::stoi(r.path.substr(1));
    if (left == 0) return {.body = "there"};
    return {
        .status = 302, .headers = {fmt::format("Location: /{}", left - 1)}, .body = "not the body"};
  });
  HttpClient client(Quick());

  EXPECT_EQ(client.Get({.url = server.Url("/10")}), "there");
  const auto too_many = client.Get({.url = server.Url("/11")});
  ASSERT_FALSE(too_many);
  EXPECT_EQ(too_many.error().code(), Code::kFailedPrecondition);
}

TEST(HttpClientTest, GetsRangesAndRefusesServersWithoutThem) {
  FakeHttpServer server([](const FakeHttpRequest& r) {
    return r.path == "/whole" ? FakeHttpAnswer{.body = "0123456789"} : AnswerBytes(r, "0123456789");
  });
  HttpClient client(Quick());

  EXPECT_EQ(client.Get({.url = server.Url("/"), .offset = 7}), "789");
  EXPECT_EQ(client.Get({.url = server.Url("/"), .offset = 2, .end = 4}), "23");
  EXPECT_EQ(client.Get({.url = server.Url("/"), .offset = 2, .end = 2}).error().code(),
            Code::kInvalidArgument);
  EXPECT_EQ(client.Get({.url = server.Url("/"), .offset = 10}).error().code(), Code::kOutOfRange);
  EXPECT_EQ(client.Get({.url = server.Url("/whole"), .offset = 2}).error().code(),
            Code::kFailedPrecondition);
}

TEST(HttpClientTest, RetriesWhatMayGetBetterAndNothingElse) {
  std::atomic<int> status = 503;
  std::atomic<int> calls = 0;
  FakeHttpServer server([&](const FakeHttpRequest&) -> FakeHttpAnswer {
    if (++calls <= 2) return {.status = status};
    return {.body = "at last"};
  });
  HttpClient client(Quick());

  EXPECT_EQ(client.Get({.url = server.Url("/")}), "at last");
  EXPECT_EQ(calls, 3);
  for (const auto& [answer, code] : std::map<int, Code>{{404, Code::kNotFound},
                                                        {410, Code::kNotFound},
                                                        {403, Code::kPermissionDenied},
                                                        {401, Code::kPermissionDenied},
                                                        {400, Code::kFailedPrecondition}}) {
    status = answer;
    calls = 0;
    EXPECT_EQ(client.Get({.url = server.Url("/")}).error().code(), code) << answer;
    EXPECT_EQ(calls, 1) << answer;
  }
}

TEST(HttpClientTest, GivesUpAfterItsAttempts) {
  FakeHttpServer server([](const FakeHttpRequest&) {
    return FakeHttpAnswer{.status = 429, .headers = {"Retry-After: 3600"}};
  });
  HttpClientOptions options = Quick();
  options.attempts_max = 3;
  HttpClient client(options);

  const auto body = client.Get({.url = server.Url("/x")});

  ASSERT_FALSE(body);
  EXPECT_EQ(body.error().code(), Code::kUnavailable);
  EXPECT_THAT(body.error().message(), HasSubstr("/x: HTTP status 429"));
  EXPECT_EQ(server.requests(), 3);
}

TEST(HttpClientTest, StartsOverWhenABodyInMemoryIsCutOff) {
  std::atomic<int> calls = 0;
  FakeHttpServer server([&](const FakeHttpRequest&) -> FakeHttpAnswer {
    FakeHttpAnswer answer{.body = SomeBytes(5000)};
    if (++calls == 1) answer.cut_after = 1000;
    return answer;
  });
  HttpClient client(Quick());

  EXPECT_EQ(client.Get({.url = server.Url("/")}), SomeBytes(5000));
}

TEST(HttpClientTest, SendsBodiesAndHandsOutAnswersOfAnyStatus) {
  FakeHttpServer server([](const FakeHttpRequest& r) -> FakeHttpAnswer {
    return {.status = 401,
            .headers = {"WWW-Authenticate: Bearer"},
            .body = r.method + " " + r.body + " " + r.headers.at("x-own")};
  });
  HttpClient client(Quick());

  const auto response = client.Send(
      {.url = server.Url("/"), .method = "POST", .headers = {"X-Own: yes"}, .body = "data"});

  ASSERT_TRUE(response) << response.error().ToString();
  EXPECT_EQ(response->status, 401);
  EXPECT_EQ(response->headers.at("www-authenticate"), "Bearer");
  EXPECT_EQ(StatusOf(*response).code(), Code::kPermissionDenied);
  EXPECT_EQ(server.requests(), 1);
}

TEST(HttpClientTest, NeverRepeatsAPost) {
  FakeHttpServer server([](const FakeHttpRequest&) { return FakeHttpAnswer{.status = 503}; });
  HttpClient client(Quick());

  EXPECT_EQ(client.Send({.url = server.Url("/"), .method = "POST"})->status, 503);
  EXPECT_EQ(server.requests(), 1);
}

TEST(HttpClientTest, StopsWhenAskedTo) {
  FakeHttpServer server([](const FakeHttpRequest&) { return FakeHttpAnswer{.hang = true}; });
  HttpClient client(Quick());
  std::stop_source stop;
  stop.request_stop();

  const auto body = client.Get({.url = server.Url("/"), .stop = stop.get_token()});

  ASSERT_FALSE(body);
  EXPECT_EQ(body.error().code(), Code::kCancelled);
}

TEST(HttpClientTest, GivesUpOnAServerThatStalls) {
  FakeHttpServer server([](const FakeHttpRequest&) { return FakeHttpAnswer{.hang = true}; });
  HttpClientOptions options = Quick();
  options.attempt_timeout = std::chrono::milliseconds(50);
  options.attempts_max = 2;
  HttpClient client(options);

  EXPECT_EQ(client.Get({.url = server.Url("/")}).error().code(), Code::kUnavailable);
  EXPECT_EQ(server.requests(), 2);
}

TEST(HttpClientTest, UsesTheProxyItIsGiven) {
  FakeHttpServer proxy([](const FakeHttpRequest& r) { return AnswerBytes(r, "via " + r.path); });
  HttpClientOptions options = Quick();
  options.http_proxy = proxy.Url("/");
  HttpClient client(options);

  EXPECT_EQ(client.Get({.url = "http://archive.invalid/x"}), "via http://archive.invalid/x");
}

TEST(HttpClientTest, TrustsOnlyTheCertificatesItIsTold) {
  FakeHttpServer server([](const FakeHttpRequest& r) { return AnswerBytes(r, "secret"); }, true);
  TempDir dir;
  HttpClientOptions options = Quick();
  options.https_proxy = "DIRECT";
  HttpClient stranger(options);
  options.ca_file = dir / "ca.pem";
  ASSERT_TRUE(WriteFileAtomically(options.ca_file, server.certificate()).ok());
  HttpClient friendly(options);

  const auto refused = stranger.Get({.url = server.Url("/")});

  EXPECT_EQ(friendly.Get({.url = server.Url("/")}), "secret");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kFailedPrecondition);
  EXPECT_EQ(server.connections(), 2) << "what cannot get better is not repeated";
}

TEST(HttpClientTest, SurvivesAPeerThatClosesWhileItSends) {
  for (const bool tls : {false, true}) {
    FakeHttpServer server(
        [](const FakeHttpRequest&) { return FakeHttpAnswer{.body = "x", .cut_after = 0}; }, tls);
    TempDir dir;
    HttpClientOptions options = Quick();
    options.https_proxy = "DIRECT";
    options.attempts_max = 3;
    options.ca_file = dir / "ca.pem";
    ASSERT_TRUE(WriteFileAtomically(options.ca_file, server.certificate() + "\n").ok());
    HttpClient client(options);
    HttpRequest request{.url = server.Url("/"), .method = "PUT", .body = std::string(1 << 20, 'x')};
    // The server believes that the body ends here, answers and closes.
    request.headers = {"Content-Length: 1"};

    EXPECT_FALSE(client.Send(request));
  }
}

TEST(HttpClientTest, NeverFollowsARedirectFromHttpsToHttp) {
  FakeHttpServer plain([](const FakeHttpRequest& r) { return AnswerBytes(r, "forged"); });
  FakeHttpServer server(
      [&](const FakeHttpRequest&) {
        return FakeHttpAnswer{.status = 302, .headers = {"Location: " + plain.Url("/")}};
      },
      true);
  TempDir dir;
  HttpClientOptions options = Quick();
  options.https_proxy = "DIRECT";
  options.ca_file = dir / "ca.pem";
  ASSERT_TRUE(WriteFileAtomically(options.ca_file, server.certificate()).ok());

  EXPECT_FALSE(HttpClient(options).Get({.url = server.Url("/")}));
  EXPECT_EQ(plain.requests(), 0);
}

TEST(HttpClientTest, RefusesWhatIsNotAnUrlItSpeaks) {
  HttpClient client(Quick());

  for (const char* url : {"", "gopher://x/", "http://", "http://exa mple/"}) {
    const auto body = client.Get({.url = url});
    ASSERT_FALSE(body) << url;
    EXPECT_EQ(body.error().code(), Code::kInvalidArgument) << url;
  }
}

TEST(HttpClientTest, ReadsFileUrls) {
  TempDir dir;
  ASSERT_TRUE(WriteFileAtomically(dir / "x", "0123456789").ok());
  HttpClient client(Quick());

  EXPECT_EQ(client.Get({.url = "file://" + (dir / "x")}), "0123456789");
  EXPECT_EQ(client.Get({.url = "file://" + (dir / "x"), .offset = 4, .end = 6}), "45");
  EXPECT_EQ(client.Get({.url = "file://" + (dir / "y")}).error().code(), Code::kNotFound);
}

TEST(HttpClientTest, HidesUserAndPasswordInMessages) {
  EXPECT_EQ(RedactUrl("https://user:secret@host/a@b"), "https://host/a@b");
  EXPECT_EQ(RedactUrl("http://host/a@b"), "http://host/a@b");
  EXPECT_EQ(RedactUrl("http://u@host?x"), "http://host?x");
  EXPECT_EQ(RedactUrl("nothing"), "nothing");
  FakeHttpServer server([](const FakeHttpRequest&) { return FakeHttpAnswer{.status = 404}; });
  HttpClient client(Quick());
  std::string url = server.Url("/x");
  url.insert(7, "user:secret@");

  EXPECT_THAT(client.Get({.url = url}).error().message(), Not(HasSubstr("secret")));
}

class DownloadTest : public testing::Test {
 protected:
  const std::string bytes_ = SomeBytes(300000);
  const HttpExpectation expected_{.sha256 = Sha256(bytes_), .size_bytes = bytes_.size()};
  TempDir dir_;
  const std::string path_ = dir_ / "file";
  HttpClient client_{Quick()};
};

TEST_F(DownloadTest, WritesAVerifiedFileAndNothingElse) {
  FakeHttpServer server([&](const FakeHttpRequest& r) { return AnswerBytes(r, bytes_); });

  ASSERT_TRUE(client_.Download({.url = server.Url("/")}, path_, expected_).ok());

  EXPECT_EQ(ReadFile(path_), bytes_);
  EXPECT_EQ(SystemFiles().List(dir_.path())->size(), 1u);
}

TEST_F(DownloadTest, ContinuesWhereItWasCutOff) {
  std::vector<std::string> ranges;  // one connection at a time
  FakeHttpServer server([&](const FakeHttpRequest& r) {
    FakeHttpAnswer answer = AnswerBytes(r, bytes_);
    ranges.push_back(r.headers.contains("range") ? r.headers.at("range") : "");
    if (ranges.size() == 1) answer.cut_after = 100000;
    return answer;
  });

  ASSERT_TRUE(client_.Download({.url = server.Url("/")}, path_, expected_).ok());

  EXPECT_EQ(ReadFile(path_), bytes_);
  EXPECT_THAT(ranges, testing::ElementsAre("", "bytes=100000-"));
}

TEST_F(DownloadTest, ContinuesWhatAnEarlierCallLeft) {
  ASSERT_TRUE(WriteFileAtomically(path_ + ".partial", bytes_.substr(0, 123456)).ok());
  std::string range;
  FakeHttpServer server([&](const FakeHttpRequest& r) {
    range = r.headers.contains("range") ? r.headers.at("range") : "";
    return AnswerBytes(r, bytes_);
  });

  ASSERT_TRUE(client_.Download({.url = server.Url("/")}, path_, expected_).ok());

  EXPECT_EQ(ReadFile(path_), bytes_);
  EXPECT_EQ(range, "bytes=123456-");
}

TEST_F(DownloadTest, StartsOverWhenWhatAnEarlierCallLeftIsWrong) {
  for (const std::string& left : {std::string(1000, 'x'), std::string(bytes_.size(), 'x'),
                                  std::string(bytes_.size() + 1, 'x')}) {
    ASSERT_TRUE(WriteFileAtomically(path_ + ".partial", left).ok());
    FakeHttpServer server([&](const FakeHttpRequest& r) { return AnswerBytes(r, bytes_); });

    const Status status = client_.Download({.url = server.Url("/")}, path_, expected_);

    ASSERT_TRUE(status.ok()) << status.ToString();
    EXPECT_EQ(ReadFile(path_), bytes_);
  }
}

TEST_F(DownloadTest, StartsOverWhenTheServerCannotContinue) {
  ASSERT_TRUE(WriteFileAtomically(path_ + ".partial", bytes_.substr(0, 1000)).ok());
  FakeHttpServer server([&](const FakeHttpRequest&) { return FakeHttpAnswer{.body = bytes_}; });

  ASSERT_TRUE(client_.Download({.url = server.Url("/")}, path_, expected_).ok());

  EXPECT_EQ(ReadFile(path_), bytes_);
}

TEST_F(DownloadTest, ContinuesNothingWithoutAHash) {
  ASSERT_TRUE(WriteFileAtomically(path_ + ".partial", "stale").ok());
  std::atomic<int> calls = 0;
  FakeHttpServer server([&](const FakeHttpRequest& r) {
    FakeHttpAnswer answer = AnswerBytes(r, bytes_);
    if (++calls == 1) answer.cut_after = 1000;
    EXPECT_FALSE(r.headers.contains("range"));
    return answer;
  });

  ASSERT_TRUE(client_.Download({.url = server.Url("/")}, path_).ok());

  EXPECT_EQ(ReadFile(path_), bytes_);
}

TEST_F(DownloadTest, KeepsNothingOfBytesThatDoNotMatch) {
  for (const std::string& body :
       {std::string(bytes_.size(), 'x'), bytes_ + "x", bytes_.substr(1)}) {
    FakeHttpServer server([&](const FakeHttpRequest&) { return FakeHttpAnswer{.body = body}; });

    const Status status = client_.Download({.url = server.Url("/")}, path_, expected_);

    EXPECT_EQ(status.code(), Code::kDataLoss) << status.ToString();
    EXPECT_EQ(SystemFiles().List(dir_.path())->size(), 0u);
  }
}

TEST_F(DownloadTest, KeepsNothingOfAnErrorPage) {
  FakeHttpServer server(
      [&](const FakeHttpRequest&) { return FakeHttpAnswer{.status = 404, .body = "gone"}; });

  EXPECT_EQ(client_.Download({.url = server.Url("/")}, path_).code(), Code::kNotFound);
  EXPECT_EQ(SystemFiles().List(dir_.path())->size(), 0u);
}

TEST_F(DownloadTest, LetsTwoCallsDownloadToOnePath) {
  FakeHttpServer server([&](const FakeHttpRequest& r) { return AnswerBytes(r, bytes_); });
  const auto holder = PartialFile::Open(path_, true);  // as another process would
  ASSERT_TRUE(holder);

  ASSERT_TRUE(client_.Download({.url = server.Url("/")}, path_, expected_).ok());

  EXPECT_EQ(ReadFile(path_), bytes_);
  EXPECT_EQ(SystemFiles().List(dir_.path())->size(), 2u);
}

TEST_F(DownloadTest, SaysWhenTheDirectoryIsMissing) {
  const Status status = client_.Download({.url = "http://127.0.0.1/"}, dir_ / "no/file");

  EXPECT_EQ(status.code(), Code::kNotFound);
  EXPECT_THAT(status.message(), HasSubstr("no/file.partial"));
}

}  // namespace
}  // namespace lre

// What a caller may say about where a request goes: hosts, addresses, time.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>

#include "http_client/fake_http_server.h"
#include "http_client/http_client.h"
#include "http_client/public_address.h"

namespace lre {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

HttpClientOptions Quick() {
  return {.backoff_first = std::chrono::milliseconds(1),
          .backoff_max = std::chrono::milliseconds(2),
          .http_proxy = "DIRECT"};
}

TEST(OriginRules, EveryHopOfARedirectIsAskedFor) {
  FakeHttpServer server([](const FakeHttpRequest& r) {
    if (r.path == "/b") return AnswerBytes(r, "there");
    return FakeHttpAnswer{.status = 302, .headers = {"Location: /b"}};
  });
  HttpClient client(Quick());
  std::vector<std::string> asked;
  HttpRequest request{.url = server.Url("/a")};
  request.check_hop = [&](HttpRequest& hop) {
    asked.push_back(hop.url);
    return Status();
  };
  EXPECT_EQ(client.Get(request), "there");
  EXPECT_THAT(asked, ElementsAre(server.Url("/a"), server.Url("/b")));

  request.check_hop = [&](HttpRequest& hop) {
    return hop.url.ends_with("/b") ? Status(Code::kPermissionDenied, "not there") : Status();
  };
  EXPECT_EQ(client.Get(request).error().code(), Code::kPermissionDenied);
  EXPECT_EQ(server.requests(), 3);
}

TEST(OriginRules, CheckedRedirectsEndToo) {
  FakeHttpServer server([](const FakeHttpRequest&) {
    return FakeHttpAnswer{.status = 302, .headers = {"Location: /again"}};
  });
  HttpClientOptions options = Quick();
  options.redirects_max = 3;
  HttpClient client(options);
  HttpRequest request{.url = server.Url("/")};
  request.check_hop = [](HttpRequest&) { return Status(); };
  EXPECT_EQ(client.Get(request).error().code(), Code::kFailedPrecondition);
  EXPECT_EQ(server.requests(), 4);
}

TEST(OriginRules, HeadersAreForTheFirstHostOnly) {
  std::string seen = "nothing";
  FakeHttpServer second([&](const FakeHttpRequest& r) {
    seen = r.headers.contains("authorization") ? r.headers.at("authorization") : "";
    return AnswerBytes(r, "x");
  });
  std::string first_saw;
  FakeHttpServer first([&](const FakeHttpRequest& r) {
    first_saw = r.headers.at("authorization");
    return FakeHttpAnswer{.status = 302, .headers = {"Location: " + second.Url("/")}};
  });
  HttpClient client(Quick());
  HttpRequest request{.url = first.Url("/"), .headers = {"Authorization: secret"}};
  request.check_hop = [](HttpRequest&) { return Status(); };
  EXPECT_EQ(client.Get(request), "x");
  EXPECT_EQ(first_saw, "secret");
  EXPECT_EQ(seen, "");
}

TEST(OriginRules, PublicAddressesOnlyRefusesThisMachine) {
  FakeHttpServer server([](const FakeHttpRequest& r) { return AnswerBytes(r, "x"); });
  HttpClient client(Quick());
  HttpRequest request{.url = server.Url("/"), .public_addresses_only = true};
  const auto got = client.Get(request);
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code(), Code::kPermissionDenied) << got.error().ToString();
  EXPECT_EQ(server.connections(), 0);
}

TEST(OriginRules, ADeadlineEndsACallThatHangs) {
  FakeHttpServer server([](const FakeHttpRequest&) { return FakeHttpAnswer{.hang = true}; });
  HttpClient client(Quick());
  HttpRequest request{.url = server.Url("/")};
  request.deadline = SystemClock().Now() + std::chrono::milliseconds(50);
  const auto got = client.Get(request);
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code(), Code::kDeadlineExceeded) << got.error().ToString();
}

TEST(OriginRules, UrlsAreTakenApartAsTheyAreRequested) {
  EXPECT_EQ(*ParseUrl("HTTPS://User:x@Example.COM/a?b"), (UrlParts{"https", "example.com", "443"}));
  EXPECT_EQ(*ParseUrl("http://[::1]:80/"), (UrlParts{"http", "::1", "80"}));
  EXPECT_EQ(ParseUrl("http://good.example\\@evil.example/")->host, "evil.example");
  for (const char* url : {"", "urn:x", "/a/b", "http://"}) {
    const auto parts = ParseUrl(url);
    EXPECT_TRUE(!parts || (parts->scheme != "http" && parts->scheme != "https")) << url;
  }
}

bool IsPublic(const char* text) {
  sockaddr_in6 six{.sin6_family = AF_INET6};
  if (inet_pton(AF_INET6, text, &six.sin6_addr) == 1) {
    return IsPublicAddress(reinterpret_cast<const sockaddr*>(&six));
  }
  sockaddr_in four{.sin_family = AF_INET};
  EXPECT_EQ(inet_pton(AF_INET, text, &four.sin_addr), 1) << text;
  return IsPublicAddress(reinterpret_cast<const sockaddr*>(&four));
}

TEST(OriginRules, KnowsPublicAddresses) {
  for (const char* address : {"8.8.8.8", "151.101.2.132", "172.32.0.1", "100.128.0.1",
                              "2a04:4e42::644", "2001:4860:4860::8888", "64:ff9b::808:808"}) {
    EXPECT_TRUE(IsPublic(address)) << address;
  }
  for (const char* address :
       {"127.0.0.1", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254",
        "100.64.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fd00::1",
        "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::", "ff02::1", "2001:db8::1"}) {
    EXPECT_FALSE(IsPublic(address)) << address;
  }
}

}  // namespace
}  // namespace lre

#include "service/asset_service.h"

#include <gtest/gtest.h>

#include <future>
#include <latch>
#include <thread>

#include "google/rpc/error_details.pb.h"
#include "service/fake_asset_server.h"
#include "service/fake_call.h"
#include "store/lease_holder.h"

namespace lre::service {
namespace {

class AssetServiceTest : public AssetFixture {};

TEST_F(AssetServiceTest, FetchesABlobOnceAndKnowsItWhenTheOriginIsGone) {
  origin_.Serve("/a", "bytes of a");

  auto first = Fetch(origin_.Url("/a"));
  origin_.Stop();
  auto second = Fetch(origin_.Url("/a"));

  for (const auto& response : {first, second}) {
    EXPECT_EQ(response.status().code(), 0) << response.status().message();
    EXPECT_EQ(response.uri(), origin_.Url("/a"));
    EXPECT_EQ(response.blob_digest().hash(), DigestOf("bytes of a").hash());
    EXPECT_EQ(response.blob_digest().size_bytes(), 10);
    EXPECT_EQ(response.digest_function(), pb::DigestFunction::SHA256);
    EXPECT_EQ(FromProtoTime(response.expires_at()), clock_.WallNow() + 24h);
  }
  EXPECT_EQ(*store::ReadAll(store_, {ComputeDigest(kSha256, "bytes of a")}), "bytes of a");
  EXPECT_EQ(origin_.requests(), 1);
  ASSERT_EQ(pins_.size(), 1u);
  EXPECT_EQ(pins_.begin()->second.digests, 1u);
}

TEST_F(AssetServiceTest, DigestsInTheFunctionThatIsAskedFor) {
  origin_.Serve("/a", "x");
  asset_pb::FetchBlobRequest request;
  request.add_uris(origin_.Url("/a"));
  request.set_digest_function(pb::DigestFunction::BLAKE3);
  Qualify(request.mutable_qualifiers(), "checksum.sri", Sri("x"));
  auto response = Fetch(request);
  EXPECT_EQ(response.digest_function(), pb::DigestFunction::BLAKE3);
  EXPECT_EQ(response.blob_digest().hash(), DigestOf("x", DigestFunction::kBlake3).hash());
}

TEST_F(AssetServiceTest, AnswersWhatTheOriginSays) {
  origin_.Serve("/forbidden", [](const auto&) { return HttpResponse{.status = 403}; });
  origin_.Serve("/teapot", [](const auto&) { return HttpResponse{.status = 418}; });
  EXPECT_EQ(Fetch(origin_.Url("/none")).status().code(), grpc::NOT_FOUND);
  EXPECT_EQ(Fetch(origin_.Url("/forbidden")).status().code(), grpc::PERMISSION_DENIED);
  EXPECT_EQ(Fetch(origin_.Url("/teapot")).status().code(), grpc::ABORTED);
  EXPECT_EQ(Fetch(origin_.Url("/none")).uri(), origin_.Url("/none"));
}

TEST_F(AssetServiceTest, AnOriginThatIsDownIsUnavailable) {
  asset_pb::FetchBlobRequest request;
  request.add_uris(origin_.Url("/a"));
  origin_.Stop();
  asset_pb::FetchBlobResponse response;
  Context context;
  EXPECT_EQ(fetch_->FetchBlob(&context, request, &response).error_code(), grpc::UNAVAILABLE);
}

TEST_F(AssetServiceTest, TakesTheNextOriginWhenOneFails) {
  origin_.Serve("/b", "x");
  asset_pb::FetchBlobRequest request;
  request.add_uris("urn:not:pushed");
  request.add_uris(origin_.Url("/a"));
  request.add_uris(origin_.Url("/b"));
  EXPECT_EQ(Fetch(request).uri(), origin_.Url("/b"));
}

TEST_F(AssetServiceTest, RefusesBytesWithAnotherChecksum) {
  origin_.Serve("/a", "other bytes");
  asset_pb::FetchBlobRequest request;
  request.add_uris(origin_.Url("/a"));
  Qualify(request.mutable_qualifiers(), "checksum.sri", Sri("bytes"));
  auto response = Fetch(request);
  EXPECT_EQ(response.status().code(), grpc::ABORTED);
  EXPECT_FALSE(response.has_blob_digest());
  EXPECT_FALSE(store::ReadAll(store_, {ComputeDigest(kSha256, "other bytes")}));
}

TEST_F(AssetServiceTest, AsksOnlyHostsThatAreNamed) {
  for (const char* uri : {"http://127.0.0.1:1/", "http://example.org/", "https://127.0.0.1/"}) {
    EXPECT_EQ(Fetch(std::string(uri)).status().code(), grpc::PERMISSION_DENIED) << uri;
  }
  EXPECT_EQ(Fetch("file:///etc/passwd").status().code(), grpc::NOT_FOUND);
  for (const char* to : {"http://127.0.0.1:1/", "file:///etc/passwd", "ftp://127.0.0.1/"}) {
    origin_.Serve("/away", [to](const auto&) {
      return HttpResponse{.status = 302, .headers = {{"location", to}}};
    });
    const int code = Fetch(origin_.Url("/away")).status().code();
    EXPECT_TRUE(code == grpc::PERMISSION_DENIED || code == grpc::ABORTED) << to << " " << code;
  }
}

TEST_F(AssetServiceTest, FollowsRedirectsAmongThem) {
  origin_.Serve("/a", [](const auto&) {
    return HttpResponse{.status = 302, .headers = {{"location", "/b"}}};
  });
  origin_.Serve("/b", "there");
  EXPECT_EQ(Fetch(origin_.Url("/a")).blob_digest().hash(), DigestOf("there").hash());
}

TEST_F(AssetServiceTest, BoundsSizeAndTime) {
  AssetOptions options;
  options.origin.size_bytes_max = 1000;
  Start(std::move(options));
  origin_.Serve("/large", std::string(1001, 'x'));
  origin_.Serve("/fits", std::string(1000, 'x'));
  origin_.Hang("/hangs");
  EXPECT_EQ(Fetch(origin_.Url("/large")).status().code(), grpc::RESOURCE_EXHAUSTED);
  EXPECT_EQ(Fetch(origin_.Url("/fits")).status().code(), 0);
  asset_pb::FetchBlobRequest request;
  request.add_uris(origin_.Url("/hangs"));
  request.mutable_timeout()->set_nanos(50'000'000);
  EXPECT_EQ(Fetch(request).status().code(), grpc::DEADLINE_EXCEEDED);
}

TEST_F(AssetServiceTest, BoundsBlobsAndFilesOfArchives) {
  AssetOptions options;
  options.blob_bytes_max = 100;
  Start(std::move(options));
  origin_.Serve("/large", std::string(101, 'x'));
  origin_.Serve("/fits", std::string(100, 'x'));
  EXPECT_EQ(Fetch(origin_.Url("/large")).status().code(), grpc::RESOURCE_EXHAUSTED);
  EXPECT_EQ(Fetch(origin_.Url("/fits")).status().code(), 0);
}

TEST_F(AssetServiceTest, ActsForWhoAsksAndCountsWhatItDoes) {
  std::promise<std::string> holder;
  AssetOptions options;
  options.origin.hosts = {origin_.address()};
  options.origin.http.http_proxy = "DIRECT";
  options.metrics = &metrics_;
  auto pin = [&](const std::string&, store::Partition, std::span<const Digest>, WallTime) {
    holder.set_value(std::string(store::LeaseHolder::Current()));
    return Status();
  };
  AssetService service(AssetParts{store_, *cache_, io_, clock_, pin}, std::move(options));
  origin_.Serve("/a", "bytes");
  origin_.Serve("/gone", [](const auto&) { return HttpResponse{.status = 410}; });
  auto fetch = [&](const std::string& uri) {
    asset_pb::FetchBlobRequest request;
    request.add_uris(uri);
    auto response =
        CallAs<asset_pb::FetchBlobResponse>("ci", service.Methods(), "/FetchBlob", request);
    EXPECT_TRUE(response) << ToStatus(response).ToString();
    return response ? response->status().code() : -1;
  };

  EXPECT_EQ(fetch(origin_.Url("/a")), grpc::OK);
  EXPECT_EQ(fetch(origin_.Url("/a")), grpc::OK);
  EXPECT_EQ(fetch(origin_.Url("/gone")), grpc::NOT_FOUND);
  EXPECT_EQ(fetch("http://example.org/"), grpc::PERMISSION_DENIED);

  EXPECT_EQ(holder.get_future().get(), "ci");
  const std::string metrics = metrics_.Print();
  for (const char* line :
       {"lre_asset_fetches_total{kind=\"blob\",code=\"OK\"} 1\n",
        "lre_asset_fetches_total{kind=\"blob\",code=\"NOT_FOUND\"} 1\n",
        "lre_asset_kept_answers_total 1\n", "lre_asset_fetched_bytes_total 5\n",
        "lre_asset_refused_hosts_total 1\n", "lre_asset_origin_answers_total{status=\"2xx\"} 1\n",
        "lre_asset_origin_answers_total{status=\"4xx\"} 1\n"}) {
    EXPECT_NE(metrics.find(line), std::string::npos) << line;
  }
}

TEST_F(AssetServiceTest, EndsWhileAFetchHangs) {
  origin_.Hang("/hangs");
  asset_pb::FetchBlobRequest request;
  request.add_uris(origin_.Url("/hangs"));
  asset_pb::FetchBlobResponse response;
  Context context;
  std::jthread call([&] { fetch_->FetchBlob(&context, request, &response); });
  while (origin_.requests() == 0) std::this_thread::yield();
  server_.reset();
  service_.reset();  // must not wait for the origin
}

TEST_F(AssetServiceTest, SendsHeadersToTheirOrigin) {
  auto answer = [](const rpc::HttpRequest& request) {
    auto value = [&](const char* name) {
      return std::string(rpc::FindMetadata(request.headers, name));
    };
    return HttpResponse{.body = {Bytes(value("x-one") + "|" + value("authorization"))}};
  };
  origin_.Serve("/a", answer);
  origin_.Serve("/none", [](const auto&) { return HttpResponse{.status = 404}; });
  asset_pb::FetchBlobRequest request;
  request.add_uris(origin_.Url("/none"));
  request.add_uris(origin_.Url("/a"));
  Qualify(request.mutable_qualifiers(), "http_header:X-One", "1");
  Qualify(request.mutable_qualifiers(), "http_header:Authorization", "all");
  Qualify(request.mutable_qualifiers(), "http_header_url:1:Authorization", "second");
  EXPECT_EQ(Fetch(request).blob_digest().hash(), DigestOf("1|second").hash());
  // What one may read is not answered to another.
  asset_pb::FetchBlobRequest without;
  without.add_uris(origin_.Url("/a"));
  EXPECT_EQ(Fetch(without).blob_digest().hash(), DigestOf("|").hash());
}

TEST_F(AssetServiceTest, NamesQualifiersThatItCannotMeet) {
  origin_.Serve("/a", "x");
  asset_pb::FetchBlobRequest request;
  request.add_uris(origin_.Url("/a"));
  Qualify(request.mutable_qualifiers(), "vcs.branch", "main");
  Qualify(request.mutable_qualifiers(), "bazel.canonical_id", "fine");
  Qualify(request.mutable_qualifiers(), "directory", "of no blob");
  asset_pb::FetchBlobResponse response;
  Context context;
  const grpc::Status status = fetch_->FetchBlob(&context, request, &response);
  EXPECT_EQ(status.error_code(), grpc::INVALID_ARGUMENT);
  google::rpc::Status details;
  google::rpc::BadRequest bad;
  ASSERT_TRUE(details.ParseFromString(status.error_details()));
  ASSERT_EQ(details.details_size(), 1);
  ASSERT_TRUE(details.details(0).UnpackTo(&bad));
  ASSERT_EQ(bad.field_violations_size(), 2);
  EXPECT_EQ(bad.field_violations(0).field(), "qualifiers.name");
  EXPECT_EQ(bad.field_violations(0).description(), "\"vcs.branch\" not supported");
  EXPECT_EQ(origin_.requests(), 0);
}

TEST_F(AssetServiceTest, RefusesMalformedRequests) {
  auto code = [&](const std::function<void(asset_pb::FetchBlobRequest*)>& change) {
    asset_pb::FetchBlobRequest request;
    request.add_uris(origin_.Url("/a"));
    change(&request);
    asset_pb::FetchBlobResponse response;
    Context context;
    return fetch_->FetchBlob(&context, request, &response).error_code();
  };
  const auto kBad = grpc::INVALID_ARGUMENT;
  EXPECT_EQ(code([](auto* r) { r->clear_uris(); }), kBad);
  EXPECT_EQ(code([](auto* r) {
              for (int i = 0; i < 64; i++) r->add_uris("u");
            }),
            kBad);
  EXPECT_EQ(code([](auto* r) { r->add_uris(""); }), kBad);
  EXPECT_EQ(code([](auto* r) { r->set_instance_name("a/blobs/b"); }), kBad);
  EXPECT_EQ(code([](auto* r) { r->mutable_timeout(); }), kBad);
  EXPECT_EQ(
      code([](auto* r) { r->set_digest_function(static_cast<pb::DigestFunction::Value>(77)); }),
      kBad);
  for (const auto& [name, value] :
       std::vector<std::pair<std::string, std::string>>{{"", "x"},
                                                        {"checksum.sri", "sha256-xxx"},
                                                        {"checksum.sri", "crc32-AAAA"},
                                                        {"checksum.sri", ""},
                                                        {"http_header:A", "b\r\nEvil: yes"},
                                                        {"http_header:A b", "c"},
                                                        {"http_header_url:7:A", "b"}}) {
    EXPECT_EQ(code([&](auto* r) { Qualify(r->mutable_qualifiers(), name, value); }), kBad) << name;
  }
  EXPECT_EQ(code([](auto* r) {
              Qualify(r->mutable_qualifiers(), "bazel.canonical_id", "1");
              Qualify(r->mutable_qualifiers(), "bazel.canonical_id", "2");
            }),
            kBad);
  EXPECT_EQ(origin_.requests(), 0);
}

TEST_F(AssetServiceTest, FetchesAgainWhatIsTooOld) {
  origin_.Serve("/a", "old");
  Fetch(origin_.Url("/a"));
  origin_.Serve("/a", "new");
  clock_.Advance(1s);
  asset_pb::FetchBlobRequest request;
  request.add_uris(origin_.Url("/a"));
  *request.mutable_oldest_content_accepted() = ToProtoTime(clock_.WallNow() - 1s);
  EXPECT_EQ(Fetch(request).blob_digest().hash(), DigestOf("old").hash());
  *request.mutable_oldest_content_accepted() = ToProtoTime(clock_.WallNow());
  EXPECT_EQ(Fetch(request).blob_digest().hash(), DigestOf("new").hash());
  // Bazel asks so for what has no checksum: never from a cache.
  origin_.Serve("/a", "newer");
  *request.mutable_oldest_content_accepted() = ToProtoTime(clock_.WallNow() + 1h);
  EXPECT_EQ(Fetch(request).blob_digest().hash(), DigestOf("newer").hash());
}

TEST_F(AssetServiceTest, KeepsForeverOnlyWhatHasAChecksum) {
  origin_.Serve("/a", "x");
  asset_pb::FetchBlobRequest checked, unchecked;
  checked.add_uris(origin_.Url("/a"));
  unchecked.add_uris(origin_.Url("/a"));
  Qualify(checked.mutable_qualifiers(), "checksum.sri", Sri("x"));
  Fetch(checked);
  Fetch(unchecked);
  clock_.Advance(25h);
  EXPECT_EQ(FromProtoTime(Fetch(checked).expires_at()), clock_.WallNow() + 24h);
  EXPECT_EQ(origin_.requests(), 2);
  Fetch(unchecked);
  EXPECT_EQ(origin_.requests(), 3);
}

TEST_F(AssetServiceTest, FetchesAgainWhenTheBlobIsGone) {
  origin_.Serve("/a", "x");
  Fetch(origin_.Url("/a"));
  store_.Lose(ComputeDigest(kSha256, "x"));
  EXPECT_EQ(Fetch(origin_.Url("/a")).status().code(), 0);
  EXPECT_EQ(origin_.requests(), 2);
}

TEST_F(AssetServiceTest, AnswersWithoutATimeWhatCouldNotBePinned) {
  origin_.Serve("/a", "x");
  pin_status_ = Status(Code::kResourceExhausted, "too many pins");
  auto response = Fetch(origin_.Url("/a"));
  EXPECT_EQ(response.status().code(), 0);
  EXPECT_FALSE(response.has_expires_at());
  auto push = PushOf("urn:a", "pushed");
  *push.mutable_expire_at() = ToProtoTime(clock_.WallNow() + 1h);
  EXPECT_EQ(PushBlob(push), grpc::RESOURCE_EXHAUSTED);
  EXPECT_EQ(Fetch("urn:a").status().code(), grpc::NOT_FOUND);
}

TEST_F(AssetServiceTest, EqualRequestsShareOneFetch) {
  std::latch asked(1), release(1);
  origin_.Serve("/a", [&](const auto&) {
    asked.count_down();
    release.wait();
    return HttpResponse{.body = {Bytes(std::string("x"))}};
  });
  std::vector<std::jthread> calls;
  for (int i = 0; i < 4; i++) {
    calls.emplace_back([&] { EXPECT_EQ(Fetch(origin_.Url("/a")).status().code(), 0); });
  }
  asked.wait();
  release.count_down();
  calls.clear();
  EXPECT_EQ(origin_.requests(), 1);
}

}  // namespace
}  // namespace lre::service

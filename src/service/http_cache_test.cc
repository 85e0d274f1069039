// The HTTP cache, asked over a socket with libcurl as Bazel, ccache and sccache ask.
#include "service/http_cache.h"

#include <gtest/gtest.h>

#include "action_cache/stored_action_cache.h"
#include "http_client/http_client.h"
#include "reapi/digest_proto.h"
#include "store/fake_blob_store.h"

namespace lre::service {
namespace {

namespace pb = reapi::pb;
constexpr auto kSha256 = DigestFunction::kSha256;

class HttpCacheTest : public testing::Test {
 protected:
  void Serve(HttpCacheOptions options = {}) {
    auto nothing = [](rpc::HttpRequest, const std::function<void(rpc::HttpResponse)>& respond) {
      respond({.body = {Bytes::Static("otherwise")}});
    };
    auto started = rpc::Server::Start(
        {.listen = {"127.0.0.1:0"}, .loops = 1}, {},
        NewHttpCache({store_, *cache_, *values_, io_}, options, nothing), metrics_, SystemClock());
    ASSERT_TRUE(started) << ToStatus(started).ToString();
    server_ = std::move(*started);
  }
  HttpResponse Send(const std::string& method, const std::string& path,
                    const std::string& body = {}, std::vector<std::string> headers = {}) {
    Result<HttpResponse> response = client_.Send({.url = "http://" + server_->addresses()[0] + path,
                                                  .method = method,
                                                  .headers = std::move(headers),
                                                  .body = body});
    EXPECT_TRUE(response) << ToStatus(response).ToString();
    return response ? *response : HttpResponse();
  }
  int StatusOf(const std::string& method, const std::string& path, const std::string& body = {}) {
    return Send(method, path, body).status;
  }
  static std::string Hex(std::string_view text) { return ComputeDigest(kSha256, text).Hex(); }

  Metrics metrics_;
  store::FakeBlobStore store_;
  std::unique_ptr<store::ValueStore> values_ = store::NewMemoryValueStore();
  std::unique_ptr<action_cache::ActionCache> cache_ =
      action_cache::NewStoredActionCache(*values_, store_);
  ThreadPool io_{{.threads = 2}};
  std::unique_ptr<rpc::Server> server_;
  HttpClient client_{{.attempts_max = 1, .http_proxy = "DIRECT"}};
};

TEST_F(HttpCacheTest, ServesBlobsThatWerePut) {
  Serve();
  const std::string path = "/cas/" + Hex("blob");
  EXPECT_EQ(StatusOf("GET", path), 404);
  EXPECT_EQ(StatusOf("HEAD", path), 404);

  EXPECT_EQ(StatusOf("PUT", path, "blob"), 200);

  EXPECT_EQ(Send("GET", path).body, "blob");
  EXPECT_EQ(StatusOf("HEAD", path), 200);
  EXPECT_EQ(Send("GET", "/main/sub" + path).body, "blob") << "blobs are the same of every instance";
  EXPECT_EQ(*store::ReadAll(store_, {ComputeDigest(kSha256, "blob")}), "blob");
  EXPECT_EQ(StatusOf("GET", "/cas/" + Hex("")), 200) << "the empty blob is always there";
}

TEST_F(HttpCacheTest, RefusesBlobsThatAreNotWhatTheirPathSays) {
  Serve();
  EXPECT_EQ(StatusOf("PUT", "/cas/" + Hex("blob"), "evil"), 400);
  EXPECT_EQ(StatusOf("GET", "/cas/" + Hex("blob")), 404);
  EXPECT_EQ(StatusOf("PUT", "/cas/abc", "x"), 400);
  EXPECT_EQ(StatusOf("GET", "/cas/" + std::string(64, 'A')), 400);
  EXPECT_EQ(StatusOf("POST", "/cas/" + Hex("blob"), "blob"), 405);
  EXPECT_EQ(StatusOf("GET", "/uploads/cas/" + Hex("blob")), 400) << "no instance name";
}

TEST_F(HttpCacheTest, SaysABlobIsAbsentWhenTheStoreHasLostIt) {
  Serve();
  ASSERT_EQ(StatusOf("PUT", "/cas/" + Hex("blob"), "blob"), 200);
  store_.Lose(ComputeDigest(kSha256, "blob"));
  EXPECT_EQ(StatusOf("GET", "/cas/" + Hex("blob")), 404);
}

TEST_F(HttpCacheTest, ServesResultsOnlyWhileTheirBlobsAreThere) {
  Serve();
  pb::ActionResult result;
  auto* file = result.add_output_files();
  file->set_path("out");
  *file->mutable_digest() = reapi::ToProto(ComputeDigest(kSha256, "output"));
  const std::string path = "/ac/" + Hex("action");
  EXPECT_EQ(StatusOf("PUT", path, result.SerializeAsString()), 409);
  EXPECT_EQ(StatusOf("PUT", path, "no result\xff"), 400);
  store_.Add("output");  // as a gRPC client leaves it: nobody has told its size over HTTP
  ASSERT_EQ(StatusOf("PUT", path, result.SerializeAsString()), 200);
  EXPECT_EQ(StatusOf("GET", "/cas/" + Hex("output")), 404);

  HttpResponse response = Send("GET", path);

  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.body, result.SerializeAsString());
  EXPECT_EQ(Send("GET", "/cas/" + Hex("output")).body, "output") << "the result said its size";
  EXPECT_EQ(StatusOf("GET", "/other" + path), 404) << "results belong to an instance";
  store_.Lose(ComputeDigest(kSha256, "output"));
  EXPECT_EQ(StatusOf("GET", path), 404);
}

TEST_F(HttpCacheTest, KeepsRawValuesApart) {
  Serve({.raw_value_bytes_max = 100});
  const std::string path = "/raw/ccache/ac/" + Hex("key");
  EXPECT_EQ(StatusOf("GET", path), 404);
  EXPECT_EQ(StatusOf("PUT", path, "value"), 201);
  EXPECT_EQ(StatusOf("PUT", path, "other"), 201);

  EXPECT_EQ(Send("GET", path).body, "other");
  EXPECT_EQ(StatusOf("GET", "/raw/sccache/ac/" + Hex("key")), 404);
  EXPECT_EQ(StatusOf("GET", "/ac/" + Hex("key")), 404);
  EXPECT_EQ(StatusOf("PUT", path, std::string(101, 'x')), 413);
  EXPECT_EQ(StatusOf("PUT", "/raw/a/" + std::string(2000, 'k'), "x"), 400);
  EXPECT_EQ(StatusOf("DELETE", path), 204);
  EXPECT_EQ(StatusOf("GET", path), 404);
}

TEST_F(HttpCacheTest, SpeaksAsMuchWebDavAsSccacheNeeds) {
  Serve();
  EXPECT_EQ(StatusOf("MKCOL", "/raw/sccache/a/b/"), 201);
  EXPECT_NE(Send("PROPFIND", "/raw/sccache/a/").body.find("<D:collection/>"), std::string::npos);
  EXPECT_EQ(StatusOf("PROPFIND", "/raw/sccache/a/b/c&d"), 404);
  ASSERT_EQ(StatusOf("PUT", "/raw/sccache/a/b/c&d", "12345"), 201);

  HttpResponse response = Send("PROPFIND", "/raw/sccache/a/b/c&d");

  EXPECT_EQ(response.status, 207);
  EXPECT_NE(response.body.find("<D:getcontentlength>5</D:getcontentlength>"), std::string::npos);
  EXPECT_NE(response.body.find("<D:href>/raw/sccache/a/b/c&amp;d</D:href>"), std::string::npos);
  EXPECT_EQ(response.body.find("<D:collection/>"), std::string::npos);
}

TEST_F(HttpCacheTest, IsNotForBrowsers) {
  Serve();
  for (const char* header : {"Origin: http://evil.example", "Sec-Fetch-Site: cross-site"}) {
    EXPECT_EQ(Send("PUT", "/raw/a/b", "x", {header}).status, 403) << header;
    EXPECT_EQ(Send("PUT", "/cas/" + Hex("x"), "x", {header}).status, 403) << header;
  }
}

TEST_F(HttpCacheTest, IsReadOnlyWhenUpdatesAreOff) {
  Serve({.update = {.enabled = false}});
  EXPECT_EQ(StatusOf("PUT", "/ac/" + Hex("a"), "x"), 403);
  EXPECT_EQ(StatusOf("PUT", "/raw/a/b", "x"), 403);
  EXPECT_EQ(StatusOf("DELETE", "/raw/a/b"), 403);
  EXPECT_EQ(StatusOf("PUT", "/cas/" + Hex("x"), "x"), 200) << "blobs prove themselves";
}

TEST_F(HttpCacheTest, BoundsBlobs) {
  Serve({.blob_bytes_max = 4});
  EXPECT_EQ(StatusOf("PUT", "/cas/" + Hex("four"), "four"), 200);
  EXPECT_EQ(StatusOf("PUT", "/cas/" + Hex("fives"), "fives"), 413);
  EXPECT_EQ(StatusOf("GET", "/cas/" + Hex("fives")), 404);
}

TEST_F(HttpCacheTest, LeavesOtherPathsToOthers) {
  Serve();
  for (const char* path : {"/", "/metrics", "/cas", "/ac", "/xcas/y"}) {
    EXPECT_EQ(Send("GET", path).body, "otherwise") << path;
  }
}

TEST_F(HttpCacheTest, SaysWhatTheStoreSays) {
  Serve();
  ASSERT_EQ(StatusOf("PUT", "/cas/" + Hex("x"), "x"), 200);
  store_.Fail(Status(Code::kResourceExhausted, "full"));
  EXPECT_EQ(StatusOf("PUT", "/cas/" + Hex("y"), "y"), 507);
  store_.Fail(Status(Code::kUnavailable, "disk gone"));
  EXPECT_EQ(StatusOf("GET", "/cas/" + Hex("x")), 503);
}

}  // namespace
}  // namespace lre::service

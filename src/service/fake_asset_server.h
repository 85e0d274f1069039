// For tests: the Remote Asset services over a FakeBlobStore with a grpc++ client, and an origin on
// a loopback port that they may fetch from.
#pragma once

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "action_cache/stored_action_cache.h"
#include "base/metrics.h"
#include "build/bazel/remote/asset/v1/remote_asset.grpc.pb.h"
#include "reapi/digest_proto.h"
#include "rpc/server.h"
#include "service/asset_service.h"
#include "service/fake_storage_server.h"
#include "service/proto_time.h"

namespace lre::service {

using namespace std::chrono_literals;  // NOLINT(build/namespaces)
using rpc::HttpResponse;

// An origin on a loopback port: answers by path.
class Origin {
 public:
  using Answer = std::function<HttpResponse(const rpc::HttpRequest&)>;
  Origin() {
    auto handle = [this](rpc::HttpRequest request, std::function<void(HttpResponse)> respond) {
      requests_++;
      std::unique_lock lock(mutex_);
      auto found = answers_.find(request.path);
      if (found == answers_.end()) return respond({.status = 404});
      if (found->second) return respond(found->second(request));
      hanging_.push_back(std::move(respond));
    };
    auto started = rpc::Server::Start({.listen = {"127.0.0.1:0"}, .loops = 1}, {}, handle, metrics_,
                                      SystemClock());
    EXPECT_TRUE(started) << ToStatus(started).ToString();
    server_ = std::move(*started);
    address_ = server_->addresses()[0];
  }
  void Serve(const std::string& path, const std::string& body) {
    Serve(path, [body](const auto&) { return HttpResponse{.body = {Bytes(body)}}; });
  }
  void Serve(const std::string& path, Answer answer) {
    std::lock_guard lock(mutex_);
    answers_[path] = std::move(answer);
  }
  // Never answers.
  void Hang(const std::string& path) { Serve(path, Answer()); }
  std::string Url(const std::string& path) const { return "http://" + address_ + path; }
  const std::string& address() const { return address_; }
  int requests() const { return requests_; }
  void Stop() { server_.reset(); }

 private:
  Metrics metrics_;
  std::string address_;
  std::atomic<int> requests_ = 0;
  std::mutex mutex_;
  std::map<std::string, Answer> answers_;
  std::vector<std::function<void(HttpResponse)>> hanging_;
  std::unique_ptr<rpc::Server> server_;
};

// "sha256-BASE64" of a text.
inline std::string Sri(std::string_view text) {
  const Digest digest = ComputeDigest(kSha256, text);
  const std::string_view digits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string encoded;
  uint32_t bits = 0;
  int count = 0;
  for (unsigned char c : digest.hash_view()) {
    bits = bits << 8 | c;
    for (count += 8; count >= 6;) encoded += digits[bits >> (count -= 6) & 63];
  }
  if (count > 0) encoded += digits[bits << (6 - count) & 63];
  while (encoded.size() % 4 != 0) encoded += '=';
  return "sha256-" + encoded;
}

class AssetFixture : public testing::Test {
 protected:
  AssetFixture() : cache_(action_cache::NewMemoryActionCache(store_)) { Start({}); }

  void Start(AssetOptions options) {
    End();
    options.origin.hosts = {origin_.address()};
    options.origin.http.http_proxy = "DIRECT";
    options.origin.http.backoff_first = 1ms;
    options.origin.http.backoff_max = 2ms;
    auto pin = [this](const std::string& name, store::Partition, std::span<const Digest> digests,
                      WallTime until) {
      std::lock_guard lock(mutex_);
      if (pin_status_.ok()) pins_[name] = {digests.size(), until};
      return pin_status_;
    };
    service_ = std::make_unique<AssetService>(AssetParts{store_, *cache_, io_, clock_, pin},
                                              std::move(options));
    auto started = rpc::Server::Start({.listen = {"127.0.0.1:0"}, .loops = 1}, service_->Methods(),
                                      nullptr, metrics_, SystemClock());
    ASSERT_TRUE(started) << ToStatus(started).ToString();
    server_ = std::move(*started);
    auto channel = grpc::CreateChannel(server_->addresses()[0], grpc::InsecureChannelCredentials());
    fetch_ = asset_pb::Fetch::NewStub(channel);
    push_ = asset_pb::Push::NewStub(channel);
  }
  ~AssetFixture() override { End(); }
  // Clients first: a server waits a little for those that are there.
  void End() {
    fetch_.reset();
    push_.reset();
    server_.reset();
    service_.reset();
  }

  static void Qualify(QualifierList* list, const std::string& name, const std::string& value) {
    auto* qualifier = list->Add();
    qualifier->set_name(name);
    qualifier->set_value(value);
  }
  asset_pb::FetchBlobResponse Fetch(const asset_pb::FetchBlobRequest& request) {
    asset_pb::FetchBlobResponse response;
    Context context;
    const grpc::Status status = fetch_->FetchBlob(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }
  asset_pb::FetchBlobResponse Fetch(const std::string& uri) {
    asset_pb::FetchBlobRequest request;
    request.add_uris(uri);
    return Fetch(request);
  }
  grpc::StatusCode PushBlob(const asset_pb::PushBlobRequest& request) {
    asset_pb::PushBlobResponse response;
    Context context;
    return push_->PushBlob(&context, request, &response).error_code();
  }
  asset_pb::PushBlobRequest PushOf(const std::string& uri, const std::string& bytes) {
    const Digest digest = ComputeDigest(kSha256, bytes);
    EXPECT_TRUE(store::Put(store_, {digest}, Bytes(bytes)).ok());
    asset_pb::PushBlobRequest request;
    request.add_uris(uri);
    *request.mutable_blob_digest() = reapi::ToProto(digest);
    return request;
  }

  struct Pinned {
    size_t digests;
    WallTime until;
  };
  Origin origin_;
  Metrics metrics_;
  FakeClock clock_;
  store::FakeBlobStore store_;
  std::unique_ptr<action_cache::ActionCache> cache_;
  ThreadPool io_{{.threads = 2}};
  std::mutex mutex_;
  Status pin_status_;
  std::map<std::string, Pinned> pins_;
  std::unique_ptr<AssetService> service_;
  std::unique_ptr<rpc::Server> server_;
  std::unique_ptr<asset_pb::Fetch::Stub> fetch_;
  std::unique_ptr<asset_pb::Push::Stub> push_;
};

}  // namespace lre::service

// For tests: the storage services composed over a FakeBlobStore, served on a loopback port of the
// kernel's choice, with a grpc++ channel to it as the independent client.
#pragma once

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "action_cache/stored_action_cache.h"
#include "base/metrics.h"
#include "base/thread_pool.h"
#include "build/bazel/remote/execution/v2/remote_execution.grpc.pb.h"
#include "google/bytestream/bytestream.grpc.pb.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "reapi/digest_proto.h"
#include "reapi/resource_name.h"
#include "rpc/server.h"
#include "service/action_cache_service.h"
#include "service/byte_stream_service.h"
#include "service/capabilities_service.h"
#include "service/cas_service.h"
#include "service/chunk_methods.h"
#include "service/health_service.h"
#include "store/fake_blob_store.h"

namespace lre::service {

namespace pb = reapi::pb;

struct FixtureOptions {
  CasOptions cas;
  ByteStreamOptions byte_stream;
  ActionCacheServiceOptions action_cache;
  ChunkOptions chunks = {};
};

class TestServer {
 public:
  explicit TestServer(FixtureOptions options = {})
      : health({"google.bytestream.ByteStream"}),
        action_cache(action_cache::NewMemoryActionCache(store)) {
    std::vector<rpc::Method> methods;
    auto add = [&](std::vector<rpc::Method> more) {
      for (auto& method : more) methods.push_back(std::move(method));
    };
    add(CapabilitiesMethods({}));
    add(CasMethods({store, io}, options.cas));
    add(ChunkMethods({store, io}, options.chunks));
    add(ByteStreamMethods({store, io, clock}, options.byte_stream));
    add(ActionCacheMethods({*action_cache, store, io}, options.action_cache));
    add(HealthMethods(health));
    auto started = rpc::Server::Start({.listen = {"127.0.0.1:0"}, .loops = 1}, std::move(methods),
                                      nullptr, metrics, SystemClock());
    EXPECT_TRUE(started) << ToStatus(started).ToString();
    server = std::move(*started);
    channel = NewChannel();
  }

  std::shared_ptr<grpc::Channel> NewChannel() const {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(-1);
    arguments.SetInt("grpc.use_local_subchannel_pool", 1);
    return grpc::CreateCustomChannel(server->addresses()[0], grpc::InsecureChannelCredentials(),
                                     arguments);
  }

  Metrics metrics;
  FakeClock clock;
  store::FakeBlobStore store;
  HealthState health;
  std::unique_ptr<action_cache::ActionCache> action_cache;
  ThreadPool io{{.threads = 2}};
  std::unique_ptr<rpc::Server> server;
  std::shared_ptr<grpc::Channel> channel;
};

inline constexpr auto kSha256 = DigestFunction::kSha256;

inline pb::Digest DigestOf(std::string_view text, DigestFunction function = kSha256) {
  return reapi::ToProto(ComputeDigest(function, text));
}

// Every call has a bound: a server that never answers fails a test instead of hanging it.
struct Context : grpc::ClientContext {
  Context() { set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20)); }
};

}  // namespace lre::service

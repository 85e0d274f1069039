#include "service/seen_actions.h"

#include <gmock/gmock.h>

#include "build/bazel/remote/execution/v2/remote_execution.grpc.pb.h"
#include "lre/explain/v1/explain.grpc.pb.h"
#include "service/action_cache_service.h"
#include "service/fake_call.h"
#include "service/fake_storage_server.h"

namespace lre::service {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

namespace v1 = ::lre::explain::v1;

Digest Named(const std::string& name) { return ComputeDigest(kSha256, name); }

SeenAction Compile(const std::string& name, const std::string& target = "//:a") {
  return {.action = Named(name), .instance_name = "main", .target = target, .mnemonic = "Compile"};
}

std::vector<Digest> Digests(const std::vector<SeenAction>& actions) {
  std::vector<Digest> digests;
  for (const SeenAction& action : actions) digests.push_back(action.action);
  return digests;
}

TEST(SeenActionsTest, FindsTheLastOneFirstAndEachOnce) {
  SeenActions seen(10);
  for (const char* name : {"one", "two", "one"}) seen.Record(Compile(name));

  EXPECT_THAT(Digests(seen.Find({.instance_name = "main"})),
              ElementsAre(Named("one"), Named("two")));
  EXPECT_THAT(Digests(seen.Find({.instance_name = "main", .limit = 1})), ElementsAre(Named("one")));
}

TEST(SeenActionsTest, FindsWhatMatchesAllThatIsAsked) {
  SeenActions seen(10);
  seen.Record(Compile("a", "@@//:a"));
  seen.Record(Compile("b", "//:b"));
  SeenAction link = Compile("link");
  link.mnemonic = "Link";
  seen.Record(link);
  SeenAction tenant = Compile("tenant");
  tenant.partition = 7;
  seen.Record(tenant);

  EXPECT_THAT(
      Digests(seen.Find({.instance_name = "main", .target = "//:a", .mnemonic = "Compile"})),
      ElementsAre(Named("a")));
  EXPECT_THAT(Digests(seen.Find({.instance_name = "main", .action = Named("b")})),
              ElementsAre(Named("b")));
  EXPECT_THAT(Digests(seen.Find({.instance_name = "main", .partition = 7})),
              ElementsAre(Named("tenant")));
  EXPECT_THAT(seen.Find({.instance_name = "other"}), IsEmpty());
}

TEST(SeenActionsTest, ForgetsTheOldestBeyondItsBound) {
  SeenActions seen(2), none(0);
  for (const char* name : {"one", "two", "three"}) {
    seen.Record(Compile(name));
    none.Record(Compile(name));
  }
  SeenAction long_name = Compile("long");
  long_name.target = std::string(513, 'x');
  seen.Record(long_name);

  EXPECT_THAT(Digests(seen.Find({.instance_name = "main"})),
              ElementsAre(Named("three"), Named("two")));
  EXPECT_THAT(none.Find({.instance_name = "main"}), IsEmpty());
}

// Through the services, by an independent client.
TEST(SeenActionsTest, RecordsWhatClientsUpload) {
  Metrics metrics;
  store::FakeBlobStore store;
  ThreadPool io{{.threads = 1}};
  auto cache = action_cache::NewMemoryActionCache(store);
  SeenActions seen(10);
  std::vector<rpc::Method> methods = WithSeenActions(ActionCacheMethods({*cache, store, io}), seen,
                                                     Partitions::None(), SystemClock());
  for (auto& method : ExplainMethods(seen, Partitions::None())) methods.push_back(method);
  auto server = rpc::Server::Start({.listen = {"127.0.0.1:0"}, .loops = 1}, std::move(methods),
                                   nullptr, metrics, SystemClock())
                    .value();
  auto channel = grpc::CreateChannel(server->addresses()[0], grpc::InsecureChannelCredentials());
  pb::UpdateActionResultRequest update;
  update.set_instance_name("main");
  *update.mutable_action_digest() = reapi::ToProto(Named("action"));
  update.mutable_action_result()->set_stdout_raw("x");
  pb::ActionResult result;
  Context context;
  context.AddMetadata(
      std::string(reapi::kRequestMetadataHeader),
      reapi::EncodeRequestMetadata({.action_mnemonic = "Genrule", .target_id = "@@//:words"}));
  ASSERT_TRUE(
      pb::ActionCache::NewStub(channel)->UpdateActionResult(&context, update, &result).ok());

  v1::FindActionsRequest query;
  query.set_instance_name("main");
  query.set_target_id("//:words");
  v1::FindActionsResponse found;
  Context asking;
  ASSERT_TRUE(v1::Explain::NewStub(channel)->FindActions(&asking, query, &found).ok());
  ASSERT_EQ(found.actions_size(), 1);
  EXPECT_EQ(found.actions(0).action_digest().hash(), Named("action").Hex());
  EXPECT_EQ(found.actions(0).action_mnemonic(), "Genrule");
  EXPECT_GT(found.actions(0).seen().seconds(), 0);

  query.set_limit(1001);
  Context refused;
  EXPECT_EQ(v1::Explain::NewStub(channel)->FindActions(&refused, query, &found).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
}

}  // namespace
}  // namespace lre::service

#include "service/admin_service.h"

#include <gtest/gtest.h>

#include <array>
#include <set>

#include "action_cache/stored_action_cache.h"
#include "base/file.h"
#include "base/metrics.h"
#include "lre/admin/v1/admin.pb.h"
#include "reapi/digest_proto.h"
#include "rpc/client.h"
#include "rpc/server.h"
#include "service/admin_client.h"
#include "service/fake_call.h"

namespace lre::service {
namespace {

namespace pb = reapi::pb;
namespace admin = ::lre::admin::v1;

class AdminServiceTest : public testing::Test {
 protected:
  AdminServiceTest() {
    auto store = store::OpenLogStore(
        clock_, {.directory = dir_ / "store", .size_bytes_max = 64 << 20, .background = false});
    EXPECT_TRUE(store) << ToStatus(store).ToString();
    store_ = std::move(*store);
    cache_ = action_cache::NewStoredActionCache(*store_, *store_);
    Serve(AdminMethods({*store_, *cache_, io_, 64 << 20}));
  }
  void Serve(std::vector<rpc::Method> methods) {
    auto server = rpc::Server::Start({.listen = {"127.0.0.1:0"}, .loops = 1}, std::move(methods),
                                     nullptr, metrics_, SystemClock());
    ASSERT_TRUE(server) << ToStatus(server).ToString();
    server_ = std::move(*server);
    channel_ = *rpc::Channel::Create(server_->addresses()[0]);
  }
  Digest Put(const std::string& text) {
    const Digest digest = ComputeDigest(DigestFunction::kSha256, text);
    EXPECT_TRUE(store::Put(*store_, {digest}, Bytes(text)).ok());
    return digest;
  }
  // A result with one output, of an action whose Command mentions `argument`.
  Digest PutResult(const std::string& instance_name, const std::string& output,
                   const std::string& argument) {
    pb::Command command;
    command.add_arguments(argument);
    pb::Action action;
    *action.mutable_command_digest() = reapi::ToProto(Put(command.SerializeAsString()));
    const Digest digest = Put(action.SerializeAsString());
    pb::ActionResult result;
    auto* file = result.add_output_files();
    file->set_path("out");
    *file->mutable_digest() = reapi::ToProto(Put(output));
    Status put = cache_->Put({digest, instance_name}, Bytes(result.SerializeAsString()));
    EXPECT_TRUE(put.ok()) << put.ToString();
    return digest;
  }
  bool HasResult(const std::string& instance_name, const Digest& action) {
    return cache_->Get({action, instance_name}).has_value();
  }
  Result<admin::ListActionResultsResponse> List(const admin::ListActionResultsRequest& request) {
    TRY_ASSIGN(Bytes bytes, channel_->Unary("/lre.admin.v1.Cache/ListActionResults",
                                            {Bytes(request.SerializeAsString())},
                                            {.timeout = std::chrono::seconds(20)}));
    admin::ListActionResultsResponse response;
    EXPECT_TRUE(response.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())));
    return response;
  }
  std::set<std::string> Listed(const admin::ListActionResultsRequest& request) {
    auto response = List(request);
    EXPECT_TRUE(response) << ToStatus(response).ToString();
    std::set<std::string> found;
    for (const auto& entry : response->entries()) {
      found.insert(entry.instance_name() + " " + entry.action_digest().hash());
    }
    return found;
  }

  TempDir dir_;
  FakeClock clock_;
  Metrics metrics_;
  ThreadPool io_{{.threads = 2}};
  std::unique_ptr<store::LogStore> store_;
  std::unique_ptr<action_cache::ActionCache> cache_;
  std::unique_ptr<rpc::Server> server_;
  std::shared_ptr<rpc::Channel> channel_;
};

TEST_F(AdminServiceTest, SaysHowFullTheStoreIs) {
  const Digest blob = Put("pinned");
  ASSERT_TRUE(store_->SetPin({.name = "p"}, 0, {&blob, 1}).ok());
  auto stat = AdminClient(*channel_).Stat();
  ASSERT_TRUE(stat) << ToStatus(stat).ToString();
  EXPECT_EQ(stat->entries, 1u);
  EXPECT_EQ(stat->size_bytes_max, 64u << 20);
  EXPECT_GT(stat->used_bytes, 0u);
  EXPECT_EQ(stat->pins, 1u);
  EXPECT_EQ(stat->pinned_bytes, 6u);
}

TEST_F(AdminServiceTest, EvictsBlobs) {
  const Digest a = Put("a"), b = Put("b");
  EXPECT_EQ(*AdminClient(*channel_).Evict({a, ComputeDigest(DigestFunction::kSha256, "none")}), 1u);
  EXPECT_EQ(store_->FindMissing(0, std::array{a, b})->size(), 1u);
  const store::BlobKey of_red{a, PartitionNumber("red")};
  ASSERT_EQ(store::Put(*store_, of_red, Bytes::Static("a")), Status());
  EXPECT_EQ(*AdminClient(*channel_).Evict({a}), 0u);
  EXPECT_EQ(*AdminClient(*channel_).Evict({a}, "red"), 1u);
  EXPECT_EQ(*AdminClient(*channel_).Verify(), 0u);
}

TEST_F(AdminServiceTest, DropsAResultOfOneInstance) {
  const Digest action = PutResult("main", "x", "cc");
  PutResult("other", "x", "cc");
  EXPECT_TRUE(AdminClient(*channel_).DropActionResult("main", action).ok());
  EXPECT_FALSE(HasResult("main", action));
  EXPECT_TRUE(HasResult("other", action));
  EXPECT_FALSE(AdminClient(*channel_).DropActionResult("a/blobs", action).ok());
}

TEST_F(AdminServiceTest, FindsResultsByWhatTheyMention) {
  const Digest one = PutResult("main", "first", "/lre/store/abc-gcc/bin/gcc");
  const Digest two = PutResult("main", "second", "/lre/store/xyz-gcc/bin/gcc");
  const Digest far = PutResult("other", "first", "/lre/store/abc-gcc/bin/gcc");
  EXPECT_EQ(far, one);
  admin::ListActionResultsRequest request;
  request.set_instance_name("main");
  EXPECT_EQ(Listed(request).size(), 2u);
  request.add_mentions_texts("/lre/store/abc-");
  EXPECT_EQ(Listed(request), (std::set<std::string>{"main " + one.Hex()}));
  request.set_all_instances(true);
  EXPECT_EQ(Listed(request).size(), 2u);
  request.clear_mentions_texts();
  *request.add_mentions_digests() =
      reapi::ToProto(ComputeDigest(DigestFunction::kSha256, "second"));
  EXPECT_EQ(Listed(request), (std::set<std::string>{"main " + two.Hex()}));

  request.set_drop(true);
  EXPECT_EQ(Listed(request).size(), 1u);
  EXPECT_FALSE(HasResult("main", two));
  EXPECT_TRUE(HasResult("main", one));
  EXPECT_EQ(Listed(request).size(), 0u);
}

TEST_F(AdminServiceTest, ListsInPortions) {
  for (int i = 0; i < 5; i++) PutResult("main", "x", std::to_string(i));
  admin::ListActionResultsRequest request;
  request.set_all_instances(true);
  request.set_limit(2);
  request.set_drop(true);
  int dropped = 0;
  for (bool more = true; more;) {
    auto response = List(request);
    ASSERT_TRUE(response);
    EXPECT_LE(response->entries_size(), 2);
    dropped += response->entries_size();
    more = response->truncated();
  }
  EXPECT_EQ(dropped, 5);
  request.set_limit(10'001);
  EXPECT_EQ(List(request).error().code(), Code::kInvalidArgument);
}

TEST_F(AdminServiceTest, ActsInOnePartitionAndInNoneOfOthers) {
  const Partitions partitions = *Partitions::Make({.identities = {{"ci", "red"}}});
  const store::Partition red = PartitionNumber("red");
  const auto methods = AdminMethods({*store_, *cache_, io_, 64 << 20, partitions});
  const Digest blob = Put("a");
  auto put_red = [&] { return store::Put(*store_, {blob, red}, Bytes::Static("a")); };
  auto has = [&](store::Partition in) { return store_->FindMissing(in, {{blob}})->empty(); };
  auto evict = [&](const char* identity, const char* partition) {
    admin::EvictRequest request;
    *request.add_digests() = reapi::ToProto(blob);
    request.set_partition(partition);
    return ToStatus(CallAs<admin::EvictResponse>(identity, methods, "/Evict", request)).code();
  };
  ASSERT_EQ(put_red(), Status());

  EXPECT_EQ(evict("ci", "blue"), Code::kPermissionDenied);
  EXPECT_EQ(evict("ci", ""), Code::kOk);
  EXPECT_TRUE(has(0));
  EXPECT_FALSE(has(red));
  ASSERT_EQ(put_red(), Status());
  EXPECT_EQ(evict("", "red"), Code::kOk);
  EXPECT_FALSE(has(red));
  EXPECT_EQ(evict("", ""), Code::kOk);
  EXPECT_FALSE(has(0));
  EXPECT_EQ(evict("", "not plain"), Code::kInvalidArgument);
}

TEST_F(AdminServiceTest, ServersWithoutItAreNamedForWhatTheyAre) {
  Serve({});
  const auto stat = AdminClient(*channel_).Stat();
  ASSERT_FALSE(stat);
  EXPECT_EQ(stat.error().code(), Code::kUnimplemented);
  EXPECT_NE(stat.error().message().find("this server cannot do that"), std::string::npos);
}

TEST(IsOperatorTest, IsWhoIsHereOrHasACertificate) {
  for (const char* peer : {"127.0.0.1:5", "127.9.9.9:5", "[::1]:5", "unix:/run/lre"}) {
    EXPECT_TRUE(IsOperator({.peer = peer})) << peer;
  }
  for (const char* peer : {"10.0.0.1:5", "[2001:db8::1]:5", "1127.0.0.1:5", "", "[::10]:5"}) {
    EXPECT_FALSE(IsOperator({.peer = peer})) << peer;
    EXPECT_TRUE(IsOperator({.peer = peer, .identity = "CN=ci"})) << peer;
  }
}

}  // namespace
}  // namespace lre::service

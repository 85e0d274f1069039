#include "store/remote_store.h"

#include <gmock/gmock.h>

#include "store/blob_store_contract.h"
#include "store/fake_cas_server.h"

namespace lre::store {
namespace {

using testing::ElementsAre;

std::unique_ptr<BlobStore> Connect(FakeCasServer& server, RemoteStoreOptions options = {}) {
  return NewRemoteStore(*rpc::Channel::Create(server.address()), std::move(options));
}

INSTANTIATE_TEST_SUITE_P(Remote, BlobStoreContract, testing::Values(BlobStoreMaker([] {
                           auto server = std::make_shared<FakeCasServer>();
                           auto store = Connect(*server, {.instance_name = "main"});
                           return BlobStoreUnderTest{server, std::move(store)};
                         })));

Digest DigestOf(std::string_view text) { return ComputeDigest(DigestFunction::kSha256, text); }

TEST(RemoteStore, ReadsManySmallBlobsInOneBatchAndLargeOnesAsStreams) {
  FakeCasServer server;
  auto store = Connect(server, {.batch_bytes_max = 1000});
  std::vector<std::pair<Digest, Bytes>> blobs;
  std::vector<Digest> digests;
  for (std::string text : {std::string("a"), std::string("b"), std::string(2000, 'c'),
                           std::string("a"), std::string()}) {
    digests.push_back(DigestOf(text));
    blobs.emplace_back(digests.back(), Bytes(text));
  }

  EXPECT_THAT(store->PutMany(0, blobs), testing::Each(Status()));
  digests.push_back(DigestOf("absent"));
  auto answers = store->ReadMany(0, digests);

  for (size_t i = 0; i < blobs.size(); ++i) {
    ASSERT_TRUE(answers[i]) << ToStatus(answers[i]).ToString();
    EXPECT_EQ(Flatten(*answers[i]), blobs[i].second.view());
  }
  EXPECT_EQ(ToStatus(answers.back()).code(), Code::kNotFound);
  EXPECT_EQ(server.batch_updates, 1);
  EXPECT_EQ(server.stream_writes, 1);
  EXPECT_EQ(server.batch_reads, 1);
  EXPECT_EQ(server.stream_reads, 1);
}

TEST(RemoteStore, DamagedBytesAreAbsent) {
  FakeCasServer server;
  auto store = Connect(server);
  Digest digest = DigestOf("text");
  ASSERT_TRUE(Put(*store, {digest, 0}, Bytes("text")).ok());
  server.damage = true;

  EXPECT_EQ(ToStatus(store->Read({digest, 0}, {})).code(), Code::kNotFound);
  EXPECT_EQ(ToStatus(store->ReadMany(0, {{digest}})[0]).code(), Code::kNotFound);
}

TEST(RemoteStore, RefusesBytesThatDoNotHashWithoutAskingTheServer) {
  FakeCasServer server;
  auto store = Connect(server);
  auto writer = *store->Write({DigestOf("text"), 0});
  ASSERT_TRUE(writer->Append(Bytes("test")).ok());

  EXPECT_EQ(writer->Commit().code(), Code::kInvalidArgument);
}

TEST(RemoteStore, AServerThatIsNotThereIsUnavailable) {
  std::string address;
  {
    FakeCasServer server;
    address = server.address();
  }
  auto store = NewRemoteStore(*rpc::Channel::Create(address),
                              {.call_timeout = std::chrono::milliseconds(300)});

  Code code = ToStatus(store->FindMissing(0, {{DigestOf("x")}})).code();

  EXPECT_TRUE(code == Code::kUnavailable || code == Code::kDeadlineExceeded) << CodeName(code);
}

}  // namespace
}  // namespace lre::store

// The Push service, and what fetches answer of it.
#include <gtest/gtest.h>

#include "service/fake_asset_server.h"

namespace lre::service {
namespace {

class AssetPushTest : public AssetFixture {};

TEST_F(AssetPushTest, FindsWhatWasPushedByUriAndAllQualifiers) {
  auto push = PushOf("urn:uuid:1", "pushed");
  push.add_uris("http://example.org/not-asked");
  Qualify(push.mutable_qualifiers(), "vcs.commit", "abc");
  Qualify(push.mutable_qualifiers(), "resource_type", "application/x-git");
  EXPECT_EQ(PushBlob(push), grpc::OK);

  asset_pb::FetchBlobRequest request;
  request.add_uris("http://example.org/not-asked");
  Qualify(request.mutable_qualifiers(), "resource_type", "application/x-git");
  Qualify(request.mutable_qualifiers(), "vcs.commit", "abc");
  auto response = Fetch(request);
  EXPECT_EQ(response.status().code(), 0);
  EXPECT_EQ(response.blob_digest().hash(), DigestOf("pushed").hash());
  EXPECT_FALSE(response.has_expires_at());
  EXPECT_EQ(Fetch("urn:uuid:1").status().code(), grpc::NOT_FOUND);
  request.set_instance_name("other");
  request.set_uris(0, "urn:uuid:1");
  EXPECT_EQ(Fetch(request).status().code(), grpc::NOT_FOUND);
}

TEST_F(AssetPushTest, StopsAnsweringWhatHasExpired) {
  auto push = PushOf("urn:a", "pushed");
  *push.mutable_expire_at() = ToProtoTime(clock_.WallNow() + 1h);
  ASSERT_EQ(PushBlob(push), grpc::OK);
  ASSERT_EQ(pins_.size(), 1u);
  EXPECT_EQ(pins_.begin()->second.until, clock_.WallNow() + 1h);
  EXPECT_EQ(FromProtoTime(Fetch("urn:a").expires_at()), clock_.WallNow() + 1h);
  // Pushing again moves the end, also into the past.
  *push.mutable_expire_at() = ToProtoTime(clock_.WallNow() + 2h);
  ASSERT_EQ(PushBlob(push), grpc::OK);
  clock_.Advance(90min);
  EXPECT_EQ(Fetch("urn:a").status().code(), 0);
  clock_.Advance(30min);
  EXPECT_EQ(Fetch("urn:a").status().code(), grpc::NOT_FOUND);
  *push.mutable_expire_at() = ToProtoTime(clock_.WallNow() + 1h);
  ASSERT_EQ(PushBlob(push), grpc::OK);
  *push.mutable_expire_at() = ToProtoTime(clock_.WallNow());
  ASSERT_EQ(PushBlob(push), grpc::OK);
  EXPECT_EQ(Fetch("urn:a").status().code(), grpc::NOT_FOUND);
  EXPECT_EQ(pins_.begin()->second.digests, 0u);
}

TEST_F(AssetPushTest, RefusesToPushWhatIsAbsent) {
  asset_pb::PushBlobRequest push;
  push.add_uris("urn:a");
  *push.mutable_blob_digest() = DigestOf("absent");
  EXPECT_EQ(PushBlob(push), grpc::FAILED_PRECONDITION);
  auto present = PushOf("urn:a", "there");
  *present.add_references_blobs() = DigestOf("absent");
  EXPECT_EQ(PushBlob(present), grpc::FAILED_PRECONDITION);
  EXPECT_EQ(Fetch("urn:a").status().code(), grpc::NOT_FOUND);
}

TEST_F(AssetPushTest, KeepsWhatAPushRefersTo) {
  auto push = PushOf("urn:a", "there");
  ASSERT_TRUE(store::Put(store_, {ComputeDigest(kSha256, "beside")}, Bytes::Static("beside")).ok());
  *push.add_references_blobs() = DigestOf("beside");
  *push.mutable_expire_at() = ToProtoTime(clock_.WallNow() + 1h);
  ASSERT_EQ(PushBlob(push), grpc::OK);
  EXPECT_EQ(pins_.begin()->second.digests, 2u);
}

TEST_F(AssetPushTest, TakesPushesForTheInstancesThatMayBeWritten) {
  AssetOptions options;
  options.push.instances = {"scratch"};
  Start(std::move(options));
  auto push = PushOf("urn:a", "x");
  EXPECT_EQ(PushBlob(push), grpc::PERMISSION_DENIED);
  push.set_instance_name("scratch");
  EXPECT_EQ(PushBlob(push), grpc::OK);
}

TEST_F(AssetPushTest, PushesAndFindsDirectories) {
  pb::Directory root;
  auto* file = root.add_files();
  file->set_name("f");
  *file->mutable_digest() = DigestOf("in it");
  const std::string bytes = reapi::SerializeDeterministically(root);
  asset_pb::PushDirectoryRequest push;
  push.add_uris("urn:dir");
  *push.mutable_root_directory_digest() = DigestOf(bytes);
  auto code = [&] {
    asset_pb::PushDirectoryResponse response;
    Context context;
    return push_->PushDirectory(&context, push, &response).error_code();
  };
  ASSERT_TRUE(store::Put(store_, {ComputeDigest(kSha256, bytes)}, Bytes(bytes)).ok());
  EXPECT_EQ(code(), grpc::FAILED_PRECONDITION);  // the file is not there
  ASSERT_TRUE(store::Put(store_, {ComputeDigest(kSha256, "in it")}, Bytes::Static("in it")).ok());
  EXPECT_EQ(code(), grpc::OK);
  asset_pb::FetchDirectoryRequest fetch;
  fetch.add_uris("urn:dir");
  asset_pb::FetchDirectoryResponse response;
  Context context;
  ASSERT_TRUE(fetch_->FetchDirectory(&context, fetch, &response).ok());
  EXPECT_EQ(response.root_directory_digest().hash(), DigestOf(bytes).hash());
  // A blob of the same URI is another asset.
  EXPECT_EQ(Fetch("urn:dir").status().code(), grpc::NOT_FOUND);
}

}  // namespace
}  // namespace lre::service

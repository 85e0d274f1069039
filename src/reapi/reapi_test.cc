// Tests of the small parts: digests as messages, trees, request metadata, error details.
#include <gtest/gtest.h>

#include "reapi/digest_proto.h"
#include "reapi/error_details.h"
#include "reapi/request_metadata.h"
#include "reapi/tree.h"

namespace lre::reapi {
namespace {

constexpr auto kSha256 = DigestFunction::kSha256;

TEST(DigestProto, RoundTripsForEveryFunction) {
  for (DigestFunction function : kDigestFunctions) {
    Digest digest = ComputeDigest(function, "abc");
    EXPECT_EQ(FromProto(ToProto(digest), function).value(), digest);
    EXPECT_EQ(FromProto(ToProto(digest), ToProto(function)).value(), digest);
    Result<Digest> inferred = FromProto(ToProto(digest));
    ASSERT_TRUE(inferred);
    if (function == DigestFunction::kBlake3) {
      EXPECT_EQ(inferred->function, kSha256);
    } else {
      EXPECT_EQ(*inferred, digest);
    }
  }
}

TEST(DigestProto, RefusesWhatIsNoDigest) {
  pb::Digest digest = ToProto(ComputeDigest(kSha256, "abc"));
  EXPECT_FALSE(FromProto(digest, DigestFunction::kSha1));
  EXPECT_FALSE(FromProto(digest, pb::DigestFunction::VSO));
  EXPECT_FALSE(FromProto(digest, static_cast<pb::DigestFunction::Value>(99)));
  digest.set_size_bytes(-1);
  EXPECT_FALSE(FromProto(digest));
  EXPECT_FALSE(FromProto(pb::Digest()));
}

TEST(TreeBuilder, MakesDirectoriesWhoseDigestsAgree) {
  TreeBuilder builder(kSha256);
  Digest file = ComputeDigest(kSha256, "x");
  ASSERT_TRUE(builder.AddFile("a/b/one", file, false).ok());
  ASSERT_TRUE(builder.AddFile("c/b/one", file, false).ok());
  ASSERT_TRUE(builder.AddFile("run", file, true).ok());
  ASSERT_TRUE(builder.AddSymlink("a/link", "../run").ok());
  ASSERT_TRUE(builder.AddDirectory("empty").ok());

  TreeBuilder::Built built = builder.Build();

  // root, a, c, b (shared), empty.
  EXPECT_EQ(built.directories.size(), 5u);
  EXPECT_EQ(built.directories[0].digest, built.root);
  for (const NewBlob& blob : built.directories) {
    EXPECT_EQ(ComputeDigest(kSha256, blob.bytes), blob.digest);
  }
  Result<Tree> tree = ParseTree(built.tree.bytes, kSha256);
  ASSERT_TRUE(tree) << tree.error().ToString();
  EXPECT_EQ(tree->children.size(), 4u);
  ASSERT_EQ(tree->encoded.size(), built.directories.size());
  for (size_t i = 0; i < tree->encoded.size(); i++) {
    EXPECT_EQ(tree->encoded[i].first, built.directories[i].digest);
  }
  EXPECT_EQ(tree->root.directories.size(), 3u);
}

TEST(TreeBuilder, DoesNotDependOnTheOrderOfAdding) {
  Digest file = ComputeDigest(kSha256, "x");
  TreeBuilder one(kSha256), other(kSha256);
  for (const char* path : {"a/x", "b", "a/y"}) ASSERT_TRUE(one.AddFile(path, file, false).ok());
  for (const char* path : {"b", "a/y", "a/x"}) ASSERT_TRUE(other.AddFile(path, file, false).ok());
  EXPECT_EQ(one.Build().root, other.Build().root);
  EXPECT_EQ(one.Build().tree.digest, other.Build().tree.digest);
}

TEST(TreeBuilder, RefusesBadAndTakenPaths) {
  TreeBuilder builder(kSha256);
  Digest file = ComputeDigest(kSha256, "x");
  ASSERT_TRUE(builder.AddFile("a", file, false).ok());
  for (const char* path : {"", "/a", "../a", "a/b", "a", "x//y", "x/"}) {
    EXPECT_EQ(builder.AddFile(path, file, false).code(), Code::kInvalidArgument) << path;
  }
}

TEST(ParseTree, RefusesATreeWithAMissingChild) {
  TreeBuilder builder(kSha256);
  ASSERT_TRUE(builder.AddDirectory("a/b").ok());
  pb::Tree tree;
  ASSERT_TRUE(tree.ParseFromString(builder.Build().tree.bytes));
  tree.mutable_children()->RemoveLast();
  EXPECT_EQ(ParseTree(tree.SerializeAsString(), kSha256).error().code(), Code::kInvalidArgument);
}

TEST(RequestMetadata, RoundTripsAndForgivesGarbage) {
  RequestMetadata metadata{.tool_name = "bazel", .tool_invocation_id = "id", .target_id = "//a:b"};
  EXPECT_EQ(ParseRequestMetadata(EncodeRequestMetadata(metadata)), metadata);
  EXPECT_EQ(ParseRequestMetadata("\xff\xff\xff"), RequestMetadata());
}

TEST(RequestMetadata, LabelsOfTheMainRepositoryAreOneHoweverTheyAreWritten) {
  for (const char* label : {"//a:b", "@//a:b", "@@//a:b"}) EXPECT_EQ(PlainLabel(label), "//a:b");
  for (const char* other : {"@b//a:b", "@@b//a:b", "@", "@@", "", "a"})
    EXPECT_EQ(PlainLabel(other), other);
}

TEST(ErrorDetails, MissingBlobsAreFoundAgain) {
  std::vector<Digest> digests = {ComputeDigest(kSha256, "a"), ComputeDigest(kSha256, "b")};
  Status status = MissingBlobsStatus(digests);
  EXPECT_EQ(status.code(), Code::kFailedPrecondition);
  EXPECT_EQ(MissingBlobsOf(status, kSha256), digests);
  EXPECT_TRUE(MissingBlobsOf(Status(Code::kNotFound, "x"), kSha256).empty());
  EXPECT_EQ(MissingBlobsOf(FromRpcStatus(ToRpcStatus(status)), kSha256), digests);
}

TEST(ErrorDetails, RetryInfoAndBadRequestTravel) {
  Status status =
      WithRetryDelay(Status(Code::kResourceExhausted, "full"), std::chrono::milliseconds(1500));
  google::rpc::Status message = ToRpcStatus(status.WithContext("put"));
  EXPECT_EQ(message.message(), "put: full");
  google::rpc::RetryInfo info;
  ASSERT_EQ(message.details_size(), 1);
  ASSERT_TRUE(message.details(0).UnpackTo(&info));
  EXPECT_EQ(info.retry_delay().seconds(), 1);
  EXPECT_EQ(info.retry_delay().nanos(), 500000000);
  FieldViolation violation{"read_limit", "is negative"};
  Status bad = BadRequestStatus({&violation, 1});
  google::rpc::BadRequest request;
  ASSERT_TRUE(ToRpcStatus(bad).details(0).UnpackTo(&request));
  EXPECT_EQ(request.field_violations(0).field(), "read_limit");
}

}  // namespace
}  // namespace lre::reapi

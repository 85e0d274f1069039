#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "action_cache/stored_action_cache.h"
#include "reapi/digest_proto.h"
#include "store/fake_blob_store.h"

namespace lre::action_cache {
namespace {

namespace pb = ::build::bazel::remote::execution::v2;
using testing::HasSubstr;

class ActionCacheTest : public testing::Test {
 protected:
  static ActionKey KeyOf(std::string_view action, std::string_view instance = "main",
                         store::Partition partition = 0,
                         DigestFunction function = DigestFunction::kSha256) {
    return {ComputeDigest(function, action), instance, partition};
  }
  static void AddFile(pb::ActionResult& result, const Digest& digest) {
    auto* file = result.add_output_files();
    file->set_path("out");
    reapi::ToProto(digest, file->mutable_digest());
  }
  static Bytes Encode(const pb::ActionResult& result) { return Bytes(result.SerializeAsString()); }
  static Code CodeOf(const Result<Bytes>& result) { return ToStatus(result).code(); }

  // A directory "sub" with one file, its parent, and both as a Tree.
  struct TreeBlobs {
    Digest file, sub, root, tree;
  };
  TreeBlobs AddTree() {
    TreeBlobs made;
    made.file = blobs_.Add("file in sub");
    pb::Directory sub;
    auto* file = sub.add_files();
    file->set_name("f");
    reapi::ToProto(made.file, file->mutable_digest());
    made.sub = blobs_.Add(sub.SerializeAsString());
    pb::Directory root;
    auto* node = root.add_directories();
    node->set_name("sub");
    reapi::ToProto(made.sub, node->mutable_digest());
    made.root = blobs_.Add(root.SerializeAsString());
    pb::Tree tree;
    *tree.mutable_root() = root;
    *tree.add_children() = sub;
    made.tree = blobs_.Add(tree.SerializeAsString());
    return made;
  }

  store::FakeBlobStore blobs_;
  std::unique_ptr<store::ValueStore> values_ = store::NewMemoryValueStore();
  std::unique_ptr<ActionCache> cache_ = NewStoredActionCache(*values_, blobs_);
};

TEST_F(ActionCacheTest, AResultIsGivenBackAsItWasStored) {
  pb::ActionResult result;
  AddFile(result, blobs_.Add("output"));
  result.set_stdout_raw("hello");

  ASSERT_EQ(cache_->Put(KeyOf("a"), Encode(result)), Status());

  EXPECT_EQ(cache_->Get(KeyOf("a"))->view(), Encode(result).view());
  EXPECT_EQ((*cache_->TryGet(KeyOf("a")))->view(), Encode(result).view());
}

TEST_F(ActionCacheTest, InstancesPartitionsAndDigestFunctionsAreApart) {
  ASSERT_EQ(cache_->Put(KeyOf("a", "main", 1), Encode({})), Status());

  EXPECT_TRUE(cache_->Get(KeyOf("a", "main", 1)));
  EXPECT_EQ(CodeOf(cache_->Get(KeyOf("a", "other", 1))), Code::kNotFound);
  EXPECT_EQ(CodeOf(cache_->Get(KeyOf("a", "", 1))), Code::kNotFound);
  EXPECT_EQ(CodeOf(cache_->Get(KeyOf("a", "main", 2))), Code::kNotFound);
  EXPECT_EQ(CodeOf(cache_->Get(KeyOf("a", "main", 1, DigestFunction::kBlake3))), Code::kNotFound);
}

TEST_F(ActionCacheTest, TheLastResultWinsAndRemoveForgets) {
  pb::ActionResult first, second;
  first.set_stdout_raw("1");
  second.set_stdout_raw("2");
  ASSERT_EQ(cache_->Put(KeyOf("a"), Encode(first)), Status());
  ASSERT_EQ(cache_->Put(KeyOf("a"), Encode(second)), Status());
  EXPECT_EQ(cache_->Get(KeyOf("a"))->view(), Encode(second).view());

  ASSERT_EQ(cache_->Remove(KeyOf("a")), Status());

  EXPECT_EQ(CodeOf(cache_->Get(KeyOf("a"))), Code::kNotFound);
  EXPECT_EQ(cache_->Remove(KeyOf("a")), Status());
}

TEST_F(ActionCacheTest, AResultWithAMissingOutputIsRefusedNamingIt) {
  Digest absent = ComputeDigest(DigestFunction::kSha256, "absent");
  pb::ActionResult result;
  AddFile(result, blobs_.Add("present"));
  AddFile(result, absent);

  Status status = cache_->Put(KeyOf("a"), Encode(result));

  EXPECT_EQ(status.code(), Code::kFailedPrecondition);
  EXPECT_THAT(status.message(), HasSubstr(absent.ToString()));
  EXPECT_EQ(CodeOf(cache_->Get(KeyOf("a"))), Code::kNotFound);
}

TEST_F(ActionCacheTest, AnEntryIsServedOnlyWhileEveryBlobItNamesIsThere) {
  TreeBlobs tree = AddTree();
  Digest file = blobs_.Add("file"), out = blobs_.Add("stdout"), err = blobs_.Add("stderr");
  pb::ActionResult result;
  AddFile(result, file);
  reapi::ToProto(out, result.mutable_stdout_digest());
  reapi::ToProto(err, result.mutable_stderr_digest());
  auto* directory = result.add_output_directories();
  reapi::ToProto(tree.tree, directory->mutable_tree_digest());
  reapi::ToProto(tree.root, directory->mutable_root_directory_digest());
  ASSERT_EQ(cache_->Put(KeyOf("a"), Encode(result)), Status());

  for (auto [digest, text] : std::initializer_list<std::pair<Digest, std::string>>{
           {file, "file"}, {out, "stdout"}, {err, "stderr"}, {tree.file, "file in sub"}}) {
    blobs_.Lose(digest);
    EXPECT_EQ(CodeOf(cache_->Get(KeyOf("a"))), Code::kNotFound) << text;
    blobs_.Add(text);
    EXPECT_TRUE(cache_->Get(KeyOf("a"))) << "served again when the blob came back: " << text;
  }
  for (const Digest& digest : {tree.tree, tree.root, tree.sub}) {
    std::string text = *store::ReadAll(blobs_, {digest});
    blobs_.Lose(digest);
    EXPECT_EQ(CodeOf(cache_->Get(KeyOf("a"))), Code::kNotFound) << digest.ToString();
    blobs_.Add(text);
  }
  EXPECT_TRUE(cache_->Get(KeyOf("a")));
}

TEST_F(ActionCacheTest, DirectoriesOfATreeNeedNotBeBlobsOfTheirOwn) {
  TreeBlobs tree = AddTree();
  blobs_.Lose(tree.root);
  blobs_.Lose(tree.sub);
  pb::ActionResult result;
  reapi::ToProto(tree.tree, result.add_output_directories()->mutable_tree_digest());

  EXPECT_EQ(cache_->Put(KeyOf("a"), Encode(result)), Status());
}

TEST_F(ActionCacheTest, AMissingTreeOrDirectoryOrFileInItIsRefused) {
  TreeBlobs tree = AddTree();
  pb::ActionResult by_tree, by_root;
  reapi::ToProto(tree.tree, by_tree.add_output_directories()->mutable_tree_digest());
  reapi::ToProto(tree.root, by_root.add_output_directories()->mutable_root_directory_digest());

  blobs_.Lose(tree.file);
  EXPECT_EQ(cache_->Put(KeyOf("a"), Encode(by_tree)).code(), Code::kFailedPrecondition);
  EXPECT_EQ(cache_->Put(KeyOf("a"), Encode(by_root)).code(), Code::kFailedPrecondition);
  blobs_.Add("file in sub");
  blobs_.Lose(tree.tree);
  blobs_.Lose(tree.sub);
  EXPECT_EQ(cache_->Put(KeyOf("a"), Encode(by_tree)).code(), Code::kFailedPrecondition);
  EXPECT_EQ(cache_->Put(KeyOf("a"), Encode(by_root)).code(), Code::kFailedPrecondition);
}

TEST_F(ActionCacheTest, AHitIsOneFindMissing) {
  pb::ActionResult result;
  for (int i = 0; i < 40; ++i) AddFile(result, blobs_.Add("output " + std::to_string(i)));
  ASSERT_EQ(cache_->Put(KeyOf("a"), Encode(result)), Status());
  blobs_.find_calls = 0;

  ASSERT_TRUE(cache_->Get(KeyOf("a")));

  EXPECT_EQ(blobs_.find_calls, 1);
  EXPECT_EQ(blobs_.read_calls, 0);
}

TEST_F(ActionCacheTest, BlobsOfOtherDigestFunctionsAreRefused) {
  pb::ActionResult result;
  AddFile(result, blobs_.Add("x", DigestFunction::kSha1));

  EXPECT_EQ(cache_->Put(KeyOf("a"), Encode(result)).code(), Code::kInvalidArgument);
}

TEST_F(ActionCacheTest, TheEmptyBlobIsNeverMissing) {
  pb::ActionResult result;
  AddFile(result, EmptyDigest(DigestFunction::kSha256));

  EXPECT_EQ(cache_->Put(KeyOf("a"), Encode(result)), Status());
  EXPECT_TRUE(cache_->Get(KeyOf("a")));
}

TEST_F(ActionCacheTest, WhatDoesNotParseIsRefused) {
  pb::ActionResult not_a_tree;
  reapi::ToProto(blobs_.Add("\xff\xff\xff"),
                 not_a_tree.add_output_directories()->mutable_tree_digest());
  pb::ActionResult no_digest, no_tree;
  no_digest.add_output_files()->set_path("out");
  no_tree.add_output_directories()->set_path("out");

  EXPECT_EQ(cache_->Put(KeyOf("a"), Bytes("\xff\xff\xff")).code(), Code::kInvalidArgument);
  for (const auto& result : {not_a_tree, no_digest, no_tree})
    EXPECT_EQ(cache_->Put(KeyOf("a"), Encode(result)).code(), Code::kInvalidArgument);
}

TEST_F(ActionCacheTest, BoundsAreKept) {
  auto cache = NewStoredActionCache(
      *values_, blobs_, {.result_bytes_max = 200, .tree_bytes_max = 10, .digests_max = 2});
  pb::ActionResult two, three, tree, large;
  AddFile(two, blobs_.Add("1"));
  AddFile(two, blobs_.Add("2"));
  three.MergeFrom(two);
  AddFile(two, blobs_.Add("2"));  // a repeat is one blob
  large.set_stdout_raw(std::string(300, 'x'));
  reapi::ToProto(blobs_.Add("three"), three.add_output_files()->mutable_digest());
  reapi::ToProto(AddTree().tree, tree.add_output_directories()->mutable_tree_digest());
  auto roomy = NewStoredActionCache(*values_, blobs_, {.digests_max = 2});

  EXPECT_EQ(roomy->Put(KeyOf("a"), Encode(two)), Status());
  EXPECT_EQ(roomy->Put(KeyOf("a"), Encode(three)).code(), Code::kInvalidArgument);
  EXPECT_EQ(cache->Put(KeyOf("a"), Encode(tree)).code(), Code::kInvalidArgument);
  EXPECT_EQ(cache->Put(KeyOf("a"), Encode(large)).code(), Code::kInvalidArgument);
}

TEST_F(ActionCacheTest, TryAnswersNothingWhenTheStoreWouldBlock) {
  TreeBlobs tree = AddTree();
  pb::ActionResult result;
  reapi::ToProto(tree.tree, result.add_output_directories()->mutable_tree_digest());
  ASSERT_EQ(cache_->Put(KeyOf("a"), Encode(result)), Status());
  blobs_.would_block = true;

  EXPECT_FALSE(cache_->TryGet(KeyOf("a")).has_value());
  EXPECT_FALSE(cache_->TryPut(KeyOf("b"), Encode(result)).has_value());
  blobs_.would_block = false;
  EXPECT_EQ(cache_->TryPut(KeyOf("b"), Encode(result)), Status());
}

TEST_F(ActionCacheTest, AFailingStoreIsNotAMiss) {
  pb::ActionResult result;
  AddFile(result, blobs_.Add("output"));
  ASSERT_EQ(cache_->Put(KeyOf("a"), Encode(result)), Status());
  blobs_.Fail(Status(Code::kUnavailable, "down"));

  EXPECT_EQ(CodeOf(cache_->Get(KeyOf("a"))), Code::kUnavailable);
  EXPECT_EQ(cache_->Put(KeyOf("a"), Encode(result)).code(), Code::kUnavailable);
}

TEST_F(ActionCacheTest, AnEntryThatIsNotReadableIsAMiss) {
  ASSERT_EQ(cache_->Put(KeyOf("a"), Encode({})), Status());
  struct Broken : store::ValueStore {
    Result<Bytes> GetValue(std::string_view) override { return Bytes(text); }
    Status PutValue(std::string_view, std::string_view) override { return {}; }
    Status RemoveValue(std::string_view) override { return {}; }
    std::string text;
  } broken;
  auto cache = NewStoredActionCache(broken, blobs_);

  for (std::string text :
       {std::string(), std::string("\x02\x01\0\0\0\0\0\0", 8),
        std::string("\x01\x01\0\0\x01\0\0\0", 8), std::string("\x01\x63\0\0\0\0\0\0", 8)}) {
    broken.text = text;
    EXPECT_EQ(CodeOf(cache->Get(KeyOf("a"))), Code::kNotFound);
  }
}

TEST_F(ActionCacheTest, TheMemoryCacheIsTheSameWithValuesOfItsOwn) {
  auto cache = NewMemoryActionCache(blobs_);
  ASSERT_EQ(cache->Put(KeyOf("a"), Encode({})), Status());

  EXPECT_TRUE(cache->Get(KeyOf("a")));
  EXPECT_EQ(cache->TryPut(KeyOf("a"), Encode({})), Status());
  EXPECT_TRUE((*cache->TryGet(KeyOf("a"))));
  EXPECT_EQ(cache->Remove(KeyOf("a")), Status());
  EXPECT_FALSE(cache->Get(KeyOf("a")));
}

}  // namespace
}  // namespace lre::action_cache

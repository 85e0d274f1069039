#include "service/cas_service.h"

#include <random>

#include "base/file.h"
#include "reapi/tree.h"
#include "service/fake_storage_server.h"
#include "service/zstd_blob.h"
#include "store/log_store.h"

namespace lre::service {
namespace {

// Every test runs twice: answered by the loop, and with a store that would always block.
class CasServiceTest : public testing::TestWithParam<bool> {
 protected:
  CasServiceTest() : server_({.cas = {.answer_bytes_max = 100'000, .tree_page_bytes = 200}}) {
    server_.store.would_block = GetParam();
    stub_ = pb::ContentAddressableStorage::NewStub(server_.channel);
  }
  TestServer server_;
  std::unique_ptr<pb::ContentAddressableStorage::Stub> stub_;
};

INSTANTIATE_TEST_SUITE_P(Stores, CasServiceTest, testing::Bool(),
                         [](const auto& info) { return info.param ? "ThatBlock" : "InMemory"; });

TEST_P(CasServiceTest, FindsWhatIsMissing) {
  Digest there = server_.store.Add("there");
  pb::FindMissingBlobsRequest request;
  request.set_instance_name("main");
  *request.add_blob_digests() = DigestOf("absent");
  *request.add_blob_digests() = reapi::ToProto(there);
  *request.add_blob_digests() = DigestOf("");
  pb::FindMissingBlobsResponse response;
  Context context;

  grpc::Status status = stub_->FindMissingBlobs(&context, request, &response);

  ASSERT_TRUE(status.ok()) << status.error_message();
  ASSERT_EQ(response.missing_blob_digests_size(), 1);
  EXPECT_EQ(response.missing_blob_digests(0).hash(), DigestOf("absent").hash());
}

TEST_P(CasServiceTest, FindsTenThousandInOneCall) {
  pb::FindMissingBlobsRequest request;
  for (int i = 0; i < 10000; i++) *request.add_blob_digests() = DigestOf(std::to_string(i));
  for (int i = 0; i < 10000; i += 2) server_.store.Add(std::to_string(i));
  pb::FindMissingBlobsResponse response;
  Context context;

  ASSERT_TRUE(stub_->FindMissingBlobs(&context, request, &response).ok());

  ASSERT_EQ(response.missing_blob_digests_size(), 5000);
  EXPECT_EQ(response.missing_blob_digests(4999).hash(), DigestOf("9999").hash());
}

TEST_P(CasServiceTest, RefusesMalformedDigests) {
  for (auto [hash, size] : {std::pair(std::string(64, 'A'), 1),
                            {std::string(63, 'a'), 1},
                            {std::string(64, 'a'), -1},
                            {std::string(), 0}}) {
    pb::FindMissingBlobsRequest request;
    request.add_blob_digests()->set_hash(hash);
    request.mutable_blob_digests(0)->set_size_bytes(size);
    pb::FindMissingBlobsResponse response;
    Context context;
    grpc::Status status = stub_->FindMissingBlobs(&context, request, &response);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << hash;
  }
}

TEST_P(CasServiceTest, TellsDigestFunctionsApart) {
  server_.store.Add("x", DigestFunction::kBlake3);
  for (auto [function, missing] :
       {std::pair(pb::DigestFunction::BLAKE3, 0), {pb::DigestFunction::SHA256, 1}}) {
    pb::FindMissingBlobsRequest request;
    request.set_digest_function(function);
    *request.add_blob_digests() = DigestOf("x", DigestFunction::kBlake3);
    pb::FindMissingBlobsResponse response;
    Context context;
    ASSERT_TRUE(stub_->FindMissingBlobs(&context, request, &response).ok());
    EXPECT_EQ(response.missing_blob_digests_size(), missing);
  }
}

TEST_P(CasServiceTest, UpdatesABatchWithAStatusPerBlob) {
  pb::BatchUpdateBlobsRequest request;
  auto add = [&](const pb::Digest& digest, const std::string& data) {
    auto* entry = request.add_requests();
    *entry->mutable_digest() = digest;
    entry->set_data(data);
  };
  add(DigestOf("good"), "good");
  add(DigestOf("good"), "evil");
  add(DigestOf("good"), "longer");
  add(pb::Digest(), "x");
  add(DigestOf(""), "");
  pb::BatchUpdateBlobsResponse response;
  Context context;

  grpc::Status status = stub_->BatchUpdateBlobs(&context, request, &response);

  ASSERT_TRUE(status.ok()) << status.error_message();
  ASSERT_EQ(response.responses_size(), 5);
  std::vector<int> codes;
  for (const auto& entry : response.responses()) codes.push_back(entry.status().code());
  EXPECT_EQ(codes, (std::vector<int>{0, 3, 3, 3, 0}));
  EXPECT_EQ(response.responses(1).digest().hash(), DigestOf("good").hash());
  EXPECT_EQ(*store::ReadAll(server_.store, {ComputeDigest(kSha256, "good")}), "good");
}

TEST_P(CasServiceTest, UpdatesCompressedBlobs) {
  ZstdContexts zstd;
  std::string plain(5000, 'p'), compressed = *CompressFrame(zstd, {Bytes(plain)});
  pb::BatchUpdateBlobsRequest request;
  auto add = [&](const std::string& text, const std::string& data, int compressor) {
    auto* entry = request.add_requests();
    *entry->mutable_digest() = DigestOf(text);
    entry->set_data(data);
    entry->set_compressor(static_cast<pb::Compressor::Value>(compressor));
  };
  add(plain, compressed, 1);
  add(plain.substr(1), compressed, 1);  // one byte too many comes out
  add(plain, "no zstd", 1);
  add(plain, compressed.substr(0, compressed.size() - 1), 1);
  add(plain, plain, 2);
  pb::BatchUpdateBlobsResponse response;
  Context context;

  ASSERT_TRUE(stub_->BatchUpdateBlobs(&context, request, &response).ok());

  std::vector<int> codes;
  for (const auto& entry : response.responses()) codes.push_back(entry.status().code());
  EXPECT_EQ(codes, (std::vector<int>{0, 3, 3, 3, 3}));
  EXPECT_EQ(*store::ReadAll(server_.store, {ComputeDigest(kSha256, plain)}), plain);
}

TEST_P(CasServiceTest, ReadsABatchWithAStatusPerBlob) {
  std::string large(60'000, 'l');
  server_.store.Add("small");
  server_.store.Add(large);
  pb::BatchReadBlobsRequest request;
  *request.add_digests() = DigestOf("small");
  *request.add_digests() = DigestOf(large);
  *request.add_digests() = DigestOf("absent");
  *request.add_digests() = DigestOf(large);  // does not fit the answer any more
  *request.add_digests() = pb::Digest();
  *request.add_digests() = DigestOf("");
  pb::BatchReadBlobsResponse response;
  Context context;

  grpc::Status status = stub_->BatchReadBlobs(&context, request, &response);

  ASSERT_TRUE(status.ok()) << status.error_message();
  std::vector<int> codes;
  for (const auto& entry : response.responses()) codes.push_back(entry.status().code());
  EXPECT_EQ(codes, (std::vector<int>{0, 0, 5, 8, 3, 0}));
  EXPECT_EQ(response.responses(0).data(), "small");
  EXPECT_EQ(response.responses(1).data(), large);
  EXPECT_LE(response.ByteSizeLong(), 100'000u);
}

TEST_P(CasServiceTest, ReadsABatchCompressedForClientsThatAcceptIt) {
  ZstdContexts zstd;
  const std::string large(60'000, 'l');
  std::string noise(5'000, '\0');
  std::mt19937 random(1);
  for (char& c : noise) c = static_cast<char>(random());
  pb::BatchReadBlobsRequest request;
  for (const std::string& text : {std::string("small"), large, noise}) {
    server_.store.Add(text);
    *request.add_digests() = DigestOf(text);
  }
  request.add_acceptable_compressors(pb::Compressor::ZSTD);
  pb::BatchReadBlobsResponse response;
  Context context;

  ASSERT_TRUE(stub_->BatchReadBlobs(&context, request, &response).ok());

  ASSERT_EQ(response.responses_size(), 3);
  EXPECT_EQ(response.responses(0).compressor(), pb::Compressor::IDENTITY);
  EXPECT_EQ(response.responses(0).data(), "small");
  EXPECT_EQ(response.responses(1).compressor(), pb::Compressor::ZSTD);
  EXPECT_LT(response.responses(1).data().size(), 1000u);
  EXPECT_EQ(*DecompressBlob(zstd, response.responses(1).data(), 60'000), large);
  EXPECT_EQ(response.responses(2).compressor(), pb::Compressor::IDENTITY);
  EXPECT_EQ(response.responses(2).data(), noise);
}

TEST(CasServiceOverFrames, SendsStoredFramesAsTheyAre) {
  TempDir dir;
  FakeClock clock;
  auto store = store::OpenLogStore(
      clock,
      {.directory = dir / "store", .size_bytes_max = 64 << 20, .at_rest = store::AtRest::kZstd});
  ASSERT_TRUE(store) << store.error().ToString();
  std::string text;  // of two frames
  for (int i = 0; text.size() < 1'500'000; ++i) text += "line " + std::to_string(i) + "\n";
  const store::BlobKey key{ComputeDigest(kSha256, text), 0};
  ASSERT_TRUE(store::Put(**store, key, Bytes(text)).ok());
  std::string stored;
  for (uint64_t at : {0, 1 << 20}) stored += Flatten((*(*store)->ReadZstd(key, at))->compressed);
  ZstdContexts zstd;
  ASSERT_NE(*CompressFrame(zstd, {Bytes(text)}), stored) << "made anew it would be one frame";
  ThreadPool io({.threads = 1});
  Metrics metrics;
  auto server = rpc::Server::Start({.listen = {"127.0.0.1:0"}, .loops = 1},
                                   CasMethods({**store, io}, {}), nullptr, metrics, SystemClock());
  ASSERT_TRUE(server);
  auto stub = pb::ContentAddressableStorage::NewStub(
      grpc::CreateChannel((*server)->addresses()[0], grpc::InsecureChannelCredentials()));
  pb::BatchReadBlobsRequest request;
  *request.add_digests() = DigestOf(text);
  request.add_acceptable_compressors(pb::Compressor::ZSTD);
  pb::BatchReadBlobsResponse response;
  Context context;

  ASSERT_TRUE(stub->BatchReadBlobs(&context, request, &response).ok());

  ASSERT_EQ(response.responses_size(), 1);
  EXPECT_EQ(response.responses(0).compressor(), pb::Compressor::ZSTD);
  EXPECT_EQ(response.responses(0).data(), stored);
  EXPECT_EQ(*DecompressBlob(zstd, stored, key.digest.size_bytes), text);
}

TEST_P(CasServiceTest, AnswersWhatTheStoreSays) {
  server_.store.Fail(Status(Code::kUnavailable, "disk gone"));
  pb::FindMissingBlobsRequest request;
  *request.add_blob_digests() = DigestOf("a");
  pb::FindMissingBlobsResponse response;
  Context context;

  grpc::Status status = stub_->FindMissingBlobs(&context, request, &response);

  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(status.error_message(), "disk gone");
}

class GetTreeTest : public CasServiceTest {
 protected:
  GetTreeTest() {
    reapi::TreeBuilder builder(kSha256);
    Digest file = ComputeDigest(kSha256, "file");
    for (int i = 0; i < 20; i++) {
      EXPECT_TRUE(builder.AddFile(fmt::format("d{}/s/f{}", i, i), file, false).ok());
    }
    EXPECT_TRUE(builder.AddFile("d0/s2/f0", file, false).ok());  // the same as d0/s
    tree_ = builder.Build();
    for (auto& blob : tree_.directories) server_.store.Add(blob.bytes);
  }
  grpc::Status Get(pb::GetTreeRequest request) {
    *request.mutable_root_digest() = reapi::ToProto(tree_.root);
    Context context;
    auto reader = stub_->GetTree(&context, request);
    pages_.clear();
    hashes_.clear();
    for (pb::GetTreeResponse page; reader->Read(&page);) {
      for (const auto& directory : page.directories()) {
        hashes_.insert(DigestOf(directory.SerializeAsString()).hash());
      }
      pages_.push_back(page);
    }
    return reader->Finish();
  }
  reapi::TreeBuilder::Built tree_;
  std::vector<pb::GetTreeResponse> pages_;
  std::multiset<std::string> hashes_;
};

INSTANTIATE_TEST_SUITE_P(Stores, GetTreeTest, testing::Values(false));

TEST_P(GetTreeTest, SendsEveryDirectoryOnce) {
  ASSERT_TRUE(Get({}).ok());
  EXPECT_EQ(hashes_.size(), tree_.directories.size());
  for (const auto& blob : tree_.directories) EXPECT_EQ(hashes_.count(blob.digest.Hex()), 1u);
  EXPECT_GT(pages_.size(), 3u);
  EXPECT_EQ(pages_.back().next_page_token(), "");
}

TEST_P(GetTreeTest, GoesOnWhereATokenSays) {
  pb::GetTreeRequest request;
  request.set_page_size(3);
  ASSERT_TRUE(Get(request).ok());
  std::vector<pb::GetTreeResponse> all = pages_;
  for (const auto& page : all) EXPECT_LE(page.directories_size(), 3);

  request.set_page_token(all[1].next_page_token());
  ASSERT_TRUE(Get(request).ok());

  EXPECT_EQ(hashes_.size(),
            tree_.directories.size() - all[0].directories_size() - all[1].directories_size());
  request.set_page_token("nonsense");
  EXPECT_EQ(Get(request).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_P(GetTreeTest, OmitsWhatIsMissingBelowTheRoot) {
  server_.store.Lose(tree_.directories[5].digest);
  ASSERT_TRUE(Get({}).ok());
  EXPECT_LT(hashes_.size(), tree_.directories.size());
  server_.store.Lose(tree_.root);
  EXPECT_EQ(Get({}).error_code(), grpc::StatusCode::NOT_FOUND);
}

}  // namespace
}  // namespace lre::service

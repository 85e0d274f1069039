#include "service/chunk_methods.h"

#include "base/random.h"
#include "service/fake_storage_server.h"

namespace lre::service {
namespace {

// The hash one byte at a time, as FastCDC was first published: the same boundaries.
size_t CutByteByByte(std::string_view bytes, size_t average, uint64_t strict, uint64_t loose) {
  uint64_t hash = 0;
  for (size_t at = average / 4; at < std::min(bytes.size(), average * 4); at++) {
    hash = (hash << 1) + GearTable()[static_cast<uint8_t>(bytes[at])];
    if ((hash & (at < average ? strict : loose)) == 0) return at;
  }
  return std::min(bytes.size(), average * 4);
}

TEST(FastCdc, HasTheTableThatOthersHave) {
  std::string table;
  for (uint64_t value : GearTable()) {
    for (int i = 0; i < 8; i++) table += static_cast<char>(value >> 8 * i);
  }
  EXPECT_EQ(GearTable()[0], 0x3b5d3c7d207e37dcu);
  EXPECT_EQ(ComputeDigest(kSha256, table).Hex(),
            "91a3061015ae351cd3701852712bcd6aa4a1ce26c8a231d3969432b00f028f88");
}

TEST(FastCdc, CutsWhereTheHashByteByByteCuts) {
  const FastCdcOptions options{.average_bytes = 4096};
  const std::string blob = Random(7).NextBytes(500'000);
  size_t chunks = 0;
  for (std::string_view rest = blob; !rest.empty(); chunks++) {
    const size_t length = FastCdcCut(rest, options);
    ASSERT_EQ(length, CutByteByByte(rest, 4096, 0x0000d90313530000, 0x0000590003530000));
    if (length < rest.size()) ASSERT_GE(length, options.bytes_min());
    ASSERT_LE(length, options.bytes_max());
    rest.remove_prefix(length);
  }
  EXPECT_GT(chunks, 60u);
  EXPECT_LT(chunks, 250u);
}

TEST(FastCdc, CutsByItsSeedAndAtItsMost) {
  const std::string blob = Random(8).NextBytes(100'000);
  EXPECT_NE(FastCdcCut(blob, {.average_bytes = 4096}),
            FastCdcCut(blob, {.average_bytes = 4096, .seed = 666}));
  EXPECT_EQ(FastCdcCut(std::string(100'000, 'a'), {.average_bytes = 4096}), 16384u);
  EXPECT_EQ(FastCdcCut("", {}), 0u);
  EXPECT_EQ(FastCdcCut("a", {}), 1u);
}

class ChunkMethodsTest : public testing::Test {
 protected:
  ChunkMethodsTest() : server_({.chunks = {.average_bytes = 4096}}) {
    stub_ = pb::ContentAddressableStorage::NewStub(server_.channel);
  }
  grpc::Status Split(const pb::Digest& blob) {
    pb::SplitBlobRequest request;
    *request.mutable_blob_digest() = blob;
    request.set_chunking_function(pb::ChunkingFunction::REP_MAX_CDC);
    Context context;
    split_.Clear();
    return stub_->SplitBlob(&context, request, &split_);
  }
  grpc::Status Splice(const pb::SpliceBlobRequest& request) {
    Context context;
    splice_.Clear();
    return stub_->SpliceBlob(&context, request, &splice_);
  }
  TestServer server_;
  std::unique_ptr<pb::ContentAddressableStorage::Stub> stub_;
  pb::SplitBlobResponse split_;
  pb::SpliceBlobResponse splice_;
};

TEST_F(ChunkMethodsTest, SplitsIntoChunksThatTogetherAreTheBlob) {
  const std::string blob = Random(9).NextBytes(200'000);
  server_.store.Add(blob);

  grpc::Status status = Split(DigestOf(blob));

  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(split_.chunking_function(), pb::ChunkingFunction::FAST_CDC_2020);
  EXPECT_GT(split_.chunk_digests_size(), 20);
  std::string joined;
  for (const auto& chunk : split_.chunk_digests()) {
    auto bytes = store::ReadAll(server_.store, {*reapi::FromProto(chunk)});
    ASSERT_TRUE(bytes) << chunk.hash();
    joined += *bytes;
  }
  EXPECT_TRUE(joined == blob);
}

TEST_F(ChunkMethodsTest, SplitsTheSmallestBlobsToo) {
  server_.store.Add("a");
  ASSERT_TRUE(Split(DigestOf("a")).ok());
  ASSERT_EQ(split_.chunk_digests_size(), 1);
  EXPECT_EQ(split_.chunk_digests(0).hash(), DigestOf("a").hash());
  ASSERT_TRUE(Split(DigestOf("")).ok());
  EXPECT_EQ(split_.chunk_digests_size(), 0);
  EXPECT_EQ(Split(DigestOf("absent")).error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(Split(pb::Digest()).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(ChunkMethodsTest, SplicesChunks) {
  pb::SpliceBlobRequest request;
  for (const char* chunk : {"one ", "two ", "one "}) {
    server_.store.Add(chunk);
    *request.add_chunk_digests() = DigestOf(chunk);
  }
  *request.mutable_blob_digest() = DigestOf("one two one ");

  grpc::Status status = Splice(request);

  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(splice_.blob_digest().hash(), DigestOf("one two one ").hash());
  EXPECT_EQ(*store::ReadAll(server_.store, {ComputeDigest(kSha256, "one two one ")}),
            "one two one ");

  server_.store.Lose(ComputeDigest(kSha256, "one two one "));
  request.clear_blob_digest();
  ASSERT_TRUE(Splice(request).ok());
  EXPECT_EQ(splice_.blob_digest().hash(), DigestOf("one two one ").hash());
}

TEST_F(ChunkMethodsTest, RefusesChunksThatAreNotTheBlob) {
  server_.store.Add("one");
  pb::SpliceBlobRequest request;
  *request.add_chunk_digests() = DigestOf("one");
  *request.mutable_blob_digest() = DigestOf("two");
  EXPECT_EQ(Splice(request).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  *request.mutable_blob_digest() = DigestOf("longer");
  EXPECT_EQ(Splice(request).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  *request.add_chunk_digests() = DigestOf("two");
  *request.mutable_blob_digest() = DigestOf("onetwo");
  EXPECT_EQ(Splice(request).error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_FALSE(store::ReadAll(server_.store, {ComputeDigest(kSha256, "onetwo")}));
}

}  // namespace
}  // namespace lre::service

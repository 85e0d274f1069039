#include "service/chunk_methods.h"

#include <set>

#include "base/file.h"
#include "base/random.h"
#include "service/fake_storage_server.h"
#include "store/log_store.h"

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
    if (length < rest.size()) {
      ASSERT_GE(length, options.bytes_min());
    }
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

// As a program beside github.com/buildbarn/go-cdc v0.0.10 made them, to see what it cuts: the top
// bytes of a linear congruential generator; or few different ones, with long runs of zeros.
std::string GeneratedBytes(size_t size, bool runs) {
  std::string bytes;
  uint64_t state = 1;
  for (size_t i = 0; i < size; ++i) {
    state = state * 6364136223846793005 + 1442695040888963407;
    auto byte = static_cast<uint8_t>(state >> 56);
    if (runs) byte = i / 5000 % 3 == 1 ? 0 : byte & 3;
    bytes += static_cast<char>(byte);
  }
  return bytes;
}

struct RepMaxCuts {
  size_t size, bytes_min, horizon_bytes;
  bool runs;
  size_t chunks;
  uint64_t sum;  // each time 31, plus the next length
};
// What NewRepMaxContentDefinedChunker of that version gives.
constexpr RepMaxCuts kRepMaxCuts[] = {
    {100'000, 2048, 16'384, false, 38, 0xa93f8ee8a6943104},
    {100'000, 2048, 0, false, 48, 0xc3405aaa8b1806a0},
    {100'000, 2048, 1000, false, 40, 0xb99b6fc20089959c},
    {100'000, 2048, 5000, true, 41, 0x1f22952f378f1ce6},
    {100'000, 64, 100, true, 1319, 0x90445ab65a6e438},
    {100'000, 1024, 2048, true, 79, 0x6fbf96c477b72604},
    {4095, 2048, 16'384, false, 1, 0xfff},
    {4096, 2048, 16'384, false, 2, 0x10000},
    {3'000'000, 262'144, 2'097'152, false, 9, 0x5736deab899b20c},
};

TEST(RepMaxCdc, CutsWhereOthersCut) {
  for (const RepMaxCuts& expected : kRepMaxCuts) {
    const std::string blob = GeneratedBytes(expected.size, expected.runs);
    const RepMaxCdcOptions options{expected.bytes_min, expected.horizon_bytes};
    RepMaxCdc cdc(options);
    size_t chunks = 0;
    uint64_t sum = 0;
    for (std::string_view rest = blob; !rest.empty(); chunks++) {
      // No more than the window is looked at.
      const size_t length = cdc.Cut(rest.substr(0, options.window_bytes()));
      ASSERT_LT(length, 2 * expected.bytes_min);
      ASSERT_LE(length, rest.size());
      sum = sum * 31 + length;
      rest.remove_prefix(length);
    }
    EXPECT_EQ(chunks, expected.chunks) << expected.size << " " << expected.horizon_bytes;
    EXPECT_EQ(sum, expected.sum) << expected.size << " " << expected.horizon_bytes;
  }
  EXPECT_EQ(RepMaxCdc({}).Cut(""), 0u);
}

class ChunkMethodsTest : public testing::Test {
 protected:
  ChunkMethodsTest()
      : server_({.chunks = {.fast_cdc = {.average_bytes = 4096},
                            .rep_max_cdc = {.bytes_min = 1024, .horizon_bytes = 8192},
                            .chunks_max = 250}}) {
    stub_ = pb::ContentAddressableStorage::NewStub(server_.channel);
  }
  grpc::Status Split(const pb::Digest& blob,
                     pb::ChunkingFunction::Value function = pb::ChunkingFunction::UNKNOWN) {
    pb::SplitBlobRequest request;
    *request.mutable_blob_digest() = blob;
    request.set_chunking_function(function);
    Context context;
    split_.Clear();
    return stub_->SplitBlob(&context, request, &split_);
  }
  grpc::Status Splice(const pb::SpliceBlobRequest& request) {
    Context context;
    splice_.Clear();
    return stub_->SpliceBlob(&context, request, &splice_);
  }
  std::string Joined() {
    std::string joined;
    for (const auto& chunk : split_.chunk_digests()) {
      auto bytes = store::ReadAll(server_.store, {*reapi::FromProto(chunk)});
      EXPECT_TRUE(bytes) << chunk.hash();
      if (bytes) joined += *bytes;
    }
    return joined;
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
  EXPECT_TRUE(Joined() == blob);
}

TEST_F(ChunkMethodsTest, SplitsAsTheClientPrefers) {
  const std::string blob = Random(9).NextBytes(200'000);
  server_.store.Add(blob);

  ASSERT_TRUE(Split(DigestOf(blob), pb::ChunkingFunction::REP_MAX_CDC).ok());
  EXPECT_EQ(split_.chunking_function(), pb::ChunkingFunction::REP_MAX_CDC);
  EXPECT_GT(split_.chunk_digests_size(), 100);
  for (const auto& chunk : split_.chunk_digests()) EXPECT_LT(chunk.size_bytes(), 2048);
  EXPECT_TRUE(Joined() == blob);
  ASSERT_TRUE(Split(DigestOf(blob), pb::ChunkingFunction::FAST_CDC_2020).ok());
  EXPECT_EQ(split_.chunking_function(), pb::ChunkingFunction::FAST_CDC_2020);
  EXPECT_LT(split_.chunk_digests_size(), 100);
  EXPECT_TRUE(Joined() == blob);
}

TEST_F(ChunkMethodsTest, ABlobOfTooManyChunksIsItsOwn) {
  const std::string blob = Random(9).NextBytes(300'000);
  server_.store.Add(blob);

  ASSERT_TRUE(Split(DigestOf(blob)).ok());

  ASSERT_EQ(split_.chunk_digests_size(), 1);
  EXPECT_EQ(split_.chunk_digests(0).hash(), DigestOf(blob).hash());
  pb::Digest absent = DigestOf("absent");
  absent.set_size_bytes(300'000);
  EXPECT_EQ(Split(absent).error_code(), grpc::StatusCode::NOT_FOUND);
  pb::SpliceBlobRequest request;
  for (int i = 0; i < 251; ++i) *request.add_chunk_digests() = DigestOf("");
  EXPECT_EQ(Splice(request).error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
}

// On a store that shares: what it takes on the disk is what the chunks take.
TEST(ChunksOnDisk, AreSharedBetweenBlobsThatAreAlike) {
  TempDir dir;
  auto log = store::OpenLogStore(
      SystemClock(),
      {.directory = dir / "store", .size_bytes_max = 256 << 20, .background = false});
  ASSERT_TRUE(log) << log.error().ToString();
  ThreadPool io({.threads = 1});
  Metrics metrics;
  auto server = rpc::Server::Start({.listen = {"127.0.0.1:0"}, .loops = 1},
                                   ChunkMethods({**log, io}), nullptr, metrics, SystemClock());
  ASSERT_TRUE(server) << ToStatus(server).ToString();
  auto stub = pb::ContentAddressableStorage::NewStub(
      grpc::CreateChannel((*server)->addresses()[0], grpc::InsecureChannelCredentials()));
  std::string first = Random(1).NextBytes(20'000'000), second = first;
  second.insert(9'000'000, "a few bytes more");
  auto split = [&](const std::string& blob) {
    EXPECT_TRUE(store::Put(**log, {ComputeDigest(kSha256, blob)}, Bytes(blob)).ok());
    pb::SplitBlobRequest request;
    *request.mutable_blob_digest() = DigestOf(blob);
    pb::SplitBlobResponse response;
    Context context;
    EXPECT_TRUE(stub->SplitBlob(&context, request, &response).ok());
    return response;
  };

  const pb::SplitBlobResponse one = split(first), other = split(second);

  // Nothing but the chunks is kept; all whole blobs can go.
  uint64_t stored = 0;
  ASSERT_TRUE((*log)
                  ->List([&](const store::LogRecord& record) {
                    stored += record.size_bytes < 4 << 20 ? record.size_bytes : 0;
                  })
                  .ok());
  EXPECT_LT(stored, 24'000'000u);
  std::set<std::string> chunks;
  for (const auto& chunk : one.chunk_digests()) chunks.insert(chunk.hash());
  int shared = 0;
  for (const auto& chunk : other.chunk_digests()) shared += chunks.count(chunk.hash()) > 0;
  EXPECT_GT(shared, other.chunk_digests_size() - 5);
  EXPECT_TRUE(*store::ReadAll(**log, {ComputeDigest(kSha256, second)}) == second);
  EXPECT_TRUE(*(*log)->Chunks({ComputeDigest(kSha256, second)}));
  EXPECT_EQ(split(second).SerializeAsString(), other.SerializeAsString()) << "it is known by now";
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

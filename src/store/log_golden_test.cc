// Stores that earlier versions wrote, in test/golden/log_store/v<format version>/: `clean` was
// closed, `killed` is one whose process died after a sync and one more blob. Every later version
// must open them and find everything. LRE_GOLDEN_ACCEPT=log_store writes those of the
// present version (with a new secret, hence every byte new); never do that to a released one.
#include <gmock/gmock.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "base/file.h"
#include "base/source_path.h"
#include "store/crc32c.h"
#include "store/log_store.h"
#include "store/stress.h"

namespace lre::store {
namespace {

using testing::SizeIs;

constexpr int kVersion = 2;

std::string Pattern(size_t size) {
  std::string text;
  for (size_t i = 0; text.size() < size; ++i) text += std::to_string(i * i) + " ";
  text.resize(size);
  return text;
}

struct GoldenBlob {
  DigestFunction function;
  Partition partition;
  size_t size;
};
constexpr GoldenBlob kBlobs[] = {
    {DigestFunction::kSha256, 0, 1},      {DigestFunction::kSha256, 0, 1000},
    {DigestFunction::kSha256, 0, 70'000},  // with a table of checksums, in a segment of its own
    {DigestFunction::kSha256, 7, 1000},   {DigestFunction::kSha512, 0, 500},
    {DigestFunction::kBlake3, 0, 20'000}, {DigestFunction::kMd5, 0, 12},
};
// Since version 2: compressed, in partition 9, and a blob kept as three chunks, one of them
// compressed too.
constexpr GoldenBlob kFramed[] = {{DigestFunction::kSha256, 9, 5000},
                                  {DigestFunction::kSha256, 9, 1'200'000}};
constexpr size_t kListedBytes = 3'000'000, kChunkedAt = 1'000'000;
constexpr Partition kListedPartition = 9;
constexpr GoldenBlob kAfterSync = {DigestFunction::kSha1, 0, 3000};

BlobKey KeyOf(const GoldenBlob& blob) {
  return {ComputeDigest(blob.function, Pattern(blob.size)), blob.partition};
}

LogStoreOptions Options(const std::string& directory, const std::string& boot_id) {
  return {.directory = directory,
          .size_bytes_max = 8 << 20,
          .segment_bytes = 64 << 10,
          .at_rest_partitions = {{9, AtRest::kZstd}},
          .background = false,
          .boot_id = boot_id};
}

// Small in frames, and so are the golden files.
std::string Repeats(size_t size) {
  std::string text;
  while (text.size() < size) text += std::to_string(text.size() / 50'000) + " ";
  text.resize(size);
  return text;
}
std::string Listed() { return Repeats(kListedBytes); }
BlobKey FramedKey(const GoldenBlob& blob) {
  return {ComputeDigest(blob.function, Repeats(blob.size)), blob.partition};
}
BlobKey ListedKey() { return {ComputeDigest(DigestFunction::kSha256, Listed()), kListedPartition}; }

void WriteListed(LogStore& store) {
  std::string text = Listed();
  Chunking chunking{.function = 1};
  for (size_t at = 0; at < text.size(); at += kChunkedAt) {
    std::string chunk = text.substr(at, kChunkedAt);
    chunking.chunks.push_back(ComputeDigest(DigestFunction::kSha256, chunk));
    ASSERT_EQ(Put(store, {chunking.chunks.back(), kListedPartition}, Bytes(chunk)), Status());
  }
  ASSERT_EQ(store.Splice(ListedKey(), chunking, false), Status());
}

std::string Golden(int version, std::string_view name) {
  return SourcePath(fmt::format("test/golden/log_store/v{}/{}", version, name));
}

void Copy(const std::string& from, const std::string& to) {
  std::filesystem::create_directories(to);
  std::filesystem::copy(from, to, std::filesystem::copy_options::recursive);
}

TEST(LogGoldenAccept, WritesTheStoresOfThisVersionWhenAsked) {
  const char* accept = std::getenv("LRE_GOLDEN_ACCEPT");
  if (accept == nullptr || std::string_view(accept) != "log_store")
    GTEST_SKIP() << "LRE_GOLDEN_ACCEPT is not log_store";
  std::filesystem::remove_all(Golden(kVersion, ""));
  TempDir dir;
  FakeClock clock;
  {
    auto store = OpenLogStore(clock, Options(dir / "store", "golden"));
    ASSERT_TRUE(store) << store.error().ToString();
    for (const GoldenBlob& blob : kBlobs)
      ASSERT_EQ(Put(**store, KeyOf(blob), Bytes(Pattern(blob.size))), Status());
    for (const GoldenBlob& blob : kFramed)
      ASSERT_EQ(Put(**store, FramedKey(blob), Bytes(Repeats(blob.size))), Status());
    WriteListed(**store);
    ASSERT_EQ((*store)->PutValue("key", "old"), Status());
    ASSERT_EQ((*store)->PutValue("gone", "value"), Status());
    ASSERT_EQ((*store)->Checkpoint(), Status());
    ASSERT_EQ((*store)->PutValue("key", "new"), Status());
    ASSERT_EQ((*store)->RemoveValue("gone"), Status());
    ASSERT_EQ((*store)->SetPin({.name = "tool"}, 0, {{KeyOf(kBlobs[2]).digest}}), Status());
    ASSERT_EQ((*store)->Sync(), Status());
    ASSERT_EQ(Put(**store, KeyOf(kAfterSync), Bytes(Pattern(kAfterSync.size))), Status());
    Copy(dir / "store", Golden(kVersion, "killed"));
  }
  Copy(dir / "store", Golden(kVersion, "clean"));
}

struct GoldenStore {
  std::string name, boot_id;
  bool has_last;  // what came after the sync
};

class LogGolden : public testing::TestWithParam<int> {};

TEST_P(LogGolden, WhatAnEarlierVersionWroteIsAllThere) {
  for (const GoldenStore& golden :
       {GoldenStore{"clean", "any", true}, GoldenStore{"killed", "golden", true},
        GoldenStore{"killed", "another", false}}) {
    SCOPED_TRACE(golden.name + " " + golden.boot_id);
    TempDir dir(StressDirectory());
    Copy(Golden(GetParam(), golden.name), dir / "store");
    FakeClock clock;
    auto opened = OpenLogStore(clock, Options(dir / "store", golden.boot_id));
    ASSERT_TRUE(opened) << opened.error().ToString();
    LogStore& store = **opened;

    EXPECT_EQ(store.Verify(), 0u);
    for (const GoldenBlob& blob : kBlobs)
      EXPECT_EQ(ReadAll(store, KeyOf(blob)), Pattern(blob.size));
    // What version 1 did not have is written to the store that was upgraded.
    bool is_old = GetParam() == 1;
    EXPECT_EQ(store.FindMissing(9, {{FramedKey(kFramed[0]).digest}})->empty(), !is_old);
    uint64_t newer = is_old ? 0 : std::size(kFramed) + 3 + 1;
    EXPECT_EQ(store.Stats().entries, std::size(kBlobs) + 1 + (golden.has_last ? 1 : 0) + newer);
    if (is_old) {
      for (const GoldenBlob& blob : kFramed)
        ASSERT_EQ(Put(store, FramedKey(blob), Bytes(Repeats(blob.size))), Status());
      WriteListed(store);
    }
    for (const GoldenBlob& blob : kFramed)
      EXPECT_TRUE(*ReadAll(store, FramedKey(blob)) == Repeats(blob.size));
    EXPECT_TRUE(*ReadAll(store, ListedKey()) == Listed());
    EXPECT_TRUE(*store.Chunks(ListedKey()));
    EXPECT_TRUE(*store.ReadZstd(FramedKey(kFramed[1]), 1 << 20));
    EXPECT_EQ(store.GetValue("key")->view(), "new");
    EXPECT_EQ(ToStatus(store.GetValue("gone")).code(), Code::kNotFound);
    EXPECT_EQ(ReadAll(store, KeyOf(kAfterSync)).has_value(), golden.has_last);
    ASSERT_THAT(store.Pins(), SizeIs(1));
    EXPECT_EQ(store.Pins()[0].name, "tool");
    EXPECT_EQ(store.Pins()[0].size_bytes, 70'000u);
    EXPECT_EQ(Put(store, KeyOf(kAfterSync), Bytes(Pattern(kAfterSync.size))), Status());
    EXPECT_EQ(ReadFile(dir / "store/store")->substr(12, 4), std::string("\2\0\0\0", 4))
        << "it says so to older programs";
    opened->reset();
    EXPECT_TRUE(OpenLogStore(clock, Options(dir / "store", "later")));
  }
}

TEST(LogGoldenVersion, AStoreOfALaterVersionIsRefused) {
  TempDir dir(StressDirectory());
  FakeClock clock;
  ASSERT_TRUE(OpenLogStore(clock, Options(dir / "store", "boot")));
  std::string header = *ReadFile(dir / "store/store");
  header[12] = kVersion + 1;
  uint32_t crc = Crc32c(std::string_view(header).substr(12));
  std::memcpy(header.data() + 8, &crc, sizeof crc);
  ASSERT_TRUE(WriteFileAtomically(dir / "store/store", header).ok());

  auto opened = OpenLogStore(clock, Options(dir / "store", "boot"));

  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code(), Code::kFailedPrecondition);
  EXPECT_THAT(opened.error().message(), testing::HasSubstr("version 3 is newer than this lre"));
}

INSTANTIATE_TEST_SUITE_P(Versions, LogGolden, testing::Range(1, kVersion + 1));

}  // namespace
}  // namespace lre::store

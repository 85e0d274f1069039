// Stores that earlier versions wrote, in test/golden/log_store/v<format version>/: `clean` was
// closed, `killed` is one whose process died after a sync and one more blob. Every later version
// must open them and find everything. LRE_GOLDEN_ACCEPT=log_store writes those of the
// present version (with a new secret, hence every byte new); never do that to a released one.
#include <gmock/gmock.h>

#include <cstdlib>
#include <filesystem>

#include "store/log_store.h"
#include "store/stress.h"

namespace lre::store {
namespace {

using testing::SizeIs;

constexpr int kVersion = 1;

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
constexpr GoldenBlob kAfterSync = {DigestFunction::kSha1, 0, 3000};

BlobKey KeyOf(const GoldenBlob& blob) {
  return {ComputeDigest(blob.function, Pattern(blob.size)), blob.partition};
}

LogStoreOptions Options(const std::string& directory, const std::string& boot_id) {
  return {.directory = directory,
          .size_bytes_max = 2 << 20,
          .segment_bytes = 64 << 10,
          .background = false,
          .boot_id = boot_id};
}

std::string Golden(int version, std::string_view name) {
  return fmt::format("{}/test/golden/log_store/v{}/{}", LRE_SOURCE_DIR, version, name);
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
    EXPECT_EQ(store.GetValue("key")->view(), "new");
    EXPECT_EQ(ToStatus(store.GetValue("gone")).code(), Code::kNotFound);
    EXPECT_EQ(ReadAll(store, KeyOf(kAfterSync)).has_value(), golden.has_last);
    EXPECT_EQ(store.Stats().entries, std::size(kBlobs) + 1 + (golden.has_last ? 1 : 0));
    ASSERT_THAT(store.Pins(), SizeIs(1));
    EXPECT_EQ(store.Pins()[0].name, "tool");
    EXPECT_EQ(store.Pins()[0].size_bytes, 70'000u);
    EXPECT_EQ(Put(store, KeyOf(kAfterSync), Bytes(Pattern(kAfterSync.size))), Status());
  }
}

INSTANTIATE_TEST_SUITE_P(Versions, LogGolden, testing::Range(1, kVersion + 1));

}  // namespace
}  // namespace lre::store

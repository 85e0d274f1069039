#include "reapi/resource_name.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace lre::reapi {
namespace {

const std::string kSha = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

TEST(ResourceName, ParsesAReadWithAnyInstanceName) {
  for (std::string instance : {"", "main", "a/b/c", "sha256", "Blobs", "x y"}) {
    std::string text = (instance.empty() ? "" : instance + "/") + "blobs/" + kSha + "/0";
    Result<ResourceName> name = ParseReadName(text);
    ASSERT_TRUE(name) << name.error().ToString();
    EXPECT_EQ(name->instance_name, instance);
    EXPECT_EQ(name->compressor, Compressor::kIdentity);
    EXPECT_EQ(name->digest.Hex(), kSha);
    EXPECT_EQ(name->digest.function, DigestFunction::kSha256);
    EXPECT_EQ(PrintResourceName(*name), text);
  }
}

TEST(ResourceName, ParsesAWriteWithTrailingMetadata) {
  std::string text = "main/uploads/0-1/blobs/" + kSha + "/12/a/file.o";
  Result<ResourceName> name = ParseWriteName(text);
  ASSERT_TRUE(name) << name.error().ToString();
  EXPECT_EQ(name->instance_name, "main");
  EXPECT_EQ(name->upload_id, "0-1");
  EXPECT_EQ(name->digest.size_bytes, 12);
}

TEST(ResourceName, ParsesCompressedBlobs) {
  Result<ResourceName> read = ParseReadName("compressed-blobs/zstd/" + kSha + "/7");
  ASSERT_TRUE(read) << read.error().ToString();
  EXPECT_EQ(read->compressor, Compressor::kZstd);
  Result<ResourceName> write = ParseWriteName("i/uploads/u/compressed-blobs/zstd/" + kSha + "/7");
  ASSERT_TRUE(write) << write.error().ToString();
  EXPECT_EQ(write->compressor, Compressor::kZstd);
  EXPECT_FALSE(ParseReadName("compressed-blobs/lzma/" + kSha + "/7"));
  EXPECT_FALSE(ParseReadName("compressed-blobs/" + kSha + "/7"));
}

TEST(ResourceName, TakesADigestFunctionSegment) {
  Result<ResourceName> name = ParseReadName("blobs/blake3/" + kSha + "/5");
  ASSERT_TRUE(name) << name.error().ToString();
  EXPECT_EQ(name->digest.function, DigestFunction::kBlake3);
  EXPECT_EQ(PrintResourceName(*name), "blobs/blake3/" + kSha + "/5");
  EXPECT_TRUE(ParseReadName("blobs/sha256/" + kSha + "/5"));
}

TEST(ResourceName, RefusesWhatIsNoName) {
  for (std::string text : {std::string(),
                           std::string("/"),
                           std::string("blobs"),
                           "blobs/" + kSha,
                           "blobs/" + kSha + "/",
                           "blobs/" + kSha + "/-1",
                           "blobs/" + kSha + "/1x",
                           "blobs/" + kSha + "/+1",
                           "blobs/" + kSha + "/ 1",
                           "blobs/" + kSha + "/1/",
                           "blobs/" + kSha + "/99999999999999999999",
                           "blobs/" + kSha.substr(1) + "/1",
                           "blobs/" + std::string(64, 'G') + "/1",
                           "blobs/E" + kSha.substr(1) + "/1",
                           "/blobs/" + kSha + "/1",
                           "a//blobs/" + kSha + "/1",
                           "blobs/murmur3/" + kSha + "/1",
                           "actions/blobs/" + kSha + "/1",
                           "uploads/u/blobs/" + kSha + "/1",
                           "a/blobs/b/" + kSha}) {
    Result<ResourceName> name = ParseReadName(text);
    ASSERT_FALSE(name) << text;
    EXPECT_EQ(name.error().code(), Code::kInvalidArgument);
  }
  for (std::string text : {"blobs/" + kSha + "/1", "uploads//blobs/" + kSha + "/1",
                           std::string("uploads/u"), "uploads/u/" + kSha + "/1"}) {
    EXPECT_FALSE(ParseWriteName(text)) << text;
  }
}

TEST(ResourceName, RefusesInstanceNamesWithReservedWords) {
  EXPECT_TRUE(CheckInstanceName("").ok());
  EXPECT_TRUE(CheckInstanceName("a/b").ok());
  EXPECT_TRUE(CheckInstanceName(std::string(1024, 'a')).ok());
  for (std::string name : {std::string("a/operations/b"), std::string("uploads"), std::string("/a"),
                           std::string("a/"), std::string(1025, 'a')}) {
    EXPECT_FALSE(CheckInstanceName(name).ok()) << name;
  }
}

TEST(ResourceName, RoundTripsAndNeverCrashesOnMutations) {
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE(seed);
  Random random(seed);
  for (int i = 0; i < 20000; i++) {
    const DigestFunction function = kDigestFunctions[random.Below(std::size(kDigestFunctions))];
    ResourceName name{.compressor = static_cast<Compressor>(random.Below(4)),
                      .digest = ComputeDigest(function, random.NextBytes(random.Below(40)))};
    if (random.OneIn(2)) name.instance_name = "some/where";
    const bool write = random.OneIn(2);
    if (write) name.upload_id = "1234-5678";
    std::string text = PrintResourceName(name);
    auto parse = write ? ParseWriteName : ParseReadName;
    Result<ResourceName> parsed = parse(text);
    ASSERT_TRUE(parsed) << text << ": " << parsed.error().ToString();
    ASSERT_EQ(*parsed, name) << text;

    for (uint64_t edits = 1 + random.Below(4); edits > 0 && !text.empty(); edits--) {
      const size_t at = random.Below(text.size());
      if (random.OneIn(3)) {
        text.erase(at, 1 + random.Below(8));
      } else if (random.OneIn(2)) {
        text.insert(at, 1, "/a0-\n"[random.Below(5)]);
      } else {
        text[at] = static_cast<char>(random.Next());
      }
    }
    Result<ResourceName> mutated = parse(text);
    if (mutated && !write) {
      ASSERT_EQ(*ParseReadName(PrintResourceName(*mutated)), *mutated) << text;
    }
  }
}

}  // namespace
}  // namespace lre::reapi

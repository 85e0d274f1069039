#include "digest/digest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/hex.h"
#include "base/random.h"
#include "base/subprocess.h"
#include "digest/blake3.h"
#include "digest/hasher.h"

namespace lre {
namespace {

constexpr std::string_view kAbcSha256 =
    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

std::string Blake3Hex(std::string_view bytes) {
  return ComputeDigest(DigestFunction::kBlake3, bytes).Hex();
}

TEST(Digest, EveryFunctionHasTheHashOfAbcThatItsSpecificationGives) {
  auto hex = [](DigestFunction f) { return ComputeDigest(f, "abc").Hex(); };
  EXPECT_EQ(hex(DigestFunction::kSha256), kAbcSha256);
  EXPECT_EQ(hex(DigestFunction::kSha1), "a9993e364706816aba3e25717850c26c9cd0d89d");
  EXPECT_EQ(hex(DigestFunction::kMd5), "900150983cd24fb0d6963f7d28e17f72");
  EXPECT_EQ(hex(DigestFunction::kSha384),
            "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed"
            "8086072ba1e7cc2358baeca134c825a7");
  EXPECT_EQ(hex(DigestFunction::kSha512),
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
            "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f");
  EXPECT_EQ(hex(DigestFunction::kBlake3),
            "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85");
}

TEST(Digest, EmptyDigestIsTheHashOfNothing) {
  EXPECT_EQ(EmptyDigest(DigestFunction::kSha256).ToString(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855/0");
  EXPECT_EQ(EmptyDigest(DigestFunction::kBlake3).Hex(),
            "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262");
}

TEST(Digest, NamesGoBothWays) {
  for (DigestFunction function : kDigestFunctions)
    EXPECT_EQ(DigestFunctionByName(DigestFunctionName(function)), function);
  EXPECT_EQ(DigestFunctionByName("SHA256"), DigestFunction::kUnknown);
  EXPECT_EQ(DigestFunctionByName(""), DigestFunction::kUnknown);
}

TEST(Digest, TheFunctionIsInferredFromTheLengthOfTheHash) {
  EXPECT_EQ(InferDigestFunction(64), DigestFunction::kSha256);
  EXPECT_EQ(InferDigestFunction(40), DigestFunction::kSha1);
  EXPECT_EQ(InferDigestFunction(32), DigestFunction::kMd5);
  EXPECT_EQ(InferDigestFunction(96), DigestFunction::kSha384);
  EXPECT_EQ(InferDigestFunction(128), DigestFunction::kSha512);
  EXPECT_EQ(InferDigestFunction(0), DigestFunction::kUnknown);
  EXPECT_EQ(InferDigestFunction(63), DigestFunction::kUnknown);
}

TEST(Digest, MakeDigestTakesWhatHexGives) {
  Digest digest = ComputeDigest(DigestFunction::kSha256, "abc");

  auto made = MakeDigest(DigestFunction::kSha256, digest.Hex(), 3);

  ASSERT_TRUE(made) << made.error().ToString();
  EXPECT_EQ(*made, digest);
  EXPECT_EQ(fmt::format("{}", *made), std::string(kAbcSha256) + "/3");
}

TEST(Digest, MakeDigestRefusesUpperCaseWrongLengthNegativeSizeAndNoFunction) {
  std::string upper(kAbcSha256);
  upper[0] = 'B';
  std::string bad(kAbcSha256);
  bad[5] = 'g';
  auto code = [](DigestFunction f, std::string_view hex, int64_t size) {
    auto made = MakeDigest(f, hex, size);
    return made ? Code::kOk : made.error().code();
  };
  EXPECT_EQ(code(DigestFunction::kSha256, upper, 3), Code::kInvalidArgument);
  EXPECT_EQ(code(DigestFunction::kSha256, bad, 3), Code::kInvalidArgument);
  EXPECT_EQ(code(DigestFunction::kSha256, kAbcSha256.substr(1), 3), Code::kInvalidArgument);
  EXPECT_EQ(code(DigestFunction::kSha256, kAbcSha256, -1), Code::kInvalidArgument);
  EXPECT_EQ(code(DigestFunction::kSha1, kAbcSha256, 3), Code::kInvalidArgument);
  EXPECT_EQ(code(DigestFunction::kUnknown, "", 0), Code::kInvalidArgument);
}

TEST(Hasher, PiecesHashLikeTheWholeAndTheHasherStartsAfresh) {
  uint64_t seed = 7;
  Random random(seed);
  for (DigestFunction function : kDigestFunctions) {
    Hasher hasher(function);
    for (int round = 0; round < 20; ++round) {
      std::string bytes = random.NextBytes(random.Below(70'000));
      for (size_t at = 0; at < bytes.size();) {
        size_t n = std::min<size_t>(1 + random.Below(30'000), bytes.size() - at);
        hasher.Update(std::string_view(bytes).substr(at, n));
        at += n;
      }
      ASSERT_EQ(hasher.Finish(), ComputeDigest(function, bytes)) << "seed " << seed;
    }
  }
}

// The inputs of the official test vectors are the bytes 0, 1, ..., 250, 0, 1, ...
std::string VectorInput(size_t size) {
  std::string input(size, '\0');
  for (size_t i = 0; i < size; ++i) input[i] = static_cast<char>(i % 251);
  return input;
}

TEST(Blake3, AgreesWithPublishedVectors) {
  EXPECT_EQ(Blake3Hex(VectorInput(1)),
            "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213");
  EXPECT_EQ(Blake3Hex(VectorInput(1024)),
            "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7");
  EXPECT_EQ(Blake3Hex(VectorInput(1025)),
            "d00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444");
}

// b3sum is the reference implementation's own program.
TEST(Blake3, AgreesWithB3sumAtEveryBoundary) {
  TempDir dir;
  std::vector<size_t> sizes = {0, 63, 64, 65, 127, 128, 1023, 1024, 1025, 2048, 2049, 3072, 3073};
  for (size_t chunks : {4, 5, 8, 9, 16, 17, 31, 32, 33, 48, 64, 100, 1000}) {
    for (int d : {-1, 0, 1}) sizes.push_back(chunks * 1024 + static_cast<size_t>(d));
  }
  std::vector<std::string> argv = {"b3sum", "--no-names"};
  for (size_t size : sizes) {
    std::string path = dir / std::to_string(size);
    ASSERT_TRUE(WriteFileAtomically(path, VectorInput(size)).ok());
    argv.push_back(path);
  }

  auto result = RunSubprocess({.arguments = argv});

  ASSERT_TRUE(result) << result.error().ToString();
  std::string ours;
  for (size_t size : sizes) ours += Blake3Hex(VectorInput(size)) + "\n";
  EXPECT_EQ(ours, result->output);
}

}  // namespace
}  // namespace lre

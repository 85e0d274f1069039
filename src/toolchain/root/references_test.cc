#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "base/random.h"
#include "toolchain/root/toolchain_store.h"

namespace lre::toolchain {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

const std::string kA = "/lre/store/00112233445566778899aabbccddeeff-gcc";
const std::string kB = "/lre/store/ffeeddccbbaa99887766554433221100-libc";

TEST(FindStoreReferences, FindsPathsInAnyText) {
  EXPECT_THAT(FindStoreReferences("-B" + kB + "/usr/lib:" + kA + "/usr/bin/gcc\0" + kA),
              ElementsAre(kA, kB));
  EXPECT_THAT(FindStoreReferences(kA + "."), ElementsAre(kA));
  EXPECT_THAT(FindStoreReferences("\"" + kA + "-12.2\""), ElementsAre(kA + "-12.2"));
  EXPECT_THAT(FindStoreReferences("/lre/store/lre/store" + kA.substr(10)), ElementsAre(kA));
}

TEST(FindStoreReferences, IgnoresWhatOnlyLooksLikeOne) {
  for (std::string text :
       {"/lre/store/", "/lre/store/short-gcc", "/lre/storX/00112233445566778899aabbccddeeff-gcc"})
    EXPECT_THAT(FindStoreReferences(text), IsEmpty()) << text;
  EXPECT_THAT(FindStoreReferences("/lre/store/00112233445566778899AABBCCDDEEFF-gcc"), IsEmpty());
  EXPECT_THAT(FindStoreReferences(kA.substr(0, 43)), IsEmpty());
  EXPECT_THAT(FindStoreReferences(kA.substr(0, 44)), IsEmpty());
  EXPECT_THAT(FindStoreReferences("/lre/store/00112233445566778899aabbccddeeff-/x"), IsEmpty());
}

TEST(FindStoreReferences, KnowsOtherPrefixes) {
  EXPECT_THAT(FindStoreReferences("/nix" + kA, "/nix/lre/store"), ElementsAre("/nix" + kA));
  EXPECT_THAT(FindStoreReferences(kA, "/nix/lre/store"), IsEmpty());
}

TEST(FindAllReferences, FindsNixPathsToo) {
  const std::string nix = "/nix/store/0c5b8vw40dy178xlpddw65q9gf1h2186-Hello-2.12";
  EXPECT_THAT(FindAllReferences("PATH=" + nix + "/bin:" + kA + "/bin"), ElementsAre(kA, nix));
  EXPECT_THAT(FindAllReferences(nix + "."), ElementsAre(nix));
  EXPECT_THAT(FindAllReferences("/nix/store/ec5b8vw40dy178xlpddw65q9gf1h2186-x"), IsEmpty());
  EXPECT_THAT(FindStoreReferences(nix), IsEmpty());

  StoreReferenceScanner scanner;
  for (char c : "x" + nix + "/bin") scanner.Update({&c, 1});
  EXPECT_THAT(scanner.Finish(), ElementsAre(nix));
}

TEST(IsStoreName, WantsHashAndRole) {
  EXPECT_TRUE(IsStoreName("00112233445566778899aabbccddeeff-java-tools"));
  EXPECT_FALSE(IsStoreName(".lre"));
  EXPECT_FALSE(IsStoreName("00112233445566778899aabbccddeeff-"));
  EXPECT_FALSE(IsStoreName("00112233445566778899aabbccddeeff-a/b"));
  EXPECT_FALSE(IsStoreName("00112233445566778899aabbccddeeff-a."));
}

TEST(StoreReferenceScanner, FindsTheSameHoweverTheTextIsCut) {
  uint64_t seed = std::random_device{}();
  SCOPED_TRACE(seed);
  Random random(seed);
  for (int round = 0; round < 500; ++round) {
    std::string text;
    for (uint64_t i = random.Below(8); i-- > 0;) {
      text += random.OneIn(2) ? random.NextBytes(random.Below(300))
                              : "/lre/store" + std::string(random.Below(3), '/');
      if (random.OneIn(2)) text += random.OneIn(2) ? kA : kB;
      if (random.OneIn(4)) text += kA.substr(0, random.Below(kA.size()));
    }
    StoreReferenceScanner scanner;
    for (size_t at = 0; at < text.size();) {
      size_t piece = 1 + random.Below(random.OneIn(2) ? 20 : 400);
      scanner.Update(std::string_view(text).substr(at, piece));
      at += piece;
    }
    EXPECT_EQ(scanner.Finish(), FindStoreReferences(text));
  }
}

}  // namespace
}  // namespace lre::toolchain

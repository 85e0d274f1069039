// The store's own Directory encoder against the protobuf one that the worker and the server use:
// equal trees must have equal digests, or no worker would find a store path in the CAS.
#include <gtest/gtest.h>

#include <random>

#include "base/random.h"
#include "reapi/tree.h"
#include "toolchain/root/cas_tree.h"

namespace lre::toolchain {
namespace {

TreeListing RandomListing(Random& random) {
  const std::string_view kNames[] = {"a",   "b",     "B",        "a.b", "a-b",
                                     "usr", "lib64", "\xc3\xa4", "z z"};
  std::map<std::string, int> taken;  // 1 folder, 2 leaf
  TreeListing listing;
  for (uint64_t i = random.Below(40); i-- > 0;) {
    std::string path;
    bool usable = true;
    for (uint64_t depth = random.Below(4) + 1; depth-- > 0 && usable;) {
      path += (path.empty() ? "" : "/") + std::string(kNames[random.Below(std::size(kNames))]);
      int& state = taken[path];
      usable = depth > 0 ? state != 2 : state == 0;
      if (usable) state = depth > 0 ? 1 : 2;
    }
    if (!usable) continue;
    if (random.OneIn(4))
      listing.symlinks.push_back({path, "../" + path});
    else
      listing.files.push_back(
          {path, ComputeDigest(DigestFunction::kSha256, random.NextBytes(random.Below(3) * 100)),
           random.OneIn(2)});
  }
  return listing;
}

TEST(EncodeDirectories, AgreesWithProtobuf) {
  uint64_t seed = std::random_device{}();
  SCOPED_TRACE(seed);
  Random random(seed);
  for (int round = 0; round < 300; ++round) {
    TreeListing listing = RandomListing(random);
    reapi::TreeBuilder builder(DigestFunction::kSha256);
    for (const CasFile& file : listing.files)
      ASSERT_TRUE(builder.AddFile(file.path, file.digest, file.executable).ok());
    for (const CasSymlink& link : listing.symlinks)
      ASSERT_TRUE(builder.AddSymlink(link.path, link.target).ok());

    auto built = builder.Build();
    CasDirectories encoded = EncodeDirectories(listing).value();

    ASSERT_EQ(encoded.root, built.root);
    ASSERT_EQ(encoded.blobs.size(), built.directories.size());
    for (const reapi::NewBlob& blob : built.directories)
      ASSERT_EQ(encoded.blobs.at(blob.digest), blob.bytes);
  }
}

}  // namespace
}  // namespace lre::toolchain

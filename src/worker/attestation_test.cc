#include "worker/attestation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lre/worker/v1/store_paths.pb.h"

namespace lre::worker {
namespace {

using build::bazel::remote::execution::v2::ExecutedActionMetadata;

v1::StorePaths Attested(const std::vector<HeldPath>& paths) {
  ExecutedActionMetadata metadata;
  Attest(paths, &metadata);
  v1::StorePaths message;
  EXPECT_EQ(metadata.auxiliary_metadata_size(), 1);
  EXPECT_TRUE(metadata.auxiliary_metadata(0).UnpackTo(&message));
  return message;
}

TEST(Attest, NamesEveryPathAndWhatTheyHeld) {
  HeldPath gcc{"/lre/store/2-gcc", "sha256:aa/1"}, libc{"/lre/store/1-libc", "sha256:bb/2"};

  v1::StorePaths message = Attested({gcc, libc});

  EXPECT_THAT(message.names(), testing::ElementsAre("1-libc", "2-gcc"));
  EXPECT_EQ(message.digest(), "sha256:" + ComputeDigest(DigestFunction::kSha256,
                                                        "/lre/store/1-libc sha256:bb/2\n"
                                                        "/lre/store/2-gcc sha256:aa/1\n")
                                              .Hex());
  EXPECT_EQ(Attested({libc, gcc}).digest(), message.digest()) << "whatever the order";
  EXPECT_NE(Attested({libc, {gcc.path, "sha256:ab/1"}}).digest(), message.digest());
}

TEST(Attest, SaysNothingAboutAnActionWithoutStorePaths) {
  ExecutedActionMetadata metadata;

  Attest({}, &metadata);

  EXPECT_EQ(metadata.auxiliary_metadata_size(), 0);
}

}  // namespace
}  // namespace lre::worker

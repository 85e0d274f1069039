// What a toolchain is made from, through a server into another machine's cache.
#include "cli/package_mirror.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "cli/fake_server.h"
#include "toolchain/fetch/extra_files.h"
#include "toolchain/oci/image.h"

namespace lre::cli {
namespace {

using testing::ElementsAre;
using testing::UnorderedElementsAreArray;
using toolchain::ExtraKind;

class PackageMirrorTest : public testing::Test {
 protected:
  PackageMirrorTest() {
    server::Config config = SmallServer(directory_ / "data");
    config.execution = false;
    server_ = server::Server::Start(config, SystemClock()).value();
    remote_ = RemoteServer::Connect({.address = server_->addresses()[0]}).value();
  }
  // Uploads them as `lre push --packages` does.
  Result<UploadReport> Upload(const std::vector<std::string>& texts) {
    std::map<std::string, std::string> files;
    for (const std::string& text : texts) {
      const std::string file = directory_ / Sha256(text);
      EXPECT_TRUE(WriteFileAtomically(file, text).ok());
      files[Sha256(text)] = file;
    }
    return UploadFiles(PartsOf(*remote_), files);
  }
  Result<size_t> Fetch(const toolchain::NeededFiles& needed) {
    return FetchFromServer(*remote_, lock_, needed, directory_ / "cache");
  }
  std::vector<std::string> Cached() {
    return SystemFiles().List(directory_ / "cache").value_or(std::vector<std::string>());
  }
  static std::string Sha256(std::string_view text) {
    return ComputeDigest(DigestFunction::kSha256, text).Hex();
  }
  // `indices` of them, one above the other, over the manifest of an image of one layer.
  static std::vector<std::string> Image(int indices) {
    std::vector<std::string> texts = {
        "layer",
        fmt::format(R"({{"layers":[{{"digest":"sha256:{}","size":5}}]}})", Sha256("layer"))};
    for (int i = 0; i < indices; ++i)
      texts.push_back(
          fmt::format(R"({{"manifests":[{{"digest":"sha256:{}"}}]}})", Sha256(texts.back())));
    return texts;
  }
  static toolchain::NeededFiles NeededFor(const std::vector<std::string>& image) {
    return {.extras = {{.name = "image",
                        .kind = ExtraKind::kOci,
                        .from = "oci://registry.example/image@sha256:" + Sha256(image.back()),
                        .sha256 = Sha256(image.back()),
                        .system = "x86_64-linux"}}};
  }

  TempDir directory_;
  std::unique_ptr<server::Server> server_;
  std::unique_ptr<RemoteServer> remote_;
  toolchain::Lock lock_;
};

TEST_F(PackageMirrorTest, WhatWasPushedIsFetchedOnceAndWhatWasNotIsNoError) {
  lock_.packages["there"] = {.name = "there", .sha256 = Sha256("a package"), .size_bytes = 9};
  lock_.packages["absent"] = {.name = "absent", .sha256 = Sha256("another"), .size_bytes = 7};
  ASSERT_TRUE(Upload({"a package"}));

  const auto fetched = Fetch({.packages = {"absent", "there"}});
  const auto again = Fetch({.packages = {"absent", "there"}});

  ASSERT_TRUE(fetched) << ToStatus(fetched).ToString();
  EXPECT_EQ(*fetched, 1u);
  EXPECT_EQ(again, 0u);
  EXPECT_THAT(Cached(), ElementsAre(Sha256("a package") + ".deb"));
  EXPECT_EQ(ReadFile(directory_ / ("cache/" + Sha256("a package") + ".deb")), "a package");
}

TEST_F(PackageMirrorTest, ASecondPushSendsNothing) {
  const auto first = Upload({"one", "two"}), second = Upload({"one", "two"});

  ASSERT_TRUE(first) << ToStatus(first).ToString();
  ASSERT_TRUE(second) << ToStatus(second).ToString();
  EXPECT_EQ(first->sent_blobs, 2u);
  EXPECT_EQ(first->new_entries, 2u);
  EXPECT_EQ(second->sent_blobs, 0u);
  EXPECT_EQ(second->new_entries, 0u);
  EXPECT_EQ(second->actions, first->actions);
}

TEST_F(PackageMirrorTest, AnImageComesWithItsIndicesAndLayers) {
  const std::vector<std::string> image = Image(toolchain::kImageIndexDepthMax - 1);
  ASSERT_TRUE(Upload(image));

  const auto fetched = Fetch(NeededFor(image));

  ASSERT_TRUE(fetched) << ToStatus(fetched).ToString();
  EXPECT_EQ(*fetched, image.size());
  std::vector<std::string> names;
  for (const std::string& text : image) names.push_back(Sha256(text) + ".extra");
  EXPECT_THAT(Cached(), UnorderedElementsAreArray(names));
}

TEST_F(PackageMirrorTest, IndicesOfIndicesAreNotFollowedForever) {
  const std::vector<std::string> image = Image(toolchain::kImageIndexDepthMax);
  ASSERT_TRUE(Upload(image));

  EXPECT_EQ(ToStatus(Fetch(NeededFor(image))).code(), Code::kDataLoss);
}

TEST_F(PackageMirrorTest, OfAnImageThatTheServerLacksNothingIsFetched) {
  const std::vector<std::string> image = Image(1);
  ASSERT_TRUE(Upload({image.back()}));  // the index alone

  EXPECT_EQ(Fetch(NeededFor(image)), 1u);
  EXPECT_EQ(Fetch(NeededFor(Image(2))), 0u);
}

}  // namespace
}  // namespace lre::cli

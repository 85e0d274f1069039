#include "toolchain/oci/image.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "digest/digest.h"
#include "http_client/fake_http_server.cc"  // NOLINT(bugprone-suspicious-include)
#include "toolchain/oci/registry.h"

namespace lre::toolchain {
namespace {

using testing::HasSubstr;
using testing::Key;
using testing::UnorderedElementsAre;

std::string Sha256(std::string_view bytes) {
  return ComputeDigest(DigestFunction::kSha256, bytes).Hex();
}

// An image of one layer for amd64, below an index that has one for arm64 too.
const std::string kLayer = "the layer", kArmLayer = "another layer";
std::string ManifestOf(const std::string& layer) {
  return fmt::format(R"({{"schemaVersion":2,"layers":[{{"digest":"sha256:{}","size":{}}}]}})",
                     Sha256(layer), layer.size());
}
std::string Index() {
  return fmt::format(
      R"({{"schemaVersion":2,"manifests":[)"
      R"({{"digest":"sha256:{}","platform":{{"os":"linux","architecture":"arm64"}}}},)"
      R"({{"digest":"sha256:{}","platform":{{"os":"linux","architecture":"amd64"}}}}]}})",
      Sha256(ManifestOf(kArmLayer)), Sha256(ManifestOf(kLayer)));
}

// A registry that answers only those with a token.
class RegistryTest : public testing::Test {
 protected:
  RegistryTest() {
    for (const std::string& blob : {kLayer, kArmLayer})
      blobs_["blobs/sha256:" + Sha256(blob)] = blob;
    for (const std::string& manifest : {Index(), ManifestOf(kLayer), ManifestOf(kArmLayer)})
      blobs_["manifests/sha256:" + Sha256(manifest)] = manifest;
  }
  FakeHttpAnswer Answer(const FakeHttpRequest& request) {
    if (request.path.starts_with("/token")) {
      token_request_ = request.path;
      return {.body = R"({"token":"t0ken"})"};
    }
    const auto authorization = request.headers.find("authorization");
    if (authorization == request.headers.end() || authorization->second != "Bearer t0ken")
      return {.status = 401, .headers = {challenge_}};
    const std::string start = "/v2/org/tool/";
    const auto found =
        blobs_.find(request.path.substr(std::min(request.path.size(), start.size())));
    if (!request.path.starts_with(start) || found == blobs_.end()) return {.status = 404};
    return {.body = found->second};
  }
  std::string Reference(const std::string& sha256) const {
    return "oci+" + server_.Url("/org/tool") + "@sha256:" + sha256;
  }
  Status Fetch(const std::string& sha256, const std::string& system = "x86_64-linux") {
    return FetchImage(
        http_,
        {.from = Reference(sha256), .sha256 = sha256, .system = system, .cache = cache_.path()},
        &files_);
  }

  std::map<std::string, std::string> blobs_, files_;
  std::string token_request_;
  TempDir cache_;
  HttpClient http_;
  FakeHttpServer server_{[this](const FakeHttpRequest& request) { return Answer(request); }};
  std::string challenge_ = fmt::format(
      "WWW-Authenticate: Bearer realm=\"{}\",service=\"s v\",scope=\"repository:org/tool:pull\"",
      server_.Url("/token"));
};

TEST_F(RegistryTest, AnImageComesWithAnAnonymousToken) {
  const Status status = Fetch(Sha256(Index()));

  ASSERT_TRUE(status.ok()) << status.ToString();
  EXPECT_THAT(files_, UnorderedElementsAre(Key(Sha256(Index())), Key(Sha256(ManifestOf(kLayer))),
                                           Key(Sha256(kLayer))));
  EXPECT_EQ(ReadFile(files_[Sha256(kLayer)]).value(), kLayer);
  EXPECT_EQ(token_request_, "/token?service=s%20v&scope=repository%3Aorg%2Ftool%3Apull");
}

TEST_F(RegistryTest, TheImageOfTheSystemIsChosen) {
  ASSERT_TRUE(Fetch(Sha256(Index()), "aarch64-linux").ok());

  EXPECT_TRUE(files_.contains(Sha256(kArmLayer)));
  EXPECT_FALSE(files_.contains(Sha256(kLayer)));
}

TEST_F(RegistryTest, WhatIsCachedIsNotFetchedAgainUnlessItIsDamaged) {
  ASSERT_TRUE(Fetch(Sha256(Index())).ok());
  const int requests = server_.requests();
  files_.clear();
  ASSERT_TRUE(Fetch(Sha256(Index())).ok());
  EXPECT_EQ(server_.requests(), requests);

  ASSERT_TRUE(WriteFileAtomically(files_[Sha256(kLayer)], "rot").ok());
  files_.clear();
  ASSERT_TRUE(Fetch(Sha256(Index())).ok());
  EXPECT_EQ(ReadFile(files_[Sha256(kLayer)]).value(), kLayer);
}

TEST_F(RegistryTest, OtherBytesThanTheDigestNamesAreRefused) {
  blobs_["blobs/sha256:" + Sha256(kLayer)] = "something else";
  EXPECT_EQ(Fetch(Sha256(Index())).code(), Code::kDataLoss);

  blobs_.erase("blobs/sha256:" + Sha256(kLayer));
  EXPECT_EQ(Fetch(Sha256(Index())).code(), Code::kNotFound);
}

TEST_F(RegistryTest, ARegistryThatWantsAPasswordIsNamed) {
  challenge_ = "WWW-Authenticate: Basic realm=\"private\"";

  const Status status = Fetch(Sha256(Index()));

  EXPECT_EQ(status.code(), Code::kPermissionDenied);
  EXPECT_THAT(status.message(), HasSubstr("without a password"));
}

TEST(ImageReference, NamesADigest) {
  const std::string hex = Sha256("x");
  EXPECT_EQ(ImageReferenceSha256("oci://registry.example:5000/a/b@sha256:" + hex).value(), hex);
  for (const std::string& bad :
       {std::string("oci://registry.example/a:latest"), "oci:///a@sha256:" + hex,
        "oci://host@sha256:" + hex, "docker://h/a@sha256:" + hex, "oci://h/a@sha256:" + hex + "0",
        "oci://h/../a@sha256:" + hex, "oci://h/a?b@sha256:" + hex})
    EXPECT_FALSE(ImageReferenceSha256(bad)) << bad;
}

TEST(ImageManifest, OthersAreRefused) {
  for (const char* bad : {"", "[]", "{}", R"({"layers":1})", R"({"layers":[{"digest":"md5:0"}]})",
                          R"({"manifests":[{"digest":7}]})", R"({"manifests":[1,null]})"})
    EXPECT_FALSE(ParseImageManifest(bad, "amd64")) << bad;
}

// Indices, one above the other, over a manifest; the uppermost is last.
std::vector<std::string> Chain(int indices) {
  std::vector<std::string> chain = {ManifestOf(kLayer)};
  for (int i = 0; i < indices; ++i)
    chain.push_back(
        fmt::format(R"({{"manifests":[{{"digest":"sha256:{}"}}]}})", Sha256(chain.back())));
  return chain;
}

TEST(ImageManifest, IsFoundBelowIndicesButNotBelowAnyNumber) {
  auto find = [](int indices) {
    std::map<std::string, std::string> blobs;
    const std::vector<std::string> chain = Chain(indices);
    for (const std::string& json : chain) blobs[Sha256(json)] = json;
    return FindImageManifest(
        Sha256(chain.back()), "x86_64-linux",
        [&](const std::string& sha256) -> Result<std::string> { return blobs.at(sha256); });
  };

  const auto found = find(kImageIndexDepthMax - 1);
  const auto lost = find(kImageIndexDepthMax);

  ASSERT_TRUE(found) << ToStatus(found).ToString();
  ASSERT_EQ(found->layers.size(), 1u);
  EXPECT_EQ(found->layers[0].sha256, Sha256(kLayer));
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().code(), Code::kDataLoss);
}

class LayoutTest : public testing::Test {
 protected:
  LayoutTest() {
    EXPECT_TRUE(SystemFiles().MakeDirectories(layout_ / "blobs/sha256").ok());
    for (const std::string& blob : {kLayer, ManifestOf(kLayer)})
      EXPECT_TRUE(WriteFileAtomically(layout_ / ("blobs/sha256/" + Sha256(blob)), blob).ok());
    WriteIndex({ManifestOf(kLayer)});
  }
  void WriteIndex(const std::vector<std::string>& manifests) {
    std::string list;
    for (const std::string& manifest : manifests)
      list +=
          fmt::format(R"({}{{"digest":"sha256:{}"}})", list.empty() ? "" : ",", Sha256(manifest));
    EXPECT_TRUE(WriteFileAtomically(layout_ / "index.json", "{\"manifests\":[" + list + "]}").ok());
  }
  TempDir layout_, cache_;
  HttpClient http_;
};

TEST_F(LayoutTest, OnlyOneImageNeedsNoName) {
  EXPECT_EQ(LocalImageSha256(layout_.path(), "").value(), Sha256(ManifestOf(kLayer)));
  EXPECT_EQ(LocalImageSha256(layout_.path(), Sha256("x")).error().code(), Code::kDataLoss);

  WriteIndex({ManifestOf(kLayer), ManifestOf(kArmLayer)});
  EXPECT_THAT(LocalImageSha256(layout_.path(), "").error().message(),
              HasSubstr(Sha256(ManifestOf(kArmLayer))));
  EXPECT_TRUE(LocalImageSha256(layout_.path(), Sha256(ManifestOf(kArmLayer))));
}

TEST_F(LayoutTest, BlobsAreReadWhereTheyAreAndVerified) {
  const ImageFetch fetch{.from = layout_.path(),
                         .sha256 = Sha256(ManifestOf(kLayer)),
                         .system = "x86_64-linux",
                         .cache = cache_.path()};
  std::map<std::string, std::string> files;
  ASSERT_TRUE(FetchImage(http_, fetch, &files).ok());
  EXPECT_EQ(files[Sha256(kLayer)], layout_ / ("blobs/sha256/" + Sha256(kLayer)));

  ASSERT_TRUE(WriteFileAtomically(files[Sha256(kLayer)], "rot").ok());
  files.clear();
  EXPECT_EQ(FetchImage(http_, fetch, &files).code(), Code::kDataLoss);
}

}  // namespace
}  // namespace lre::toolchain

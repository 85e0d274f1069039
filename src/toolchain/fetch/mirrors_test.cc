#include "toolchain/fetch/mirrors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"

namespace lre::toolchain {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

Spec SpecOf(std::vector<std::string> suites) {
  Spec spec;
  spec.archives = {{.name = "debian", .suites = std::move(suites), .components = {"main"}}};
  return spec;
}

AptSource Source(std::string uri, std::vector<std::string> suites) {
  return {.uri = std::move(uri), .suites = std::move(suites), .components = {"main"}};
}

TEST(AptSourcesTest, ReadsTheOneLineFormat) {
  std::vector<std::string> unread;

  const auto sources = ParseSourcesList(
      "# comment\n"
      "deb http://mirror.test/debian/ bookworm main contrib  # trailing\n"
      "deb-src http://mirror.test/debian bookworm main\n"
      "deb [arch=amd64 signed-by=/k.gpg] https://other.test/debian bookworm-updates main\n"
      "deb file:/srv/debian bookworm main\n"
      "deb cdrom:[disc]/ bookworm main\n"
      "deb http://mirror.test/flat ./\n"
      "what is this\n",
      &unread);

  EXPECT_THAT(sources,
              ElementsAre(AptSource{"http://mirror.test/debian", {"bookworm"}, {"main", "contrib"}},
                          AptSource{"https://other.test/debian", {"bookworm-updates"}, {"main"}},
                          AptSource{"file:///srv/debian", {"bookworm"}, {"main"}}));
  EXPECT_EQ(unread.size(), 3u);
}

TEST(AptSourcesTest, ReadsTheDeb822Format) {
  const auto sources = ParseDeb822Sources(
      "Types: deb deb-src\nURIs: http://a.test/debian http://b.test/debian\n"
      "Suites: bookworm bookworm-updates\nComponents: main\n\n"
      "Types: deb\nEnabled: no\nURIs: http://c.test/debian\nSuites: x\nComponents: main\n\n"
      "# comment\nTypes: deb-src\nURIs: http://d.test/debian\nSuites: x\nComponents: main\n",
      nullptr);

  EXPECT_THAT(
      sources,
      ElementsAre(AptSource{"http://a.test/debian", {"bookworm", "bookworm-updates"}, {"main"}},
                  AptSource{"http://b.test/debian", {"bookworm", "bookworm-updates"}, {"main"}}));
}

TEST(AptSourcesTest, ReadsADirectoryInAptsOrder) {
  const TempDir root;
  ASSERT_TRUE(SystemFiles().MakeDirectories(root / "etc/apt/sources.list.d").ok());
  ASSERT_TRUE(SystemFiles().MakeDirectories(root / "etc/apt/mirrors").ok());
  const auto put = [&](std::string_view name, std::string_view text) {
    ASSERT_TRUE(WriteFileAtomically((root / "etc/apt/") + std::string(name), text).ok());
  };
  put("sources.list", "deb http://first.test/debian a main\n");
  put("sources.list.d/z.list", "deb http://fourth.test/debian a main\n");
  put("sources.list.d/m.sources",
      "Types: deb\nURIs: mirror+file:///etc/apt/mirrors/debian.list\nSuites: a\nComponents: "
      "main\n");
  put("sources.list.d/old.list.disabled", "deb http://never.test/debian a main\n");
  put("mirrors/debian.list", "http://second.test/debian/\thint\n# no\nhttps://third.test/debian\n");

  const AptConfiguration apt = ReadAptConfiguration(root.path());

  EXPECT_THAT(apt.sources, ElementsAre(Source("http://first.test/debian", {"a"}),
                                       Source("http://second.test/debian", {"a"}),
                                       Source("https://third.test/debian", {"a"}),
                                       Source("http://fourth.test/debian", {"a"})));
  EXPECT_THAT(apt.unread, IsEmpty());
}

TEST(AptSourcesTest, AMachineWithoutAptHasNone) {
  const TempDir root;

  EXPECT_THAT(ReadAptConfiguration(root.path()).sources, IsEmpty());
}

TEST(AptSourcesTest, GivesAptsProxiesToTheHttpClient) {
  const HttpClientOptions options = HttpOptionsOf({.http_proxy = "http://p.test:1/"});

  EXPECT_EQ(options.http_proxy, "http://p.test:1/");
  EXPECT_EQ(options.https_proxy, "http://p.test:1/");
  EXPECT_EQ(HttpOptionsOf({.http_proxy = "a", .https_proxy = "b"}).https_proxy, "b");
  EXPECT_EQ(HttpOptionsOf({.http_proxy = "a"}, {.http_proxy = "own"}).http_proxy, "own");
}

TEST(MirrorsTest, TakesTheAptSourcesThatOfferASuiteThoseOfTheArchiveFirst) {
  const AptConfiguration apt{.sources = {Source("http://vendor.test/apt", {"stable"}),
                                         Source("http://a.test/debian", {"stable"}),
                                         Source("http://b.test/debian", {"stable"}),
                                         Source("http://a.test/debian", {"stable"})}};

  const auto mirrors = ChooseMirrors(SpecOf({"stable"}), apt);

  ASSERT_TRUE(mirrors);
  EXPECT_THAT(
      mirrors->by_suite.at("stable"),
      ElementsAre("http://a.test/debian", "http://b.test/debian", "http://vendor.test/apt"));
}

TEST(MirrorsTest, GuessesFromOtherSuitesOfTheSameArchive) {
  const AptConfiguration apt{
      .sources = {Source("http://a.test/debian", {"trixie"}),
                  Source("http://a.test/debian-security", {"trixie-security"}),
                  Source("http://a.test/ubuntu", {"noble"})}};

  const auto mirrors = ChooseMirrors(SpecOf({"bookworm", "bookworm-security"}), apt);

  ASSERT_TRUE(mirrors);
  EXPECT_THAT(mirrors->by_suite.at("bookworm"), ElementsAre("http://a.test/debian"));
  EXPECT_THAT(mirrors->by_suite.at("bookworm-security"),
              ElementsAre("http://a.test/debian-security"));
}

TEST(MirrorsTest, LeavesOutSuitesThatTheMachineCannotReachButNotTheFirst) {
  const AptConfiguration apt{.sources = {Source("http://a.test/debian", {"bookworm"})}};

  const auto mirrors = ChooseMirrors(SpecOf({"bookworm", "bookworm-security"}), apt);
  const auto none = ChooseMirrors(SpecOf({"bookworm"}), {});

  ASSERT_TRUE(mirrors);
  EXPECT_THAT(mirrors->without, ElementsAre("bookworm-security"));
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code(), Code::kFailedPrecondition);
  EXPECT_THAT(none.error().message(), HasSubstr("archive.debian.mirrors"));
}

TEST(MirrorsTest, TheRequestsOwnMirrorsReplaceThoseOfApt) {
  Spec spec = SpecOf({"stable"});
  spec.archives[0].mirrors = {"http://own.test/debian"};
  spec.archives[0].snapshots = {"http://old.test/debian"};

  const auto mirrors =
      ChooseMirrors(spec, {.sources = {Source("http://a.test/debian", {"stable"})}});

  ASSERT_TRUE(mirrors);
  EXPECT_THAT(mirrors->by_suite.at("stable"), ElementsAre("http://own.test/debian"));
  EXPECT_THAT(mirrors->snapshots, ElementsAre("http://old.test/debian"));
}

TEST(MirrorsTest, ALockAloneNeedsTheSuitesOfItsPackages) {
  Lock lock;
  lock.packages["a"].suite = "bookworm";
  lock.packages["b"].suite = "sid";

  const Mirrors mirrors = ChooseMirrors(
      lock, {.sources = {Source("http://a.test/debian", {"bookworm", "bookworm-updates"}),
                         Source("http://v.test/x", {"y"})}});

  EXPECT_THAT(mirrors.by_suite.at("bookworm"), ElementsAre("http://a.test/debian"));
  EXPECT_THAT(mirrors.by_suite.at("sid"), ElementsAre("http://a.test/debian"));
  EXPECT_FALSE(mirrors.by_suite.contains("bookworm-updates"));
}

}  // namespace
}  // namespace lre::toolchain

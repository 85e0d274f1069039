#include "toolchain/fetch/fetcher.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/file.h"
#include "toolchain/fetch/fake_archive.h"

namespace lre::toolchain {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

class FetcherTest : public testing::Test {
 protected:
  FetcherTest() {
    for (int i = 0; i < 12; ++i) Add(fmt::format("package-{}", i), std::string(1000 + i, 'a'));
    mirrors_.by_suite["stable"] = {archive_.Root()};
    options_.cache_directory = cache_.path();
  }
  void Add(const std::string& name, const std::string& bytes) {
    LockedPackage package{.name = name, .version = "1.0", .architecture = "amd64"};
    package.sha256 = Sha256Hex(bytes);
    package.size_bytes = bytes.size();
    package.path = "pool/" + name + ".deb";
    package.suite = "stable";
    archive_.Put(package.path, bytes);
    lock_.packages[name] = package;
  }
  Result<std::map<std::string, std::string>> Fetch(const std::vector<std::string>& packages = {}) {
    return Fetcher(http_, mirrors_, options_).Fetch(lock_, packages);
  }
  std::vector<std::string> Cached() { return SystemFiles().List(cache_.path()).value(); }

  FakeArchive archive_;
  const TempDir cache_;
  HttpClient http_{{.backoff_first = std::chrono::milliseconds(1), .http_proxy = "DIRECT"}};
  Lock lock_;
  Mirrors mirrors_;
  FetcherOptions options_;
};

TEST_F(FetcherTest, BringsEveryPackageOfTheLock) {
  const auto paths = Fetch();

  ASSERT_TRUE(paths) << paths.error().ToString();
  ASSERT_THAT(*paths, SizeIs(12));
  for (const auto& [name, path] : *paths) {
    EXPECT_EQ(path, cache_ / (lock_.packages.at(name).sha256 + ".deb"));
    EXPECT_EQ(Sha256Hex(ReadFile(path).value()), lock_.packages.at(name).sha256);
  }
}

TEST_F(FetcherTest, DownloadsAsManyAtATimeAsItsBound) {
  options_.parallel_max = 3;
  archive_.WaitForConcurrent(3);

  ASSERT_TRUE(Fetch());

  EXPECT_EQ(archive_.concurrent_max(), 3);
}

TEST_F(FetcherTest, BringsOnlyWhatIsAskedFor) {
  const auto paths = Fetch({"package-3", "package-3"});

  ASSERT_TRUE(paths);
  EXPECT_THAT(*paths, ElementsAre(testing::Key("package-3")));
  EXPECT_THAT(Cached(), SizeIs(1));
  EXPECT_EQ(Fetch({"other"}).error().code(), Code::kInvalidArgument);
}

TEST_F(FetcherTest, DownloadsNothingTwice) {
  ASSERT_TRUE(Fetch());
  archive_.TakeRequests();

  ASSERT_TRUE(Fetch());

  EXPECT_THAT(archive_.TakeRequests(), IsEmpty());
}

TEST_F(FetcherTest, ReplacesACachedFileThatRotted) {
  const std::string path = Fetch()->at("package-3");
  ASSERT_TRUE(WriteFileAtomically(path, std::string(1003, 'b')).ok());

  ASSERT_TRUE(Fetch());

  EXPECT_EQ(ReadFile(path), std::string(1003, 'a'));
}

TEST_F(FetcherTest, NamesThePackageAndBothHashesWhenBytesDiffer) {
  const std::string wrong(1003, 'b');
  archive_.Put("pool/package-3.deb", wrong);

  const auto paths = Fetch();

  ASSERT_FALSE(paths);
  EXPECT_EQ(paths.error().code(), Code::kDataLoss);
  EXPECT_THAT(paths.error().message(), HasSubstr("package-3 1.0"));
  EXPECT_THAT(paths.error().message(), HasSubstr(Sha256Hex(wrong)));
  EXPECT_THAT(paths.error().message(), HasSubstr(lock_.packages.at("package-3").sha256));
  for (const std::string& name : Cached()) {
    EXPECT_THAT(name, Not(HasSubstr(lock_.packages.at("package-3").sha256)));
  }
}

TEST_F(FetcherTest, TakesTheRightBytesFromTheNextMirror) {
  FakeArchive wrong;
  wrong.Put("pool/package-3.deb", std::string(1003, 'b'));
  mirrors_.by_suite["stable"] = {wrong.Root(), archive_.Root()};

  EXPECT_TRUE(Fetch());
}

TEST_F(FetcherTest, TriesSnapshotsForVersionsThatAreGone) {
  FakeArchive snapshot;
  snapshot.Put("pool/package-3.deb", archive_.Get("pool/package-3.deb"));
  archive_.Remove("pool/package-3.deb");
  mirrors_.snapshots = {snapshot.Root()};

  ASSERT_TRUE(Fetch());

  EXPECT_THAT(snapshot.TakeRequests(), ElementsAre("pool/package-3.deb"));
}

TEST_F(FetcherTest, NamesEveryVanishedPackageAndTheCommandThatHelps) {
  archive_.Remove("pool/package-3.deb");
  archive_.Remove("pool/package-5.deb");

  const auto paths = Fetch();

  ASSERT_FALSE(paths);
  EXPECT_EQ(paths.error().code(), Code::kNotFound);
  EXPECT_THAT(
      paths.error().message(),
      HasSubstr("package-3 1.0 is no longer in the archive: `lre lock --update package-3`"));
  EXPECT_THAT(paths.error().message(), HasSubstr("package-5 1.0 is no longer"));
  EXPECT_THAT(Cached(), SizeIs(10));
}

TEST_F(FetcherTest, ShowsNoMoreVanishedPackagesThanItsBound) {
  for (int i = 0; i < 12; ++i) archive_.Remove(fmt::format("pool/package-{}.deb", i));

  EXPECT_THAT(Fetch().error().message(), HasSubstr("; and 7 more"));
}

TEST_F(FetcherTest, SaysWhereElseToAskWhenNoMirrorAnswers) {
  mirrors_.by_suite["stable"] = {"http://127.0.0.1:1/debian"};

  const auto paths = Fetch({"package-1"});

  ASSERT_FALSE(paths);
  EXPECT_EQ(paths.error().code(), Code::kUnavailable);
  EXPECT_THAT(paths.error().message(), HasSubstr("127.0.0.1:1"));
  EXPECT_THAT(paths.error().message(), HasSubstr("lre sync --server"));
}

TEST_F(FetcherTest, SaysWhenThereIsNoMirror) {
  mirrors_ = {};

  const auto paths = Fetch();

  ASSERT_FALSE(paths);
  EXPECT_EQ(paths.error().code(), Code::kFailedPrecondition);
  EXPECT_THAT(paths.error().message(), HasSubstr("no mirror of suite stable"));
}

TEST_F(FetcherTest, ContinuesADownloadThatWasCutOff) {
  Add("large", std::string(500000, 'x'));
  archive_.CutOnce("pool/large.deb", 200000);

  const auto paths = Fetch({"large"});

  ASSERT_TRUE(paths) << paths.error().ToString();
  EXPECT_THAT(archive_.TakeRequests(), ElementsAre("pool/large.deb", "pool/large.deb"));
}

TEST_F(FetcherTest, EscapesWhatIsNotItselfInAnUrl) {
  Add("g++", "compiler");
  lock_.packages.at("g++").path = "pool/g++_1%3a2~3.deb";
  archive_.Put("pool/g%2B%2B_1%253a2~3.deb", "compiler");

  EXPECT_TRUE(Fetch({"g++"}));
}

TEST_F(FetcherTest, ReportsProgressUpToTheTotals) {
  FetchProgress last;
  options_.progress = [&](const FetchProgress& progress) {
    EXPECT_GE(progress.packages_done, last.packages_done);
    last = progress;
  };

  ASSERT_TRUE(Fetch());

  EXPECT_EQ(last.packages_done, 12u);
  EXPECT_EQ(last.packages_total, 12u);
  EXPECT_EQ(last.bytes_done, last.bytes_total);
}

TEST_F(FetcherTest, StopsWhenAskedTo) {
  std::stop_source stop;
  stop.request_stop();
  options_.stop = stop.get_token();

  EXPECT_EQ(Fetch().error().code(), Code::kCancelled);
  EXPECT_THAT(Cached(), IsEmpty());
}

TEST_F(FetcherTest, RemovesTheLongestUnusedFilesBeyondItsBoundButNoneOfTheLock) {
  const auto put = [&](const std::string& name, int64_t used) {
    ASSERT_TRUE(WriteFileAtomically(cache_ / name, std::string(5000, 'o')).ok());
    const timespec times[2] = {{used, 0}, {used, 0}};
    ASSERT_EQ(utimensat(AT_FDCWD, (cache_ / name).c_str(), times, 0), 0);
  };
  put("oldest.deb", 1);
  put("older.deb.partial", 2);
  put("old.deb", 3);
  uint64_t lock_bytes = 0;
  for (const auto& [name, package] : lock_.packages) lock_bytes += package.size_bytes;
  options_.cache_bytes_max = lock_bytes + 5000;

  ASSERT_TRUE(Fetch());

  EXPECT_THAT(Cached(), SizeIs(13));
  EXPECT_THAT(Cached(), Contains("old.deb"));
  options_.cache_bytes_max = 0;
  ASSERT_TRUE(Fetch());
  EXPECT_THAT(Cached(), SizeIs(12));
}

}  // namespace
}  // namespace lre::toolchain

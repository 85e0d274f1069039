// The repository's own request against the real archive: real signatures, real indices, real
// packages. Needs the network and the machine's apt configuration; skipped on machines whose apt
// names no mirror.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/source_path.h"
#include "toolchain/fetch/fetcher.h"
#include "toolchain/fetch/resolve.h"

namespace lre::toolchain {
namespace {

class LockLiveTest : public testing::Test {
 protected:
  void SetUp() override {
    spec_ = ParseSpec(ReadFile(SourcePath("lre.toml")).value()).value();
    const auto mirrors = ChooseMirrors(spec_, apt_);
    if (!mirrors) GTEST_SKIP() << mirrors.error().ToString();
    mirrors_ = *mirrors;
  }
  Result<Lock> Run(const std::string& system, const std::string& cache) {
    ResolveOptions options{.cache_directory = cache, .check_valid_until = apt_.check_valid_until};
    options.solve.system = system;
    return Resolve(spec_, mirrors_, http_, options);
  }

  const AptConfiguration apt_ = ReadAptConfiguration();
  HttpClient http_{HttpOptionsOf(apt_)};
  Spec spec_;
  Mirrors mirrors_;
};

TEST_F(LockLiveTest, LocksTheSameTwiceForEverySystem) {
  for (const char* system : {"x86_64-linux", "aarch64-linux"}) {
    const TempDir one, two;

    const auto first = Run(system, one.path());
    const auto second = Run(system, two.path());

    ASSERT_TRUE(first) << first.error().ToString();
    ASSERT_TRUE(second) << second.error().ToString();
    EXPECT_EQ(PrintLock(*first), PrintLock(*second));
    // Only what has an archive of its own, and says so in its name, is of another release.
    for (const auto& [name, package] : first->packages) {
      const size_t at = name.find('@');
      EXPECT_EQ(package.suite, at == name.npos ? "bookworm" : name.substr(at + 1)) << name;
    }
  }
}

TEST_F(LockLiveTest, TheLockOfThisRepositoryCanBeFetched) {
  const TempDir cache;
  const Lock lock = ParseLock(ReadFile(SourcePath("lre.lock")).value()).value();
  Fetcher fetcher(http_, ChooseMirrors(lock, apt_), {.cache_directory = cache.path()});

  const auto paths = fetcher.Fetch(lock);

  ASSERT_TRUE(paths) << paths.error().ToString();
  EXPECT_EQ(paths->size(), lock.packages.size());
}

}  // namespace
}  // namespace lre::toolchain

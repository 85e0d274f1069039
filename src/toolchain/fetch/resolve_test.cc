#include "toolchain/fetch/resolve.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "base/file.h"
#include "base/source_path.h"
#include "base/subprocess.h"
#include "toolchain/fetch/decompress.h"
#include "toolchain/fetch/fake_archive.h"
#include "toolchain/fetch/release.h"

namespace lre::toolchain {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

std::string ReadGolden(const std::string& name) {
  return ReadFile(SourcePath("test/golden/lock/" + name)).value();
}

class ResolveTest : public testing::Test {
 protected:
  ResolveTest() {
    for (const char* suite : {"stable", "stable-security"}) {
      archive_.AddSuite(suite, "amd64", Golden(suite, "amd64"));
    }
    mirrors_.by_suite = {{"stable", {archive_.Root()}}, {"stable-security", {archive_.Root()}}};
    options_.cache_directory = cache_.path();
    options_.verify = FakeVerify;
    options_.progress = [this](std::string_view what) { said_.emplace_back(what); };
  }
  static std::string Golden(const std::string& suite, const std::string& architecture) {
    return ReadGolden(fmt::format("{}.{}.packages", suite, architecture));
  }
  Result<Lock> Run() { return Resolve(spec_, mirrors_, http_, options_); }
  std::vector<std::string> CachedIndices() {
    return SystemFiles().List(cache_ / "indices").value();
  }

  FakeArchive archive_;
  const TempDir cache_;
  HttpClient http_{{.backoff_first = std::chrono::milliseconds(1), .http_proxy = "DIRECT"}};
  Spec spec_ = ParseSpec(ReadGolden("lre.toml")).value();
  Mirrors mirrors_;
  ResolveOptions options_;
  std::vector<std::string> said_;
};

constexpr const char* kIndex = "dists/stable/main/binary-amd64/Packages.xz";

TEST_F(ResolveTest, MakesTheGoldenLockFromAnArchive) {
  const auto lock = Run();

  ASSERT_TRUE(lock) << lock.error().ToString();
  EXPECT_EQ(PrintLock(*lock), ReadGolden("lre.lock"));
}

TEST_F(ResolveTest, LocksOtherArchitectures) {
  archive_.AddSuite("stable", "arm64", Golden("stable", "arm64"));
  archive_.AddSuite("stable-security", "arm64", Golden("stable-security", "arm64"));
  options_.solve.system = "aarch64-linux";

  const auto lock = Run();

  ASSERT_TRUE(lock) << lock.error().ToString();
  EXPECT_EQ(PrintLock(*lock), ReadGolden("lre.aarch64-linux.lock"));
}

TEST_F(ResolveTest, FetchesIndicesOnlyOnce) {
  ASSERT_TRUE(Run());
  EXPECT_THAT(archive_.TakeRequests(), Contains(kIndex));

  ASSERT_TRUE(Run());

  EXPECT_THAT(archive_.TakeRequests(),
              ElementsAre("dists/stable/InRelease", "dists/stable-security/InRelease"));
}

TEST_F(ResolveTest, FetchesADamagedIndexAgain) {
  ASSERT_TRUE(Run());
  for (const std::string& name : CachedIndices()) {
    ASSERT_TRUE(WriteFileAtomically(cache_ / ("indices/" + name), "rot").ok());
  }

  EXPECT_TRUE(Run());
}

TEST_F(ResolveTest, UsesByHashAndDoesWithout) {
  archive_.AddSuite("stable", "amd64", Golden("stable", "amd64"), "Acquire-By-Hash: yes\n");
  ASSERT_TRUE(Run());
  const std::string index = archive_.Get(kIndex);
  const std::string by_hash = "dists/stable/main/binary-amd64/by-hash/SHA256/" + Sha256Hex(index);
  EXPECT_THAT(archive_.TakeRequests(), Contains(by_hash));

  // A mirror in the middle of an update: the path has the next index already.
  archive_.Put(by_hash, index);
  archive_.Put(kIndex, "next");
  ASSERT_TRUE(RemoveTree(cache_ / "indices").ok());

  EXPECT_TRUE(Run());
}

TEST_F(ResolveTest, RefusesABadSignature) {
  archive_.Put("dists/stable/InRelease", "Suite: stable\n");

  const auto lock = Run();

  ASSERT_FALSE(lock);
  EXPECT_EQ(lock.error().code(), Code::kPermissionDenied);
  EXPECT_THAT(lock.error().message(), HasSubstr("suite stable at http://127.0.0.1"));
}

TEST_F(ResolveTest, RefusesAnIndexThatIsNotTheSignedOne) {
  std::string index = archive_.Get(kIndex);
  index[index.size() / 2] ^= 1;
  archive_.Put(kIndex, index);

  const auto lock = Run();

  ASSERT_FALSE(lock);
  EXPECT_EQ(lock.error().code(), Code::kDataLoss);
  EXPECT_THAT(CachedIndices(), IsEmpty());
}

TEST_F(ResolveTest, RefusesTheReleaseFileOfAnotherSuite) {
  archive_.Put("dists/stable/InRelease", archive_.Get("dists/stable-security/InRelease"));

  const auto lock = Run();

  ASSERT_FALSE(lock);
  EXPECT_EQ(lock.error().code(), Code::kFailedPrecondition);
  EXPECT_THAT(lock.error().message(), HasSubstr("is of stable-security"));
}

TEST_F(ResolveTest, RefusesAReleaseFileOutOfDateUnlessAllowed) {
  FakeClock clock;  // one hour after the epoch
  options_.clock = &clock;
  const std::string packages = Golden("stable", "amd64");
  archive_.AddSuite("stable", "amd64", packages, "Valid-Until: Thu, 01 Jan 1970 00:59:59 UTC\n");

  EXPECT_THAT(Run().error().message(), HasSubstr("out of date"));
  options_.check_valid_until = false;
  EXPECT_TRUE(Run());

  options_.check_valid_until = true;
  archive_.AddSuite("stable", "amd64", packages, "Valid-Until: Thu, 01 Jan 1970 01:00:00 UTC\n");
  EXPECT_TRUE(Run());
}

TEST_F(ResolveTest, TriesTheNextMirror) {
  mirrors_.by_suite["stable"] = {archive_.Root() + "/nothing-here", archive_.Root()};

  const auto lock = Run();

  ASSERT_TRUE(lock) << lock.error().ToString();
  EXPECT_THAT(said_, Contains(HasSubstr("nothing-here")));
}

TEST_F(ResolveTest, LeavesOutSuitesWithoutAMirrorAndSaysSo) {
  mirrors_.by_suite.erase("stable-security");

  EXPECT_TRUE(Run());
  EXPECT_THAT(said_, Contains("leaving out stable-security: this machine has no mirror of it"));
}

TEST_F(ResolveTest, SaysWhichComponentIsMissing) {
  spec_.archives[0].components = {"main", "contrib"};

  const auto lock = Run();

  ASSERT_FALSE(lock);
  EXPECT_THAT(lock.error().message(), HasSubstr("names no contrib/binary-amd64/Packages"));
}

TEST_F(ResolveTest, ReadsSeparateIndicesOfPackagesForAllArchitectures) {
  const std::string index = CompressXz("Package: x\n");
  const std::string path = "dists/stable/main/binary-all/Packages.xz";
  archive_.Put(path, index);
  archive_.AddSuite("stable", "amd64", Golden("stable", "amd64"), "Architectures: all amd64\n");
  archive_.Put("dists/stable/InRelease", archive_.Get("dists/stable/InRelease") +
                                             fmt::format(" {} {} main/binary-all/Packages.xz\n",
                                                         Sha256Hex(index), index.size()));

  ASSERT_TRUE(Run());

  EXPECT_THAT(archive_.TakeRequests(), Contains(path));
}

TEST_F(ResolveTest, AnArchiveNeedNotServeEverySystem) {
  spec_ = ParseSpec(ReadGolden("lre.toml") +
                    "\n[toolchain.arm]\nextends = \"lre-cc\"\nsystem = \"aarch64-linux\"\n")
              .value();
  const std::string index = CompressXz(Golden("stable", "arm64"));
  archive_.Put("dists/stable/main/binary-arm64/Packages.xz", index);
  archive_.Put("dists/stable/InRelease", archive_.Get("dists/stable/InRelease") +
                                             fmt::format(" {} {} main/binary-arm64/Packages.xz\n",
                                                         Sha256Hex(index), index.size()));
  const auto lock = Run();
  EXPECT_THAT(lock.error().message(), HasSubstr("names no main/binary-arm64/Packages"))
      << "it does not say which systems it serves";

  archive_.AddSuite("stable-security", "amd64", Golden("stable-security", "amd64"),
                    "Architectures: amd64\n");

  const auto now = Run();

  EXPECT_TRUE(now) << now.error().ToString();
}

TEST_F(ResolveTest, KeepsNoMoreIndicesThanItsBound) {
  ASSERT_TRUE(Run());
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(WriteFileAtomically(cache_ / fmt::format("indices/old{}", i), "x").ok());
  }
  options_.cached_indices_max = 3;

  ASSERT_TRUE(Run());

  EXPECT_EQ(CachedIndices().size(), 3u);
  EXPECT_THAT(CachedIndices(), Not(Contains("old0")));
  archive_.TakeRequests();
  ASSERT_TRUE(Run());
  EXPECT_THAT(archive_.TakeRequests(), Not(Contains(kIndex)));
}

TEST(ReleaseTest, ReadsDates) {
  EXPECT_EQ(ParseReleaseDate("Thu, 01 Jan 1970 00:01:02 UTC"), WallTime(std::chrono::seconds(62)));
  EXPECT_EQ(ParseReleaseDate("Sat, 11 Jul 2026 10:16:37 UTC"),
            WallTime(std::chrono::seconds(1783764997)));
  for (const char* text :
       {"", "yesterday", "Sat, 11 Jul 2026 10:16:37 CET", "Sat, 11 Foo 2026 10:16:37 UTC",
        "Sat, 11 Jul 999999 10:16:37 UTC", "Sat, 11 Jul 2026 1:1:1 UTC"}) {
    EXPECT_EQ(ParseReleaseDate(text), std::nullopt) << text;
  }
}

TEST(ReleaseTest, RefusesListsThatAreMalformed) {
  const std::string hash(64, 'a');
  EXPECT_TRUE(ParseRelease("Suite: s\nSHA256:\n " + hash + " 5 main/x\n"));
  for (const std::string& text :
       {std::string(), std::string("Suite: s\n"), "SHA256:\n " + hash + " 5\n",
        "SHA256:\n " + hash.substr(1) + " 5 x\n", "SHA256:\n " + hash + " five x\n",
        "Valid-Until: never\nSHA256:\n " + hash + " 5 x\n"}) {
    const auto release = ParseRelease(text);
    ASSERT_FALSE(release) << text;
    EXPECT_EQ(release.error().code(), Code::kDataLoss);
  }
}

TEST(DecompressTest, ReadsXzAndPlainTextUpToItsBound) {
  const std::string text(100000, 'a');

  EXPECT_EQ(Decompress(CompressXz(text), text.size()), text);
  EXPECT_EQ(Decompress(text, text.size()), text);
  EXPECT_EQ(Decompress("", 0), "");
  EXPECT_EQ(Decompress(CompressXz(text), text.size() - 1).error().code(), Code::kOutOfRange);
}

TEST(DecompressTest, RefusesBrokenBytes) {
  std::string bytes = CompressXz(std::string(100000, 'a') + "b");
  bytes.resize(bytes.size() - 30);

  EXPECT_EQ(Decompress(bytes, 1 << 20).error().code(), Code::kDataLoss);
}

// Real gpg and gpgv with a key made here.
class SignatureTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!Gpg({"--version"})) GTEST_SKIP() << "gpg is not installed";
    ASSERT_TRUE(Gpg({"--quick-generate-key", "--passphrase", "", "tester", "ed25519"}));
    ASSERT_TRUE(Gpg({"--output", keyring_, "--export", "tester"}));
  }
  void TearDown() override {
    (void)RunSubprocess({.arguments = {"gpgconf", "--homedir", home_.path(), "--kill", "all"}});
  }
  bool Gpg(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"gpg", "--homedir", home_.path(), "--batch", "--yes",
                                         "--pinentry-mode", "loopback"});
    const auto run = RunSubprocess({.arguments = std::move(arguments)});
    return run && run->exit_code == 0;
  }
  std::string Sign(const std::string& text, const std::string& hash = "SHA512") {
    EXPECT_TRUE(WriteFileAtomically(home_ / "text", text).ok());
    EXPECT_TRUE(
        Gpg({"--digest-algo", hash, "--output", home_ / "signed", "--clear-sign", home_ / "text"}));
    return ReadFile(home_ / "signed").value_or("");
  }
  const TempDir home_;
  const std::string keyring_ = home_ / "keys.gpg";
};

TEST_F(SignatureTest, GpgvAcceptsAGoodSignatureAndGivesTheSignedTextOnly) {
  const std::string message = "in front\n\n" + Sign("Suite: x\n- dash\n") + "\nbehind\n";

  const auto text = VerifyWithGpgv(message, keyring_);

  ASSERT_TRUE(text) << text.error().ToString();
  EXPECT_EQ(*text, "Suite: x\n- dash\n");
}

TEST_F(SignatureTest, GpgvRefusesChangedUnsignedAndForeignText) {
  std::string changed = Sign("Suite: x\n");
  changed.replace(changed.find("Suite: x"), 8, "Suite: y");
  EXPECT_EQ(VerifyWithGpgv(changed, keyring_).error().code(), Code::kPermissionDenied);
  EXPECT_EQ(VerifyWithGpgv("Suite: x\n", keyring_).error().code(), Code::kPermissionDenied);
  EXPECT_EQ(VerifyWithGpgv("", keyring_).error().code(), Code::kPermissionDenied);
  const std::string twice = Sign("Suite: x\n") + Sign("Suite: y\n");
  EXPECT_FALSE(VerifyWithGpgv(twice, keyring_));

  const std::string other = home_ / "other.gpg";
  ASSERT_TRUE(WriteFileAtomically(other, "").ok());
  const auto foreign = VerifyWithGpgv(Sign("Suite: x\n"), other);
  ASSERT_FALSE(foreign);
  EXPECT_EQ(foreign.error().code(), Code::kPermissionDenied);
  EXPECT_THAT(foreign.error().message(), HasSubstr("no signature by a key in"));
}

TEST_F(SignatureTest, SaysWhenTheKeyringIsMissing) {
  const auto text = VerifyWithGpgv("x", home_ / "none.gpg");

  ASSERT_FALSE(text);
  EXPECT_EQ(text.error().code(), Code::kFailedPrecondition);
  EXPECT_THAT(text.error().message(), HasSubstr("none.gpg"));
}

}  // namespace
}  // namespace lre::toolchain

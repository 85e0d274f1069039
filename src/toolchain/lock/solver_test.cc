#include "toolchain/lock/solver.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <random>

#include "base/file.h"
#include "base/random.h"
#include "base/source_path.h"

namespace lre::toolchain {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

std::string Golden(std::string_view name) { return SourcePath("test/golden/lock/").append(name); }

std::string ReadGolden(std::string_view name) {
  const auto text = ReadFile(Golden(name));
  EXPECT_TRUE(text) << name;
  return text.value_or("");
}

Spec GoldenSpec() { return ParseSpec(ReadGolden("lre.toml")).value(); }

std::vector<SuiteIndex> GoldenIndices(std::string_view architecture = "amd64") {
  return {
      {"stable", ReadGolden(fmt::format("stable.{}.packages", architecture))},
      {"stable-security", ReadGolden(fmt::format("stable-security.{}.packages", architecture))}};
}

Result<Lock> SolveGolden(const SolveOptions& options = {}) {
  return Solve(GoldenSpec(), GoldenIndices(), options);
}

std::string Replaced(std::string text, std::string_view from, std::string_view to) {
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

// A new version of libgmp10, zlib1g in the release.
std::vector<SuiteIndex> NewerIndices() {
  std::vector<SuiteIndex> indices = GoldenIndices();
  for (const auto& [name, version] :
       std::map<std::string, std::string>{{"libgmp10", "2:7.0-1"}, {"zlib1g", "1:2.0-1"}}) {
    indices[0].packages += fmt::format(
        "\nPackage: {}\nVersion: {}\nArchitecture: amd64\nDepends: libc6\nFilename: pool/{}.deb\n"
        "Size: 7\nSHA256: {}\n",
        name, version, name, std::string(64, 'a'));
  }
  return indices;
}

TEST(SolverTest, WritesTheGoldenLock) {
  for (const auto& [system, file] : std::map<std::string, std::string>{
           {"x86_64-linux", "lre.lock"}, {"aarch64-linux", "lre.aarch64-linux.lock"}}) {
    const std::string architecture = DebianArchitecture(system).value();
    const auto lock = Solve(GoldenSpec(), GoldenIndices(architecture), {.system = system});
    ASSERT_TRUE(lock) << lock.error().ToString();

    const std::string text = PrintLock(*lock);

    if (std::getenv("LRE_GOLDEN_ACCEPT") != nullptr) {
      ASSERT_TRUE(WriteFileAtomically(Golden(file), text).ok());
    }
    EXPECT_EQ(text, ReadGolden(file)) << "LRE_GOLDEN_ACCEPT=1 accepts the change";
  }
}

TEST(SolverTest, GivesTheSameBytesTwice) {
  EXPECT_EQ(PrintLock(SolveGolden().value()), PrintLock(SolveGolden().value()));
}

TEST(SolverTest, LeavesOutWhatReferencedRolesHold) {
  const Lock lock = SolveGolden().value();

  EXPECT_THAT(lock.paths.at("libc").packages, ElementsAre("gcc-base", "libc6", "libgcc-s1"));
  EXPECT_THAT(lock.paths.at("gcc").packages,
              ElementsAre("cpp", "g++", "gcc", "libgmp10", "libstdc++-dev", "linker-a", "zlib1g"));
  EXPECT_THAT(lock.packages.at("g++").depends, ElementsAre("gcc", "libgmp10", "libstdc++-dev"));
  EXPECT_THAT(lock.packages.at("libgcc-s1").depends, ElementsAre("gcc-base", "libc6"));
}

TEST(SolverTest, CutsIgnoredPackagesAndWhatOnlyTheyNeed) {
  const Lock lock = SolveGolden().value();

  EXPECT_FALSE(lock.packages.contains("setup-tool"));
  EXPECT_FALSE(lock.packages.contains("only-for-setup"));
  EXPECT_THAT(lock.packages.at("bash").depends, ElementsAre("libc6", "libtinfo6"));
}

TEST(SolverTest, NeverFollowsRecommends) {
  EXPECT_FALSE(SolveGolden()->packages.contains("documentation"));
}

TEST(SolverTest, FollowsAlternativesArchitectureQualifiersAndVirtualPackages) {
  const Lock lock = SolveGolden().value();

  EXPECT_THAT(lock.packages.at("script-user").depends, ElementsAre("perl-small"));
  EXPECT_THAT(lock.packages.at("gcc").depends, Contains("linker-a"));
}

TEST(SolverTest, NothingTakesThePlaceOfAnIgnoredAlternative) {
  Spec spec = GoldenSpec();
  spec.ignore.push_back("absent-tool");

  const Lock lock = Solve(spec, GoldenIndices(), {}).value();

  EXPECT_THAT(lock.packages.at("script-user").depends, Not(Contains("perl-small")));
}

TEST(SolverTest, PrefersTheFirstSuiteUnlessToldToPreferTheNewestVersion) {
  Spec spec = GoldenSpec();
  EXPECT_EQ(Solve(spec, GoldenIndices(), {})->packages.at("libgmp10").version, "2:6.2.1-1");

  spec.prefer = Preference::kNewestVersion;
  const auto lock = Solve(spec, GoldenIndices(), {});

  ASSERT_TRUE(lock);
  EXPECT_EQ(lock->packages.at("libgmp10").version, "2:6.2.1-1+sec1");
  EXPECT_EQ(lock->packages.at("libgmp10").suite, "stable-security");
  EXPECT_THAT(lock->packages.at("libgmp10").path, HasSubstr("pool/updates/"));
}

TEST(SolverTest, TakesFromALaterSuiteWhatTheFirstDoesNotHave) {
  Spec spec = GoldenSpec();
  spec.store.at("base").packages.push_back("only-in-security");

  const auto lock = Solve(spec, GoldenIndices(), {});

  ASSERT_TRUE(lock) << lock.error().ToString();
  EXPECT_EQ(lock->packages.at("only-in-security").suite, "stable-security");
}

// A store path with an archive of its own: the same names, other versions.
Spec SpecWithNext() {
  Spec spec = GoldenSpec();
  spec.archives.push_back({.name = "next", .distribution = "debian", .suites = {"next"}});
  spec.store["tool"] = {.role = "tool", .packages = {"tool"}, .archives = {"next"}};
  return spec;
}

std::vector<SuiteIndex> IndicesWithNext(const std::string& zlib_version) {
  std::vector<SuiteIndex> indices = GoldenIndices();
  auto package = [](const std::string& name, const std::string& version,
                    const std::string& depends) {
    return fmt::format(
        "Package: {0}\nVersion: {1}\nArchitecture: amd64\n{2}Filename: pool/{0}.deb\nSize: 1\n"
        "SHA256: {3}\n\n",
        name, version, depends, std::string(64, 'a'));
  };
  indices.push_back(
      {"next", package("tool", "9", "Depends: zlib1g\n") + package("zlib1g", zlib_version, "")});
  return indices;
}

TEST(SolverTest, LocksWhatComesFromAnArchiveOfItsOwnUnderANameOfItsOwn) {
  const Lock plain = SolveGolden().value();

  const auto lock = Solve(SpecWithNext(), IndicesWithNext("1:9-1"), {});

  ASSERT_TRUE(lock) << lock.error().ToString();
  EXPECT_THAT(lock->paths.at("tool").packages, ElementsAre("tool@next", "zlib1g@next"));
  EXPECT_EQ(lock->packages.at("zlib1g@next").version, "1:9-1");
  EXPECT_THAT(lock->packages.at("tool@next").depends, ElementsAre("zlib1g@next"));
  // Nothing else is touched by it.
  for (const auto& [name, package] : plain.packages) EXPECT_EQ(lock->packages.at(name), package);
  for (const auto& [role, path] : plain.paths) EXPECT_EQ(lock->paths.at(role), path);
  const auto read = ParseLock(PrintLock(*lock));
  ASSERT_TRUE(read) << read.error().ToString();
  EXPECT_EQ(*read, *lock);
  EXPECT_THAT(Disagreements(SpecWithNext(), *lock), testing::IsEmpty());
}

TEST(SolverTest, KeepsAndUpdatesWhatIsLockedUnderANameOfItsOwn) {
  const Lock before = Solve(SpecWithNext(), IndicesWithNext("1:9-1"), {}).value();
  std::vector<SuiteIndex> both = IndicesWithNext("1:9-1");
  both.back().packages += IndicesWithNext("1:9-2").back().packages;

  const auto same = Solve(SpecWithNext(), both, {.previous = &before});
  const auto one = Solve(SpecWithNext(), both, {.previous = &before, .update = {"zlib1g@next"}});

  ASSERT_TRUE(same && one);
  EXPECT_EQ(*same, before);
  EXPECT_THAT(CompareLocks(before, *one),
              ElementsAre(LockChange{"zlib1g@next", "1:9-1", "1:9-2", "next"}));
}

TEST(SolverTest, UpdatesOnlyWhatItIsToldTo) {
  const Lock before = SolveGolden().value();

  const auto same = Solve(GoldenSpec(), NewerIndices(), {.previous = &before});
  const auto one =
      Solve(GoldenSpec(), NewerIndices(), {.previous = &before, .update = {"libgmp10"}});
  const auto all = Solve(GoldenSpec(), NewerIndices(), {});

  ASSERT_TRUE(same && one && all);
  EXPECT_EQ(*same, before);
  EXPECT_THAT(CompareLocks(before, *one),
              ElementsAre(LockChange{"libgmp10", "2:6.2.1-1", "2:7.0-1", "stable"}));
  EXPECT_EQ(CompareLocks(before, *all).size(), 2u);
}

TEST(SolverTest, ChoosesAfreshWhatTheArchiveNoLongerHas) {
  Lock before = SolveGolden().value();
  before.packages.at("zlib1g").version = "1:0.9-1";

  const auto after = Solve(GoldenSpec(), GoldenIndices(), {.previous = &before});

  ASSERT_TRUE(after);
  EXPECT_THAT(CompareLocks(before, *after),
              ElementsAre(LockChange{"zlib1g", "1:0.9-1", "1:1.2.13-1", "stable"}));
}

TEST(SolverTest, TheLockOfThisRepositoryAnswersItsRequest) {
  const auto spec = ParseSpec(ReadFile(SourcePath("lre.toml")).value());
  const auto lock = ParseLock(ReadFile(SourcePath("lre.lock")).value());

  ASSERT_TRUE(spec && lock);
  EXPECT_THAT(Disagreements(*spec, *lock), ElementsAre());
}

TEST(SolverTest, SaysWhereALockIsNotAnAnswerToTheRequest) {
  const Lock lock = SolveGolden().value();
  EXPECT_THAT(Disagreements(GoldenSpec(), lock), ElementsAre());
  Spec spec = GoldenSpec();
  spec.store.at("gcc").packages.push_back("libtinfo6");
  spec.store.at("gcc").packages.push_back("libc6");  // held by a reference
  spec.store.at("base").references = {};
  spec.store["jdk"] = {.role = "jdk", .packages = {"openjdk"}};
  spec.toolchains.erase("shell");
  spec.ignore.push_back("zlib1g");

  EXPECT_THAT(
      Disagreements(spec, lock),
      ElementsAre("toolchain shell is not in the request",
                  "references of store path base is [] in the request and [libc] in the lock",
                  "references of store path jdk is not in the lock",
                  "store path gcc lacks package libtinfo6",
                  "package zlib1g is in the lock and ignored in the request"));
}

TEST(SolverTest, ReportsAddedAndRemovedPackages) {
  const Lock before = SolveGolden().value();
  Lock after = before;
  after.packages.erase("bash");
  after.packages["new"] = {.name = "new", .version = "1", .suite = "stable"};

  EXPECT_THAT(CompareLocks(before, after), ElementsAre(LockChange{"bash", "5.2-2", "", ""},
                                                       LockChange{"new", "", "1", "stable"}));
}

TEST(SolverTest, NamesTheNearestPackageForAnUnknownOne) {
  Spec spec = GoldenSpec();
  spec.store.at("base").packages.push_back("zlib1");

  const auto lock = Solve(spec, GoldenIndices(), {});

  ASSERT_FALSE(lock);
  EXPECT_EQ(lock.error().code(), Code::kNotFound);
  EXPECT_EQ(lock.error().message(), "no suite has a package zlib1, did you mean \"zlib1g\"?");
}

TEST(SolverTest, SaysWhichDependencyCannotBeMet) {
  Spec spec = GoldenSpec();
  spec.store.at("base").packages.push_back("big");

  const auto lock = Solve(spec, GoldenIndices(), {});

  ASSERT_FALSE(lock);
  EXPECT_EQ(lock.error().code(), Code::kFailedPrecondition);
  EXPECT_THAT(lock.error().message(), HasSubstr("missing-package"));
}

TEST(SolverTest, RefusesToUpdateWhatIsNotLocked) {
  const Lock before = SolveGolden().value();

  const auto lock = SolveGolden({.previous = &before, .update = {"bsh"}});

  ASSERT_FALSE(lock);
  EXPECT_EQ(lock.error().message(),
            "cannot update bsh: it is not in the lock, did you mean \"bash\"?");
}

TEST(SolverTest, RefusesSystemsItDoesNotKnow) {
  EXPECT_EQ(SolveGolden({.system = "riscv64-linux"}).error().code(), Code::kInvalidArgument);
}

TEST(SolverTest, RefusesAnIndexWithoutHashes) {
  std::vector<SuiteIndex> indices = GoldenIndices();
  const size_t at = indices[0].packages.find("SHA256");
  indices[0].packages.replace(at, 6, "SHA999");

  const auto lock = Solve(GoldenSpec(), indices, {});

  ASSERT_FALSE(lock);
  EXPECT_EQ(lock.error().code(), Code::kDataLoss);
  EXPECT_THAT(lock.error().message(), HasSubstr("bash has no Filename, Size or SHA256"));
}

TEST(LockTest, ReadsBackWhatItWrote) {
  const Lock lock = SolveGolden().value();

  const auto read = ParseLock(PrintLock(lock));

  ASSERT_TRUE(read) << read.error().ToString();
  EXPECT_EQ(*read, lock);
}

TEST(LockTest, ReadsTheLockOfThisRepository) {
  const auto text = ReadFile(SourcePath("lre.lock"));
  ASSERT_TRUE(text);

  const auto lock = ParseLock(*text);

  ASSERT_TRUE(lock) << lock.error().ToString();
  EXPECT_EQ(PrintLock(*lock), *text);
  const auto roles = OrderedPaths(*lock, "lre-cc");
  ASSERT_TRUE(roles);
  EXPECT_EQ(roles->size(), 5u);
  EXPECT_LT(std::find(roles->begin(), roles->end(), "libc"),
            std::find(roles->begin(), roles->end(), "gcc"));
}

// A toolchain that replaces one path, adds to another and says more of itself.
Spec SpecOfOnesOwn() { return ParseSpec(ReadGolden("lre.toml") + ReadGolden("own.toml")).value(); }

TEST(LockTest, WritesTheGoldenLockOfAToolchainOfOnesOwn) {
  std::vector<SuiteIndex> indices = IndicesWithNext("1:9-1");
  const auto lock = Solve(SpecOfOnesOwn(), indices, {});
  ASSERT_TRUE(lock) << lock.error().ToString();

  const std::string text = PrintLock(*lock);

  if (std::getenv("LRE_GOLDEN_ACCEPT") != nullptr) {
    ASSERT_TRUE(WriteFileAtomically(Golden("own.lock"), text).ok());
  }
  EXPECT_EQ(text, ReadGolden("own.lock"));
  EXPECT_EQ(ParseLock(text), lock);
  EXPECT_THAT(Disagreements(SpecOfOnesOwn(), *lock), testing::IsEmpty());
}

// Written by the version before the schema had anything to say about roles: read, and kept as it
// is.
TEST(LockTest, ReadsTheFirstSchemaAndDoesNotChangeIt) {
  const std::string text = ReadGolden("lre.lock");

  const auto lock = ParseLock(text);

  ASSERT_TRUE(lock) << lock.error().ToString();
  EXPECT_THAT(text, HasSubstr("\nschema = 1\n"));
  EXPECT_EQ(lock->paths.at("gcc").role, "gcc");
  EXPECT_EQ(PrintLock(*lock), text);
}

TEST(LockTest, ADigestOfOneToolchainDoesNotChangeWithOthers) {
  const Lock usual = SolveGolden().value();
  Lock lock = Solve(SpecOfOnesOwn(), IndicesWithNext("1:9-1"), {}).value();

  EXPECT_EQ(LockDigest(lock, "lre-cc"), LockDigest(usual, "lre-cc"));
  EXPECT_EQ(LockDigest(lock, "shell"), LockDigest(usual, "shell"));
  EXPECT_NE(LockDigest(lock, "own"), LockDigest(lock, "lre-cc"));
  EXPECT_FALSE(LockDigest(lock, "none"));
  lock.packages.at("bash").version = "9";
  EXPECT_NE(LockDigest(lock, "shell"), LockDigest(usual, "shell"));
}

// What stands in for a package is what was asked for, not the libraries that came with it.
TEST(SolverTest, AReferenceToOtherArchivesHoldsWhatItIsAskedFor) {
  Spec spec = GoldenSpec();
  spec.archives.push_back({.name = "next", .distribution = "debian", .suites = {"next"}});
  spec.store["zlib"] = {.role = "zlib", .packages = {"zlib1g"}, .archives = {"next"}};
  const Lock with = Solve(spec, IndicesWithNext("1:9-1"), {}).value();
  ASSERT_THAT(with.paths.at("gcc").packages, Contains("zlib1g"));
  spec.store["gcc"].references.push_back("zlib");

  const Lock without = Solve(spec, IndicesWithNext("1:9-1"), {}).value();

  EXPECT_THAT(without.paths.at("gcc").packages, Not(Contains("zlib1g")));
  EXPECT_THAT(without.paths.at("gcc").references, ElementsAre("libc", "zlib"));
}

TEST(SolverTest, SaysThatOneToolchainHasOtherSettingsOrFiles) {
  const Lock lock = Solve(SpecOfOnesOwn(), IndicesWithNext("1:9-1"), {}).value();
  Spec spec = SpecOfOnesOwn();
  spec.toolchains.at("own").settings.compile_flags.push_back("-O3");
  spec.store.at("base-own").drop.clear();

  EXPECT_THAT(Disagreements(spec, lock),
              ElementsAre("toolchain own has other settings in the lock",
                          "store path base-own has another role, or adds or drops other files, in "
                          "the lock"));
}

TEST(LockTest, SaysWhatIsWrongAndWhere) {
  const std::string text = PrintLock(SolveGolden().value());
  const auto error = [&](std::string_view from, std::string_view to) {
    const auto lock = ParseLock(Replaced(text, from, to));
    return lock ? std::string("parsed") : lock.error().message();
  };

  EXPECT_THAT(error("schema = 1", "schema = 7"),
              HasSubstr("lre.lock:2: schema: 7 is not a schema"));
  EXPECT_THAT(error("system = \"x86_64-linux\"\n", ""), HasSubstr("system: missing"));
  EXPECT_THAT(error("architecture =", "achitecture ="),
              HasSubstr("package.bash.architecture: missing"));
  EXPECT_THAT(error("suite = \"stable\"", "suite = \"stable\"\nsize = 3"),
              HasSubstr("package.bash.size: unknown key"));
  EXPECT_THAT(error("size_bytes = ", "size_bytes = -"), HasSubstr("must be positive"));
  EXPECT_THAT(error("sha256 = \"", "sha256 = \"A"), HasSubstr("64 lower-case"));
  EXPECT_THAT(error("path = \"pool/", "path = \"../"), HasSubstr("not a path below"));
  EXPECT_THAT(error("path = \"pool/", "path = \"/"), HasSubstr("not a path below"));
  EXPECT_THAT(error("[package.\"bash\"]", "[package.\"bush\"]"),
              HasSubstr("\"bash\" is not in this lock, did you mean \"bush\"?"));
  EXPECT_THAT(error("[package.\"bash\"]", "[package.\"cpp\"]"), HasSubstr("lre.lock:"));
  EXPECT_THAT(error("references = []", "references = [\"gcc\"]"),
              HasSubstr("reference cycle: libc -> gcc -> libc"));
  EXPECT_THAT(error("references = []", "references = [\"jdk\"]"),
              HasSubstr("\"jdk\" is not in this lock"));
}

TEST(LockTest, EscapesWhatTomlWouldNotTake) {
  Lock lock = SolveGolden().value();
  lock.packages.at("bash").version = "a\"b\\c\nd\x7f";

  const auto read = ParseLock(PrintLock(lock));

  ASSERT_TRUE(read) << read.error().ToString();
  EXPECT_EQ(*read, lock);
}

TEST(LockTest, SurvivesRandomDamage) {
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE(fmt::format("seed {}", seed));
  Random random(seed);
  const std::string texts[] = {PrintLock(SolveGolden().value()), ReadGolden("own.lock")};
  int refused = 0;
  for (int round = 0; round < 600; ++round) {
    const std::string& text = texts[round % 2];
    std::string damaged = text;
    for (uint64_t i = 0; i <= random.Below(3); ++i) {
      const size_t at = random.Below(damaged.size());
      if (random.OneIn(2)) {
        damaged[at] = static_cast<char>(random.Next());
      } else {
        damaged.erase(at, random.Below(200));
      }
    }

    const auto lock = ParseLock(damaged);

    if (lock) {
      EXPECT_EQ(ParseLock(PrintLock(*lock)), lock);
    } else {
      ++refused;
    }
  }
  EXPECT_GT(refused, 100);
}

TEST(LockTest, NamesTheNearestToolchainForAnUnknownOne) {
  const auto roles = OrderedPaths(SolveGolden().value(), "lre-cd");

  ASSERT_FALSE(roles);
  EXPECT_EQ(roles.error().message(), "no toolchain lre-cd in the lock, did you mean \"lre-cc\"?");
}

}  // namespace
}  // namespace lre::toolchain

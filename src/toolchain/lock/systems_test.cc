// Two systems in one lock.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/source_path.h"
#include "toolchain/lock/lock.h"
#include "toolchain/lock/solver.h"

namespace lre::toolchain {
namespace {

std::string ReadGolden(std::string_view name) {
  const auto text = ReadFile(SourcePath("test/golden/lock/").append(name));
  EXPECT_TRUE(text) << name;
  return text.value_or("");
}

Spec GoldenSpec() { return ParseSpec(ReadGolden("lre.toml")).value(); }

std::vector<SuiteIndex> GoldenIndices(std::string_view architecture) {
  return {
      {"stable", ReadGolden(fmt::format("stable.{}.packages", architecture))},
      {"stable-security", ReadGolden(fmt::format("stable-security.{}.packages", architecture))}};
}

// The golden request and one toolchain of it for another system.
Spec TwoSystems() {
  return ParseSpec(ReadGolden("lre.toml") +
                   "\n[toolchain.arm]\nextends = \"lre-cc\"\nsystem = \"aarch64-linux\"\n")
      .value();
}

std::vector<SuiteIndex> TwoSystemsIndices() {
  std::vector<SuiteIndex> indices = GoldenIndices("amd64");
  for (SuiteIndex& index : GoldenIndices("arm64")) {
    index.system = "aarch64-linux";
    indices.push_back(std::move(index));
  }
  return indices;
}

TEST(SystemsTest, OneLockHoldsTheToolchainsOfTwoSystems) {
  const Lock lock = Solve(TwoSystems(), TwoSystemsIndices(), {}).value();
  const Lock home = Solve(GoldenSpec(), GoldenIndices("amd64"), {}).value();
  const Lock there =
      Solve(GoldenSpec(), GoldenIndices("arm64"), {.system = "aarch64-linux"}).value();

  for (const auto& [name, package] : home.packages) EXPECT_EQ(lock.packages.at(name), package);
  EXPECT_EQ(LockDigest(lock, "lre-cc"), LockDigest(home, "lre-cc"));
  for (const char* name : {"libc", "gcc", "base"}) {
    std::vector<std::string> expected;
    for (const std::string& package : there.paths.at(name).packages) {
      expected.push_back(package + ":arm64");
      EXPECT_EQ(lock.packages.at(expected.back()).sha256, there.packages.at(package).sha256);
    }
    EXPECT_EQ(lock.paths.at(name + std::string(".aarch64")).packages, expected);
  }
  EXPECT_EQ(SystemOf(lock, "arm"), "aarch64-linux");
  EXPECT_EQ(TargetOf(lock, "arm"), "aarch64-linux");
  EXPECT_THAT(ToolchainsOf(lock, "aarch64-linux"), testing::ElementsAre("arm"));
  EXPECT_EQ(ToolchainsOf(lock, "x86_64-linux"), ToolchainsOf(home, "x86_64-linux"));
  EXPECT_EQ(ParseLock(PrintLock(lock)).value(), lock);
  EXPECT_THAT(Disagreements(TwoSystems(), lock), testing::IsEmpty());
}

TEST(SystemsTest, KeepsTheVersionsOfBothSystems) {
  const Lock lock = Solve(TwoSystems(), TwoSystemsIndices(), {}).value();
  std::vector<SuiteIndex> newer = TwoSystemsIndices();
  for (SuiteIndex& index : newer) {
    if (index.suite != "stable") continue;
    index.packages += fmt::format(
        "\nPackage: libgmp10\nVersion: 2:7.0-1\nArchitecture: {}\nDepends: libc6\n"
        "Filename: pool/libgmp10.deb\nSize: 7\nSHA256: {}\n",
        index.system.empty() ? "amd64" : "arm64", std::string(64, 'a'));
  }

  EXPECT_EQ(Solve(TwoSystems(), newer, {.previous = &lock}).value(), lock);
  const Lock updated =
      Solve(TwoSystems(), newer, {.previous = &lock, .update = {"libgmp10"}}).value();
  EXPECT_EQ(updated.packages.at("libgmp10").version, "2:7.0-1");
  EXPECT_EQ(updated.packages.at("libgmp10:arm64").version, "2:7.0-1");
}

TEST(SystemsTest, TakesTheArchitectureOffAName) {
  EXPECT_EQ(WithoutArchitecture("libc6"), "libc6");
  EXPECT_EQ(WithoutArchitecture("libc6:arm64"), "libc6");
  EXPECT_EQ(WithoutArchitecture("libc6@trixie"), "libc6@trixie");
  EXPECT_EQ(WithoutArchitecture("libc6:arm64@trixie"), "libc6@trixie");
}

}  // namespace
}  // namespace lre::toolchain

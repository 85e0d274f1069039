#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "toolchain/generate/fake_module.h"

namespace lre::toolchain {
namespace {

using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

const std::string kModule = "local-remote-execution/";

std::string Toolchain(const std::string& exec, const std::string& target) {
  return fmt::format(
      "    exec_compatible_with = [\n        \"//generated-cc/config:lre\",\n"
      "        \"@platforms//cpu:{}\",\n        \"@platforms//os:linux\",\n    ],\n"
      "    target_compatible_with = [\n        \"@platforms//cpu:{}\",\n",
      exec, target);
}

TEST(SystemsModuleTest, ACompilerForAnotherProcessorIsChosenByThePlatform) {
  auto files = CommittedModule({.further = {Committed("lre-cross-aarch64")}});

  EXPECT_THAT(files[kModule + "generated-lre-cross-aarch64/config/BUILD.bazel"],
              HasSubstr(Toolchain("x86_64", "aarch64")));
  const std::string& cc = files[kModule + "generated-lre-cross-aarch64/cc/BUILD.bazel"];
  EXPECT_THAT(cc,
              AllOf(HasSubstr("\"--target=aarch64-linux-gnu\""), HasSubstr("cpu = \"aarch64\","),
                    HasSubstr("/llvm-ar\""), Not(HasSubstr("x86_64-linux-gnu"))));
  EXPECT_THAT(files[kModule + "generated-cc/config/BUILD.bazel"],
              AllOf(ContainsRegex("name = \"platform\",[^)]*cpu:x86_64[^)]*\"ISA\": \"x86-64\""),
                    ContainsRegex(
                        "name = \"platform-aarch64\",[^)]*cpu:aarch64[^)]*\"ISA\": \"arm-a64\"")));
  EXPECT_THAT(files["lre.bazelrc"],
              AllOf(HasSubstr("build --extra_toolchains=@local-remote-execution//"
                              "generated-lre-cross-aarch64/config:cc-toolchain\n"),
                    Not(HasSubstr("build:aarch64"))));
  EXPECT_THAT(files["recc.conf"], HasSubstr("remote_platform_ISA=x86-64\n"));
}

TEST(SystemsModuleTest, ACompilerThatRunsElsewhereTakesItsUserlandFromThere) {
  const Manifest there = Committed("lre-cc-aarch64");
  const std::string base = there.Find("base")->path;

  auto files =
      CommittedModule({.further = {there, Committed("lre-clang"), Committed("lre-clang-aarch64")}});

  EXPECT_THAT(files[kModule + "generated-lre-cc-aarch64/config/BUILD.bazel"],
              HasSubstr(Toolchain("aarch64", "aarch64")));
  EXPECT_THAT(files[kModule + "generated-lre-cc-aarch64/cc/BUILD.bazel"],
              AllOf(HasSubstr("shell = \"" + base + "/usr/bin/bash\""),
                    Not(HasSubstr(Committed("toolchain").Find("base")->path))));
  EXPECT_THAT(
      files["lre.bazelrc"],
      AllOf(HasSubstr("build:aarch64 --host_platform=@local-remote-execution//generated-cc/config:"
                      "platform-aarch64\n"),
            HasSubstr("build:aarch64 --shell_executable=" + base),
            HasSubstr("build:clang --extra_toolchains=@local-remote-execution//"
                      "generated-lre-clang-aarch64/config:cc-toolchain\n")));
}

// Who has one system pays nothing for the other.
TEST(SystemsModuleTest, WithoutThemThereIsOnePlatform) {
  auto files = CommittedModule({.further = {Committed("lre-cc-zlib")}});

  EXPECT_THAT(files[kModule + "generated-cc/config/BUILD.bazel"],
              AllOf(Not(HasSubstr("aarch64")), Not(HasSubstr("ISA"))));
  EXPECT_THAT(files["lre.bazelrc"], Not(HasSubstr("aarch64")));
}

// Compiles of the first toolchain are what they were, but for where they may run.
TEST(SystemsModuleTest, TheOtherToolchainsAreAsTheyWere) {
  const auto without = CommittedModule({});
  auto with =
      CommittedModule({.further = {Committed("lre-cross-aarch64"), Committed("lre-cc-aarch64")}});

  for (const auto& [path, text] : without) {
    if (path == "lre.bazelrc" || path == "recc.conf") continue;
    if (path == kModule + "generated-cc/config/BUILD.bazel") continue;
    EXPECT_EQ(with[path], text) << path;
  }
}

}  // namespace
}  // namespace lre::toolchain

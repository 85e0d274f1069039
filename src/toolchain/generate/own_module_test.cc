#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "toolchain/generate/fake_module.h"

namespace lre::toolchain {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

const std::string kFolder = "local-remote-execution/generated-";

TEST(OwnModuleTest, ACompilerThatExtendsAnotherIsChosenByItsPlatform) {
  auto files = CommittedModule({.further = {Committed("lre-cc-zlib")}});

  EXPECT_THAT(files[kFolder + "lre-cc-zlib/config/BUILD.bazel"],
              AllOf(HasSubstr("name = \"lre-cc-zlib\","),
                    HasSubstr("constraint_values = [\":lre-cc-zlib\"],"),
                    HasSubstr("parents = [\"//generated-cc/config:platform\"],"),
                    HasSubstr("toolchain = \"//generated-lre-cc-zlib/cc:cc\",")));
  const std::string& cc = files[kFolder + "lre-cc-zlib/cc/BUILD.bazel"];
  EXPECT_THAT(cc, HasSubstr("load(\"//generated-cc/cc:cc_toolchain_config.bzl\""));
  EXPECT_THAT(cc, HasSubstr("-zlib/usr/include\""));
  EXPECT_THAT(files[kFolder + "lre-cc-zlib/cc/toolchain.json"], HasSubstr("-zlib\""));
  EXPECT_THAT(files["lre.bazelrc"],
              HasSubstr("--extra_toolchains=@local-remote-execution//generated-lre-cc-zlib/config:"
                        "cc-toolchain"));
}

// Its users pay for it, and nobody else: actions of the others keep their keys.
TEST(OwnModuleTest, TheOtherToolchainsAreAsTheyWere) {
  const auto without = CommittedModule({});
  auto with = CommittedModule({.further = {Committed("lre-cc-zlib"), Committed("lre-protoc")}});

  for (const auto& [path, text] : without) {
    if (path != "lre.bazelrc") {
      EXPECT_EQ(with[path], text) << path;
    }
  }
}

TEST(OwnModuleTest, ToolsAreAToolchainTypeOfTheirOwn) {
  auto files = CommittedModule({.further = {Committed("lre-protoc")}});

  EXPECT_THAT(
      files[kFolder + "lre-protoc/BUILD.bazel"],
      AllOf(HasSubstr("toolchain_type(name = \"toolchain_type\")"),
            HasSubstr("\"protoc\": \"/lre/store/"), HasSubstr("//generated-cc/config:lre")));
  EXPECT_TRUE(files.contains(kFolder + "lre-protoc/tools.bzl"));
  EXPECT_FALSE(files.contains(kFolder + "lre-protoc/cc/BUILD.bazel"));
  EXPECT_THAT(
      files["lre.bazelrc"],
      HasSubstr("--extra_toolchains=@local-remote-execution//generated-lre-protoc:toolchain"));
}

TEST(OwnModuleTest, TheFirstToolchainMayOfferToolsToo) {
  Manifest first = Committed("toolchain");
  first.tools = {{"make", "/lre/store/x/usr/bin/make"}};

  const auto files = Generate(first, {});

  ASSERT_TRUE(files) << files.error().ToString();
  int found = 0;
  for (const GeneratedFile& file : *files) {
    found += file.path == kFolder + "lre-cc/BUILD.bazel" ||
             (file.path == "lre.bazelrc" &&
              file.text.find("generated-lre-cc:toolchain") != std::string::npos);
    EXPECT_NE(file.path, "local-remote-execution/lre-cc.json");
  }
  EXPECT_EQ(found, 2);
}

TEST(OwnModuleTest, ConstraintsOfTheRequestComeAfterThoseOfEveryToolchain) {
  Manifest own = Committed("lre-cc-zlib");
  own.exec_compatible_with = {"@mine//:fast"};
  own.target_compatible_with = {"@mine//:board"};

  auto files = CommittedModule({.further = {own}});

  const std::string& config = files[kFolder + "lre-cc-zlib/config/BUILD.bazel"];
  EXPECT_THAT(config, HasSubstr("\"@platforms//os:linux\",\n        \"@mine//:fast\",\n"));
  EXPECT_THAT(config, HasSubstr("\"@platforms//os:linux\",\n        \"@mine//:board\",\n"));
  EXPECT_THAT(config,
              HasSubstr(":lre-cc-zlib\",\n        \"@mine//:board\",\n    ],\n    parents"));
}

TEST(OwnModuleTest, RefusesWhatWouldLeaveItsQuotes) {
  Manifest own = Committed("lre-protoc");
  own.tools["evil"] = "\" + fail(\"";

  EXPECT_FALSE(Generate(Committed("toolchain"), {.further = {own}}));
  own = Committed("lre-cc-zlib");
  own.target_compatible_with = {"\\"};
  EXPECT_FALSE(Generate(Committed("toolchain"), {.further = {own}}));
}

}  // namespace
}  // namespace lre::toolchain

// What a request says of a toolchain beyond its paths, in the manifest.
#include "toolchain/root/settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"

namespace lre::toolchain {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class SettingsTest : public testing::Test {
 protected:
  SettingsTest() {
    manifest_.name = "mine";
    manifest_.paths = {{.role = "gcc", .path = directory_ / "1-gcc"},
                       {.role = "zlib", .path = directory_ / "2-zlib"}};
    manifest_.cc.emplace();
  }
  TempDir directory_;
  Manifest manifest_;
};

TEST_F(SettingsTest, EveryKindOfFlagGoesWhereItsCommandsAre) {
  manifest_.cc->compile_flags = {"-first"};

  ASSERT_TRUE(AddSettings({.extends = "lre-cc",
                           .compile_flags = {"-I{zlib}/usr/include", "-D{unknown}", "-D{"},
                           .cxx_flags = {"-cxx{gcc}{zlib}"},
                           .link_flags = {"-link"},
                           .link_libs = {"-lz"},
                           .env = {{"ZLIB", "{zlib}/usr"}},
                           .exec_compatible_with = {"@mine//:fast"},
                           .target_compatible_with = {"@mine//:board"}},
                          &manifest_)
                  .ok());

  const std::string gcc = directory_ / "1-gcc", zlib = directory_ / "2-zlib";
  EXPECT_EQ(manifest_.extends, "lre-cc");
  EXPECT_THAT(manifest_.cc->compile_flags,
              ElementsAre("-first", "-I" + zlib + "/usr/include", "-D{unknown}", "-D{"));
  EXPECT_THAT(manifest_.cc->cxx_flags, ElementsAre("-cxx" + gcc + zlib));
  EXPECT_THAT(manifest_.cc->link_flags, ElementsAre("-link"));
  EXPECT_THAT(manifest_.cc->link_libs, ElementsAre("-lz"));
  EXPECT_EQ(manifest_.env.at("ZLIB"), zlib + "/usr");
  EXPECT_THAT(manifest_.exec_compatible_with, ElementsAre("@mine//:fast"));
  EXPECT_THAT(manifest_.target_compatible_with, ElementsAre("@mine//:board"));
}

TEST_F(SettingsTest, AToolIsTakenFromThePathThatTheToolchainIsAbout) {
  for (const char* path : {"1-gcc", "2-zlib"}) {
    ASSERT_TRUE(SystemFiles().MakeDirectories(directory_ / path + "/usr/bin").ok());
    ASSERT_TRUE(WriteFileAtomically(directory_ / path + "/usr/bin/tool", "").ok());
  }

  ASSERT_TRUE(AddSettings({.tools = {"tool"}}, &manifest_).ok());
  const Status missing = AddSettings({.tools = {"none"}}, &manifest_);

  EXPECT_EQ(manifest_.tools.at("tool"), directory_ / "2-zlib/usr/bin/tool");
  EXPECT_THAT(missing.message(), HasSubstr("mine: no path has usr/bin/none"));
}

}  // namespace
}  // namespace lre::toolchain

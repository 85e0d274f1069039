#include "toolchain/root/java_recipe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "digest/digest.h"

namespace lre::toolchain {
namespace {

using testing::HasSubstr;

constexpr std::string_view kPem =
    "-----BEGIN CERTIFICATE-----\nQ2VydGlm\naWNhdGU=\n-----END CERTIFICATE-----\n";

FileTree Jdk() {
  FileTree tree;
  tree["usr/lib/jvm/java-17-openjdk-amd64/bin/java"] = {.content = "ELF", .executable = true};
  tree["usr/lib/jvm/java-1.17.0/bin/java"] = {.content = "x", .symlink = true};
  tree["usr/lib/jvm/java-17-openjdk-amd64/lib/security/cacerts"] = {
      .content = "/etc/ssl/certs/java/cacerts", .symlink = true};
  return tree;
}

TEST(JavaRecipeTest, FindsTheJdkAndNotALinkToIt) {
  EXPECT_EQ(FindJdk(Jdk()), "usr/lib/jvm/java-17-openjdk-amd64");
  EXPECT_EQ(FindJdk({}), std::nullopt);
}

TEST(JavaRecipeTest, ReadsCertificates) {
  EXPECT_EQ(PemToDer(kPem).value(), "Certificate");
  EXPECT_FALSE(PemToDer("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----"));
  EXPECT_FALSE(PemToDer("-----BEGIN CERTIFICATE-----\nQ2Vy"));
  EXPECT_FALSE(PemToDer(""));
}

// What keytool accepts is tried with the real JDK, when `lre sync` tests what it has made.
TEST(JavaRecipeTest, MakesCacertsOfTheAuthoritiesOfThePackage) {
  FileTree tree = Jdk();
  tree["usr/share/ca-certificates/mozilla/Root.crt"] = {.content = std::string(kPem)};

  ASSERT_TRUE(FinishJdk(tree, *FindJdk(tree)).ok());

  const FileNode& cacerts = tree["usr/lib/jvm/java-17-openjdk-amd64/lib/security/cacerts"];
  EXPECT_FALSE(cacerts.symlink);
  EXPECT_TRUE(
      cacerts.content.starts_with(std::string_view("\xfe\xed\xfe\xed\0\0\0\2\0\0\0\1", 12)));
  EXPECT_THAT(cacerts.content, HasSubstr("debian:root.crt"));
  EXPECT_THAT(cacerts.content, HasSubstr("X.509"));
  const std::string body = cacerts.content.substr(0, cacerts.content.size() - 20);
  const std::string password("\0c\0h\0a\0n\0g\0e\0i\0t", 16);
  EXPECT_EQ(cacerts.content.substr(body.size()),
            ComputeDigest(DigestFunction::kSha1, password + "Mighty Aphrodite" + body).hash_view());
}

TEST(JavaRecipeTest, NamesTheCertificateThatCannotBeRead) {
  FileTree tree = Jdk();
  EXPECT_THAT(FinishJdk(tree, *FindJdk(tree)).message(), HasSubstr("ca-certificates"));
  tree["usr/share/ca-certificates/mozilla/Broken.crt"] = {.content = "none"};
  EXPECT_THAT(FinishJdk(tree, *FindJdk(tree)).message(), HasSubstr("Broken.crt"));
}

TEST(JavaRecipeTest, GivesBusyboxTheNamesThatJavaActionsUse) {
  FileTree tree, without;
  tree["usr/bin/busybox"] = {.content = "ELF", .executable = true};

  FinishJavaTools(tree, "usr/lib/tools");
  FinishJavaTools(without, "usr/lib/tools");

  EXPECT_EQ(tree["usr/bin/sh"].content, "/usr/bin/busybox");
  EXPECT_EQ(tree["usr/bin/cp"].content, "/usr/bin/busybox");
  EXPECT_TRUE(without.empty());
}

TEST(JavaRecipeTest, SaysTheNameOfTheRunTimeHalfOfJacocoThatIsThere) {
  const std::string jar = "usr/share/bazel/tools/java_tools/JacocoCoverage_jarjar_deploy.jar";
  FileTree tree, renamed;
  tree[jar] = {.content = "PK org/jacoco/agent/rt/internal/Offline.class PK"};
  renamed[jar] = {.content = "PK org/jacoco/agent/rt/internal_0000/Offline.class PK"};

  FinishJavaTools(tree, "usr/lib/tools");
  FinishJavaTools(renamed, "usr/lib/tools");

  EXPECT_THAT(tree["usr/lib/tools/properties/org/jacoco/core/jacoco.properties"].content,
              HasSubstr("RUNTIMEPACKAGE=org.jacoco.agent.rt.internal\n"));
  EXPECT_EQ(renamed.size(), 1u);
}

TEST(JavaRecipeTest, MakesARepositoryWhoseTestRunnerBringsJUnit) {
  FileTree tree;
  tree["usr/share/java/junit4.jar"] = {.content = "zip"};
  FinishJavaTools(tree, "usr/lib/tools");
  EXPECT_EQ(tree.size(), 1u);

  tree["usr/share/java/hamcrest.jar"] = {.content = "hamcrest-2.2.jar", .symlink = true};
  FinishJavaTools(tree, "usr/lib/tools");

  EXPECT_THAT(tree["usr/lib/tools/BUILD.bazel"].content, HasSubstr("\"junit4.jar\""));
  EXPECT_EQ(tree["usr/lib/tools/junit4.jar"].content, "/usr/share/java/junit4.jar");
  EXPECT_TRUE(tree["usr/lib/tools/hamcrest.jar"].symlink);
}

}  // namespace
}  // namespace lre::toolchain

// What Go and Rust add to the module.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "toolchain/generate/fake_module.h"
#include "toolchain/generate/parts.h"

namespace lre::toolchain {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

std::string Path(std::string_view role) {
  return "/lre/store/" + std::string(32, '1') + "-" + std::string(role);
}

Manifest Compiler() {
  Manifest manifest = {.name = "lre-cc", .system = "x86_64-linux", .lock = "sha256:12"};
  for (const char* role : {"base", "gcc", "libc"})
    manifest.paths.push_back({.role = role, .path = Path(role), .tree = "sha256:ab/1"});
  manifest.cc = CcFacts{.compiler = "gcc",
                        .version = "12.2.0",
                        .sysroot = Path("sysroot"),
                        .tools = {{"gcc", Path("gcc") + "/usr/bin/gcc-12"},
                                  {"g++", Path("gcc") + "/usr/bin/g++-12"},
                                  {"ar", Path("gcc") + "/usr/bin/ar"},
                                  {"ld", Path("gcc") + "/usr/bin/ld"},
                                  {"bash", Path("base") + "/usr/bin/bash"}},
                        .loader = Path("libc") + "/usr/lib/ld.so"};
  return manifest;
}

Manifest Go() {
  Manifest manifest = Compiler();
  manifest.name = "lre-go";
  const std::string root = Path("go") + "/usr/lib/go-1.19";
  manifest.go = GoFacts{.go = Path("go") + "/usr/bin/go",
                        .root = root,
                        .version = "1.19.8",
                        .os = "linux",
                        .architecture = "amd64",
                        .packages = root + "/pkg/linux_amd64"};
  return manifest;
}

Manifest Rust() {
  Manifest manifest = Compiler();
  manifest.name = "lre-rust";
  manifest.rust = RustFacts{.rustc = Path("rust") + "/usr/bin/rustc",
                            .version = "1.63.0",
                            .target = "x86_64-unknown-linux-gnu",
                            .shell = Path("rust") + "/usr/bin/dash"};
  return manifest;
}

std::map<std::string, std::string> Files(std::vector<Manifest> further) {
  return GenerateMap(Compiler(), {.further = std::move(further)});
}

TEST(LanguagesTest, AddFilesAndChangeNoKeyOfOthers) {
  const auto without = Files({}), with = Files({Go(), Rust()});

  std::vector<std::string> changed, added;
  for (const auto& [path, text] : with) {
    if (!without.contains(path))
      added.push_back(path);
    else if (without.at(path) != text)
      changed.push_back(path);
  }
  EXPECT_THAT(changed, ElementsAre("lre.bazelrc", "lre.cmake"));
  EXPECT_EQ(added.size(), 20u);
  EXPECT_THAT(with.at("lre.bazelrc"), HasSubstr("//generated-go/config:all\n"));
  EXPECT_THAT(with.at("lre.bazelrc"), HasSubstr("//generated-rust/config:all\n"));
  EXPECT_THAT(with.at("lre.cmake"), HasSubstr("set(LRE_GO \"" + Go().go->go + "\")\n"));
  EXPECT_THAT(with.at("lre.cmake"), HasSubstr("set(LRE_RUSTC \"" + Rust().rust->rustc + "\")\n"));
}

// Another userland or C compiler re-keys no package of Go and no crate.
TEST(LanguagesTest, NameNoPathButTheirOwnAndTheLibcOfPrograms) {
  const auto files = Files({Go(), Rust()});

  for (const char* path : {"generated-go/go/BUILD.bazel", "generated-rust/rust/BUILD.bazel",
                           "generated-go/go/rules.bzl", "generated-rust/rust/rules.bzl"}) {
    const std::string& text = files.at("local-remote-execution/" + std::string(path));
    EXPECT_THAT(text, Not(HasSubstr(Path("gcc")))) << path;
    EXPECT_THAT(text, Not(HasSubstr(Path("base")))) << path;
  }
  EXPECT_THAT(files.at("local-remote-execution/generated-go/go/BUILD.bazel"),
              HasSubstr("libraries = \"" + Path("libc") + "/usr/lib\",\n"));
}

// It is made without a builder, which would keep the place of an action out of
// what it makes.
TEST(LanguagesTest, TheBuilderOfGoSaysWhereItsOwnSourceLies) {
  for (std::string_view text : {GoBuilderText(), GoTestProgramText()})
    EXPECT_THAT(std::string(text), StartsWith("//line /lre/"));
}

TEST(LanguagesTest, HaveNoRulesWithoutACompiledLibraryOrAShell) {
  Manifest go = Go(), rust = Rust();
  go.go->packages.clear();
  rust.rust->shell.clear();

  for (const auto& [path, text] : Files({go, rust})) {
    EXPECT_THAT(path, Not(HasSubstr("generated-go")));
    EXPECT_THAT(path, Not(HasSubstr("generated-rust")));
  }
}

TEST(LanguagesTest, RefuseWhatNeedsQuotes) {
  Manifest go = Go(), rust = Rust();
  go.go->root += "\"";
  rust.rust->target = "$HOME";

  EXPECT_THAT(Generate(Compiler(), {.further = {go}}).error().message(), HasSubstr("go fact"));
  EXPECT_THAT(Generate(Compiler(), {.further = {rust}}).error().message(), HasSubstr("rust fact"));
}

}  // namespace
}  // namespace lre::toolchain

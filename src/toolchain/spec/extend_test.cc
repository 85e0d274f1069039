#include "toolchain/spec/extend.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lre::toolchain {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::UnorderedElementsAre;

constexpr std::string_view kBase = R"(schema = 1

[archive.debian]
suites = ["bookworm"]

[store.libc]
packages = ["libc6"]

[store.sysroot]
packages = ["libc6-dev"]
references = ["libc"]

[store.binutils]
packages = ["binutils"]
references = ["libc"]

[store.gcc]
packages = ["gcc-12"]
references = ["binutils", "libc", "sysroot"]

[toolchain.cc]
paths = ["binutils", "gcc", "libc", "sysroot"]
)";

Spec Parsed(std::string_view more) {
  const auto spec = ParseSpec(std::string(kBase) + std::string(more));
  EXPECT_TRUE(spec) << spec.error().ToString();
  return spec.value_or(Spec());
}

std::string ErrorOf(std::string_view more) {
  const auto spec = ParseSpec(std::string(kBase) + std::string(more));
  return spec ? "parsed" : spec.error().message();
}

TEST(ExtendTest, AToolchainHasThePathsOfTheOneItExtendsAndItsOwn) {
  const Spec spec = Parsed(R"(
[store.zlib]
packages = ["zlib1g-dev"]
references = ["libc", "sysroot"]

[toolchain.mine]
extends = "cc"
paths = ["zlib"]
libraries = ["zlib"]
)");

  EXPECT_THAT(spec.toolchains.at("mine").paths,
              UnorderedElementsAre("binutils", "gcc", "libc", "sysroot", "zlib"));
  EXPECT_EQ(spec.toolchains.at("mine").settings.extends, "cc");
  EXPECT_THAT(spec.toolchains.at("mine").settings.libraries, ElementsAre("zlib"));
  EXPECT_EQ(spec.store.size(), 5u);
}

TEST(ExtendTest, WhatReferencesAReplacedPathIsMadeAgainstTheNewOne) {
  const Spec spec = Parsed(R"(
[store.binutils-next]
role = "binutils"
packages = ["binutils"]

[toolchain.mine]
extends = "cc"
paths = ["binutils-next"]
)");

  EXPECT_THAT(spec.toolchains.at("mine").paths,
              UnorderedElementsAre("binutils-next", "gcc.mine", "libc", "sysroot"));
  const StoreSpec& gcc = spec.store.at("gcc.mine");
  EXPECT_EQ(gcc.role, "gcc");
  EXPECT_EQ(gcc.label, "gcc");
  EXPECT_THAT(gcc.references, UnorderedElementsAre("binutils-next", "libc", "sysroot"));
  EXPECT_EQ(spec.store.at("binutils-next").label, "binutils-next");
  // The one it extends is as it was.
  EXPECT_THAT(spec.toolchains.at("cc").paths,
              UnorderedElementsAre("binutils", "gcc", "libc", "sysroot"));
  EXPECT_THAT(spec.store.at("gcc").references, UnorderedElementsAre("binutils", "libc", "sysroot"));
}

TEST(ExtendTest, AReplacedPathReachesThroughWhatReferencesIt) {
  const Spec spec = Parsed(R"(
[store.libc-next]
role = "libc"
packages = ["libc6"]

[toolchain.mine]
extends = "cc"
paths = ["libc-next"]
)");

  EXPECT_THAT(spec.toolchains.at("mine").paths,
              UnorderedElementsAre("binutils.mine", "gcc.mine", "libc-next", "sysroot.mine"));
  EXPECT_THAT(spec.store.at("gcc.mine").references,
              UnorderedElementsAre("binutils.mine", "libc-next", "sysroot.mine"));
}

TEST(ExtendTest, ToolchainsThatNeedTheSamePathShareIt) {
  const Spec spec = Parsed(R"(
[store.binutils-next]
role = "binutils"
packages = ["binutils"]

[toolchain.a]
extends = "cc"
paths = ["binutils-next"]

[toolchain.b]
extends = "a"
compile_flags = ["-O1"]
)");

  EXPECT_THAT(spec.toolchains.at("b").paths, testing::ContainerEq(spec.toolchains.at("a").paths));
  EXPECT_THAT(spec.toolchains.at("b").paths, testing::Contains("gcc.a"));
}

TEST(ExtendTest, AStorePathHasWhatItExtendsWithChanges) {
  const Spec spec = Parsed(R"(
[store.sysroot-zlib]
extends = "sysroot"
packages = ["zlib1g-dev"]
remove = ["libc6-dev"]
drop = ["usr/lib/*/libz.so*"]

[store.sysroot-zlib.add.note]
file = "note.txt"
into = "usr/share/note"

[toolchain.mine]
extends = "cc"
paths = ["sysroot-zlib"]
)");

  const StoreSpec& store = spec.store.at("sysroot-zlib");
  EXPECT_EQ(store.role, "sysroot");
  EXPECT_THAT(store.packages, ElementsAre("zlib1g-dev"));
  EXPECT_THAT(store.references, ElementsAre("libc"));
  ASSERT_EQ(store.extras.size(), 1u);
  EXPECT_EQ(store.extras[0].kind, ExtraKind::kFile);
  EXPECT_EQ(store.extras[0].into, "usr/share/note");
  EXPECT_THAT(spec.store.at("gcc.mine").references, testing::Contains("sysroot-zlib"));
}

TEST(ExtendTest, SettingsAreThoseOfTheBaseAndThenItsOwn) {
  const Spec spec = Parsed(R"(
[toolchain.a]
extends = "cc"
compile_flags = ["-A", "-A"]
env = { X = "a", Y = "a" }
remove = ["binutils"]

[toolchain.b]
extends = "a"
compile_flags = ["-B{gcc}/b"]
env = { X = "{libc}" }
target_compatible_with = ["@platforms//os:linux"]
)");

  const ToolchainSettings& settings = spec.toolchains.at("b").settings;
  EXPECT_THAT(settings.compile_flags, ElementsAre("-A", "-A", "-B{gcc}/b"));
  EXPECT_EQ(settings.env.at("X"), "{libc}");
  EXPECT_EQ(settings.env.at("Y"), "a");
  EXPECT_THAT(settings.target_compatible_with, ElementsAre("@platforms//os:linux"));
  EXPECT_THAT(spec.toolchains.at("b").paths, UnorderedElementsAre("gcc", "libc", "sysroot"));
}

TEST(ExtendTest, SaysWhatIsNotThereOrGoesInCircles) {
  EXPECT_THAT(ErrorOf("[toolchain.a]\nextends = \"ccc\"\n"),
              HasSubstr("toolchain.a extends ccc, which is not there, did you mean \"cc\"?"));
  EXPECT_THAT(ErrorOf("[toolchain.a]\nextends = \"b\"\n[toolchain.b]\nextends = \"a\"\n"),
              HasSubstr("extends itself: a -> b -> a"));
  EXPECT_THAT(ErrorOf("[store.a]\nextends = \"a\"\n"), HasSubstr("store.a extends itself"));
  EXPECT_THAT(ErrorOf("[store.a]\nextends = \"gcc\"\nremove = [\"cpp\"]\n"),
              HasSubstr("store.a removes cpp, which gcc does not have"));
  EXPECT_THAT(ErrorOf("[toolchain.a]\nextends = \"cc\"\nremove = [\"base\"]\n"),
              HasSubstr("toolchain.a removes role base, which cc lacks"));
  EXPECT_THAT(ErrorOf("[toolchain.a]\nextends = \"cc\"\nlibraries = [\"zlib\"]\n"),
              HasSubstr("toolchain.a has no path with role zlib"));
  EXPECT_THAT(ErrorOf("[toolchain.a]\nextends = \"cc\"\nlink_flags = [\"-L{zlib}\"]\n"),
              HasSubstr("toolchain.a has no path with role zlib"));
  EXPECT_THAT(ErrorOf("[store.l2]\nrole = \"libc\"\npackages = [\"libc6\"]\n"
                      "[toolchain.a]\npaths = [\"libc\", \"l2\"]\n"),
              HasSubstr("l2 has role libc, as another has"));
  EXPECT_THAT(ErrorOf("[toolchain.a]\npaths = [\"libc\"]\nremove = [\"libc\"]\n"),
              HasSubstr("only what extends another can"));
}

TEST(ExtendTest, RefusesAVariableThatAShellWouldTakeForACommand) {
  for (const char* name : {"A B", "A;B", "1A", "A-B", ""}) {
    EXPECT_THAT(
        ErrorOf(fmt::format("[toolchain.a]\nextends = \"cc\"\nenv = {{ \"{}\" = \"x\" }}\n", name)),
        HasSubstr(fmt::format("\"{}\" is no name of a variable", name)));
  }
}

TEST(ExtendTest, SaysWhatIsWrongWithWhatIsAdded) {
  const auto error = [](std::string_view table) {
    return ErrorOf("[store.x.add.y]\n" + std::string(table));
  };

  EXPECT_THAT(error(""), HasSubstr("says none of deb, tar, file, patch, oci and nix"));
  EXPECT_THAT(error("deb = \"a.deb\"\ntar = \"b\"\n"), HasSubstr("only one of"));
  EXPECT_THAT(error("deb = \"../a.deb\"\n"), HasSubstr("neither a path below this folder"));
  EXPECT_THAT(error("tar = \"https://x/y.tar\"\n"), HasSubstr("which a URL must have"));
  EXPECT_THAT(error("tar = \"y.tar\"\nsha256 = \"12\"\n"), HasSubstr("64 lower-case"));
  EXPECT_THAT(error("file = \"y\"\n"), HasSubstr("x.add.y.into"));
  EXPECT_THAT(error("oci = \"oci://host/tool:latest\"\n"), HasSubstr("named by its digest"));
  EXPECT_THAT(error("tar = \"t.tar\"\ninclude = [\"x\"]\n"), HasSubstr("include"));
  EXPECT_THAT(error("nix = \"/nix/store/hello\"\nfrom = \"x\"\n"), HasSubstr("/<hash>-<name>"));
  const std::string nix = "nix = \"/nix/store/0c5b8vw40dy178xlpddw65q9gf1h2186-hello\"\n";
  EXPECT_THAT(error(nix), HasSubstr("x.add.y.from"));
  EXPECT_THAT(error(nix + "from = \"https://cache\"\n"), HasSubstr("must be signed"));
  EXPECT_THAT(error(nix + "from = \"cache\"\nkeys = [\"k\"]\n"), HasSubstr("no public key"));
  EXPECT_THAT(error("file = \"y\"\ninto = \"/etc/y\"\n"), HasSubstr("a path in the tree"));
  EXPECT_THAT(error("tar = \"y.tar\"\nstrip = 99\n"), HasSubstr("0 to 16"));
  EXPECT_THAT(error("tar = \"y.tar\"\nstirp = 1\n"), HasSubstr("did you mean \"strip\"?"));
}

TEST(ExtendTest, AToolchainForAnotherSystemHasEachPathOnceMore) {
  const Spec spec = Parsed(R"(
[toolchain.cc-aarch64]
extends = "cc"
system = "aarch64-linux"
)");

  EXPECT_THAT(
      spec.toolchains.at("cc-aarch64").paths,
      UnorderedElementsAre("binutils.aarch64", "gcc.aarch64", "libc.aarch64", "sysroot.aarch64"));
  const StoreSpec& gcc = spec.store.at("gcc.aarch64");
  EXPECT_EQ(gcc.role, "gcc");
  EXPECT_EQ(gcc.label, "gcc");
  EXPECT_EQ(gcc.system, "aarch64-linux");
  EXPECT_THAT(gcc.references, ElementsAre("binutils.aarch64", "libc.aarch64", "sysroot.aarch64"));
  EXPECT_EQ(spec.store.at("gcc").system, "");
  EXPECT_THAT(spec.toolchains.at("cc").paths,
              UnorderedElementsAre("binutils", "gcc", "libc", "sysroot"));
}

TEST(ExtendTest, WhatProgramsAreLinkedWithIsOfTheSystemTheyAreFor) {
  const Spec spec = Parsed(R"(
[store.zlib]
packages = ["zlib1g-dev"]
references = ["libc", "sysroot"]

[toolchain.cross]
extends = "cc"
target = "aarch64-linux"
paths = ["zlib"]
libraries = ["zlib"]
)");

  EXPECT_THAT(
      spec.toolchains.at("cross").paths,
      UnorderedElementsAre("binutils", "gcc", "libc.aarch64", "sysroot.aarch64", "zlib.aarch64"));
  EXPECT_EQ(spec.toolchains.at("cross").settings.target, "aarch64-linux");
  EXPECT_FALSE(spec.store.contains("gcc.aarch64"));
}

TEST(ExtendTest, NamesASystemThatIsNone) {
  EXPECT_THAT(ErrorOf("[toolchain.x]\nextends = \"cc\"\nsystem = \"riscv64-linux\"\n"),
              HasSubstr("none of x86_64-linux, aarch64-linux"));
  EXPECT_THAT(ErrorOf("[store.\"libc.aarch64\"]\npackages = [\"libc6\"]\n"
                      "[toolchain.x]\nextends = \"cc\"\nsystem = \"aarch64-linux\"\n"),
              HasSubstr("a path of its own named libc.aarch64, which is there"));
}

}  // namespace
}  // namespace lre::toolchain

#include "toolchain/spec/spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/source_path.h"
#include "toolchain/spec/toml_reader.h"

namespace lre::toolchain {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::string_view kSpec = R"(schema = 1
ignore = ["debconf"]

[archive.debian]
suites = ["bookworm", "bookworm-security"]

[store.libc]
packages = ["libc6", "libstdc++6"]

[store.gcc]
packages = ["gcc-12"]
references = ["libc"]

[toolchain.lre-cc]
paths = ["gcc"]
)";

std::string Replaced(std::string_view from, std::string_view to) {
  std::string text(kSpec);
  text.replace(text.find(from), from.size(), to);
  return text;
}

std::string ErrorOf(std::string_view text) {
  const auto spec = ParseSpec(text);
  if (spec) return "parsed";
  EXPECT_EQ(spec.error().code(), Code::kInvalidArgument);
  return spec.error().message();
}

TEST(SpecTest, ReadsArchivesRolesAndToolchains) {
  const auto spec = ParseSpec(kSpec);

  ASSERT_TRUE(spec) << spec.error().ToString();
  ASSERT_EQ(spec->archives.size(), 1u);
  EXPECT_EQ(spec->archives[0].name, "debian");
  EXPECT_THAT(spec->archives[0].suites, ElementsAre("bookworm", "bookworm-security"));
  EXPECT_THAT(spec->archives[0].components, ElementsAre("main"));
  EXPECT_THAT(spec->store.at("libc").packages, ElementsAre("libc6", "libstdc++6"));
  EXPECT_THAT(spec->store.at("gcc").references, ElementsAre("libc"));
  EXPECT_THAT(spec->toolchains.at("lre-cc").paths, ElementsAre("gcc"));
  EXPECT_THAT(spec->ignore, ElementsAre("debconf"));
  EXPECT_EQ(spec->prefer, Preference::kFirstSuite);
}

TEST(SpecTest, AnArchiveThatAStorePathNamesServesNobodyElse) {
  std::string text =
      Replaced("[store.libc]",
               "[archive.next]\ndistribution = \"debian\"\nsuites = [\"trixie\"]\n\n"
               "[store.tool]\narchives = [\"next\"]\npackages = [\"tool\"]\n\n[store.libc]");

  const auto spec = ParseSpec(text);

  ASSERT_TRUE(spec) << spec.error().ToString();
  const auto own = ArchivesOf(*spec, spec->store.at("tool"));
  const auto others = ArchivesOf(*spec, spec->store.at("libc"));
  ASSERT_EQ(own.size(), 1u);
  EXPECT_EQ(own[0]->name, "next");
  EXPECT_EQ(own[0]->distribution, "debian");
  ASSERT_EQ(others.size(), 1u);
  EXPECT_EQ(others[0]->name, "debian");
}

TEST(SpecTest, RefusesReferencesBetweenPathsOfDifferentArchives) {
  EXPECT_THAT(ErrorOf(Replaced("references = [\"libc\"]",
                               "references = [\"libc\"]\narchives = [\"debian\"]")),
              HasSubstr("store.libc takes its packages from other archives"));
  EXPECT_THAT(ErrorOf(Replaced("references = [\"libc\"]", "archives = [\"debain\"]")),
              HasSubstr("no archive.debain, did you mean \"debian\""));
}

TEST(SpecTest, KeepsTheOrderOfArchivesInTheFile) {
  const auto spec = ParseSpec(std::string(kSpec) +
                              "[archive.apple]\nsuites = [\"own\"]\nmirrors = [\"file:///a/\"]\n");

  ASSERT_TRUE(spec) << spec.error().ToString();
  ASSERT_EQ(spec->archives.size(), 2u);
  EXPECT_EQ(spec->archives[0].name, "debian");
  EXPECT_EQ(spec->archives[1].name, "apple");
  EXPECT_THAT(spec->archives[1].mirrors, ElementsAre("file:///a"));
}

TEST(SpecTest, AKeyringMayLieInTheProject) {
  const auto spec = ParseSpec(std::string(kSpec) +
                              "[archive.own]\nsuites = [\"own\"]\nmirrors = [\"file:///a\"]\n"
                              "keyring = \"keys/own.gpg\"\n");

  ASSERT_TRUE(spec) << spec.error().ToString();
  EXPECT_EQ(AtFolder(*spec, "/project").archives[1].keyring, "/project/keys/own.gpg");
  EXPECT_EQ(AtFolder(*spec, "/project").archives[0].keyring, "");
  EXPECT_THAT(
      ErrorOf(Replaced("[store.libc]", "keyring = \"../own.gpg\"\n[store.libc]")),
      HasSubstr("archive.debian.keyring: neither an absolute path nor one below this folder"));
}

TEST(SpecTest, NamesTheNearestKnownKeyAndTheLineOfAnUnknownOne) {
  EXPECT_EQ(ErrorOf(Replaced("references =", "refernces =")),
            "lre.toml:12: store.gcc.refernces: unknown key, did you mean \"references\"?");
  EXPECT_EQ(ErrorOf(Replaced("[store.libc]", "[stroe.libc]")),
            "lre.toml:7: stroe: unknown key, did you mean \"store\"?");
  EXPECT_EQ(ErrorOf(Replaced("ignore =", "zebra =")), "lre.toml:2: zebra: unknown key");
}

TEST(SpecTest, NamesTheNearestRoleForAnUnknownOne) {
  EXPECT_EQ(ErrorOf(Replaced("paths = [\"gcc\"]", "paths = [\"gc\"]")),
            "lre.toml:15: toolchain.lre-cc.paths: no store.gc, did you mean \"gcc\"?");
  EXPECT_EQ(ErrorOf(Replaced("references = [\"libc\"]", "references = [\"libd\"]")),
            "lre.toml:12: store.gcc.references: no store.libd, did you mean \"libc\"?");
}

TEST(SpecTest, RefusesReferenceCyclesAndSpellsThemOut) {
  EXPECT_THAT(ErrorOf(Replaced("[store.gcc]", "references = [\"gcc\"]\n[store.gcc]")),
              HasSubstr("reference cycle: gcc -> libc -> gcc"));
  EXPECT_THAT(ErrorOf(Replaced("references = [\"libc\"]", "references = [\"gcc\"]")),
              HasSubstr("reference cycle: gcc -> gcc"));
}

TEST(SpecTest, RefusesWhatIsMissingOrOfTheWrongTypeByLine) {
  EXPECT_EQ(ErrorOf(Replaced("packages = [\"gcc-12\"]\n", "")),
            "lre.toml:10: store.gcc.packages: missing");
  EXPECT_EQ(ErrorOf(Replaced("packages = [\"gcc-12\"]", "packages = \"gcc-12\"")),
            "lre.toml:11: store.gcc.packages: expected an array of strings");
  EXPECT_EQ(ErrorOf(Replaced("packages = [\"gcc-12\"]", "packages = []")),
            "lre.toml:11: store.gcc.packages: must not be empty");
  EXPECT_EQ(ErrorOf(Replaced("[\"gcc-12\"]", "[\"gcc-12\", \"gcc-12\"]")),
            "lre.toml:11: store.gcc.packages: \"gcc-12\" stands there twice");
  EXPECT_EQ(ErrorOf(Replaced("\"gcc-12\"", "\"GCC 12\"")),
            "lre.toml:11: store.gcc.packages: \"GCC 12\" is not the name of a package");
  EXPECT_EQ(ErrorOf(Replaced("schema = 1", "schema = 2")),
            "lre.toml:1: schema: 2 is not the schema this lre reads (1)");
  EXPECT_EQ(ErrorOf(Replaced("schema = 1", "schema = \"1\"")),
            "lre.toml:1: schema: expected a whole number");
  EXPECT_EQ(ErrorOf("schema = 1\n"), "lre.toml:1: archive: missing");
  EXPECT_EQ(ErrorOf(""), "lre.toml:1: schema: missing");
}

TEST(SpecTest, RefusesTextThatIsNotToml) {
  EXPECT_THAT(ErrorOf(Replaced("[\"gcc-12\"]", "[\"gcc-12\"")), HasSubstr("lre.toml:1"));
  EXPECT_THAT(ErrorOf(std::string(kSpec) + "[store.gcc]\n"), HasSubstr("lre.toml:16"));
  EXPECT_THAT(ErrorOf(std::string("schema = 1 \xff")), HasSubstr("lre.toml:1"));
}

TEST(SpecTest, NamesTheLineWhereGitLeftAMergeUndecided) {
  EXPECT_EQ(
      ErrorOf(Replaced("\"gcc-12\"", "\"gcc-12\",\n<<<<<<< HEAD\n\"a\",\n=======\n>>>>>>> b\n")),
      "lre.toml:12: git left a merge undecided here");
  // What only looks like one is none.
  EXPECT_EQ(ErrorOf(Replaced("ignore =", "# <<<<<<< HEAD\nignore =")), "parsed");
}

TEST(SpecTest, RefusesSuitesThatCouldLeaveTheArchive) {
  EXPECT_THAT(ErrorOf(Replaced("\"bookworm\"", "\"../../etc\"")),
              HasSubstr("is not a name in an archive"));
  EXPECT_THAT(ErrorOf(Replaced("\"bookworm\"", "\"/etc\"")),
              HasSubstr("is not a name in an archive"));
}

TEST(SpecTest, RefusesToIgnoreWhatIsAskedFor) {
  EXPECT_EQ(ErrorOf(Replaced("\"debconf\"", "\"gcc-12\"")),
            "lre.toml:11: store.gcc.packages: \"gcc-12\" is asked for, and in ignore as well");
}

TEST(SpecTest, RefusesASuiteThatTwoArchivesClaim) {
  EXPECT_EQ(ErrorOf(std::string(kSpec) + "[archive.other]\nsuites = [\"bookworm\"]\n"),
            "lre.toml:17: archive.other.suites: \"bookworm\" is also in archive.debian");
}

TEST(SpecTest, RefusesMoreTextThanItsBound) {
  const std::string text = std::string(kSpec) + std::string(TomlDocument::kTextBytesMax, '\n');

  EXPECT_THAT(ErrorOf(text), HasSubstr("are more than"));
}

TEST(SpecTest, RefusesMoreRolesThanItsBound) {
  std::map<std::string, std::vector<std::string>> references;
  for (size_t i = 0; i <= kRolesMax; ++i) references["r" + std::to_string(i)];

  EXPECT_FALSE(OrderRoles(references, {"r0"}));
  references.erase("r0");
  EXPECT_TRUE(OrderRoles(references, {"r1"}));
}

TEST(SpecTest, OrdersRolesSoThatReferencesComeFirst) {
  const auto ordered = OrderRoles({{"a", {"c", "b"}}, {"b", {"c"}}, {"c", {}}, {"d", {}}}, {"a"});

  ASSERT_TRUE(ordered);
  EXPECT_THAT(*ordered, ElementsAre("c", "b", "a"));
}

TEST(SpecTest, ExplainsItselfInWords) {
  const auto spec = ParseSpec(kSpec);

  ASSERT_TRUE(spec);
  const std::string text = ExplainSpec(*spec);
  EXPECT_THAT(text, HasSubstr("toolchain lre-cc: gcc"));
  EXPECT_THAT(text,
              HasSubstr("store path gcc: gcc-12 and what they need, without what libc holds"));
  EXPECT_THAT(text, HasSubstr("from the mirrors of this machine's apt"));
}

TEST(SpecTest, ReadsTheRequestOfThisRepository) {
  const auto text = ReadFile(SourcePath("lre.toml"));
  ASSERT_TRUE(text);

  const auto spec = ParseSpec(*text);

  ASSERT_TRUE(spec) << spec.error().ToString();
  EXPECT_THAT(spec->toolchains.at("lre-cc").paths,
              testing::UnorderedElementsAre("base", "binutils", "gcc", "libc", "sysroot"));
}

TEST(NearestNameTest, FindsSlipsOfTheKeyboardOnly) {
  EXPECT_EQ(NearestName("gcc-21", {"gcc-11", "gcc-12"}), "gcc-11");
  EXPECT_EQ(NearestName("refernces", {"packages", "references"}), "references");
  EXPECT_EQ(NearestName("zebra", {"packages", "references"}), "");
  EXPECT_EQ(NearestName("", {"packages"}), "");
  EXPECT_EQ(NearestName(std::string(100000, 'a'), {"packages"}), "");
}

}  // namespace
}  // namespace lre::toolchain

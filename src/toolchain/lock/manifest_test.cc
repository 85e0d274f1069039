#include "toolchain/lock/manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "base/file.h"
#include "base/random.h"
#include "base/source_path.h"

namespace lre::toolchain {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Manifest Example() {
  Manifest manifest = {
      .name = "lre-cc", .system = "x86_64-linux", .lock = "sha256:12", .recipe = "debian/1"};
  manifest.paths = {
      {.role = "libc", .path = "/lre/store/aa-libc", .tree = "sha256:ab/1", .size_bytes = 7},
      {.role = "gcc",
       .path = "/lre/store/bb-gcc",
       .tree = "sha256:cd/2",
       .size_bytes = 1ull << 40,
       .references = {"/lre/store/aa-libc"},
       .packages = {"gcc-12=12.2.0-14"}}};
  manifest.env = {{"PATH", "/lre/store/bb-gcc/usr/bin"}, {"CC", "gcc \"quoted\"\n"}};
  manifest.cc = {.compiler = "gcc",
                 .version = "12.2.0",
                 .tools = {{"ld", "/x/ld"}},
                 .builtin_includes = {"/b", "/a"}};
  manifest.java = {.home = "/jdk", .major = 17};
  return manifest;
}

std::string Replaced(std::string text, std::string_view from, std::string_view to) {
  size_t at = text.find(from);
  EXPECT_NE(at, text.npos) << from;
  return text.replace(at, from.size(), to);
}

TEST(Manifest, ReadsBackWhatItPrints) {
  Manifest manifest = Example();

  EXPECT_EQ(ParseManifest(PrintManifest(manifest)).value(), manifest);
}

TEST(Manifest, ReadsBackAnotherCxxLibrary) {
  Manifest manifest = Example();
  EXPECT_THAT(PrintManifest(manifest), Not(HasSubstr("libcxx")));
  manifest.cc->libcxx = {.compile_flags = {"-nostdinc++"}, .link_libs = {"/x/libc++.a", "-lm"}};

  EXPECT_EQ(ParseManifest(PrintManifest(manifest)).value(), manifest);
  EXPECT_THAT(ParseManifest(Replaced(PrintManifest(manifest), "\"link_libs\": [\n        \"/x",
                                     "\"lnk_libs\": [\n        \"/x"))
                  .error()
                  .message(),
              HasSubstr("cc.libcxx.link_libs is missing"));
}

TEST(Manifest, ReadsBackOneWithoutCompilers) {
  Manifest manifest = {.name = "tools"};

  EXPECT_EQ(ParseManifest(PrintManifest(manifest)).value(), manifest);
}

TEST(Manifest, ReadsBackGoAndRust) {
  Manifest manifest = {.name = "both"};
  manifest.go = {.root = "/go", .version = "1.19.8", .os = "linux", .packages = "/go/pkg"};
  manifest.rust = {.rustc = "/rustc", .version = "1.63.0", .target = "x86_64-unknown-linux-gnu"};
  const std::string text = PrintManifest(manifest);

  EXPECT_EQ(ManifestSchema(manifest), 2);
  EXPECT_EQ(ParseManifest(text).value(), manifest);
  EXPECT_THAT(ParseManifest(Replaced(text, "\"root\"", "\"rot\"")).error().message(),
              HasSubstr("go.root is missing"));
  EXPECT_THAT(ParseManifest(Replaced(text, "\"rustc\":", "\"rusty\":")).error().message(),
              HasSubstr("rust.rustc is missing"));
}

// What older versions wrote keeps its bytes, which are inputs of builds.
TEST(Manifest, IsOfTheFirstSchemaUntilItSaysMore) {
  Manifest manifest = Example();
  EXPECT_THAT(PrintManifest(manifest), HasSubstr("\"schema\": 1,"));
  for (const char* key : {"extends", "protoc", "compatible_with"})
    EXPECT_THAT(PrintManifest(manifest), Not(HasSubstr(key)));

  manifest.extends = "lre-cc";
  manifest.tools = {{"protoc", "/lre/store/aa-protoc/usr/bin/protoc"}};
  manifest.exec_compatible_with = {"@platforms//os:linux"};
  manifest.target_compatible_with = {"//:mine"};

  EXPECT_THAT(PrintManifest(manifest), HasSubstr("\"schema\": 2,"));
  EXPECT_EQ(ParseManifest(PrintManifest(manifest)).value(), manifest);
}

// Of the first schema and of the second: whoever reads and writes them changes no byte.
TEST(Manifest, ReadsThoseOfThisRepositoryAndDoesNotChangeThem) {
  for (const auto& [name, schema] :
       {std::pair{"toolchain", 1}, {"lre-java", 1}, {"lre-cc-zlib", 2}, {"lre-protoc", 2}}) {
    const std::string text =
        ReadFile(SourcePath(fmt::format("local-remote-execution/{}.json", name))).value();

    const auto manifest = ParseManifest(text);

    ASSERT_TRUE(manifest) << manifest.error().ToString();
    EXPECT_EQ(ManifestSchema(*manifest), schema) << name;
    EXPECT_EQ(PrintManifest(*manifest), text) << name;
  }
}

TEST(Manifest, PrintsSortedKeysAndAFinalNewline) {
  std::string text = PrintManifest(Example());

  EXPECT_TRUE(text.starts_with("{\n  \"cc\": {\n"));
  EXPECT_LT(text.find("\"env\""), text.find("\"java\""));
  EXPECT_TRUE(text.ends_with("}\n"));
}

TEST(Manifest, FindsPathsByRole) {
  Manifest manifest = Example();

  ASSERT_NE(manifest.Find("gcc"), nullptr);
  EXPECT_EQ(manifest.Find("gcc")->path, "/lre/store/bb-gcc");
  EXPECT_EQ(manifest.Find("jdk"), nullptr);
}

TEST(Manifest, NamesTheKeyThatIsMissingUnknownOrOfTheWrongType) {
  std::string text = PrintManifest(Example());
  auto message = [](const std::string& text) { return ParseManifest(text).error().message(); };

  EXPECT_THAT(message(Replaced(text, "\"lock\"", "\"lokc\"")), HasSubstr("lock is missing"));
  EXPECT_THAT(message(Replaced(text, "\"name\"", "\"extra\": 1, \"name\"")),
              HasSubstr("extra is unknown"));
  EXPECT_THAT(message(Replaced(text, "\"role\": \"gcc\"", "\"role\": 3")),
              HasSubstr("paths[1].role is not a string"));
  EXPECT_THAT(message(Replaced(text, "\"size_bytes\": 7", "\"size_bytes\": -7")),
              HasSubstr("paths[0].size_bytes"));
  EXPECT_THAT(message(Replaced(text, "\"major\": 17", "\"major\": 99999999999")),
              HasSubstr("java.major"));
  Manifest with_env = Example();
  with_env.env["A B"] = "x";
  EXPECT_THAT(message(PrintManifest(with_env)), HasSubstr("env has a name that is no variable's"));
  EXPECT_THAT(message("[]"), HasSubstr("schema"));
  EXPECT_THAT(message("{"), HasSubstr("not JSON"));
  EXPECT_THAT(message("{\n<<<<<<< HEAD\n"), HasSubstr("line 2: git left a merge undecided"));
}

TEST(Manifest, SaysThatANewerSchemaIsNewer) {
  std::string text = Replaced(PrintManifest(Example()), "\"schema\": 1", "\"schema\": 3");

  EXPECT_THAT(ParseManifest(text).error().message(), HasSubstr("newer"));
}

TEST(Manifest, SurvivesMutatedText) {
  uint64_t seed = std::random_device{}();
  SCOPED_TRACE(seed);
  Random random(seed);
  const std::string text = PrintManifest(Example());
  for (int round = 0; round < 3000; ++round) {
    std::string mutated = text;
    for (uint64_t i = 1 + random.Below(3); i-- > 0;)
      mutated[random.Below(mutated.size())] = static_cast<char>(random.Next());
    auto manifest = ParseManifest(mutated);
    if (manifest) {
      EXPECT_EQ(ParseManifest(PrintManifest(*manifest)).value().paths.size(),
                manifest->paths.size());
    }
  }
}

TEST(Manifest, ReadsBackWhatItBuildsFor) {
  Manifest manifest = Example();
  EXPECT_EQ(manifest.Target(), "x86_64-linux");
  EXPECT_THAT(PrintManifest(manifest), Not(HasSubstr("aarch64")));
  manifest.target = "aarch64-linux";
  manifest.paths.push_back({.role = "libc.aarch64", .path = "/lre/store/cc-libc"});

  EXPECT_EQ(ParseManifest(PrintManifest(manifest)).value(), manifest);
  EXPECT_EQ(ManifestSchema(manifest), 2);
  EXPECT_EQ(manifest.FindForTarget("libc")->path, "/lre/store/cc-libc");
  EXPECT_EQ(manifest.FindForTarget("gcc"), manifest.Find("gcc"));
}

}  // namespace
}  // namespace lre::toolchain

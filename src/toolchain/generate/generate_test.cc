#include "toolchain/generate/generate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <set>
#include <string>

#include "base/file.h"
#include "base/source_path.h"
#include "toolchain/generate/fake_module.h"
#include "toolchain/generate/parts.h"

namespace lre::toolchain {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

std::string Hash(char c) { return "/lre/store/" + std::string(32, c); }

Manifest SmallManifest() {
  std::string libc = Hash('1') + "-libc", sysroot = Hash('2') + "-sysroot";
  std::string binutils = Hash('3') + "-binutils", gcc = Hash('4') + "-gcc",
              base = Hash('5') + "-base";
  auto tree = [](char c) { return "sha256:" + std::string(64, c) + "/82"; };
  Manifest manifest;
  manifest.name = "lre-cc";
  manifest.system = "x86_64-linux";
  manifest.lock = "sha256:" + std::string(64, 'a');
  manifest.recipe = "debian/1";
  manifest.paths = {
      {"libc", libc, tree('1'), 100, {}, {"libc6=2.36-9"}},
      {"sysroot", sysroot, tree('2'), 200, {libc}, {"libc6-dev=2.36-9"}},
      {"binutils", binutils, tree('3'), 300, {libc}, {"binutils=2.40-2"}},
      {"gcc", gcc, tree('4'), 400, {binutils, libc, sysroot}, {"gcc-12=12.2.0-14"}},
      {"base", base, tree('5'), 500, {libc}, {"bash=5.2.15-2"}},
  };
  manifest.env = {{"CC", gcc + "/usr/bin/gcc-12"}, {"PATH", gcc + "/usr/bin:" + base + "/bin"}};
  CcFacts cc;
  cc.compiler = "gcc";
  cc.version = "12.2.0";
  cc.target = "x86_64-linux-gnu";
  cc.libc = "glibc_2.36";
  cc.sysroot = sysroot;
  cc.tools = {{"gcc", gcc + "/usr/bin/gcc-12"}, {"g++", gcc + "/usr/bin/g++-12"},
              {"ar", binutils + "/usr/bin/ar"}, {"ld", binutils + "/usr/bin/ld.bfd"},
              {"bash", base + "/usr/bin/bash"}, {"strip", binutils + "/usr/bin/strip"}};
  cc.builtin_includes = {gcc + "/usr/lib/gcc/x86_64-linux-gnu/12/include",
                         sysroot + "/usr/include"};
  cc.compile_flags = {"-fdiagnostics-color=never"};
  cc.link_libs = {"-lstdc++", "-lm"};
  cc.loader = libc + "/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2";
  cc.library_paths = {libc + "/usr/lib/x86_64-linux-gnu"};
  manifest.cc = cc;
  return manifest;
}

Manifest JavaManifest() {
  const Manifest base = SmallManifest();
  std::string jdk = Hash('7') + "-jdk", tools = Hash('8') + "-java-tools/";
  Manifest manifest;
  manifest.name = "lre-java";
  manifest.system = base.system;
  manifest.lock = base.lock;
  manifest.recipe = base.recipe;
  manifest.paths = {{"jdk", jdk, "sha256:" + std::string(64, '7') + "/82", 1, {}, {}}};
  manifest.java = {.home = jdk + "/usr/lib/jvm/java-17", .major = 17, .version = "17.0.13"};
  for (const char* tool : {"GenClass", "Jacoco", "JavaBuilder", "Runner", "Turbine", "cp", "ijar",
                           "repository", "sh", "singlejar"})
    manifest.java->tools[tool] = tools + tool;
  return manifest;
}

Manifest ClangManifest() {
  Manifest manifest = SmallManifest();
  manifest.name = "lre-clang";
  std::string clang = Hash('c') + "-clang", libcxx = Hash('d') + "-libcxx",
              tools = Hash('e') + "-llvm-tools";
  manifest.paths[3] = {"clang", clang, "sha256:" + std::string(64, 'c') + "/82", 400, {}, {}};
  manifest.paths.push_back({"libcxx", libcxx, "sha256:" + std::string(64, 'd') + "/82", 1, {}, {}});
  manifest.paths.push_back(
      {"llvm-tools", tools, "sha256:" + std::string(64, 'e') + "/82", 1, {}, {}});
  CcFacts& cc = *manifest.cc;
  cc.compiler = "clang";
  cc.version = "16.0.6";
  cc.tools.erase("gcc");
  cc.tools.erase("g++");
  cc.tools["clang"] = clang + "/usr/lib/llvm-16/bin/clang";
  cc.tools["clang++"] = clang + "/usr/lib/llvm-16/bin/clang++";
  cc.tools["gcov"] = cc.tools["llvm-cov"] = tools + "/usr/lib/llvm-16/bin/llvm-cov";
  cc.tools["llvm-profdata"] = tools + "/usr/lib/llvm-16/bin/llvm-profdata";
  cc.builtin_includes = {clang + "/usr/lib/llvm-16/lib/clang/16/include",
                         manifest.cc->sysroot + "/usr/include", libcxx + "/include/c++/v1"};
  cc.compile_flags = {};
  cc.libcxx = {.compile_flags = {"-nostdinc++", "-isystem", libcxx + "/include/c++/v1"},
               .link_libs = {libcxx + "/lib/libc++.a", "-lm"}};
  return manifest;
}

Manifest PythonManifest() {
  Manifest manifest = JavaManifest();
  manifest.name = "lre-py";
  manifest.java.reset();
  std::string python = Hash('9') + "-python";
  manifest.paths = {{"python", python, "sha256:" + std::string(64, '9') + "/82", 1, {}, {}}};
  manifest.python = {.interpreter = python + "/usr/bin/python3.11",
                     .version = "3.11.2",
                     .include_dirs = {python + "/usr/include/python3.11"}};
  return manifest;
}

// Compares with test/golden/generate/NAME.golden; LRE_GOLDEN_ACCEPT=1 writes it instead. The suffix
// keeps Bazel from taking a golden BUILD.bazel for a package of this repository.
void ExpectGolden(const std::string& name, const std::string& text) {
  std::string path = SourcePath("test/golden/generate/" + name + ".golden");
  if (std::getenv("LRE_GOLDEN_ACCEPT") != nullptr) {
    ASSERT_TRUE(SystemFiles().MakeDirectories(path.substr(0, path.rfind('/'))).ok());
    ASSERT_TRUE(WriteFileAtomically(path, text).ok());
    return;
  }
  auto golden = ReadFile(path);
  ASSERT_TRUE(golden) << golden.error().ToString() << "; LRE_GOLDEN_ACCEPT=1 writes it";
  EXPECT_EQ(*golden, text) << path << "; LRE_GOLDEN_ACCEPT=1 accepts the change";
}

TEST(GenerateTest, WritesEveryFileAsTheGoldenOnesSay) {
  auto files = Generate(SmallManifest());

  ASSERT_TRUE(files) << files.error().ToString();
  std::vector<std::string> paths;
  for (const GeneratedFile& file : *files) {
    paths.push_back(file.path);
    ExpectGolden(file.path, file.text);
  }
  EXPECT_THAT(paths,
              ElementsAre(".envrc", "local-remote-execution/BUILD.bazel",
                          "local-remote-execution/MODULE.bazel",
                          "local-remote-execution/examples/BUILD.bazel",
                          "local-remote-execution/examples/hello_lre.cc",
                          "local-remote-execution/generated-cc/cc/BUILD.bazel",
                          "local-remote-execution/generated-cc/cc/cc_features.bzl",
                          "local-remote-execution/generated-cc/cc/cc_toolchain_config.bzl",
                          "local-remote-execution/generated-cc/cc/toolchain.json",
                          "local-remote-execution/generated-cc/cc/validate_static_library.bzl",
                          "local-remote-execution/generated-cc/config/BUILD.bazel",
                          "local-remote-execution/generated-sh/BUILD.bazel",
                          "local-remote-execution/generated-sh/shell.bzl",
                          "local-remote-execution/toolchain.json", "lre.bazelrc", "lre.cmake",
                          "recc.conf"));
}

// In a folder of their own: the module without them is a golden one too.
TEST(GenerateTest, WritesWhatFurtherToolchainsAddAsTheGoldenFilesSay) {
  const auto without = GenerateMap(SmallManifest());
  const auto with = GenerateMap(SmallManifest(),
                                {.further = {ClangManifest(), JavaManifest(), PythonManifest()}});

  std::vector<std::string> added;
  for (const auto& [path, text] : with) {
    if (!without.contains(path)) added.push_back(path);
    if (!without.contains(path) || without.at(path) != text) ExpectGolden("further/" + path, text);
  }
  EXPECT_THAT(added, testing::SizeIs(23));
}

// What coverage and debug packages need may be updated without another compile.
TEST(GenerateTest, ClangHasAMarkerWithoutTheToolsThatNoCompileRuns) {
  auto files = GenerateMap(SmallManifest(), {.further = {ClangManifest()}});
  const std::string marker = files["local-remote-execution/generated-clang/cc/toolchain.json"];

  for (const char* role : {"-clang", "-libcxx", "-sysroot", "-binutils", "-libc"})
    EXPECT_THAT(marker, HasSubstr(role));
  for (const char* role : {"-llvm-tools", "-base", "-gcc"})
    EXPECT_THAT(marker, Not(HasSubstr(role)));
}

TEST(GenerateTest, ClangChangesNoKeyOfTheOtherCompiler) {
  const auto without = GenerateMap(SmallManifest());
  const auto with = GenerateMap(SmallManifest(), {.further = {ClangManifest()}});

  for (const auto& [path, text] : without)
    if (path != "lre.bazelrc") {
      EXPECT_EQ(with.at(path), text) << path;
    }
  for (const char* config : {"build:clang ", "build:clang-libcxx "})
    EXPECT_THAT(with.at("lre.bazelrc"), HasSubstr(config));
  auto prefixed =
      GenerateBazelrc(SmallManifest(), {.bazelrc_prefix = "lre", .further = {ClangManifest()}});
  EXPECT_THAT(*prefixed, HasSubstr("\nbuild:lre-clang --config=lre\nbuild:lre-clang --extra_tool"));
}

TEST(GenerateTest, ClangMayBeTheOnlyCompiler) {
  const auto files = GenerateMap(ClangManifest(), {.further = {PythonManifest()}});

  const std::string modules = files.at("local-remote-execution/generated-cc/cc/module.modulemap");
  EXPECT_THAT(modules, HasSubstr("umbrella \"" + ClangManifest().cc->builtin_includes[0]));
  EXPECT_THAT(modules, HasSubstr("umbrella \"" + PythonManifest().python->include_dirs[0]));
  EXPECT_THAT(files.at("lre.cmake"), HasSubstr("/bin/clang++\""));
  EXPECT_THAT(files.at("lre.bazelrc"), Not(HasSubstr("build:clang")));
}

TEST(GenerateTest, RefusesACompilerThatItHasNoFlagsFor) {
  Manifest other = SmallManifest();
  other.cc->compiler = "tcc";

  EXPECT_THAT(Generate(other).error().message(), HasSubstr("\"tcc\""));
}

// Headers of Python are allowed in compiles, but no command of a compile changes with them.
TEST(GenerateTest, PythonAddsOnlyWhereHeadersMayComeFrom) {
  const std::string build = "local-remote-execution/generated-cc/cc/BUILD.bazel";
  const std::string line = "        \"" + PythonManifest().python->include_dirs[0] + "\",\n";
  const auto without = GenerateMap(SmallManifest());
  auto with = GenerateMap(SmallManifest(), {.further = {PythonManifest()}});

  const size_t at = with[build].find(line);
  ASSERT_NE(at, std::string::npos);
  EXPECT_EQ(with[build].erase(at, line.size()), without.at(build));
  for (const char* path : {"local-remote-execution/generated-cc/cc/toolchain.json",
                           "local-remote-execution/generated-cc/cc/cc_toolchain_config.bzl"})
    EXPECT_EQ(with[path], without.at(path));
}

TEST(GenerateTest, NeitherJavaNorTheCompilerEntersTheOthersFiles) {
  Manifest other = JavaManifest();
  other.java->home = Hash('9') + "-jdk/usr/lib/jvm/java-17";
  const auto one = GenerateMap(SmallManifest(), {.further = {JavaManifest()}});
  const auto two = GenerateMap(SmallManifest(), {.further = {other}});

  for (const auto& [path, text] : one) {
    const bool java = path.find("java") != path.npos;
    EXPECT_EQ(text == two.at(path), !java || path.ends_with(".java")) << path;
    if (path.find("generated-java/") == path.npos) continue;
    for (const char* role : {"-gcc", "-base", "-binutils", "-sysroot"})
      EXPECT_THAT(text, Not(HasSubstr(role))) << path;
  }
}

TEST(GenerateTest, AFurtherJdkIsTakenForItsVersionOnly) {
  Manifest newer = JavaManifest();
  newer.name = "lre-java21";
  newer.java->major = 21;
  const auto without = GenerateMap(SmallManifest(), {.further = {JavaManifest()}});
  auto with = GenerateMap(SmallManifest(), {.further = {JavaManifest(), newer}});

  for (const auto& [path, text] : without) {
    if (path != "lre.bazelrc") {
      EXPECT_EQ(with.at(path), text) << path;
    }
  }
  const std::string config = with.at("local-remote-execution/generated-java21/config/BUILD.bazel");
  EXPECT_THAT(config, HasSubstr("for version in [\"21\", \"lre_jdk_21\"]"));
  EXPECT_THAT(config, HasSubstr("[\":language_%d\" % version, \":runtime\"]"));
  EXPECT_THAT(config, HasSubstr("\"//generated-java21/java:toolchain_java%d\""));
  // The last of two that fit is taken.
  const std::string& rc = with.at("lre.bazelrc");
  EXPECT_LT(rc.find("//generated-java/config:all"), rc.find("//generated-java21/config:all"));
  EXPECT_THAT(rc, HasSubstr("--java_runtime_version=lre_jdk\n"));
}

TEST(GenerateTest, RefusesTwoJdksOfOneVersion) {
  Manifest other = JavaManifest();
  other.name = "my-java";

  auto files = Generate(SmallManifest(), {.further = {JavaManifest(), other}});

  ASSERT_FALSE(files);
  EXPECT_THAT(files.error().message(), HasSubstr("lre-java and my-java both have a JDK 17"));
}

TEST(GenerateTest, RefusesAFurtherToolchainForAnotherSystemOrWithoutItsTools) {
  Manifest other_system = JavaManifest(), no_ijar = JavaManifest();
  other_system.system = "riscv64-linux";
  no_ijar.java->tools.erase("ijar");

  for (auto [manifest, message] :
       {std::pair{other_system, "no Bazel platform is known"}, {no_ijar, "lacks \"ijar\""}}) {
    auto files = Generate(SmallManifest(), {.further = {manifest}});
    ASSERT_FALSE(files) << message;
    EXPECT_THAT(files.error().message(), HasSubstr(message));
  }
}

TEST(GenerateTest, WritesLreBazelrcInFourForms) {
  for (bool environment : {false, true}) {
    for (const char* prefix : {"", "lre"}) {
      auto text = GenerateBazelrc(SmallManifest(),
                                  {.with_environment = environment, .bazelrc_prefix = prefix});
      ASSERT_TRUE(text) << text.error().ToString();
      ExpectGolden(fmt::format("lre.bazelrc{}{}", environment ? "" : ".no-environment",
                               *prefix == '\0' ? "" : ".prefix"),
                   *text);
      EXPECT_EQ(text->find("WARNING: No environment set") != std::string::npos, !environment);
      EXPECT_EQ(text->find("\nbuild:lre --") != std::string::npos, *prefix != '\0');
      EXPECT_EQ(text->find("\nbuild --") != std::string::npos, *prefix == '\0');
    }
  }
}

TEST(GenerateTest, NamesTheManifestInTheFirstLinesOfEveryFileButTheInputsOfCompiles) {
  Manifest manifest = SmallManifest();
  std::string digest = ManifestDigest(manifest);

  for (const auto& [path, text] : GenerateMap(manifest)) {
    // The whole toolchain.json is the manifest.
    if (path.ends_with("toolchain.json") || path.ends_with(".cc")) continue;
    EXPECT_LT(text.find(digest), 300u) << path;
  }
}

TEST(GenerateTest, AnotherBaseChangesNoFileThatEntersACompile) {
  Manifest before = SmallManifest(), after = SmallManifest();
  after.paths.back().path = Hash('6') + "-base";
  after.paths.back().tree = "sha256:" + std::string(64, '6') + "/82";

  auto old_files = GenerateMap(before), new_files = GenerateMap(after);

  const std::string marker = "local-remote-execution/generated-cc/cc/toolchain.json";
  EXPECT_EQ(old_files[marker], new_files[marker]);
  EXPECT_THAT(old_files[marker], Not(HasSubstr("-base")));
  EXPECT_NE(old_files["lre.bazelrc"], new_files["lre.bazelrc"]);
}

TEST(GenerateTest, AnotherCompilerChangesTheInputOfCompiles) {
  Manifest after = SmallManifest();
  after.paths[0].tree = "sha256:" + std::string(64, '9') + "/82";  // libc: only referenced

  const std::string marker = "local-remote-execution/generated-cc/cc/toolchain.json";
  EXPECT_NE(GenerateMap(SmallManifest())[marker], GenerateMap(after)[marker]);
}

TEST(GenerateTest, PutsNoStorePathWhereItWouldRekeyEveryAction) {
  auto files = GenerateMap(SmallManifest());

  EXPECT_THAT(files["lre.bazelrc"], Not(HasSubstr("build --action_env")));
  EXPECT_THAT(files["local-remote-execution/generated-cc/config/BUILD.bazel"],
              Not(HasSubstr("/lre/store")));
}

TEST(GenerateTest, TakesTheShellThatTheProbeFound) {
  Manifest manifest = SmallManifest();
  manifest.cc->tools["bash"] = Hash('5') + "-base/usr/bin/launcher";

  EXPECT_THAT(GenerateMap(manifest)["lre.bazelrc"],
              HasSubstr("--shell_executable=" + Hash('5') + "-base/usr/bin/launcher\n"));
}

TEST(GenerateTest, SaysWhatTheManifestLacks) {
  Manifest no_cc = SmallManifest(), no_base = SmallManifest(), no_gcc = SmallManifest();
  Manifest other_system = SmallManifest(), quoted = SmallManifest();
  no_cc.cc.reset();
  no_base.paths.pop_back();
  no_gcc.cc->tools.erase("gcc");
  other_system.system = "riscv64-linux";
  quoted.cc->sysroot += "\"";

  for (auto [manifest, message] : {std::pair{no_cc, "no cc facts"},
                                   {no_base, "role \"base\""},
                                   {no_gcc, "lacks \"gcc\""},
                                   {other_system, "riscv64-linux"},
                                   {quoted, "cc fact"}}) {
    auto files = Generate(manifest);
    ASSERT_FALSE(files) << message;
    EXPECT_EQ(files.error().code(), Code::kInvalidArgument);
    EXPECT_THAT(files.error().message(), HasSubstr(message));
  }
}

TEST(GenerateTest, RefusesAPrefixThatIsNoNameOfABazelConfig) {
  auto files = Generate(SmallManifest(), {.bazelrc_prefix = "a b"});

  ASSERT_FALSE(files);
  EXPECT_THAT(files.error().message(), HasSubstr("\"a b\""));
}

TEST(StarlarkTest, QuotesWhatWouldEndAString) {
  EXPECT_EQ(StarlarkString("a\"b\\c"), "\"a\\\"b\\\\c\"");
  EXPECT_EQ(StarlarkList({}, 4), "[]");
  EXPECT_EQ(StarlarkList({"a"}, 4), "[\"a\"]");
  EXPECT_EQ(StarlarkList({"a", "b"}, 0), "[\n    \"a\",\n    \"b\",\n]");
  EXPECT_EQ(StarlarkDict({{"a", "b"}}, 0), "{\n    \"a\": \"b\",\n}");
}

}  // namespace
}  // namespace lre::toolchain

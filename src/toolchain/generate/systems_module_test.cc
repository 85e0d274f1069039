#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/lines.h"
#include "base/source_path.h"
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

std::vector<Manifest> Languages() {
  // Those of the other system first: the order of manifests is that of their names.
  return {Committed("lre-java-aarch64"), Committed("lre-java"), Committed("lre-py-aarch64"),
          Committed("lre-py")};
}

TEST(SystemsModuleTest, JavaProgramsRunOnTheJdkOfWhatTheyAreBuiltFor) {
  const Manifest here = Committed("lre-java"), there = Committed("lre-java-aarch64");
  auto files = CommittedModule({.further = Languages()});

  const std::string& config = files[kModule + "generated-java-aarch64/config/BUILD.bazel"];
  EXPECT_THAT(config, AllOf(HasSubstr("LRE = [\n    \"//generated-cc/config:lre\",\n"
                                      "    \"@platforms//cpu:aarch64\",\n"),
                            HasSubstr("values = {\"java_runtime_version\": version},\n    )\n"
                                      "    for version in [\"lre_jdk\", \"17\", \"lre_jdk_17\"]"),
                            HasSubstr("target_compatible_with = LRE,\n"
                                      "    target_settings = [\":runtime\"],\n"
                                      "    toolchain = \"//generated-java-aarch64/java:jdk\","),
                            // What compiles runs there, too: for --config=aarch64.
                            HasSubstr("exec_compatible_with = LRE,\n"
                                      "        target_settings = [\":language_%d\" % version],\n"
                                      "        toolchain = \"//generated-java-aarch64/java:"),
                            Not(HasSubstr("x86_64"))));
  EXPECT_THAT(files[kModule + "generated-java-aarch64/java/BUILD.bazel"],
              AllOf(HasSubstr("java_home = \"" + there.java->home + "\""),
                    Not(HasSubstr(here.java->home)), Not(HasSubstr(here.java->tools.at("sh")))));
  EXPECT_THAT(files[kModule + "generated-java/config/BUILD.bazel"], Not(HasSubstr("aarch64")));
  EXPECT_EQ(files[kModule + "lre-java-aarch64.json"], PrintManifest(there));
  EXPECT_THAT(files["lre.bazelrc"], HasSubstr("build --extra_toolchains=@local-remote-execution//"
                                              "generated-java-aarch64/config:all\n"));
}

TEST(SystemsModuleTest, PythonProgramsNameTheInterpreterOfWhatTheyAreBuiltFor) {
  const Manifest there = Committed("lre-py-aarch64");
  const std::string& interpreter = there.python->interpreter;
  auto files = CommittedModule({.further = Languages()});

  const std::string& config = files[kModule + "generated-python-aarch64/config/BUILD.bazel"];
  EXPECT_THAT(config,
              AllOf(HasSubstr("target_compatible_with = [\n        \"//generated-cc/config:lre\",\n"
                              "        \"@platforms//cpu:aarch64\",\n"),
                    HasSubstr("\"//generated-python-aarch64/python:runtimes\""),
                    HasSubstr("\"//generated-python-aarch64/python:cc\""),
                    Not(HasSubstr("exec_compatible_with")), Not(HasSubstr("x86_64"))));
  EXPECT_THAT(
      files[kModule + "generated-python-aarch64/python/BUILD.bazel"],
      AllOf(HasSubstr("interpreter_path = \"" + interpreter + "\""),
            HasSubstr("stub_shebang = \"#!" + interpreter + "\""),
            HasSubstr("-python/usr/lib/aarch64-linux-gnu\""),
            HasSubstr("\"" + there.python->include_dirs.at(0) + "\""), Not(HasSubstr("x86_64")),
            Not(HasSubstr(Committed("lre-py").Find("python")->path))));
  EXPECT_THAT(files["lre.bazelrc"], HasSubstr("build --extra_toolchains=@local-remote-execution//"
                                              "generated-python-aarch64/config:all\n"));
}

// Bazel checks the headers of an extension module against what its compiler may read.
TEST(SystemsModuleTest, ACompilerMayReadThePythonHeadersOfWhatItBuildsFor) {
  std::vector<Manifest> further = Languages();
  further.push_back(Committed("lre-cross-aarch64"));
  further.push_back(Committed("lre-cc-aarch64"));
  auto files = CommittedModule({.further = further});

  const std::string here = Committed("lre-py").python->include_dirs.at(0);
  const std::string there = Committed("lre-py-aarch64").python->include_dirs.at(0);
  for (const char* folder : {"generated-lre-cross-aarch64", "generated-lre-cc-aarch64"})
    EXPECT_THAT(files[kModule + folder + "/cc/BUILD.bazel"],
                AllOf(HasSubstr(there), Not(HasSubstr(here))));
  EXPECT_THAT(files[kModule + "generated-cc/cc/BUILD.bazel"],
              AllOf(HasSubstr(here), Not(HasSubstr(there))));
}

// The C compiler that links for them is the one that is registered, and there is one of it.
TEST(SystemsModuleTest, GoAndRustOfAnotherSystemAddNoSecondCompiler) {
  const std::vector<Manifest> compiler = {Committed("lre-cc-aarch64")};
  std::vector<Manifest> further = compiler;
  for (const char* name : {"lre-go-aarch64", "lre-rust-aarch64"}) {
    further.push_back(Committed(name));
    ASSERT_TRUE(further.back().cc) << name;
    EXPECT_EQ(further.back().cc->sysroot, compiler[0].cc->sysroot);
  }

  EXPECT_EQ(CommittedModule({.further = further}), CommittedModule({.further = compiler}));
}

// Nothing would compile for them here, and no flag would choose them.
TEST(SystemsModuleTest, LanguagesOfAnotherSystemAloneAreNotRegistered) {
  auto files =
      CommittedModule({.further = {Committed("lre-java-aarch64"), Committed("lre-py-aarch64")}});

  for (const auto& [path, text] : files)
    EXPECT_THAT(path, AllOf(Not(HasSubstr("generated-java")), Not(HasSubstr("generated-python"))));
  EXPECT_THAT(files["lre.bazelrc"], AllOf(Not(HasSubstr("java")), Not(HasSubstr("python"))));
}

TEST(SystemsModuleTest, OneVersionOfAJdkPerSystem) {
  std::vector<Manifest> further = Languages();
  further.push_back(Committed("lre-java-aarch64"));
  further.back().name = "another";

  EXPECT_THAT(Generate(Committed("toolchain"), {.further = further}).error().message(),
              HasSubstr("manifests lre-java-aarch64 and another both have a JDK 17"));

  further.back().java->major = 21;
  auto files = CommittedModule({.further = further});
  EXPECT_THAT(
      files[kModule + "generated-java21-aarch64/config/BUILD.bazel"],
      AllOf(HasSubstr("for version in [\"21\", \"lre_jdk_21\"]"), HasSubstr("cpu:aarch64")));
}

// Who has one system pays nothing for the other.
TEST(SystemsModuleTest, WithoutThemThereIsOnePlatform) {
  auto files = CommittedModule({.further = {Committed("lre-cc-zlib")}});

  EXPECT_THAT(files[kModule + "generated-cc/config/BUILD.bazel"],
              AllOf(Not(HasSubstr("aarch64")), Not(HasSubstr("ISA"))));
  EXPECT_THAT(files["lre.bazelrc"], Not(HasSubstr("aarch64")));
}

// With all that this repository has. A path there would stand in the key of every action, so that
// another of any toolchain would re-key all.
TEST(SystemsModuleTest, NoStorePathEntersEveryAction) {
  std::vector<Manifest> further;
  for (const auto& entry : std::filesystem::directory_iterator(SourcePath(kModule)))
    if (entry.path().extension() == ".json" && entry.path().stem() != "toolchain")
      further.push_back(Committed(entry.path().stem()));
  ASSERT_GT(further.size(), 10u);

  int platforms = 0;
  for (const auto& [path, text] : CommittedModule({.further = further})) {
    if (path == "lre.bazelrc") {
      for (const std::string& line : Lines(text))
        if (line.starts_with("build")) {
          EXPECT_THAT(line, Not(HasSubstr("action_env=")));
        }
    }
    for (size_t at = 0; (at = text.find("exec_properties = ", at)) != text.npos; ++at, ++platforms)
      EXPECT_THAT(text.substr(at, text.find('}', at) - at), Not(HasSubstr("/lre/"))) << path;
  }
  EXPECT_EQ(platforms, 2);
}

// What is built for it here is linked with the very files with which it is built there.
TEST(SystemsModuleTest, ACompilerForAnotherProcessorHasTheSysrootOfTheOneThere) {
  const Manifest cross = Committed("lre-cross-aarch64");
  const Manifest there = Committed("lre-cc-aarch64");

  EXPECT_EQ(cross.cc->sysroot, there.cc->sysroot);
  EXPECT_EQ(cross.cc->loader, there.cc->loader);
  EXPECT_EQ(cross.cc->libc, there.cc->libc);
  EXPECT_EQ(Committed("lre-clang-aarch64").cc->sysroot, there.cc->sysroot);
}

// Compiles of the first toolchain are what they were, but for where they may run.
TEST(SystemsModuleTest, TheOtherToolchainsAreAsTheyWere) {
  const auto without = CommittedModule({.further = {Committed("lre-java"), Committed("lre-py")}});
  auto with =
      CommittedModule({.further = {Committed("lre-cross-aarch64"), Committed("lre-cc-aarch64"),
                                   Committed("lre-java"), Committed("lre-java-aarch64"),
                                   Committed("lre-py"), Committed("lre-py-aarch64")}});

  for (const auto& [path, text] : without) {
    if (path == "lre.bazelrc" || path == "recc.conf") continue;
    if (path == kModule + "generated-cc/config/BUILD.bazel") continue;
    EXPECT_EQ(with[path], text) << path;
  }
}

}  // namespace
}  // namespace lre::toolchain

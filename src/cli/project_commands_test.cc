// The commands that look at the project in the current folder, as a person meets them: nothing here
// yet, something missing, something left over.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/file.h"
#include "base/source_path.h"
#include "base/subprocess.h"
#include "cli/commands.h"
#include "cli/generate_project.h"
#include "cli/project_checks.h"
#include "toolchain/root/relocate_tree.h"

namespace lre::cli {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::Field;
using testing::HasSubstr;
using testing::Not;

class ProjectCommandsTest : public testing::Test {
 protected:
  ProjectCommandsTest() : home_(std::filesystem::current_path()) {
    std::filesystem::current_path(project_.path());
  }
  ~ProjectCommandsTest() override { std::filesystem::current_path(home_); }

  void Write(const std::string& file, std::string_view text) {
    EXPECT_TRUE(WriteIfChanged(file, text)) << file;
  }
  // This repository's request, lock and manifest of lre-cc.
  void CopyProject() {
    for (const char* file : {kSpecFile, kLockFile, kManifestFile})
      Write(file, ReadFile(SourcePath(file)).value());
  }
  // A manifest whose only path is `path`.
  void WriteManifest(const std::string& path) {
    toolchain::Manifest manifest = ReadManifest(SourcePath(kManifestFile)).value();
    manifest.paths = {{.role = "gcc", .path = path, .tree = manifest.paths[0].tree}};
    manifest.env = {{"CC", path + "/it's"}, {"PATH", path + "/bin"}};
    Write(kManifestFile, toolchain::PrintManifest(manifest));
  }
  // Runs a command; what it prints is in said_.
  Status Run(const std::string& line) {
    CLI::App cli("", "lre");
    App app{cli, {}};
    AddCommands(app);
    cli.parse(line);
    testing::internal::CaptureStdout();
    Status status = app.action();
    said_ = testing::internal::GetCapturedStdout();
    return status;
  }
  static std::vector<Finding> Check() {
    return CheckProject({.with_store = false, .required = true});
  }
  static auto Bad(const std::string& what, const std::string& fix) {
    return Contains(AllOf(Field(&Finding::verdict, Verdict::kBad),
                          Field(&Finding::what, HasSubstr(what)),
                          Field(&Finding::fix, HasSubstr(fix))));
  }

  const std::filesystem::path home_;
  TempDir project_;
  std::string said_;
};

TEST_F(ProjectCommandsTest, EnvPutsTheToolchainBeforeWhatIsOnPath) {
  WriteManifest(project_.path());

  ASSERT_EQ(Run("env"), Status());

  const auto shell =
      RunSubprocess({.arguments = {"/bin/sh", "-c",
                                   "PATH=/usr/bin:/bin\n" + said_ + "echo \"$PATH $CC\"; PATH=\n" +
                                       said_ + "echo \"$PATH\""}});
  ASSERT_TRUE(shell);
  EXPECT_EQ(shell->output,
            fmt::format("{0}/bin:/usr/bin:/bin {0}/it's\n{0}/bin\n", project_.path()));
}

TEST_F(ProjectCommandsTest, EnvSaysInOneLineWhatToRun) {
  const Status nothing = Run("env");
  WriteManifest(project_ / "1-gcc");
  const Status no_path = Run("env");
  Write(kManifestFile, "{\n<<<<<<< HEAD\n");
  const Status merged = Run("env");

  EXPECT_THAT(nothing.message(), AllOf(HasSubstr("lre sync"), Not(HasSubstr("\n"))));
  EXPECT_EQ(no_path.message(), project_ / "1-gcc" + " is not here; run `lre sync lre-cc`");
  EXPECT_THAT(merged.message(), AllOf(HasSubstr("toolchain.json: line 2: git left a merge"),
                                      HasSubstr("`lre sync`"), Not(HasSubstr("\n"))));
}

TEST_F(ProjectCommandsTest, CheckIsNotContentWithNothing) {
  EXPECT_THAT(Check(), Bad("nothing to compare", "lre init"));
  EXPECT_EQ(CheckProject({})[0].verdict, Verdict::kGood);  // `lre doctor`, anywhere

  Write("MODULE.bazel", "bazel_dep(name = \"local-remote-execution\", version = \"0\")\n");
  EXPECT_THAT(Check(), Bad("MODULE.bazel depends on local-remote-execution", "lre init"));

  Write(kSpecFile, ReadFile(SourcePath(kSpecFile)).value());
  EXPECT_THAT(Check(), Bad("lre.lock is not here", "lre lock"));
}

TEST_F(ProjectCommandsTest, CheckSeesWhatIsOnlyAComment) {
  CopyProject();
  Write("MODULE.bazel", "# local-remote-execution\n");
  Write(".bazelrc", "# try-import %workspace%/lre.bazelrc\n");

  EXPECT_THAT(Check(), AllOf(Bad("MODULE.bazel does not depend", "lre init"),
                             Bad(".bazelrc does not import", "lre.bazelrc")));
}

TEST_F(ProjectCommandsTest, CheckNamesAMergeThatIsUndecided) {
  CopyProject();
  Write(kLockFile, ReadFile(kLockFile).value() + "<<<<<<< HEAD\n");

  EXPECT_THAT(Check(), Bad("git left a merge undecided", "git checkout"));

  Write(kLockFile, ReadFile(SourcePath(kLockFile)).value());
  Write("local-remote-execution/lre-java.json", "<<<<<<< HEAD\n");
  EXPECT_THAT(Check(), Bad("`lre sync lre-java` writes manifests anew", "lre sync"));
}

TEST_F(ProjectCommandsTest, CheckSeesWhatIsLeftOfAToolchainThatIsNoMore) {
  CopyProject();
  toolchain::Manifest gone = ReadManifest(kManifestFile).value();
  gone.name = "gone";
  Write("local-remote-execution/gone.json", toolchain::PrintManifest(gone));
  Write("local-remote-execution/generated-gone/BUILD.bazel", "");

  EXPECT_THAT(Check(),
              AllOf(Bad("local-remote-execution/gone.json is of the toolchain gone, which lre.lock",
                        "rm local-remote-execution/gone.json && lre generate")));

  ASSERT_TRUE(SystemFiles().Remove("local-remote-execution/gone.json").ok());
  EXPECT_THAT(Check(), Bad("local-remote-execution/generated-gone is generated from no manifest",
                           "rm -r local-remote-execution/generated-gone"));
}

TEST_F(ProjectCommandsTest, AToolchainWithoutACompilerIsNotTheFirst) {
  Write(kManifestFile, ReadFile(SourcePath("local-remote-execution/lre-protoc.json")).value());

  EXPECT_THAT(Run("generate").message(),
              AllOf(HasSubstr("lre-protoc has no compiler"), HasSubstr("lre.toml")));
}

TEST_F(ProjectCommandsTest, GenerateLeavesAloneWhatOthersWroteUnderTheSameName) {
  CopyProject();
  Write(".envrc", "export MINE=1\n");

  ASSERT_EQ(Run("generate"), Status());

  EXPECT_THAT(said_,
              AllOf(HasSubstr(".envrc is yours and stays"), HasSubstr("written: recc.conf")));
  EXPECT_EQ(ReadFile(".envrc"), "export MINE=1\n");
  EXPECT_THAT(Check(), Contains(Field(&Finding::what, "generated files are fresh")));
  // What was generated once is kept up to date.
  Write("recc.conf", ReadFile("recc.conf").value() + "old\n");
  EXPECT_THAT(Check(), Bad("recc.conf is not what", "lre generate"));
}

TEST_F(ProjectCommandsTest, InitLeavesAloneWhatIsAPartOfAnotherProject) {
  Write("MODULE.bazel", "module(name = \"whole\")\n");
  ASSERT_TRUE(SystemFiles().MakeDirectories("part/of").ok());
  std::filesystem::current_path("part/of");

  EXPECT_THAT(Run("init --yes").message(),
              AllOf(HasSubstr("is a folder of the Bazel project"), HasSubstr(project_.path())));
  EXPECT_TRUE(std::filesystem::is_empty("."));
}

TEST_F(ProjectCommandsTest, InitLeavesAloneWhoImportsTheModuleOfOthers) {
  const std::string module =
      "bazel_dep(name = \"local-remote-execution\")\n"
      "git_override(module_name = \"local-remote-execution\", remote = \"r\", commit = \"c\")\n";
  Write("MODULE.bazel", module);

  EXPECT_THAT(Run("init --yes").message(), HasSubstr("`lre sync` is all"));
  EXPECT_EQ(ReadFile("MODULE.bazel"), module);
  EXPECT_FALSE(FileExists(kSpecFile));
}

TEST_F(ProjectCommandsTest, AFileThatCannotBeWrittenIsNamed) {
  const auto written = WriteIfChanged("/proc/lre.lock", "text");

  ASSERT_FALSE(written);
  EXPECT_THAT(written.error().message(), HasSubstr("/proc/lre.lock cannot be written: "));
}

}  // namespace
}  // namespace lre::cli

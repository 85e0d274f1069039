#include "cli/machine_checks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/clock.h"
#include "base/file.h"
#include "reapi/store_index.h"
#include "server/server.h"
#include "toolchain/root/relocate_tree.h"

namespace lre::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

TEST(MachineChecks, NameWhatACompilerTakesFromOutsideTheStore) {
  const std::string clean =
      "Using built-in specs.\n"
      "Reading specs from /lre/store/x-gcc/usr/lib/gcc/x86_64-linux-gnu/12/specs\n"
      "#include \"...\" search starts here:\n"
      "#include <...> search starts here:\n"
      " /lre/store/x-sysroot/usr/include\n"
      "End of search list.\n"
      "COMPILER_PATH=/usr/lib\n";
  const std::string leaky =
      "Reading specs from /usr/lib/gcc/x86_64-linux-gnu/12/specs\n"
      "#include <...> search starts here:\n"
      " /home/me/include\n"
      " /lre/store/x-sysroot/usr/include\n"
      " /lre/store-of-another/include\n"
      "End of search list.\n";

  EXPECT_THAT(FindLeaks(clean, "/lre/store"), IsEmpty());
  EXPECT_THAT(
      FindLeaks(leaky, "/lre/store"),
      ElementsAre("specs /usr/lib/gcc/x86_64-linux-gnu/12/specs", "headers of /home/me/include",
                  "headers of /lre/store-of-another/include"));
}

// A compiler of the test's own, which says `verbose` when it is asked what it reads.
class CompilerCheck : public testing::Test {
 protected:
  Finding Check(const std::string& verbose, const std::string& comment) {
    const std::string bin = prefix_ / "1-clang/usr/bin";
    EXPECT_TRUE(SystemFiles().MakeDirectories(bin).ok());
    EXPECT_TRUE(WriteFileAtomically(
                    bin + "/clang-16",
                    "#!/bin/sh\n# " + comment + "\ncat >&2 <<'END'\n" + verbose + "END\n", 0755)
                    .ok());
    toolchain::Manifest manifest{.name = "mine", .prefix = prefix_.path()};
    manifest.system = toolchain::ThisSystem();
    manifest.paths = {{.role = "clang", .path = prefix_ / "1-clang"}};
    manifest.cc.emplace();
    manifest.cc->compiler = "clang";
    manifest.cc->tools = {{"clang", bin + "/clang-16"}};
    return CheckCompilers({manifest}).at(0);
  }
  TempDir prefix_;
};

TEST_F(CompilerCheck, AsksTheCompilerItself) {
  EXPECT_EQ(Check("", "nothing").verdict, Verdict::kGood);

  const Finding finding = Check("#include <...> search starts here:\n /usr/include\n", "nothing");
  EXPECT_EQ(finding.verdict, Verdict::kBad);
  EXPECT_THAT(finding.what, HasSubstr("headers of /usr/include"));
}

TEST_F(CompilerCheck, FindsClangThatLooksForTheNameOfTheDistribution) {
  const Finding finding = Check("", "/etc/os-release");

  EXPECT_EQ(finding.verdict, Verdict::kBad);
  EXPECT_THAT(finding.what, HasSubstr("clang-16 reads /etc/os-release"));
}

TEST(MachineChecks, FindSpecsFilesOfTheHost) {
  TempDir root;
  const std::string folder = root / "usr/lib/gcc/x86_64-linux-gnu/12";
  ASSERT_TRUE(SystemFiles().MakeDirectories(folder).ok());
  EXPECT_EQ(CheckHostSpecs(root.path()).verdict, Verdict::kGood);

  ASSERT_TRUE(WriteFileAtomically(folder + "/specs", "*cc1:\n+ -DHOSTILE\n").ok());

  const Finding finding = CheckHostSpecs(root.path());
  EXPECT_EQ(finding.verdict, Verdict::kWarning);
  EXPECT_THAT(finding.what, HasSubstr(folder + "/specs"));
  EXPECT_NE(finding.fix, "");
}

TEST(MachineChecks, KnowTheVersionsOfBazelThatTheModuleIsFor) {
  EXPECT_EQ(JudgeBazelVersion("bazel 7.7.1").verdict, Verdict::kGood);
  EXPECT_EQ(JudgeBazelVersion("bazel 9.0.0").verdict, Verdict::kGood);
  EXPECT_EQ(JudgeBazelVersion("bazel 10.1.0").verdict, Verdict::kBad);
  EXPECT_EQ(JudgeBazelVersion("bazel 4.2.3-(@non-git)").verdict, Verdict::kBad);
  EXPECT_EQ(JudgeBazelVersion("no such thing").verdict, Verdict::kWarning);
}

class ServerCheck : public testing::Test {
 protected:
  ServerCheck() {
    server::Config config;
    config.listen = {"127.0.0.1:0"};
    config.execution = false;
    server_ = server::Server::Start(config, SystemClock()).value();
    flags_.address = server_->addresses()[0];
    manifest_.name = "lre-cc";
    manifest_.paths = {{.role = "libc", .path = "/lre/store/1-libc", .tree = "sha256:aa/1"},
                       {.role = "gcc", .path = "/lre/store/2-gcc", .tree = "sha256:bb/1"}};
  }
  void Push(const std::string& path, const std::string& tree) {
    toolchain::Manifest record = manifest_;
    record.paths = {{.role = "libc", .path = path, .tree = tree}};
    const reapi::StoreIndexEntry entry{.record = toolchain::PrintManifest(record)};
    auto server = RemoteServer::Connect(flags_).value();
    ASSERT_EQ(
        server->PutResult(reapi::StorePathKey(path).action, reapi::EncodeStoreIndexEntry(entry)),
        Status());
  }
  Finding Check() {
    const std::vector<Finding> findings = CheckServer(flags_, true, {manifest_});
    EXPECT_THAT(findings, SizeIs(2));
    EXPECT_EQ(findings[0].verdict, Verdict::kGood) << findings[0].what;
    return findings.back();
  }

  ServerFlags flags_;
  toolchain::Manifest manifest_;
  std::unique_ptr<server::Server> server_;
};

TEST_F(ServerCheck, ComparesTheToolchainsThatAServerHolds) {
  EXPECT_EQ(Check().verdict, Verdict::kWarning);
  EXPECT_THAT(Check().fix, HasSubstr("lre push lre-cc"));

  Push("/lre/store/1-libc", "sha256:aa/1");
  EXPECT_THAT(Check().what, HasSubstr("lacks 1 of 2"));
  Push("/lre/store/2-gcc", "sha256:bb/1");
  EXPECT_EQ(Check().verdict, Verdict::kGood);

  Push("/lre/store/2-gcc", "sha256:cc/1");
  EXPECT_EQ(Check().verdict, Verdict::kBad);
  EXPECT_THAT(Check().what, HasSubstr("/lre/store/2-gcc is sha256:cc/1 there"));
}

TEST_F(ServerCheck, AServerThatIsNotThereIsBadOnlyWhenItWasNamed) {
  flags_.address = "127.0.0.1:1";

  EXPECT_EQ(CheckServer(flags_, true, {})[0].verdict, Verdict::kBad);
  EXPECT_EQ(CheckServer(flags_, false, {})[0].verdict, Verdict::kGood);
}

}  // namespace
}  // namespace lre::cli

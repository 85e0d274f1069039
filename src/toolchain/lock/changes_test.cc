// What people see of a lock that changes: the lines that `lre lock` prints, and what git makes of
// two branches that change it.
#include "toolchain/lock/changes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/source_path.h"
#include "base/subprocess.h"

namespace lre::toolchain {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::vector<std::string> Texts(const std::vector<LockChangeLine>& lines) {
  std::vector<std::string> texts;
  for (const LockChangeLine& line : lines) texts.push_back(line.text);
  return texts;
}

TEST(LockChangesTest, SayPackageVersionsAndWhichAreSecurityFixes) {
  const auto lines = DescribeChanges({{"binutils", "2.40-2", "2.40-2+deb12u1", "bookworm-security"},
                                      {"gcc-12", "12.2.0-14", "12.2.0-14+deb12u1", "bookworm"},
                                      {"sed", "4.9-1", "", ""},
                                      {"time", "", "1.9-0.2", "bookworm"}});

  EXPECT_THAT(Texts(lines),
              ElementsAre("  binutils 2.40-2 -> 2.40-2+deb12u1 (security fix, bookworm-security)",
                          "  gcc-12 12.2.0-14 -> 12.2.0-14+deb12u1 (bookworm)", "- sed 4.9-1",
                          "+ time 1.9-0.2 (bookworm)",
                          "2 updated, 1 of them security fixes; 1 added, 1 removed"));
  EXPECT_TRUE(lines[0].security);
  EXPECT_FALSE(lines[1].security);
  EXPECT_THAT(DescribeChanges({}), IsEmpty());
}

// Another version of a package, as a lock of another day has it.
void Update(Lock* lock, const std::string& name) {
  LockedPackage& package = lock->packages.at(name);
  package.version += "+new";
  package.sha256 = std::string(64, 'a');
  package.size_bytes += 1;
  package.path += ".new";
}

TEST(LockChangesTest, BranchesThatUpdateNeighboursMergeWithoutConflict) {
  const Lock base = ParseLock(ReadFile(SourcePath("lre.lock")).value()).value();
  TempDir dir;
  ASSERT_TRUE(WriteFileAtomically(dir / "base", PrintLock(base)).ok());
  int merged = 0;
  for (auto ours = base.packages.begin(); std::next(ours) != base.packages.end() && merged < 20;
       ++ours, ++merged) {
    const std::string &first = ours->first, &second = std::next(ours)->first;
    Lock left = base, right = base, both = base;
    Update(&left, first);
    Update(&right, second);
    Update(&both, first);
    Update(&both, second);
    ASSERT_TRUE(WriteFileAtomically(dir / "left", PrintLock(left)).ok());
    ASSERT_TRUE(WriteFileAtomically(dir / "right", PrintLock(right)).ok());

    auto result = RunSubprocess(
        {.arguments = {"git", "merge-file", "-p", dir / "left", dir / "base", dir / "right"}});

    ASSERT_TRUE(result);
    EXPECT_EQ(result->exit_code, 0) << "conflict between " << first << " and " << second;
    EXPECT_EQ(result->output, PrintLock(both));
  }
  EXPECT_GT(merged, 0);
}

TEST(LockChangesTest, AMergeThatGitCouldNotEndIsNamedWithWhatToDo) {
  const Lock base = ParseLock(ReadFile(SourcePath("lre.lock")).value()).value();
  const std::string name = base.packages.begin()->first;
  TempDir dir;
  Lock left = base, right = base;
  Update(&left, name);
  right.packages.at(name).version = "9";
  ASSERT_TRUE(WriteFileAtomically(dir / "base", PrintLock(base)).ok());
  ASSERT_TRUE(WriteFileAtomically(dir / "left", PrintLock(left)).ok());
  ASSERT_TRUE(WriteFileAtomically(dir / "right", PrintLock(right)).ok());
  auto result = RunSubprocess(
      {.arguments = {"git", "merge-file", "-p", dir / "left", dir / "base", dir / "right"}});
  ASSERT_TRUE(result);
  ASSERT_EQ(result->exit_code, 1);

  const auto lock = ParseLock(result->output, "sub/lre.lock");

  ASSERT_FALSE(lock);
  const std::string before = result->output.substr(0, result->output.find("<<<<<<< "));
  EXPECT_EQ(
      lock.error().message(),
      fmt::format("sub/lre.lock:{}: git left a merge undecided here: take one side whole "
                  "(`git checkout --ours sub/lre.lock`), then `lre lock` adds what the merged "
                  "lre.toml asks for",
                  std::count(before.begin(), before.end(), '\n') + 1));
}

}  // namespace
}  // namespace lre::toolchain

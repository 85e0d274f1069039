#include "toolchain/root/python_recipe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lre::toolchain {
namespace {

using testing::Contains;
using testing::HasSubstr;

FileTree Python() {
  FileTree tree;
  tree["usr/bin/python3.11"] = {.content = "ELF", .executable = true};
  tree["usr/bin/python3.11-config"] = {.content = "#!", .executable = true};
  tree["usr/lib/python3.11/os.py"] = {.content = "pass"};
  return tree;
}

TEST(PythonRecipeTest, FindsTheInterpreterThatHasItsLibrary) {
  FileTree without_library = Python();
  without_library.erase("usr/lib/python3.11/os.py");

  EXPECT_EQ(FindPython(Python()), "python3.11");
  EXPECT_EQ(FindPython(without_library), std::nullopt);
  EXPECT_EQ(FindPython({}), std::nullopt);
}

TEST(PythonRecipeTest, ReplacesTheConfigurationHeaderThatLeadsToAnotherFolder) {
  FileTree tree = Python();
  tree["usr/include/python3.11/pyconfig.h"] = {.content = "#include <x86_64-linux-gnu/...>"};
  EXPECT_THAT(PreparePython(tree, "python3.11", "x86_64-linux-gnu").message(),
              HasSubstr("x86_64-linux-gnu/python3.11/pyconfig.h"));
  tree["usr/include/x86_64-linux-gnu/python3.11/pyconfig.h"] = {.content = "#define REAL"};

  ASSERT_TRUE(PreparePython(tree, "python3.11", "x86_64-linux-gnu").ok());

  EXPECT_EQ(tree["usr/include/python3.11/pyconfig.h"].content, "#define REAL");
  EXPECT_EQ(tree["usr/bin/python3"].content, "/usr/bin/python3.11");
  EXPECT_TRUE(tree["usr/bin/python"].symlink);
}

TEST(PythonRecipeTest, TheLauncherKeepsTheModulePathOfBazelAndNothingElse) {
  const LauncherConfig launcher = PythonLauncher("/lre/store/h-python", "python3.11");

  EXPECT_EQ(launcher.argv0, "/lre/store/h-python/usr/bin/python3.11");
  EXPECT_THAT(launcher.drop, Contains("PYTHONHOME"));
  EXPECT_THAT(launcher.drop, testing::Not(Contains("PYTHONPATH")));
  EXPECT_THAT(launcher.set, Contains("PYTHONDONTWRITEBYTECODE=1"));
}

}  // namespace
}  // namespace lre::toolchain

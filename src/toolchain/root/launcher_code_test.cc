// The committed machine code is what launcher/make.sh makes of launcher/launcher.c.
#include "toolchain/root/launcher_code.h"

#include <gtest/gtest.h>

#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/source_path.h"
#include "base/subprocess.h"

namespace lre::toolchain {
namespace {

using Code = std::vector<unsigned char>;

// The arrays of a launcher_code.h by name.
std::map<std::string, Code> ParseArrays(const std::string& text) {
  std::map<std::string, Code> arrays;
  for (size_t at = 0; (at = text.find("unsigned char ", at)) != text.npos;) {
    at += std::string_view("unsigned char ").size();
    size_t end = text.find("};", at);
    Code& code = arrays[text.substr(at, text.find('[', at) - at)];
    for (at = text.find("0x", at); at < end; at = text.find("0x", at + 2))
      code.push_back(static_cast<unsigned char>(std::stoi(text.substr(at + 2, 2), nullptr, 16)));
    at = end;
  }
  return arrays;
}

Code CodeOf(std::span<const unsigned char> bytes) { return {bytes.begin(), bytes.end()}; }

TEST(LauncherCode, IsWhatTheScriptMakesOfTheSource) {
  auto made =
      RunSubprocess({.arguments = {"sh", SourcePath("src/toolchain/root/launcher/make.sh")}});
  ASSERT_TRUE(made) << made.error().ToString();
  if (made->exit_code == 127) GTEST_SKIP() << "SKIPPED: no gcc-12: " << made->error_output;
  ASSERT_EQ(made->exit_code, 0) << made->error_output;
  std::map<std::string, Code> arrays = ParseArrays(made->output);

  EXPECT_EQ(arrays["kLauncherX86_64"], CodeOf(kLauncherX86_64));
  if (!arrays.contains("kLauncherAarch64")) GTEST_SKIP() << "SKIPPED: no gcc-12 for arm64";
  EXPECT_EQ(arrays["kLauncherAarch64"], CodeOf(kLauncherAarch64));
}

}  // namespace
}  // namespace lre::toolchain

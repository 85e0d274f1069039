// docs/configuration.md is what `lre help config` prints; LRE_GOLDEN_ACCEPT=1 writes it.
#include <gtest/gtest.h>

#include <cstdlib>

#include "base/file.h"
#include "base/source_path.h"
#include "server/config.h"

namespace lre::server {
namespace {

TEST(ConfigGolden, TheDocumentationIsWhatTheProgramPrints) {
  const std::string path = SourcePath("docs/configuration.md");
  auto text = ReadFile(path);
  ASSERT_TRUE(text) << ToStatus(text).ToString();
  const std::string fence = "```\n";
  const size_t begin = text->find(fence), end = text->rfind(fence);
  ASSERT_LT(begin, end);
  std::string wanted = text->substr(0, begin + fence.size()) + DescribeConfig() + text->substr(end);

  if (std::getenv("LRE_GOLDEN_ACCEPT") != nullptr && wanted != *text) {
    ASSERT_EQ(WriteFileAtomically(path, wanted), Status());
    return;
  }

  EXPECT_TRUE(wanted == *text) << path << " is not what `lre help config` prints: run this test "
                               << "with LRE_GOLDEN_ACCEPT=1";
}

}  // namespace
}  // namespace lre::server

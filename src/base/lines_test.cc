#include "base/lines.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lre {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(LinesTest, AreWithoutTheirNewlines) {
  EXPECT_THAT(Lines("a\nb\n"), ElementsAre("a", "b"));
  EXPECT_THAT(Lines("a\nb"), ElementsAre("a", "b"));
  EXPECT_THAT(Lines("\n\na"), ElementsAre("", "", "a"));
  EXPECT_THAT(Lines(""), IsEmpty());
}

}  // namespace
}  // namespace lre

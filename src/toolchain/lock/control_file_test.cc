#include "toolchain/lock/control_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lre::toolchain {
namespace {

using testing::ElementsAre;

TEST(ControlFileTest, ReadsParagraphsFieldsAndContinuations) {
  std::string_view rest =
      "# a comment\n\nPackage: a\nDepends: b,\n c\nEmpty:\n\n \npackage:  d  \r\nMulti:\n x\n# "
      "no\n y";

  const auto first = NextParagraph(&rest);
  const auto second = NextParagraph(&rest);

  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->Field("Package"), "a");
  EXPECT_EQ(first->Field("depends"), "b,\n c");
  EXPECT_EQ(first->Field("Empty"), "");
  EXPECT_EQ(first->Field("Pack"), std::nullopt);
  EXPECT_EQ(second->Field("Package"), "d");
  EXPECT_THAT(second->Words("Multi"), ElementsAre("x", "y"));
  EXPECT_THAT(second->Words("Absent"), ElementsAre());
  EXPECT_FALSE(NextParagraph(&rest));
}

TEST(ControlFileTest, FindsNothingInNothing) {
  for (std::string_view text : {"", "\n\n", "# only\n# comments", " \t\n"}) {
    EXPECT_FALSE(NextParagraph(&text));
  }
}

TEST(ControlFileTest, DoesNotTakeAContinuationForAField) {
  std::string_view rest = "A: 1\n B: 2\nB: 3\n";

  EXPECT_EQ(NextParagraph(&rest)->Field("B"), "3");
}

}  // namespace
}  // namespace lre::toolchain

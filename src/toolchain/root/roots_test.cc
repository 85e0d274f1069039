#include "toolchain/root/roots.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"

namespace lre::toolchain {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(Roots, AreTheFilesThatAreThere) {
  TempDir directory;
  const std::string prefix = directory / "store", a = directory / "a.json", b = directory / "b";
  ASSERT_TRUE(WriteFileAtomically(a, "{}").ok());
  ASSERT_TRUE(WriteFileAtomically(b, "{}").ok());
  EXPECT_THAT(ListRoots(prefix).value(), IsEmpty());

  for (const std::string& file : {b, a, a}) EXPECT_TRUE(AddRoot(prefix, file).ok());
  EXPECT_THAT(ListRoots(prefix).value(), ElementsAre(a, b));

  ASSERT_TRUE(SystemFiles().Remove(a).ok());
  EXPECT_THAT(ListRoots(prefix).value(), ElementsAre(b));
  ASSERT_TRUE(WriteFileAtomically(a, "{}").ok());
  EXPECT_THAT(ListRoots(prefix).value(), ElementsAre(b)) << "forgotten until it is added again";
  EXPECT_EQ(AddRoot(prefix, "relative").code(), Code::kInvalidArgument);
}

}  // namespace
}  // namespace lre::toolchain

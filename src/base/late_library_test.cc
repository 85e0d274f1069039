#include "base/late_library.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

namespace lre {
namespace {

using testing::HasSubstr;

TEST(LateLibraryTest, GivesAFunctionThatCanBeCalled) {
  decltype(&::zlibVersion) version = nullptr;

  ASSERT_TRUE(LoadLate("libz.so.1", "zlibVersion", version).ok());

  EXPECT_THAT(version(), HasSubstr("."));
}

TEST(LateLibraryTest, SaysWhatIsNotThere) {
  void (*function)() = nullptr;

  const Status library = LoadLate("libnone.so.9", "f", function);
  const Status symbol = LoadLate("libz.so.1", "no_such_function", function);

  EXPECT_EQ(library.code(), Code::kFailedPrecondition);
  EXPECT_THAT(library.message(), HasSubstr("libnone.so.9"));
  EXPECT_THAT(symbol.message(), HasSubstr("no_such_function"));
}

}  // namespace
}  // namespace lre

#include "base/mapped_copy.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <string>
#include <thread>

#include "base/file.h"

namespace lre {
namespace {

// Two pages of a file of which only the first is left.
class CutMapping {
 public:
  CutMapping() {
    FILE* file = tmpfile();
    const int fd = fileno(file);
    std::string text(kBytes, 'x');
    EXPECT_EQ(pwrite(fd, text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
    data_ = static_cast<char*>(mmap(nullptr, kBytes, PROT_READ, MAP_SHARED, fd, 0));
    EXPECT_NE(data_, MAP_FAILED);
    EXPECT_EQ(ftruncate(fd, kPage), 0);
    fclose(file);
  }
  ~CutMapping() { munmap(data_, kBytes); }
  static constexpr size_t kPage = 4096, kBytes = 2 * kPage;
  const char* data() const { return data_; }

 private:
  char* data_;
};

TEST(MappedCopyTest, CopiesWhatIsThere) {
  CutMapping mapping;
  std::string copy(100, '\0');

  EXPECT_TRUE(MappedCopy(copy.data(), mapping.data() + 10, copy.size()));

  EXPECT_EQ(copy, std::string(100, 'x'));
}

TEST(MappedCopyTest, SaysSoWhenAPageCannotBeReadAndGoesOnWorking) {
  CutMapping mapping;
  std::string copy(CutMapping::kBytes, '\0');

  for (int i = 0; i < 3; ++i) {
    EXPECT_FALSE(MappedCopy(copy.data(), mapping.data(), copy.size()));
    EXPECT_TRUE(MappedCopy(copy.data(), mapping.data(), CutMapping::kPage));
  }
}

TEST(MappedCopyTest, FaultsOfSeveralThreadsDoNotMeet) {
  CutMapping mapping;
  auto run = [&] {
    std::string copy(CutMapping::kBytes, '\0');
    for (int i = 0; i < 1000; ++i) {
      ASSERT_FALSE(MappedCopy(copy.data(), mapping.data() + CutMapping::kPage, 1));
      ASSERT_TRUE(MappedCopy(copy.data(), mapping.data(), CutMapping::kPage));
    }
  };
  std::thread one(run), two(run);
  one.join();
  two.join();
}

}  // namespace
}  // namespace lre

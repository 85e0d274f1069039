#include "worker/lower_tree.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <map>

#include "base/file.h"
#include "base/random.h"
#include "reapi/tree.h"
#include "store/fake_blob_store.h"

namespace lre::worker {
namespace {

using testing::HasSubstr;

// path -> "f:<content>", "x:<content>" or "l:<target>".
using Shape = std::map<std::string, std::string>;

class LowerTreeTest : public testing::Test {
 protected:
  LowerTreeTest()
      : files_(*FileCache::Open(cas_, {.directory = directory_ / "files", .owner = geteuid()})),
        directories_(cas_, {}),
        tree_(directories_, *files_, {.directory = directory_ / "lower", .owner = geteuid()}) {}

  store::BlobKey Upload(const Shape& shape) {
    reapi::TreeBuilder builder(DigestFunction::kSha256);
    for (const auto& [path, what] : shape) {
      std::string value = what.substr(2);
      if (what[0] == 'l') {
        EXPECT_TRUE(builder.AddSymlink(path, value).ok());
      } else {
        EXPECT_TRUE(builder.AddFile(path, cas_.Add(value), what[0] == 'x').ok());
      }
    }
    auto built = builder.Build();
    for (const auto& blob : built.directories) cas_.Add(blob.bytes);
    return {built.root, 0};
  }
  static void Read(const std::string& path, const std::string& prefix, Shape& shape) {
    std::vector<std::string> names = *SystemFiles().List(path);
    for (const std::string& name : names) {
      std::string below = path + "/" + name, key = prefix + name;
      struct stat info;
      ASSERT_EQ(lstat(below.c_str(), &info), 0);
      if (S_ISDIR(info.st_mode)) {
        Read(below, key + "/", shape);
      } else if (S_ISLNK(info.st_mode)) {
        char target[100];
        shape[key] =
            "l:" + std::string(target,
                               static_cast<size_t>(readlink(below.c_str(), target, sizeof target)));
      } else {
        shape[key] = ((info.st_mode & 0100) != 0 ? "x:" : "f:") + *ReadFile(below);
      }
    }
  }
  Shape OnDisk() {
    Shape shape;
    Read(tree_.directory(), "", shape);
    return shape;
  }

  store::FakeBlobStore cas_;
  TempDir directory_;
  std::unique_ptr<FileCache> files_;
  DirectoryCache directories_;
  LowerTree tree_;
};

TEST_F(LowerTreeTest, ChangesOnlyWhatDiffers) {
  Shape shape;
  for (int i = 0; i < 100; ++i) shape[fmt::format("d{}/e/f{}", i % 10, i)] = fmt::format("f:{}", i);
  ASSERT_TRUE(tree_.Update(Upload(shape)).ok());
  EXPECT_EQ(OnDisk(), shape);

  shape["d3/e/f3"] = "f:changed";
  ASSERT_TRUE(tree_.Update(Upload(shape)).ok());

  EXPECT_EQ(tree_.last_changes(), 1u);
  EXPECT_EQ(OnDisk(), shape);
  ASSERT_TRUE(tree_.Update(Upload(shape)).ok());
  EXPECT_EQ(tree_.last_changes(), 0u);
}

TEST_F(LowerTreeTest, ReachesEveryShapeFromEveryOther) {
  uint64_t seed = std::random_device()();
  SCOPED_TRACE(fmt::format("seed {}", seed));
  Random random(seed);
  for (int round = 0; round < 60; ++round) {
    Shape shape;
    for (int i = 0; i < 12; ++i) {
      std::string path(1, static_cast<char>('a' + random.Below(3)));
      while (random.OneIn(2) && path.size() < 9)
        path += "/" + std::string(1, static_cast<char>('a' + random.Below(3)));
      // A name is one thing only.
      bool clash = false;
      for (const auto& [other, what] : shape)
        clash |= other == path || other.starts_with(path + "/") || path.starts_with(other + "/");
      if (clash) continue;
      const char* kinds[] = {"f:", "x:", "l:"};
      shape[path] = kinds[random.Below(3)] + fmt::to_string(random.Below(3));
    }

    Status status = tree_.Update(Upload(shape));

    ASSERT_TRUE(status.ok()) << status.ToString();
    ASSERT_EQ(OnDisk(), shape) << "round " << round;
  }
}

TEST_F(LowerTreeTest, StartsAfreshAfterAMissingBlob) {
  Shape shape = {{"a/b", "f:1"}, {"c", "f:2"}};
  store::BlobKey root = Upload(shape);
  cas_.Lose(ComputeDigest(DigestFunction::kSha256, "2"));
  EXPECT_EQ(tree_.Update(root).code(), Code::kFailedPrecondition);

  cas_.Add("2");

  EXPECT_TRUE(tree_.Update(root).ok());
  EXPECT_EQ(OnDisk(), shape);
}

TEST_F(LowerTreeTest, CountsTheStorePathsOfTheFilesItHolds) {
  std::string path = "/lre/store/0123456789abcdef0123456789abcdef-tool";
  ASSERT_TRUE(tree_.Update(Upload({{"d/a", "f:" + path}, {"b", "f:" + path + " "}})).ok());
  EXPECT_EQ(tree_.store_paths().at(path), 2);

  ASSERT_TRUE(tree_.Update(Upload({{"b", "f:" + path + " "}})).ok());
  EXPECT_EQ(tree_.store_paths().at(path), 1);

  ASSERT_TRUE(tree_.Update(Upload({})).ok());
  EXPECT_TRUE(tree_.store_paths().empty());
}

TEST_F(LowerTreeTest, CountsTheStorePathsThatLinksLeadTo) {
  const std::string one = "/lre/store/0123456789abcdef0123456789abcdef-jdk";
  const std::string two = "/lre/store/fedcba9876543210fedcba9876543210-base";
  ASSERT_TRUE(
      tree_.Update(Upload({{"java", "l:" + one + "/bin/java"}, {"d/sh", "l:" + two + "/bin/sh"}}))
          .ok());
  EXPECT_THAT(tree_.store_paths(),
              testing::ElementsAre(testing::Pair(one, 1), testing::Pair(two, 1)));

  ASSERT_TRUE(
      tree_.Update(Upload({{"java", "l:" + two + "/bin/java"}, {"d/sh", "l:" + two + "/bin/sh"}}))
          .ok());
  EXPECT_THAT(tree_.store_paths(), testing::ElementsAre(testing::Pair(two, 2)));
  ASSERT_TRUE(tree_.Update(Upload({{"java", "f:none"}})).ok());
  EXPECT_TRUE(tree_.store_paths().empty());
}

// A few small directories can name a tree of any size: each holds the next one twice.
TEST_F(LowerTreeTest, CopiesAFileThatHasTooManyLinks) {
  auto link_twice = [](const char* from, const char* to) {
    struct stat info;
    if (stat(from, &info) == 0 && info.st_nlink < 2) return link(from, to);
    errno = EMLINK;
    return -1;
  };
  LowerTree tree(directories_, *files_,
                 {.directory = directory_ / "few", .owner = geteuid(), .link_file = link_twice});
  Shape shape = {{"a", "x:same"}, {"b", "x:same"}, {"d/c", "x:same"}};

  ASSERT_TRUE(tree.Update(Upload(shape)).ok());

  Shape found;
  Read(tree.directory(), "", found);
  EXPECT_EQ(found, shape);
  struct stat first, last;
  ASSERT_EQ(stat((directory_ / "few/a").c_str(), &first), 0);
  ASSERT_EQ(stat((directory_ / "few/d/c").c_str(), &last), 0);
  EXPECT_NE(first.st_ino, last.st_ino);
  EXPECT_EQ(first.st_mtime, last.st_mtime);
}

TEST_F(LowerTreeTest, RefusesADirectoryBomb) {
  reapi::Directory directory;
  Digest digest = cas_.Add(reapi::EncodeDirectory(directory));
  for (int i = 0; i < 60; ++i) {
    reapi::Directory parent;
    parent.directories = {{"a", digest}, {"b", digest}};
    digest = cas_.Add(reapi::EncodeDirectory(parent));
  }

  EXPECT_EQ(tree_.Update({digest, 0}).code(), Code::kResourceExhausted);
}

TEST_F(LowerTreeTest, RefusesATreeThatIsTooDeep) {
  Digest digest = cas_.Add(reapi::EncodeDirectory({}));
  for (int i = 0; i < 1000; ++i) {
    reapi::Directory parent;
    parent.directories = {{"d", digest}};
    digest = cas_.Add(reapi::EncodeDirectory(parent));
  }

  EXPECT_EQ(tree_.Update({digest, 0}).code(), Code::kInvalidArgument);
}

TEST_F(LowerTreeTest, CopiesItselfForAnActionThatMayWrite) {
  Shape shape = {{"a/b", "x:1"}, {"c", "f:2"}, {"l", "l:c"}};
  ASSERT_TRUE(tree_.Update(Upload(shape)).ok());
  std::string copy = directory_ / "copy";

  ASSERT_TRUE(tree_.CopyTo(copy).ok());

  Shape copied;
  Read(copy, "", copied);
  EXPECT_EQ(copied, shape);
  ASSERT_TRUE(WriteFileAtomically(copy + "/c", "spoilt").ok());
  EXPECT_EQ(OnDisk(), shape);
}

}  // namespace
}  // namespace lre::worker

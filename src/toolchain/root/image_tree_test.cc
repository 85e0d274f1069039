#include "toolchain/root/image_tree.h"

#include <archive.h>
#include <archive_entry.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "base/file.h"
#include "toolchain/root/fake_deb.h"

namespace lre::toolchain {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// Entries as in fake_deb.h, written as a layer.
class ImageTreeTest : public testing::Test {
 protected:
  void Layer(const std::vector<FakeEntry>& entries, int filter = ARCHIVE_FILTER_NONE) {
    const std::string file = directory_ / std::to_string(layers_.size());
    const std::unique_ptr<archive, int (*)(archive*)> out(archive_write_new(), archive_write_free);
    archive_write_set_format_pax_restricted(out.get());
    archive_write_add_filter(out.get(), filter);
    ASSERT_EQ(archive_write_open_filename(out.get(), file.c_str()), ARCHIVE_OK);
    for (const FakeEntry& each : entries) {
      const std::unique_ptr<archive_entry, void (*)(archive_entry*)> entry(archive_entry_new(),
                                                                           archive_entry_free);
      archive_entry_set_pathname(entry.get(), each.path.c_str());
      archive_entry_set_perm(entry.get(), static_cast<mode_t>(each.mode));
      archive_entry_set_filetype(entry.get(), each.type == 'd'   ? AE_IFDIR
                                              : each.type == 'l' ? AE_IFLNK
                                              : each.type == 'c' ? AE_IFCHR
                                                                 : AE_IFREG);
      if (each.type == 'l') archive_entry_set_symlink(entry.get(), each.content.c_str());
      if (each.type == 'h') archive_entry_set_hardlink(entry.get(), each.content.c_str());
      archive_entry_set_size(entry.get(),
                             each.type == 'f' ? static_cast<int64_t>(each.content.size()) : 0);
      ASSERT_EQ(archive_write_header(out.get(), entry.get()), ARCHIVE_OK);
      if (each.type == 'f') archive_write_data(out.get(), each.content.data(), each.content.size());
    }
    ASSERT_EQ(archive_write_close(out.get()), ARCHIVE_OK);
    layers_.push_back(file);
  }
  FileTree Unpack(const ImageTreeOptions& options = {}) {
    Result<FileTree> tree = UnpackLayers(layers_, options);
    EXPECT_TRUE(tree) << tree.error().ToString();
    return tree.value_or(FileTree());
  }
  Status Refuse(const ImageTreeOptions& options = {}) {
    return ToStatus(UnpackLayers(layers_, options));
  }
  TempDir directory_;
  std::vector<std::string> layers_;
};

TEST_F(ImageTreeTest, UpperLayersReplaceAndHideWhatIsBelow) {
  Layer({{"opt/", "", 'd', 0755},
         {"opt/kept", "below"},
         {"opt/replaced", "below"},
         {"opt/gone", "below"},
         {"opt/folder/a", "below"},
         {"opt/opaque/old", "below"}});
  Layer({{"opt/.wh.gone", ""},
         {"opt/.wh.folder", ""},
         {"opt/opaque/new", "above"},
         {"opt/opaque/.wh..wh..opq", ""},
         {"opt/replaced", "above", 'f', 0755}});

  FileTree tree = Unpack();

  EXPECT_THAT(Paths(tree), ElementsAre("opt/kept", "opt/opaque/new", "opt/replaced"));
  EXPECT_EQ(tree["opt/replaced"].content, "above");
  EXPECT_TRUE(tree["opt/replaced"].executable);
}

TEST_F(ImageTreeTest, AWhiteoutSparesWhatItsOwnLayerBrings) {
  Layer({{"etc/x/old", "below"}});
  Layer({{"etc/x/new", "above"}, {"etc/.wh.x", ""}});

  EXPECT_THAT(Paths(Unpack()), ElementsAre("etc/x/new"));
}

TEST_F(ImageTreeTest, FoldersFilesAndLinksTakeEachOthersPlaces) {
  Layer({{"a/file", "was in a folder"},
         {"b", "was a file"},
         {"lib64", "usr/lib64", 'l'},
         {"usr/lib64/x", "x"}});
  Layer({{"a", "is a file"},
         {"b/", "", 'd', 0755},
         {"b/file", "is in a folder"},
         {"lib64/y", "through the link"}});

  FileTree tree = Unpack();

  EXPECT_THAT(Paths(tree), ElementsAre("a", "b/file", "usr/lib64/x", "usr/lib64/y"));
  EXPECT_EQ(tree["usr/lib64/y"].content, "through the link");
}

TEST_F(ImageTreeTest, LayersMayBeCompressed) {
  Layer({{"one", "1"}}, ARCHIVE_FILTER_GZIP);
  Layer({{"two", "2"}}, ARCHIVE_FILTER_ZSTD);
  Layer({}, ARCHIVE_FILTER_GZIP);

  EXPECT_THAT(Paths(Unpack()), ElementsAre("one", "two"));
}

TEST_F(ImageTreeTest, ChosenPathsGoWhereTheyAreTold) {
  Layer({{"opt/tool-1/bin/tool", "tool", 'f', 0755},
         {"opt/tool-1/lib/data", "data"},
         {"opt/tool-1/alias", "/opt/tool-1/bin/tool", 'l'},
         {"usr/share/big", "left out"},
         {"dev/null", "", 'c'}});

  FileTree tree =
      Unpack({.include = {"opt/tool-1/bin", "opt/tool-1/al*"}, .into = "usr", .strip = 2});

  EXPECT_THAT(Paths(tree), ElementsAre("usr/alias", "usr/bin/tool"));
  EXPECT_EQ(tree["usr/alias"].content, "/usr/bin/tool");
  EXPECT_THAT(Refuse({.include = {"opt/none"}}).message(), HasSubstr("\"opt/none\" fits no file"));
}

TEST_F(ImageTreeTest, AHardLinkToWhatIsNotChosenHasItsBytes) {
  Layer({{"bin/busybox", "all of it", 'f', 0755}, {"bin/sh", "bin/busybox", 'h', 0755}});

  FileTree tree = Unpack({.include = {"bin/sh"}});

  EXPECT_THAT(Paths(tree), ElementsAre("usr/bin/sh"));
  EXPECT_EQ(tree["usr/bin/sh"].content, "all of it");

  Layer({{"bin/ash", "bin/busybox", 'h', 0755}});
  EXPECT_THAT(Refuse({.include = {"bin/ash"}}).message(), HasSubstr("include that too"));
}

TEST_F(ImageTreeTest, BoundsAndHostileNamesAreRefused) {
  Layer({{"a", "12345678"}, {"b", "12345678"}});
  EXPECT_EQ(Refuse({.limits = {.bytes_max = 15}}).code(), Code::kResourceExhausted);
  EXPECT_EQ(Refuse({.limits = {.entries_max = 1}}).code(), Code::kResourceExhausted);

  Layer({{"../../etc/passwd", "x"}});
  EXPECT_EQ(Refuse().code(), Code::kDataLoss);

  layers_.resize(1);
  ASSERT_TRUE(
      WriteFileAtomically(layers_[0], "no tar at all, but long enough to be looked at").ok());
  EXPECT_EQ(Refuse().code(), Code::kDataLoss);
}

}  // namespace
}  // namespace lre::toolchain

// Archives that become directories, and what is parsed on the way.
#include "service/asset_archive.h"

#include <archive.h>
#include <archive_entry.h>

#include "base/random.h"
#include "reapi/action.h"
#include "service/fake_asset_server.h"

namespace lre::service {
namespace {

struct Member {
  std::string path, bytes;
  mode_t mode = 0100644;
  std::string link;  // target of a symlink (mode 0120777), or of a hard link
};

// An archive made by libarchive, whose reader is under test only together with our use of it.
std::string MakeArchive(const std::vector<Member>& members, bool zip = false) {
  archive* writer = archive_write_new();
  zip ? archive_write_set_format_zip(writer) : archive_write_set_format_pax_restricted(writer);
  if (!zip) archive_write_add_filter_gzip(writer);
  std::string bytes(8 << 20, '\0');
  size_t used = 0;
  EXPECT_EQ(archive_write_open_memory(writer, bytes.data(), bytes.size(), &used), ARCHIVE_OK);
  for (const Member& member : members) {
    archive_entry* entry = archive_entry_new();
    archive_entry_set_pathname(entry, member.path.c_str());
    archive_entry_set_mode(entry, member.mode);
    archive_entry_set_size(entry, static_cast<int64_t>(member.bytes.size()));
    if (!member.link.empty() && (member.mode & S_IFMT) == S_IFLNK) {
      archive_entry_set_symlink(entry, member.link.c_str());
    } else if (!member.link.empty()) {
      archive_entry_set_hardlink(entry, member.link.c_str());
    }
    // A warning: that a name is not in the locale's encoding.
    EXPECT_GE(archive_write_header(writer, entry), ARCHIVE_WARN) << archive_error_string(writer);
    archive_write_data(writer, member.bytes.data(), member.bytes.size());
    archive_entry_free(entry);
  }
  archive_write_close(writer);
  archive_write_free(writer);
  bytes.resize(used);
  return bytes;
}

Result<Digest> Unpack(const std::string& bytes, store::BlobStore& store,
                      UnpackOptions options = {}) {
  TRY_ASSIGN(auto file, SpoolFile::Create("", options.function));
  TRY(file->Append(bytes));
  return UnpackArchive(*file, store, options);
}

// "f", "x", "l" or "d", the path, and what it holds; a line each.
std::string Listing(store::BlobStore& store, const Digest& digest, const std::string& prefix = "") {
  auto bytes = store::ReadAll(store, {digest});
  EXPECT_TRUE(bytes) << ToStatus(bytes).ToString();
  auto directory = reapi::ParseDirectory(*bytes, kSha256);
  EXPECT_TRUE(directory) << ToStatus(directory).ToString();
  if (!directory) return "";
  std::string text;
  for (const auto& file : directory->files) {
    text += fmt::format("{} {}{} {}\n", file.is_executable ? "x" : "f", prefix, file.name,
                        *store::ReadAll(store, {file.digest}));
  }
  for (const auto& link : directory->symlinks) {
    text += fmt::format("l {}{} {}\n", prefix, link.name, link.target);
  }
  for (const auto& below : directory->directories) {
    text += fmt::format("d {}{}\n", prefix, below.name);
    text += Listing(store, below.digest, prefix + below.name + "/");
  }
  return text;
}

const std::vector<Member> kProject = {
    {"./", "", 040755},
    {"./p/", "", 040755},
    {"./p/b.txt", "text"},
    {"./p/run", "#!", 0100755},
    {"./p/empty/", "", 040755},
    {"./p/deep/er/file", "deep"},
    {"./p/deep/up", "", 0120777, "../b.txt"},
};
constexpr char kListing[] =
    "d p\nf p/b.txt text\nx p/run #!\nd p/deep\nl p/deep/up ../b.txt\nd p/deep/er\n"
    "f p/deep/er/file deep\nd p/empty\n";

TEST(UnpackArchiveTest, MakesDirectoriesOfTarAndZip) {
  for (bool zip : {false, true}) {
    store::FakeBlobStore store;
    auto root = Unpack(MakeArchive(kProject, zip), store);
    ASSERT_TRUE(root) << ToStatus(root).ToString();
    EXPECT_EQ(Listing(store, *root), kListing) << "zip: " << zip;
  }
}

TEST(UnpackArchiveTest, TakesWhatIsBelowADirectory) {
  store::FakeBlobStore store;
  auto root = Unpack(MakeArchive(kProject), store, {.directory = "p/deep/er"});
  ASSERT_TRUE(root) << ToStatus(root).ToString();
  EXPECT_EQ(Listing(store, *root), "f file deep\n");
  EXPECT_EQ(Listing(store, *Unpack(MakeArchive(kProject), store, {.directory = "p/empty"})), "");
  for (const char* none : {"no", "p/b.txt", "p/b", "p/run/x"}) {
    EXPECT_EQ(Unpack(MakeArchive(kProject), store, {.directory = none}).error().code(),
              Code::kNotFound)
        << none;
  }
  // "up" points outside of what is taken.
  EXPECT_EQ(Unpack(MakeArchive(kProject), store, {.directory = "p/deep"}).error().code(),
            Code::kAborted);
}

TEST(UnpackArchiveTest, TheLastOfOnePathCountsAndHardLinksAreFiles) {
  store::FakeBlobStore store;
  auto root =
      Unpack(MakeArchive({{"a", "first", 0100755}, {"b", "", 0100644, "a"}, {"a", "last"}}), store);
  ASSERT_TRUE(root) << ToStatus(root).ToString();
  EXPECT_EQ(Listing(store, *root), "f a last\nx b first\n");
}

TEST(UnpackArchiveTest, KeepsLargeFilesAndNamesThatAreNotAscii) {
  store::FakeBlobStore store;
  const std::string large(5 << 20, 'x');
  auto root = Unpack(MakeArchive({{"gr\xc3\xb6\xc3\x9f"
                                   "e",
                                   large}},
                                 true),
                     store);
  ASSERT_TRUE(root) << ToStatus(root).ToString();
  EXPECT_EQ(Listing(store, *root),
            "f gr\xc3\xb6\xc3\x9f"
            "e " +
                large + "\n");
}

TEST(UnpackArchiveTest, RefusesWhatLeavesTheTree) {
  const std::vector<std::vector<Member>> archives = {
      {{"../a", "x"}},
      {{"/a", "x"}},
      {{"a/../../b", "x"}},
      {{"a", "", 0120777, "/etc/passwd"}},
      {{"a", "", 0120777, ".."}},
      {{"d/a", "", 0120777, "../../x"}},
      {{"d/a", "", 0120777, "b/../../../x"}},
      {{"a", "", 0120777, "b"}, {"a/c", "x"}},
      {{"a", "x"}, {"a/c", "x"}},
      {{"b", "", 0100644, "never"}},
      {{"pipe", "", 010644}},
      {{"caf\xe9", "x"}},  // Latin-1
      {{"a", "", 0120777, "\xc0\xaf"}},
      {{std::string(5000, 'a'), "x"}},
  };
  for (const auto& members : archives) {
    store::FakeBlobStore store;
    auto root = Unpack(MakeArchive(members), store);
    ASSERT_FALSE(root) << members[0].path;
    EXPECT_EQ(root.error().code(), Code::kAborted) << root.error().ToString();
  }
}

TEST(UnpackArchiveTest, IsBounded) {
  store::FakeBlobStore store;
  const std::string archive =
      MakeArchive({{"a", std::string(600, 'x')}, {"b", std::string(500, 'x')}});
  EXPECT_EQ(Unpack(archive, store, {.unpacked_bytes_max = 1099}).error().code(),
            Code::kResourceExhausted);
  EXPECT_TRUE(Unpack(archive, store, {.unpacked_bytes_max = 1100}));
  EXPECT_EQ(Unpack(archive, store, {.entries_max = 1}).error().code(), Code::kResourceExhausted);
  EXPECT_TRUE(Unpack(archive, store, {.entries_max = 2}));
  auto large = Unpack(archive, store, {.file_bytes_max = 599});
  ASSERT_FALSE(large);
  EXPECT_EQ(large.error().code(), Code::kResourceExhausted);
  EXPECT_NE(large.error().message().find("599"), std::string::npos) << large.error().message();
  EXPECT_TRUE(Unpack(archive, store, {.file_bytes_max = 600}));
}

TEST(UnpackArchiveTest, DamagedArchivesAreRefusedOrRead) {
  const std::string sound = MakeArchive(kProject), zipped = MakeArchive(kProject, true);
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE(fmt::format("seed {}", seed));
  Random random(seed);
  store::FakeBlobStore store;
  EXPECT_EQ(Unpack("not an archive", store).error().code(), Code::kAborted);
  EXPECT_EQ(Unpack(sound.substr(0, sound.size() / 2), store).error().code(), Code::kAborted);
  for (int i = 0; i < 300; i++) {
    std::string bytes = i % 2 == 0 ? sound : zipped;
    for (uint64_t flips = random.Below(4); flips-- > 0;) {
      bytes[random.Below(bytes.size())] ^= static_cast<char>(1 << random.Below(8));
    }
    if (random.OneIn(3)) bytes.resize(random.Below(bytes.size()));
    auto root = Unpack(bytes, store, {.unpacked_bytes_max = 1 << 20});
    if (root) Listing(store, *root);
  }
}

TEST(UnpackArchiveTest, ErrorsOfTheStoreStayWhatTheyAre) {
  store::FakeBlobStore store;
  store.Fail(Status(Code::kUnavailable, "disk on fire"));
  EXPECT_EQ(Unpack(MakeArchive(kProject), store).error().code(), Code::kUnavailable);
}

class FetchDirectoryTest : public AssetFixture {
 protected:
  asset_pb::FetchDirectoryResponse FetchDirectory(const std::string& directory) {
    asset_pb::FetchDirectoryRequest request;
    request.add_uris(origin_.Url("/p.tar.gz"));
    Qualify(request.mutable_qualifiers(), "directory", directory);
    Qualify(request.mutable_qualifiers(), "resource_type", "application/x-tar");
    asset_pb::FetchDirectoryResponse response;
    Context context;
    const grpc::Status status = fetch_->FetchDirectory(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }
};

TEST_F(FetchDirectoryTest, UnpacksOnceAndKeepsTheWholeTree) {
  origin_.Serve("/p.tar.gz", MakeArchive(kProject));
  auto response = FetchDirectory("p/deep/er/");
  ASSERT_EQ(response.status().code(), 0) << response.status().message();
  const Digest root = *reapi::FromProto(response.root_directory_digest());
  EXPECT_EQ(Listing(store_, root), "f file deep\n");
  ASSERT_EQ(pins_.size(), 1u);
  EXPECT_EQ(pins_.begin()->second.digests, 2u);
  origin_.Stop();
  EXPECT_EQ(*reapi::FromProto(FetchDirectory("p/deep/er/").root_directory_digest()), root);
}

TEST_F(FetchDirectoryTest, SaysWhatIsWrongWithAnArchive) {
  origin_.Serve("/p.tar.gz", "<html>not found</html>");
  EXPECT_EQ(FetchDirectory("").status().code(), grpc::ABORTED);
  origin_.Serve("/p.tar.gz", MakeArchive(kProject));
  EXPECT_EQ(FetchDirectory("no/such").status().code(), grpc::NOT_FOUND);
}

TEST(AssetHosts, AreExactOrBelowADomain) {
  for (const char* good : {"*", "example.org", "*.example.org", "127.0.0.1:80", "[::1]:8080"}) {
    EXPECT_TRUE(CheckHostRule(good).ok()) << good;
  }
  for (const char* bad : {"", "http://example.org", "Example.org", "*.", "a b", "*example.org"}) {
    EXPECT_FALSE(CheckHostRule(bad).ok()) << bad;
  }
}

TEST(ParseIntegrityTest, KeepsTheStrongest) {
  auto all = ParseIntegrity(
      " sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk= sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=?x");
  ASSERT_TRUE(all) << ToStatus(all).ToString();
  ASSERT_EQ(all->size(), 1u);
  EXPECT_EQ((*all)[0].hash, EmptyDigest(kSha256).hash_view());
}

}  // namespace
}  // namespace lre::service

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hex.h"
#include "digest/digest.h"
#include "http_client/fake_http_server.cc"  // NOLINT(bugprone-suspicious-include)
#include "toolchain/nix/binary_cache.h"
#include "toolchain/nix/nar.h"
#include "toolchain/nix/nar_info.h"
#include "toolchain/nix/store_name.h"

namespace lre::toolchain {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const std::string kHello = "0c5b8vw40dy178xlpddw65q9gf1h2186-hello-2.12";
const std::string kLibc = "1c5b8vw40dy178xlpddw65q9gf1h2186-glibc";

std::string Sha256(std::string_view bytes) {
  return ComputeDigest(DigestFunction::kSha256, bytes).Hex();
}

TEST(NixStoreName, HashesAreWrittenInNixsOwnBase32) {
  // `nix hash to-base32` of the hash of nothing.
  EXPECT_EQ(PrintNixSha256(Sha256("")),
            "sha256:0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73");
  EXPECT_EQ(ParseNixSha256(PrintNixSha256(Sha256("x"))).value(), Sha256("x"));
  EXPECT_EQ(ParseNixSha256("sha256:" + Sha256("x")).value(), Sha256("x"));
  // 52 digits hold four bits more than the hash has.
  EXPECT_FALSE(ParseNixSha256("sha256:z" + std::string(51, '0')));
  EXPECT_FALSE(ParseNixSha256("sha512:" + Sha256("x")));
}

TEST(NixStoreName, NamesEndWhereTextGoesOn) {
  EXPECT_TRUE(IsNixPath("/nix/store/" + kHello));
  EXPECT_FALSE(IsNixPath("/nix/store/" + kHello + "/bin"));
  EXPECT_FALSE(IsNixPath("/nix/store/e" + kHello.substr(1)));
  EXPECT_EQ(NixNameLength(kHello + "/bin/hello"), kHello.size());
  EXPECT_EQ(NixNameLength(kHello + "."), kHello.size());
  EXPECT_EQ(NixNameLength(kHello + "=1"), kHello.size());
  EXPECT_EQ(NixNameLength(kHello.substr(0, 33)), 0u);
}

class NarTest : public testing::Test {
 protected:
  NarTest() {
    EXPECT_TRUE(SystemFiles().MakeDirectories(tree_ / "bin").ok());
    EXPECT_TRUE(SystemFiles().MakeDirectories(tree_ / "empty").ok());
    EXPECT_TRUE(WriteFileAtomically(tree_ / "bin/tool", "#!/bin/sh\n", 0755).ok());
    EXPECT_TRUE(WriteFileAtomically(tree_ / "note", "").ok());
    EXPECT_EQ(symlink("bin/tool", (tree_ / "link").c_str()), 0);
  }
  std::string Dump(const std::string& path) {
    std::string bytes;
    EXPECT_TRUE(DumpNar(path, [&](std::string_view piece) {
                  bytes += piece;
                  return Status();
                }).ok());
    return bytes;
  }
  Status Unpack(const std::string& bytes) {
    auto file = SystemFiles().Open(out_ / "nar", OpenMode::kCreate).value();
    EXPECT_TRUE(file->Truncate(0).ok());
    EXPECT_TRUE(file->WriteAt(bytes, 0).ok());
    EXPECT_TRUE(RemoveTree(out_ / "tree").ok());
    EXPECT_TRUE(SystemFiles().MakeDirectories(out_ / "tree").ok());
    return UnpackNar(out_ / "nar", out_ / "tree");
  }
  TempDir tree_, out_;
};

TEST_F(NarTest, WhatIsUnpackedIsWhatWasPacked) {
  const std::string bytes = Dump(tree_.path());

  ASSERT_TRUE(Unpack(bytes).ok());

  EXPECT_EQ(Dump(out_ / "tree"), bytes);
  EXPECT_EQ(HashNar(tree_.path()).value().sha256, Sha256(bytes));
}

TEST_F(NarTest, AnArchiveCutOffAnywhereIsRefused) {
  const std::string bytes = Dump(tree_.path());

  for (size_t size = 0; size < bytes.size(); ++size)
    ASSERT_EQ(Unpack(bytes.substr(0, size)).code(), Code::kDataLoss) << size;
  EXPECT_EQ(Unpack(bytes + "x").code(), Code::kDataLoss);
}

TEST_F(NarTest, HostileNamesAndOrderAreRefused) {
  const std::string bytes = Dump(tree_.path());
  auto with = [&](const std::string& from, const std::string& to) {
    std::string changed = bytes;
    return changed.replace(changed.find(from), from.size(), to);
  };

  EXPECT_THAT(Unpack(with("note", "../x")).message(), HasSubstr("named '../x'"));
  EXPECT_THAT(Unpack(with("note", "aaaa")).message(), HasSubstr("out of order"));
  EXPECT_THAT(Unpack(with("symlink", "fifo-it")).message(), HasSubstr("unknown kind"));
}

TEST_F(NarTest, ASingleFileIsRefusedWithWhatToDo) {
  for (const char* single : {"note", "link"}) {
    const Status status = Unpack(Dump(tree_ / single));
    EXPECT_EQ(status.code(), Code::kUnimplemented);
    EXPECT_THAT(status.message(), HasSubstr("linkFarm"));
    EXPECT_EQ(CheckNixFolder(tree_ / single).code(), Code::kUnimplemented);
  }
  EXPECT_EQ(UnpackNar(out_ / "nar", out_ / "tree", {.bytes_max = 1}).code(), Code::kUnimplemented);
  EXPECT_TRUE(CheckNixFolder(tree_.path()).ok());
}

struct Key {
  Key() : pair(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"), EVP_PKEY_free) {}
  std::string Base64(std::string_view bytes) const {
    std::string text(bytes.size() * 2, '\0');
    text.resize(static_cast<size_t>(EVP_EncodeBlock(
        reinterpret_cast<unsigned char*>(text.data()),
        reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()))));
    return text;
  }
  std::string Public() const {
    std::string raw(32, '\0');
    size_t size = raw.size();
    EVP_PKEY_get_raw_public_key(pair.get(), reinterpret_cast<unsigned char*>(raw.data()), &size);
    return "test-1:" + Base64(raw);
  }
  std::string Sign(std::string_view message) const {
    std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
    std::string raw(64, '\0');
    size_t size = raw.size();
    EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, pair.get());
    EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(raw.data()), &size,
                   reinterpret_cast<const unsigned char*>(message.data()), message.size());
    return "test-1:" + Base64(raw);
  }
  std::unique_ptr<EVP_PKEY, void (*)(EVP_PKEY*)> pair;
};

// A cache of one path that references another, on loopback.
class BinaryCacheTest : public NarTest {
 protected:
  BinaryCacheTest() {
    Put(kLibc, "");
    Put(kHello, kLibc + " " + kHello);
  }
  void Put(const std::string& name, const std::string& references) {
    const std::string nar = Dump(tree_.path());
    std::string text = fmt::format(
        "StorePath: /nix/store/{}\nURL: nar/{}.nar\nCompression: none\nNarHash: {}\n"
        "NarSize: {}\nReferences: {}\n",
        name, name, PrintNixSha256(Sha256(nar)), nar.size(), references);
    text += "Sig: " + key_.Sign(NarFingerprint(ParseNarInfo(text).value())) + "\n";
    files_["/" + name.substr(0, 32) + ".narinfo"] = text;
    files_["/nar/" + name + ".nar"] = nar;
  }
  NixSource Source() const { return {.from = server_.Url(""), .keys = {key_.Public()}}; }

  Key key_;
  std::map<std::string, std::string> files_;
  HttpClient http_;
  FakeHttpServer server_{[this](const FakeHttpRequest& request) {
    const auto found = files_.find(request.path);
    return found == files_.end() ? FakeHttpAnswer{.status = 404}
                                 : FakeHttpAnswer{.body = found->second};
  }};
};

TEST_F(BinaryCacheTest, AClosureIsReadReferencesFirst) {
  const auto closure = ReadClosure(http_, Source(), "/nix/store/" + kHello);

  ASSERT_TRUE(closure) << closure.error().ToString();
  ASSERT_EQ(closure->size(), 2u);
  EXPECT_EQ((*closure)[0].name, kLibc);
  EXPECT_THAT((*closure)[1].references, ElementsAre(kLibc));
  EXPECT_EQ(ParseNixPath(PrintNixPath((*closure)[1])).value(), (*closure)[1]);
  ASSERT_TRUE(FetchNar(http_, Source(), (*closure)[1], out_ / "hello").ok());
  EXPECT_EQ(ReadFile(out_ / "hello").value(), Dump(tree_.path()));
}

TEST_F(BinaryCacheTest, WhatNoGivenKeySignedIsRefused) {
  NixSource source = Source();
  source.keys = {Key().Public()};
  EXPECT_EQ(ReadClosure(http_, source, "/nix/store/" + kHello).error().code(),
            Code::kPermissionDenied);

  // Signed, then changed.
  std::string& text = files_["/" + kLibc.substr(0, 32) + ".narinfo"];
  text.replace(text.find("References:"), 11, "References: " + kHello);
  EXPECT_THAT(ReadClosure(http_, Source(), "/nix/store/" + kHello).error().message(),
              HasSubstr(kLibc));
}

TEST_F(BinaryCacheTest, ACacheThatOffersOtherBytesThanLockedIsRefused) {
  const auto closure = ReadClosure(http_, Source(), "/nix/store/" + kHello);
  ASSERT_TRUE(closure);
  std::string& nar = files_["/nar/" + kLibc + ".nar"];
  nar[nar.find("#!/bin/sh")] = '%';

  EXPECT_EQ(FetchNar(http_, Source(), (*closure)[0], out_ / "libc").code(), Code::kDataLoss);
  EXPECT_FALSE(FileExists(out_ / "libc"));

  files_.erase("/" + kLibc.substr(0, 32) + ".narinfo");
  EXPECT_EQ(FetchNar(http_, Source(), (*closure)[0], out_ / "libc").code(), Code::kNotFound);
}

TEST_F(BinaryCacheTest, AFolderOfTreesIsScannedForReferences) {
  TempDir folder;
  for (const std::string& name : {kHello, kLibc})
    ASSERT_TRUE(SystemFiles().MakeDirectories(folder / ("nix/store/" + name)).ok());
  ASSERT_TRUE(
      WriteFileAtomically(folder / ("nix/store/" + kHello + "/run"), "/nix/store/" + kLibc).ok());
  const NixSource source{.from = folder.path()};

  const auto closure = ReadClosure(http_, source, "/nix/store/" + kHello);

  ASSERT_TRUE(closure) << closure.error().ToString();
  ASSERT_EQ(closure->size(), 2u);
  EXPECT_THAT((*closure)[1].references, ElementsAre(kLibc));
  EXPECT_TRUE(FetchNar(http_, source, (*closure)[1], out_ / "hello").ok());
}

TEST(NixClosure, MustBeWholeAndWithoutCircles) {
  const NixPath hello{kHello, Sha256("a"), 1, {kLibc}}, libc{kLibc, Sha256("b"), 1, {}};
  NixPath circle = libc;
  circle.references = {kHello};

  EXPECT_THAT(OrderClosure({hello}).error().message(), HasSubstr("lacks " + kLibc));
  EXPECT_THAT(OrderClosure({hello, circle}).error().message(), HasSubstr("references itself"));
  EXPECT_EQ(OrderClosure({hello, libc}).value()[0].name, kLibc);
  EXPECT_EQ(ClosureSha256({hello, libc}), ClosureSha256({libc, hello}));
  EXPECT_NE(ClosureSha256({hello, libc}), ClosureSha256({hello, circle}));
}

}  // namespace
}  // namespace lre::toolchain

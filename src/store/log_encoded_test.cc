// Blobs whose record is not their bytes: kept as lists of chunks, or compressed.
#include "store/log_encoded.h"

#include <gmock/gmock.h>
#include <zstd.h>

#include <filesystem>
#include <fstream>

#include "base/file.h"
#include "base/random.h"
#include "store/blob_store_contract.h"
#include "store/fake_file_system.h"
#include "store/log_store.h"

namespace lre::store {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

// Random words over and over: about a third of its size when compressed.
std::string Words(uint64_t seed, size_t size) {
  Random random(seed);
  std::vector<std::string> words;
  for (int i = 0; i < 200; ++i) words.push_back(random.NextBytes(10));
  std::string text;
  while (text.size() < size) text += words[random.Below(words.size())];
  text.resize(size);
  return text;
}

BlobStoreMaker CompressingMaker() {
  return []() {
    auto dir = std::make_shared<TempDir>();
    auto store = OpenLogStore(
        SystemClock(),
        {.directory = *dir / "store", .size_bytes_max = 256 << 20, .at_rest = AtRest::kZstd});
    EXPECT_TRUE(store) << ToStatus(store).ToString();
    return BlobStoreUnderTest{dir, std::move(*store)};
  };
}
INSTANTIATE_TEST_SUITE_P(LogZstd, BlobStoreContract, testing::Values(CompressingMaker()));

class LogEncodedTest : public testing::Test {
 protected:
  void Open() {
    store_.reset();
    auto opened = OpenLogStore(clock_, options_);
    ASSERT_TRUE(opened) << opened.error().ToString();
    store_ = std::move(*opened);
  }
  // What a killed process leaves, opened.
  void OpenKilled() {
    std::filesystem::copy(options_.directory, dir_ / "killed",
                          std::filesystem::copy_options::recursive);
    options_.directory = dir_ / "killed";
    Open();
  }
  static Digest DigestOf(std::string_view text) {
    return ComputeDigest(DigestFunction::kSha256, text);
  }
  static BlobKey KeyOf(std::string_view text) { return {DigestOf(text), 0}; }
  Digest Add(const std::string& text) {
    Status status = Put(*store_, KeyOf(text), Bytes(text));
    EXPECT_TRUE(status.ok()) << status.ToString();
    return DigestOf(text);
  }
  bool Has(const Digest& digest) { return store_->FindMissing(0, {&digest, 1})->empty(); }
  std::optional<bool> TryHas(const Digest& digest) {
    auto missing = store_->TryFindMissing(0, {&digest, 1});
    if (!missing) return std::nullopt;
    return (*missing)->empty();
  }
  void Churn(int count = 900) {
    for (int i = 0; i < count; ++i) {
      clock_.Advance(1min);
      Add(Random(next_++).NextBytes(40'000));
    }
  }
  std::vector<std::string> Segments() { return *SystemFiles().List(dir_ / "store/segments"); }
  // `text` in pieces of a megabyte, which are there.
  Chunking Cut(const std::string& text) {
    Chunking chunking{.function = 1};
    for (size_t at = 0; at < text.size(); at += 1'000'000)
      chunking.chunks.push_back(Add(text.substr(at, 1'000'000)));
    return chunking;
  }

  TempDir dir_;  // not in memory: tmpfs has no reads that never block; the fake syncs nothing
  FakeClock clock_;
  FakeFileSystem files_;
  LogStoreOptions options_{.directory = dir_ / "store",
                           .size_bytes_max = 32 << 20,
                           .segment_bytes = 1 << 20,
                           .lease = 0min,
                           .lease_min = 0min,
                           .background = false,
                           .files = &files_};
  std::unique_ptr<LogStore> store_;
  uint64_t next_ = 1'000'000;
};

using LogListTest = LogEncodedTest;

TEST_F(LogListTest, ABlobOfChunksTakesNoRoomOfItsOwn) {
  Open();
  Add("so that there is a segment for small records");
  std::string text = Random(1).NextBytes(5'500'000);
  Chunking chunking = Cut(text);
  uint64_t entries = store_->Stats().entries, used = store_->Stats().used_bytes;

  ASSERT_EQ(store_->Splice(KeyOf(text), chunking, false), Status());

  EXPECT_EQ(store_->Stats().entries, entries + 1);
  EXPECT_EQ(store_->Stats().used_bytes, used);
  EXPECT_TRUE(Has(DigestOf(text)));
  EXPECT_TRUE(*ReadAll(*store_, KeyOf(text)) == text);
  EXPECT_TRUE(Flatten(*store_->Read(KeyOf(text), {900'000, 3'100'000})) ==
              text.substr(900'000, 2'200'000));
  EXPECT_EQ(ToStatus(store_->Read(KeyOf(text), {6'000'000, 7'000'000})).code(), Code::kOutOfRange);
  auto kept = store_->Chunks(KeyOf(text));
  ASSERT_TRUE(kept && *kept);
  EXPECT_EQ((*kept)->chunks, chunking.chunks);
  EXPECT_EQ((*kept)->function, 1);
  EXPECT_FALSE(*store_->Chunks({chunking.chunks[0], 0})) << "a chunk is whole";
  EXPECT_EQ(ToStatus(store_->Chunks(KeyOf("absent"))).code(), Code::kNotFound);
}

TEST_F(LogListTest, EventLoopsReadAListOnceItIsInMemory) {
  Open();
  std::string text = Random(1).NextBytes(3'000'000);
  ASSERT_EQ(store_->Splice(KeyOf(text), Cut(text), false), Status());
  OpenKilled();

  ASSERT_TRUE(Has(DigestOf(text)));
  EXPECT_EQ(TryHas(DigestOf(text)), true);
  ASSERT_TRUE(*ReadAll(*store_, KeyOf(text)) == text);
  auto read = store_->TryRead(KeyOf(text), {990'000, 1'010'000});
  ASSERT_TRUE(read.has_value());
  EXPECT_TRUE(Flatten(read->value()) == text.substr(990'000, 20'000));
}

TEST_F(LogListTest, ListsOutliveTheProcessAndRecycling) {
  Open();
  std::string text = Random(1).NextBytes(5'000'000);
  ASSERT_EQ(store_->Splice(KeyOf(text), Cut(text), false), Status());
  OpenKilled();
  for (int i = 0; i < 30; ++i) {
    Churn(60);
    ASSERT_TRUE(Has(DigestOf(text))) << "found every hour, it is never the least recently used";
  }

  EXPECT_GT(store_->Stats().recycled_segments, 20u);
  EXPECT_TRUE(*ReadAll(*store_, KeyOf(text)) == text);
  EXPECT_EQ(store_->Verify(), 0u);
  Open();
  EXPECT_TRUE(*ReadAll(*store_, KeyOf(text)) == text);
}

TEST_F(LogListTest, ABlobThatLacksAChunkIsAbsent) {
  Open();
  std::string text = Random(1).NextBytes(5'000'000);
  Chunking chunking = Cut(text);
  ASSERT_EQ(store_->Splice(KeyOf(text), chunking, false), Status());
  store_.reset();
  // One byte of the third chunk is turned over.
  for (const std::string& name : Segments()) {
    std::string path = dir_ / "store/segments/" + name, bytes = *ReadFile(path);
    size_t found = bytes.find(text.substr(2'000'000, 100));
    if (found == std::string::npos) continue;
    std::fstream(path, std::ios::in | std::ios::out | std::ios::binary)
        .seekp(static_cast<std::streamoff>(found))
        .put(static_cast<char>(~text[2'000'000]));
  }
  Open();
  EXPECT_TRUE(Has(DigestOf(text))) << "nobody has looked yet";

  EXPECT_EQ(ToStatus(store_->Read(KeyOf(text), {})).code(), Code::kNotFound);

  EXPECT_FALSE(Has(DigestOf(text)));
  EXPECT_EQ(store_->Stats().damaged, 1u) << "the chunk";
  EXPECT_EQ(store_->Splice(KeyOf(text), chunking, false).code(), Code::kNotFound);
  Add(text.substr(2'000'000, 1'000'000));
  EXPECT_EQ(store_->Splice(KeyOf(text), chunking, false), Status());
  EXPECT_TRUE(*ReadAll(*store_, KeyOf(text)) == text);
}

TEST_F(LogListTest, VerifyDropsABlobWhoseChunksWereGivenUp) {
  Open();
  std::string text = Random(1).NextBytes(5'000'000);
  Chunking chunking = Cut(text);
  ASSERT_EQ(store_->Splice(KeyOf(text), chunking, false), Status());
  Churn();
  ASSERT_FALSE(Has(chunking.chunks[0]));

  EXPECT_EQ(store_->Verify(), 0u) << "nothing is damaged";
  EXPECT_FALSE(Has(DigestOf(text)));
  EXPECT_EQ(ToStatus(store_->Read(KeyOf(text), {})).code(), Code::kNotFound);
}

TEST_F(LogListTest, APinKeepsTheChunks) {
  Open();
  std::string text = Random(1).NextBytes(5'000'000);
  Digest digest = Add(text);
  ASSERT_EQ(store_->SetPin({.name = "tool"}, 0, {&digest, 1}), Status());
  // Only now it is cut: the pin names the blob, and follows.
  ASSERT_EQ(store_->Splice(KeyOf(text), Cut(text), true), Status());

  Churn();
  OpenKilled();
  Churn();

  ASSERT_THAT(store_->Pins(), SizeIs(1));
  EXPECT_EQ(store_->Pins()[0].size_bytes, text.size());
  EXPECT_TRUE(*ReadAll(*store_, KeyOf(text)) == text);
}

TEST_F(LogListTest, CuttingABlobFreesItsBytes) {
  Open();
  std::string text = Random(1).NextBytes(5'000'000);
  Add(text);
  ASSERT_EQ(store_->Splice(KeyOf(text), Cut(text), true), Status());
  EXPECT_GT(store_->Stats().used_bytes, 10'000'000u);

  EXPECT_EQ(store_->Recycle(4'000'000), Status());

  EXPECT_LT(store_->Stats().used_bytes, 8'000'000u);
  EXPECT_TRUE(*ReadAll(*store_, KeyOf(text)) == text);
}

TEST_F(LogListTest, ChunksThatAreNotTheBlobAreRefused) {
  Open();
  std::string text = Random(1).NextBytes(5'000'000);
  Chunking chunking = Cut(text);
  std::swap(chunking.chunks[0], chunking.chunks[1]);
  EXPECT_EQ(store_->Splice(KeyOf(text), chunking, false).code(), Code::kInvalidArgument);
  chunking.chunks.pop_back();
  EXPECT_EQ(store_->Splice(KeyOf(text), chunking, false).code(), Code::kInvalidArgument);
  chunking.chunks.push_back(DigestOf(std::string(1'000'000, 'x')));
  EXPECT_EQ(store_->Splice(KeyOf(text), chunking, false).code(), Code::kNotFound);
  EXPECT_FALSE(Has(DigestOf(text)));
}

TEST_F(LogListTest, WhatWouldMakeABadListIsKeptWhole) {
  options_.chunks_per_blob_max = 4;
  Open();
  std::string many = Random(1).NextBytes(5'000'000), few = Random(2).NextBytes(4'000'000),
              coarse = Random(3).NextBytes(4'000'000), fine = Random(4).NextBytes(40'000);
  ASSERT_EQ(store_->Splice(KeyOf(many), Cut(many), false), Status());
  EXPECT_FALSE(*store_->Chunks(KeyOf(many))) << "more chunks than chunks_per_blob_max";
  ASSERT_EQ(store_->Splice(KeyOf(few), Cut(few), false), Status());
  EXPECT_TRUE(*store_->Chunks(KeyOf(few)));
  Chunking two{.chunks = {Add(coarse.substr(0, 3'000'000)), Add(coarse.substr(3'000'000))}};
  ASSERT_EQ(store_->Splice(KeyOf(coarse), two, false), Status());
  EXPECT_FALSE(*store_->Chunks(KeyOf(coarse))) << "a chunk could become a list itself";
  Chunking small{.chunks = {Add(fine.substr(0, 20'000)), DigestOf(""), Add(fine.substr(20'000))}};
  ASSERT_EQ(store_->Splice(KeyOf(fine), small, false), Status());
  EXPECT_FALSE(*store_->Chunks(KeyOf(fine))) << "a small blob";
  for (const std::string& text : {many, few, coarse, fine})
    EXPECT_TRUE(*ReadAll(*store_, KeyOf(text)) == text);
}

TEST_F(LogListTest, APowerLossLeavesABlobOfChunksWholeOrAbsent) {
  uint64_t first = std::random_device()();
  for (uint64_t seed = first; seed < first + 8; ++seed) {
    Random random(seed);
    options_.directory = dir_ / std::to_string(seed);
    options_.boot_id = "boot " + std::to_string(seed);
    options_.at_rest = random.OneIn(2) ? AtRest::kZstd : AtRest::kIdentity;
    Open();
    std::string text = random.OneIn(2) ? Words(seed, 4'000'000) : random.NextBytes(4'000'000);
    bool synced = random.OneIn(2);
    if (random.OneIn(2)) Add(text);
    ASSERT_EQ(store_->Splice(KeyOf(text), Cut(text), true), Status());
    if (synced) {
      ASSERT_EQ(store_->Sync(), Status());
    }
    std::string after = options_.directory + " after";
    files_.LosePower(options_.directory, after, random);
    options_.directory = after;
    options_.boot_id = "another";

    Open();

    auto read = ReadAll(*store_, KeyOf(text));
    ASSERT_TRUE(read ? *read == text : !synced) << "seed " << seed;
    ASSERT_EQ(store_->Verify(), 0u) << "seed " << seed;
  }
}

class LogFramesTest : public LogEncodedTest {
 protected:
  LogFramesTest() { options_.at_rest = AtRest::kZstd; }
  uint64_t StoredBytes() {
    store_.reset();  // what is not used at the ends of segments is given back
    Open();
    return store_->Stats().used_bytes;
  }
};

TEST_F(LogFramesTest, TakesLessRoomAndReadsTheSame) {
  Open();
  std::string tiny = "tiny", small = Words(1, 5'000), medium = Words(2, 200'000),
              large = Words(3, 5'300'000), noise = Random(4).NextBytes(300'000);
  for (const std::string& text : {tiny, small, medium, large, noise}) Add(text);

  EXPECT_LT(StoredBytes(), 3'500'000u);
  for (const std::string& text : {tiny, small, medium, large, noise})
    EXPECT_TRUE(*ReadAll(*store_, KeyOf(text)) == text) << text.size();
  uint64_t seed = std::random_device()();
  Random random(seed);
  for (int i = 0; i < 200; ++i) {
    const std::string& text = i % 2 == 0 ? large : medium;
    uint64_t from = random.Below(text.size()), size = random.Below(1'500'000);
    auto read = store_->TryRead(KeyOf(text), {from, from + size});
    if (!read) read = store_->Read(KeyOf(text), {from, from + size});
    ASSERT_TRUE(*read && Flatten(**read) == text.substr(from, size)) << "seed " << seed;
  }
  EXPECT_EQ(store_->Verify(), 0u);
  std::vector<uint64_t> sizes;
  ASSERT_EQ(store_->List([&](const LogRecord& record) { sizes.push_back(record.size_bytes); }),
            Status());
  EXPECT_THAT(sizes, testing::UnorderedElementsAre(4, 5'000, 200'000, 5'300'000, 300'000));
}

TEST_F(LogFramesTest, EventLoopsReadSmallBlobsAndTheRestOfAFrame) {
  Open();
  Add("so that there is a segment for small records");
  std::string small = Words(1, 5'000), large = Words(3, 2'300'000);
  auto put = store_->TryPut(KeyOf(small), Bytes(small), true);
  ASSERT_TRUE(put.has_value());
  ASSERT_EQ(*put, Status());
  std::string medium = Words(2, 100'000);
  EXPECT_FALSE(store_->TryPut(KeyOf(medium), Bytes(medium), true)) << "compressing takes too long";
  Add(large);

  auto read = store_->TryRead(KeyOf(small), {10, 4'000});
  ASSERT_TRUE(read.has_value());
  EXPECT_TRUE(Flatten(read->value()) == small.substr(10, 3'990));
  EXPECT_FALSE(store_->TryRead(KeyOf(large), {0, 1000}).has_value());
  ASSERT_TRUE(store_->Read(KeyOf(large), {0, 1000}));
  read = store_->TryRead(KeyOf(large), {1000, 900'000});
  ASSERT_TRUE(read.has_value());
  EXPECT_TRUE(Flatten(read->value()) == large.substr(1000, 899'000));
}

TEST_F(LogFramesTest, GivesFramesAsTheyAre) {
  Open();
  std::string large = Words(3, 2'300'000), noise = Random(4).NextBytes(300'000);
  Add(large);
  Add(noise);

  std::string plain;
  while (plain.size() < large.size()) {
    auto frame = store_->ReadZstd(KeyOf(large), plain.size());
    ASSERT_TRUE(frame && *frame);
    std::string bytes = Flatten((*frame)->compressed), out((*frame)->plain_bytes, '\0');
    ASSERT_EQ(ZSTD_decompress(out.data(), out.size(), bytes.data(), bytes.size()), out.size());
    EXPECT_LE(out.size(), 1u << 20);
    plain += out;
  }

  EXPECT_TRUE(plain == large);
  EXPECT_FALSE(*store_->ReadZstd(KeyOf(large), 1000)) << "no frame begins there";
  EXPECT_FALSE(*store_->ReadZstd(KeyOf(large), large.size()));
  EXPECT_FALSE(*store_->ReadZstd(KeyOf(noise), 0)) << "it is kept as it is";
  EXPECT_FALSE(*store_->ReadZstd(KeyOf("absent"), 0));
}

TEST_F(LogFramesTest, PartitionsMayDiffer) {
  options_.at_rest = AtRest::kIdentity;
  options_.at_rest_partitions = {{7, AtRest::kZstd}};
  Open();
  std::string text = Words(1, 100'000);
  ASSERT_EQ(Put(*store_, {DigestOf(text), 0}, Bytes(text)), Status());
  uint64_t plain = StoredBytes();
  ASSERT_EQ(Put(*store_, {DigestOf(text), 7}, Bytes(text)), Status());
  std::pair<Digest, Bytes> other{DigestOf("a" + text), Bytes("a" + text.substr(0, 60'000))};
  other.first = DigestOf(other.second.view());
  EXPECT_FALSE(store_->TryPutMany(7, {&other, 1}, true));
  EXPECT_THAT(store_->PutMany(7, {&other, 1}), ElementsAre(Status()));

  EXPECT_LT(StoredBytes() - plain, 80'000u);
  EXPECT_TRUE(*ReadAll(*store_, {DigestOf(text), 0}) == text);
  EXPECT_TRUE(*ReadAll(*store_, {DigestOf(text), 7}) == text);
  EXPECT_EQ(ReadAll(*store_, {other.first, 7}), other.second.view());
  EXPECT_EQ(ToStatus(store_->Read({other.first, 0}, {})).code(), Code::kNotFound);
}

TEST_F(LogFramesTest, WhatIsThereIsReadAfterTheOptionHasChanged) {
  Open();
  std::string text = Words(1, 3'000'000), small = Words(2, 1'000);
  Add(text);
  Add(small);
  options_.at_rest = AtRest::kIdentity;
  OpenKilled();

  EXPECT_TRUE(*ReadAll(*store_, KeyOf(text)) == text);
  EXPECT_TRUE(*ReadAll(*store_, KeyOf(small)) == small);
}

TEST_F(LogFramesTest, RoomAskedForInVainIsUsedByOthers) {
  Open();
  // Two at once: neither is the last in its segment when it ends.
  std::vector<std::string> texts = {Words(1, 240'000), Words(2, 230'000)};
  std::vector<std::unique_ptr<BlobWriter>> writers;
  for (const std::string& text : texts) {
    writers.push_back(*store_->Write(KeyOf(text)));
    ASSERT_EQ(writers.back()->Append(Bytes(text)), Status());
  }
  for (auto& writer : writers) ASSERT_EQ(writer->Commit(), Status());
  writers.clear();
  for (uint64_t i = 10; i < 30; ++i) texts.push_back(Random(i).NextBytes(10'000));
  for (size_t i = 2; i < texts.size(); ++i) Add(texts[i]);

  EXPECT_LT(StoredBytes(), 470'000u) << "200,000 of noise and 240,000 of words fit together";
  for (const std::string& text : texts) EXPECT_TRUE(*ReadAll(*store_, KeyOf(text)) == text);
  EXPECT_EQ(store_->Verify(), 0u);
}

TEST_F(LogFramesTest, RecyclingCarriesFramesAndIsNotHeldUpByRoomThatWasGivenBack) {
  options_.size_bytes_max = 8 << 20;
  Open();
  std::string used = Words(1, 700'000);
  Add(used);
  for (uint64_t i = 0; i < 600; ++i) {
    clock_.Advance(10min);
    std::string text = Words(i + 10, 235'000);
    auto writer = *store_->Write(KeyOf(text));
    Status status = writer->Append(Bytes(text));
    ASSERT_TRUE(status.ok()) << status.ToString() << " " << i;
    Add(Random(next_++).NextBytes(5'000));
    ASSERT_EQ(writer->Commit(), Status()) << i;
    ASSERT_TRUE(Has(DigestOf(used)));
  }

  EXPECT_GT(store_->Stats().recycled_segments, 10u);
  EXPECT_TRUE(*ReadAll(*store_, KeyOf(used)) == used);
  EXPECT_EQ(store_->Verify(), 0u);
}

TEST_F(LogFramesTest, DamageIsFoundAndTheBlobAbsent) {
  Open();
  std::string small = Words(1, 5'000), large = Words(3, 2'300'000);
  Add(small);
  Add(large);
  store_.reset();
  for (const std::string& name : Segments()) {
    std::string path = dir_ / "store/segments/" + name;
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(64 + 112 + 1000)).put('?').put('!');
  }
  Open();

  EXPECT_EQ(ToStatus(store_->Read(KeyOf(small), {})).code(), Code::kNotFound);
  EXPECT_EQ(ToStatus(store_->Read(KeyOf(large), {0, 1000})).code(), Code::kNotFound);
  EXPECT_EQ(store_->Stats().damaged, 2u);
  Add(large);
  EXPECT_TRUE(*ReadAll(*store_, KeyOf(large)) == large);
}

TEST_F(LogFramesTest, ChunksAreCompressedAndTheirBlobGivesTheirFrames) {
  Open();
  std::string text = Words(1, 5'000'000);
  ASSERT_EQ(store_->Splice(KeyOf(text), Cut(text), false), Status());

  EXPECT_LT(StoredBytes(), 3'000'000u);
  EXPECT_TRUE(*ReadAll(*store_, KeyOf(text)) == text);
  auto frame = store_->ReadZstd(KeyOf(text), 1'000'000);
  ASSERT_TRUE(frame && *frame);
  EXPECT_EQ((*frame)->plain_bytes, 1'000'000u);
}

}  // namespace
}  // namespace lre::store

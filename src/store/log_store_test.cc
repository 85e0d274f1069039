#include "store/log_store.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

#include "base/file.h"
#include "base/random.h"
#include "store/blob_store_contract.h"
#include "store/stress.h"

namespace lre::store {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

BlobStoreMaker LogMaker(LogStoreOptions options) {
  return [options]() mutable {
    auto dir = std::make_shared<TempDir>();
    options.directory = *dir / "store";
    auto store = OpenLogStore(SystemClock(), options);
    EXPECT_TRUE(store) << ToStatus(store).ToString();
    return BlobStoreUnderTest{dir, std::move(*store)};
  };
}
INSTANTIATE_TEST_SUITE_P(Log, BlobStoreContract,
                         testing::Values(LogMaker({.size_bytes_max = 256 << 20})));
class LogStoreTest : public testing::Test {
 protected:
  explicit LogStoreTest(const std::string& parent = StressDirectory()) : dir_(parent) {}

  LogStoreOptions Options() {
    return {.directory = dir_ / "store",
            .size_bytes_max = 8 << 20,
            .segment_bytes = 256 << 10,
            .background = false};
  }
  void Open(LogStoreOptions options) {
    store_.reset();
    auto opened = OpenLogStore(clock_, std::move(options));
    ASSERT_TRUE(opened) << opened.error().ToString();
    store_ = std::move(*opened);
  }
  void Open() { Open(Options()); }

  static std::string TextOf(int i, size_t size = 10'000) {
    return Random(static_cast<uint64_t>(i)).NextBytes(size);
  }
  static BlobKey KeyOf(std::string_view text) {
    return {ComputeDigest(DigestFunction::kSha256, text), 0};
  }
  Status PutText(const std::string& text) { return Put(*store_, KeyOf(text), Bytes(text)); }
  bool Has(const std::string& text) {
    return store_->FindMissing(0, {{KeyOf(text).digest}})->empty();
  }
  Code ReadCode(const std::string& text) { return ToStatus(store_->Read(KeyOf(text), {})).code(); }
  std::vector<std::string> Segments() { return *SystemFiles().List(dir_ / "store/segments"); }

  // Turns one byte of the store's segments that holds `text` over.
  void Damage(const std::string& text, size_t at) {
    for (const std::string& name : Segments()) {
      std::string path = dir_ / "store/segments/" + name;
      std::string bytes = *ReadFile(path);
      size_t found = bytes.find(text.substr(0, 64));
      if (found == std::string::npos) continue;
      std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
      file.seekp(static_cast<std::streamoff>(found + at));
      file.put(static_cast<char>(~text[at]));
      return;
    }
    FAIL() << "no segment holds the text";
  }

  TempDir dir_;
  FakeClock clock_;
  std::unique_ptr<LogStore> store_;
};

class LogStoreOnDiskTest : public LogStoreTest {
 protected:
  LogStoreOnDiskTest() : LogStoreTest("") {}
};

TEST_F(LogStoreTest, BlobsAndValuesAreThereAfterACleanEnd) {
  Open();
  for (int i = 0; i < 50; ++i) ASSERT_EQ(PutText(TextOf(i)), Status());
  std::string large = TextOf(99, 900'000);
  ASSERT_EQ(PutText(large), Status());
  ASSERT_EQ(store_->PutValue("key", "value"), Status());
  ASSERT_EQ(store_->PutValue("gone", "value"), Status());
  ASSERT_EQ(store_->RemoveValue("gone"), Status());

  Open();

  for (int i = 0; i < 50; ++i) EXPECT_EQ(ReadAll(*store_, KeyOf(TextOf(i))), TextOf(i));
  EXPECT_EQ(ReadAll(*store_, KeyOf(large)), large);
  EXPECT_EQ(store_->GetValue("key")->view(), "value");
  EXPECT_EQ(ToStatus(store_->GetValue("gone")).code(), Code::kNotFound);
  EXPECT_EQ(store_->Stats().replayed, 0u) << "a clean end leaves nothing to replay";
}

TEST_F(LogStoreOnDiskTest, ValuesAreReplacedAndRemoved) {
  Open();
  std::string large = TextOf(1, 300'000);
  ASSERT_EQ(store_->PutValue("a", "1"), Status());
  ASSERT_EQ(store_->PutValue("b", large), Status());
  ASSERT_EQ(store_->TryPutValue("a", "2"), Status());

  EXPECT_EQ((*store_->TryGetValue("a"))->view(), "2");
  EXPECT_EQ(store_->GetValue("b")->view(), large);
  ASSERT_EQ(store_->RemoveValue("a"), Status());
  EXPECT_EQ(ToStatus(store_->GetValue("a")).code(), Code::kNotFound);
  EXPECT_EQ(ToStatus(*store_->TryGetValue("a")).code(), Code::kNotFound);
  EXPECT_EQ(store_->PutValue("", "x").code(), Code::kInvalidArgument);
}

TEST_F(LogStoreOnDiskTest, WhatIsEvictedIsGoneAlsoAfterARestart) {
  Open();
  ASSERT_EQ(PutText(TextOf(1)), Status());
  ASSERT_EQ(PutText(TextOf(2)), Status());
  ASSERT_EQ(store_->Evict(KeyOf(TextOf(1))), Status());
  EXPECT_EQ(ReadCode(TextOf(1)), Code::kNotFound);
  EXPECT_EQ(store_->Evict(KeyOf(TextOf(1))), Status());
  EXPECT_EQ(store_->Evict(KeyOf("")), Status());

  Open();

  EXPECT_EQ(ReadCode(TextOf(1)), Code::kNotFound);
  EXPECT_EQ(ReadCode(TextOf(2)), Code::kOk);
  EXPECT_EQ(ReadCode(""), Code::kOk);
}

TEST_F(LogStoreOnDiskTest, TryMethodsAnswerFromThePageCache) {
  Open();
  ASSERT_EQ(PutText(TextOf(0)), Status());
  std::string small = TextOf(1), large = TextOf(2, 200'000);
  auto put = store_->TryPut(KeyOf(small), Bytes(small), false);
  ASSERT_TRUE(put.has_value());
  ASSERT_EQ(*put, Status());
  ASSERT_EQ(PutText(large), Status());

  auto read = store_->TryRead(KeyOf(small), {});
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(Flatten(read->value()), small);
  read = store_->TryRead(KeyOf(large), {1000, 150'000});
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(Flatten(read->value()), large.substr(1000, 149'000));
  EXPECT_EQ(ToStatus(*store_->TryRead(KeyOf("absent"), {})).code(), Code::kNotFound);
  EXPECT_FALSE(store_->TryPut(KeyOf(large + "x"), Bytes(large + "x"), true).has_value())
      << "large blobs are for I/O threads";
}

TEST_F(LogStoreTest, ASecondStoreOnTheDirectoryIsRefused) {
  Open();

  auto second = OpenLogStore(clock_, Options());

  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code(), Code::kFailedPrecondition);
  EXPECT_THAT(second.error().message(), HasSubstr("another process"));
}

TEST_F(LogStoreTest, ADamagedBlobBecomesAbsentWhenFirstReadAfterTheStart) {
  Open();
  std::string small = TextOf(1), large = TextOf(2, 200'000), fine = TextOf(3);
  for (const std::string& text : {small, large, fine}) ASSERT_EQ(PutText(text), Status());
  store_.reset();
  Damage(small, 5000);
  Damage(large, 150'000);
  Open();

  EXPECT_EQ(Flatten(*store_->Read(KeyOf(large), {0, 1000})), large.substr(0, 1000))
      << "only the chunks that are sent are checked";
  EXPECT_EQ(ReadCode(small), Code::kNotFound);
  EXPECT_EQ(ReadCode(large), Code::kNotFound);
  EXPECT_EQ(ReadAll(*store_, KeyOf(fine)), fine);
  EXPECT_EQ(store_->Stats().damaged, 2u);
  EXPECT_FALSE(Has(small));
  ASSERT_EQ(PutText(small), Status());
  EXPECT_EQ(ReadAll(*store_, KeyOf(small)), small) << "it can be written again";
}

// What a disk that gives errors does to a mapping, a file that ends early does too: the page
// faults.
TEST_F(LogStoreOnDiskTest, PagesThatTheDiskCannotGiveMakeABlobAbsentAndKillNobody) {
  LogStoreOptions options = Options();
  options.size_bytes_max = 128 << 20;
  Open(options);
  std::string medium = TextOf(1, 300'000), large = TextOf(2, 12 << 20);
  ASSERT_EQ(PutText(medium), Status());
  std::string first = Segments().back();
  ASSERT_EQ(PutText(large), Status());
  std::string second = Segments().back();
  ASSERT_NE(first, second);
  // Both are known to be sound, so nothing but the page tells.
  std::filesystem::resize_file(dir_ / "store/segments/" + first, 100'000);
  std::filesystem::resize_file(dir_ / "store/segments/" + second, 11 << 20);

  EXPECT_FALSE(store_->TryRead(KeyOf(medium), {}).has_value());
  EXPECT_EQ(Flatten(*store_->Read(KeyOf(large), {0, 5 << 20})), large.substr(0, 5 << 20));
  EXPECT_EQ(ReadCode(medium), Code::kNotFound);
  EXPECT_EQ(ReadCode(large), Code::kNotFound);
  EXPECT_EQ(store_->Stats().damaged, 2u);
  ASSERT_EQ(PutText(large), Status());
  EXPECT_EQ(ReadAll(*store_, KeyOf(large)), large);
}

TEST_F(LogStoreTest, VerifyFindsDamage) {
  Open();
  for (int i = 0; i < 10; ++i) ASSERT_EQ(PutText(TextOf(i, 100'000)), Status());
  EXPECT_EQ(store_->Verify(), 0u);
  store_.reset();
  Damage(TextOf(4, 100'000), 70'000);
  Open();

  EXPECT_EQ(store_->Verify(), 1u);

  EXPECT_FALSE(Has(TextOf(4, 100'000)));
  EXPECT_EQ(store_->Stats().entries, 9u);
}

TEST_F(LogStoreTest, ListNamesWhatIsThere) {
  Open();
  ASSERT_EQ(PutText("blob"), Status());
  ASSERT_EQ(store_->PutValue("key", "value"), Status());

  std::vector<std::string> names;
  ASSERT_EQ(store_->List([&](const LogRecord& record) {
    names.push_back(record.is_value ? record.key : record.blob.digest.ToString());
  }),
            Status());

  EXPECT_THAT(names, testing::UnorderedElementsAre("key", KeyOf("blob").digest.ToString()));
}

TEST_F(LogStoreTest, TheLeastRecentlyUsedAreGivenUpAndTheUsedCarried) {
  LogStoreOptions options = Options();
  options.lease = 0min;
  options.lease_min = 0min;
  Open(options);
  std::string used = TextOf(100'000);
  ASSERT_EQ(PutText(used), Status());
  for (int i = 0; i < 2000; ++i) {
    ASSERT_EQ(PutText(TextOf(i)), Status()) << i;
    clock_.Advance(1min);
    if (i % 10 == 0) {
      ASSERT_TRUE(Has(used)) << i;
    }
    ASSERT_LE(store_->Stats().used_bytes, options.size_bytes_max);
  }

  EXPECT_EQ(ReadAll(*store_, KeyOf(used)), used);
  EXPECT_EQ(ReadAll(*store_, KeyOf(TextOf(1999))), TextOf(1999));
  EXPECT_FALSE(Has(TextOf(60)));
  EXPECT_GT(store_->Stats().recycled_segments, 10u);
  EXPECT_GT(store_->Stats().entries, 400u) << "most of the room is used";
  Open(options);
  EXPECT_EQ(ReadAll(*store_, KeyOf(used)), used);
  EXPECT_EQ(store_->Verify(), 0u);
}

TEST_F(LogStoreTest, LeasedBlobsAreKeptAndWritesRefusedWhenTheyFillTheStore) {
  Open();
  int taken = 0;
  Status status;
  for (; taken < 1000 && status.ok(); ++taken) status = PutText(TextOf(taken));

  EXPECT_EQ(status.code(), Code::kResourceExhausted);
  EXPECT_GT(taken, 600);
  for (int i = 0; i + 1 < taken; ++i) ASSERT_TRUE(Has(TextOf(i))) << i;

  // Shrunk leases are still longer than lease_min.
  clock_.Advance(10min);
  EXPECT_EQ(PutText(TextOf(5000)).code(), Code::kResourceExhausted);
  clock_.Advance(40min);
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(Has(TextOf(i)));
  EXPECT_EQ(PutText(TextOf(5000)), Status()) << "the oldest leases give way";
  EXPECT_LT(store_->Stats().lease, 1h);
  EXPECT_GE(store_->Stats().lease, 15min);
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(Has(TextOf(i))) << "touched lately: " << i;
  clock_.Advance(4h);
  for (int i = 6000; i < 6300; ++i) ASSERT_EQ(PutText(TextOf(i)), Status());
}

TEST_F(LogStoreTest, TouchesOutliveTheProcess) {
  LogStoreOptions options = Options();
  Open(options);
  for (int i = 0; i < 300; ++i) ASSERT_EQ(PutText(TextOf(i)), Status());
  clock_.Advance(5h);
  ASSERT_TRUE(Has(TextOf(7)));
  Open(options);
  for (int i = 1000; i < 1500; ++i) ASSERT_EQ(PutText(TextOf(i)), Status());

  EXPECT_TRUE(Has(TextOf(7)));
  EXPECT_FALSE(Has(TextOf(40)));
}

TEST_F(LogStoreTest, BytesStayValidAfterTheirSegmentWasGivenUp) {
  LogStoreOptions options = Options();
  options.lease = options.lease_min = 0min;
  Open(options);
  std::string text = TextOf(1, 50'000);
  ASSERT_EQ(PutText(text), Status());
  auto held = store_->Read(KeyOf(text), {});
  ASSERT_TRUE(held);
  for (int i = 10; i < 2000; ++i) {
    clock_.Advance(4min);
    ASSERT_EQ(PutText(TextOf(i)), Status());
  }

  EXPECT_FALSE(Has(text));
  EXPECT_EQ(Flatten(*held), text);
  // Unmapping a segment and freeing its blocks takes time that no reader has.
  const uint64_t while_held = store_->Stats().used_bytes;
  held->clear();
  EXPECT_EQ(store_->Stats().used_bytes, while_held) << "the reader freed it";
  ASSERT_EQ(store_->Recycle(1), Status());
  EXPECT_LT(store_->Stats().used_bytes, while_held);
}

TEST_F(LogStoreTest, ALargeBlobHasASegmentOfItsOwnThatGoesWhenItIsNotCommitted) {
  Open();
  std::string text = TextOf(1, 500'000);
  size_t before = Segments().size();
  {
    auto writer = store_->Write(KeyOf(text));
    ASSERT_TRUE(writer);
    ASSERT_EQ((*writer)->Append(Bytes(text.substr(0, 400'000))), Status());
    EXPECT_EQ(Segments().size(), before + 1);
    // A writer in the middle of its blob holds nobody up.
    ASSERT_EQ(PutText("small"), Status());
  }
  EXPECT_EQ(Segments().size(), before + 1) << "only the small blob's";
  EXPECT_EQ(ReadCode(text), Code::kNotFound);
}

TEST_F(LogStoreTest, ABlobLargerThanTheStoreIsRefusedAtOnce) {
  Open();
  BlobKey key = KeyOf("x");
  key.digest.size_bytes = 9 << 20;

  auto writer = store_->Write(key);

  ASSERT_FALSE(writer);
  EXPECT_EQ(writer.error().code(), Code::kResourceExhausted);
}

TEST_F(LogStoreTest, ABlobBeyondItsBoundIsRefusedByEveryWayToWrite) {
  Open();
  const std::string before = TextOf(1, 3000);
  ASSERT_EQ(PutText(before), Status());
  LogStoreOptions options = Options();
  options.blob_bytes_max = 2000;
  Open(options);
  const std::string fits = TextOf(2, 2000), large = TextOf(3, 2001);
  ASSERT_EQ(PutText(fits), Status());
  const Chunking twice{0, {KeyOf(fits).digest, KeyOf(fits).digest}};

  EXPECT_EQ(PutText(large).code(), Code::kInvalidArgument);
  EXPECT_EQ(store_->TryPut(KeyOf(large), Bytes(large), true)->code(), Code::kInvalidArgument);
  EXPECT_THAT(store_->PutMany(
                  0, {{{KeyOf(large).digest, Bytes(large)}, {KeyOf(fits).digest, Bytes(fits)}}}),
              ElementsAre(testing::Property(&Status::code, Code::kInvalidArgument), Status()));
  EXPECT_EQ(store_->Splice(KeyOf(fits + fits), twice, false).code(), Code::kInvalidArgument);

  EXPECT_FALSE(Has(large));
  EXPECT_EQ(ReadAll(*store_, KeyOf(before)), before) << "what was there stays";
}

TEST_F(LogStoreTest, ABlobThatIsTwiceInABatchIsWrittenOnce) {
  Open();
  const std::string twice = TextOf(1, 300), once = TextOf(2, 300);
  const std::vector<std::pair<Digest, Bytes>> blobs = {{KeyOf(twice).digest, Bytes(twice)},
                                                       {KeyOf(once).digest, Bytes(once)},
                                                       {KeyOf(twice).digest, Bytes(once)},
                                                       {KeyOf(twice).digest, Bytes(twice)}};

  auto answers = store_->PutMany(0, blobs);

  EXPECT_THAT(answers,
              ElementsAre(Status(), Status(),
                          testing::Property(&Status::code, Code::kInvalidArgument), Status()));
  EXPECT_EQ(ReadAll(*store_, KeyOf(twice)), twice);
  EXPECT_EQ(ReadAll(*store_, KeyOf(once)), once);
  EXPECT_EQ(std::filesystem::file_size(dir_ / "store/journal-00000001"), 64 + 2 * 40u);
}

TEST_F(LogStoreTest, ADirectoryThatIsNotAStoreIsNotTakenForAnEmptyOne) {
  std::filesystem::create_directories(dir_ / "store");
  ASSERT_TRUE(WriteFileAtomically(dir_ / "store/store", "something else").ok());

  auto opened = OpenLogStore(clock_, Options());

  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code(), Code::kDataLoss);
}

TEST_F(LogStoreTest, ATornJournalLosesOnlyItsTail) {
  Open();
  for (int i = 0; i < 20; ++i) ASSERT_EQ(PutText(TextOf(i)), Status());
  // A copy of the directory as it is now is what a killed process leaves.
  std::filesystem::copy(dir_ / "store", dir_ / "killed", std::filesystem::copy_options::recursive);
  std::string journal = dir_ / "killed/journal-00000001";
  ASSERT_EQ(std::filesystem::file_size(journal), 64 + 20 * 40u);
  std::filesystem::resize_file(journal, 64 + 19 * 40 + 17);
  LogStoreOptions options = Options();
  options.directory = dir_ / "killed";
  Open(options);

  for (int i = 0; i < 19; ++i) EXPECT_EQ(ReadAll(*store_, KeyOf(TextOf(i))), TextOf(i));
  EXPECT_FALSE(Has(TextOf(19)));
  EXPECT_EQ(store_->Stats().replayed, 19u);
}

TEST_F(LogStoreTest, AfterAnotherBootOnlyWhatWasSyncedCounts) {
  LogStoreOptions options = Options();
  options.boot_id = "first";
  Open(options);
  ASSERT_EQ(PutText(TextOf(0)), Status());
  ASSERT_EQ(store_->Sync(), Status());
  ASSERT_EQ(PutText(TextOf(1)), Status());
  std::filesystem::copy(dir_ / "store", dir_ / "same", std::filesystem::copy_options::recursive);
  std::filesystem::copy(dir_ / "store", dir_ / "other", std::filesystem::copy_options::recursive);

  options.directory = dir_ / "same";
  Open(options);
  EXPECT_TRUE(Has(TextOf(0)));
  EXPECT_TRUE(Has(TextOf(1)));
  options.directory = dir_ / "other";
  options.boot_id = "second";
  Open(options);
  EXPECT_TRUE(Has(TextOf(0)));
  EXPECT_FALSE(Has(TextOf(1)));
  EXPECT_EQ(store_->Stats().dropped, 1u);
}

TEST_F(LogStoreTest, SyncedWritesOutliveAPowerLossAtOnce) {
  LogStoreOptions options = Options();
  options.boot_id = "first";
  options.durability = Durability::kSynced;
  Open(options);
  ASSERT_EQ(PutText(TextOf(0)), Status());
  ASSERT_EQ(store_->PutValue("key", "value"), Status());
  EXPECT_FALSE(store_->TryPut(KeyOf("x"), Bytes("x"), true).has_value()) << "it waits for the disk";
  std::filesystem::copy(dir_ / "store", dir_ / "other", std::filesystem::copy_options::recursive);

  options.directory = dir_ / "other";
  options.boot_id = "second";
  Open(options);

  EXPECT_TRUE(Has(TextOf(0)));
  EXPECT_EQ(store_->GetValue("key")->view(), "value");
}

TEST_F(LogStoreTest, ACheckpointWhileWritingLosesNothing) {
  Open();
  for (int i = 0; i < 200; ++i) {
    ASSERT_EQ(PutText(TextOf(i, 1000)), Status());
    if (i % 20 == 0) {
      ASSERT_EQ(store_->Checkpoint(), Status());
    }
  }
  std::filesystem::copy(dir_ / "store", dir_ / "killed", std::filesystem::copy_options::recursive);
  LogStoreOptions options = Options();
  options.directory = dir_ / "killed";
  Open(options);

  for (int i = 0; i < 200; ++i)
    EXPECT_EQ(ReadAll(*store_, KeyOf(TextOf(i, 1000))), TextOf(i, 1000));
  EXPECT_LT(store_->Stats().replayed, 30u);
}

}  // namespace
}  // namespace lre::store

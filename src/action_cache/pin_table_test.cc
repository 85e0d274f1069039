#include "action_cache/pin_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "action_cache/stored_action_cache.h"
#include "base/file.h"
#include "reapi/digest_proto.h"

namespace lre::action_cache {
namespace {

namespace pb = ::build::bazel::remote::execution::v2;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

Digest DigestOf(std::string_view text) { return ComputeDigest(DigestFunction::kSha256, text); }

class PinTableTest : public testing::Test {
 protected:
  PinTableTest() { Open(); }

  void Open(size_t results_max = 1000) {
    table_.reset();
    log_.reset();
    log_ = store::OpenLogStore(clock_, {.directory = directory_ / "store",
                                        .size_bytes_max = 8 << 20,
                                        .segment_bytes = 128 << 10,
                                        .lease = Duration(0),
                                        .lease_min = Duration(0),
                                        .pinned_percent_max = 1,  // 80 KiB
                                        .background = false,
                                        .boot_id = "boot"})
               .value();
    auto base = NewStoredActionCache(*log_, *log_);
    table_ = PinTable::Open(std::move(base), *log_, clock_,
                            {.file = directory_ / "pins", .results_max = results_max})
                 .value();
  }
  // Stores a result with one file and returns the action's digest.
  Digest Add(const std::string& name, size_t size_bytes = 100) {
    std::string content = name + std::string(size_bytes - name.size(), '.');
    Digest digest = DigestOf(content);
    EXPECT_EQ(store::Put(*log_, {digest}, Bytes(content)), Status());
    pb::ActionResult result;
    pb::OutputFile& file = *result.add_output_files();
    file.set_path(name);
    reapi::ToProto(digest, file.mutable_digest());
    Digest action = DigestOf("action " + name);
    EXPECT_EQ(table_->Put({action, "main"}, Bytes(result.SerializeAsString())), Status());
    return action;
  }
  void Fill(int blobs) {
    for (int i = 0; i < blobs; ++i) {
      std::string content = std::string(64 << 10, 'f') + std::to_string(fill_++);
      clock_.Advance(std::chrono::minutes(1));
      ASSERT_EQ(store::Put(*log_, {DigestOf(content)}, Bytes(content)), Status());
    }
  }
  // Writes three times what the store holds.
  void FillCache() { Fill(3 * 128); }
  Code Get(const Digest& action, std::string_view instance = "main") {
    return ToStatus(table_->Get({action, instance})).code();
  }
  std::vector<std::string> Names() {
    std::vector<std::string> names;
    for (const auto& pin : table_->List({"main"})) names.push_back(pin.name());
    return names;
  }

  TempDir directory_;
  FakeClock clock_;
  std::unique_ptr<store::LogStore> log_;
  std::unique_ptr<PinTable> table_;
  int fill_ = 0;
};

TEST_F(PinTableTest, APinnedResultOutlivesTheCacheFilledThreeTimes) {
  Digest pinned = Add("pinned");
  Fill(4);  // what lies beside something pinned may stay too
  Digest other = Add("other", 64 << 10);
  auto pin = table_->Set({"main"}, "tools", {pinned});
  ASSERT_TRUE(pin) << ToStatus(pin).ToString();
  EXPECT_EQ(pin->blobs(), 1);
  EXPECT_EQ(pin->size_bytes(), 100);

  FillCache();

  EXPECT_EQ(Get(pinned), Code::kOk);
  EXPECT_EQ(Get(other), Code::kNotFound);
  EXPECT_EQ(Get(pinned, "elsewhere"), Code::kNotFound) << "instances share no results";
  EXPECT_EQ(ToStatus(store::ReadAll(*log_, {DigestOf("pinned" + std::string(94, '.'))})), Status());
}

TEST_F(PinTableTest, PinsOutliveARestart) {
  Digest pinned = Add("pinned");
  ASSERT_TRUE(table_->Set({"main"}, "tools", {pinned}));

  Open();
  FillCache();

  EXPECT_THAT(Names(), ElementsAre("tools"));
  EXPECT_EQ(Get(pinned), Code::kOk);
}

TEST_F(PinTableTest, ARetiredPinIsCacheLikeAnyOtherUnlessAnotherPinNamesIt) {
  Digest shared = Add("shared");
  Fill(4);
  Digest own = Add("own", 64 << 10);
  ASSERT_TRUE(table_->Set({"main"}, "a", {shared, own}));
  ASSERT_TRUE(table_->Set({"main"}, "b", {shared}));
  EXPECT_EQ(log_->Pins().size(), 2u) << "one for each result";

  EXPECT_EQ(table_->Retire({"main"}, "a"), Status());
  FillCache();

  EXPECT_EQ(Get(shared), Code::kOk);
  EXPECT_EQ(Get(own), Code::kNotFound);
  EXPECT_THAT(Names(), ElementsAre("b"));
  EXPECT_EQ(table_->Retire({"main"}, "a").code(), Code::kNotFound);
}

TEST_F(PinTableTest, WhatCannotBePinnedChangesNothing) {
  Digest small = Add("small"), large = Add("large", 100 << 10);

  EXPECT_EQ(ToStatus(table_->Set({"main"}, "x", {small, DigestOf("none")})).code(),
            Code::kFailedPrecondition);
  Status full = ToStatus(table_->Set({"main"}, "x", {small, large}));

  EXPECT_EQ(full.code(), Code::kResourceExhausted);
  EXPECT_THAT(full.message(), HasSubstr("raise the bound"));
  EXPECT_THAT(Names(), IsEmpty());
  EXPECT_THAT(log_->Pins(), IsEmpty());
  EXPECT_EQ(ToStatus(table_->Set({"main"}, "", {small})).code(), Code::kInvalidArgument);
}

TEST_F(PinTableTest, RefusesMoreResultsThanItsBound) {
  Open(2);
  Digest a = Add("a"), b = Add("b"), c = Add("c");

  ASSERT_TRUE(table_->Set({"main"}, "two", {a, b}));
  EXPECT_EQ(ToStatus(table_->Set({"main"}, "more", {c})).code(), Code::kResourceExhausted);

  EXPECT_THAT(Names(), ElementsAre("two"));
  EXPECT_EQ(log_->Pins().size(), 2u);
}

TEST_F(PinTableTest, PinsOfPartitionsAreApart) {
  const std::string content = "tenant's";
  const Digest blob = DigestOf(content), action = DigestOf("action");
  pb::ActionResult result;
  pb::OutputFile& file = *result.add_output_files();
  file.set_path("x");
  reapi::ToProto(blob, file.mutable_digest());
  ASSERT_EQ(store::Put(*log_, {blob, 7}, Bytes(content)), Status());
  ASSERT_EQ(table_->Put({action, "main", 7}, Bytes(result.SerializeAsString())), Status());
  ASSERT_TRUE(table_->Set({"main", 7}, "tools", {action}));

  Open();
  FillCache();

  EXPECT_TRUE(table_->Get({action, "main", 7}));
  EXPECT_EQ(Get(action), Code::kNotFound);
  EXPECT_THAT(Names(), ElementsAre());
  EXPECT_EQ(table_->List({"main", 7}).size(), 1u);
  EXPECT_EQ(table_->Retire({"main"}, "tools").code(), Code::kNotFound);
  EXPECT_EQ(table_->Retire({"main", 7}, "tools"), Status());
  EXPECT_TRUE(log_->Pins().empty());
}

TEST_F(PinTableTest, ARemovedResultIsGoneFromItsPinToo) {
  Digest bad = Add("bad"), good = Add("good");
  ASSERT_TRUE(table_->Set({"main"}, "tools", {bad, good}));

  EXPECT_EQ(table_->Remove({bad, "main"}), Status());

  EXPECT_EQ(Get(bad), Code::kNotFound);
  EXPECT_EQ(Get(good), Code::kOk);
  EXPECT_EQ(log_->Pins().size(), 1u);
}

}  // namespace
}  // namespace lre::action_cache

#include "service/partitions.h"

#include <gtest/gtest.h>

#include "service/fake_call.h"

namespace lre::service {
namespace {

const store::Partition kRed = PartitionNumber("red"), kBlue = PartitionNumber("blue");

rpc::CallInfo Caller(std::string identity) { return {.identity = std::move(identity)}; }

TEST(Partitions, PutsEverythingIntoOneWithoutRules) {
  const Partitions& none = Partitions::None();

  EXPECT_EQ(none.Admit(Caller("ci"), "main").value(), 0u);
  EXPECT_EQ(none.Admit(Caller(""), "main/partition-7").value(), 0u);
  EXPECT_EQ(none.Admit(Caller(""), "blobs").error().code(), Code::kInvalidArgument);
}

TEST(Partitions, GoByInstanceNameAndWhatLiesBelowIt) {
  auto made = Partitions::Make({.instances = {{"red", "red"}, {"red/deep", "blue"}}});
  ASSERT_TRUE(made);

  EXPECT_EQ(made->Of("", "red").value(), kRed);
  EXPECT_EQ(made->Of("", "red/x/y").value(), kRed);
  EXPECT_EQ(made->Of("", "red/deep/x").value(), kBlue);
  EXPECT_EQ(made->Of("", "reddish").value(), 0u);
  EXPECT_EQ(made->Of("", "").value(), 0u);
}

TEST(Partitions, BelongToTheIdentitiesThatAreNamedForThem) {
  auto made = Partitions::Make({.instances = {{"red", "red"}, {"open", "blue"}},
                                .identities = {{"spiffe://ci?a=b", "red"}}});
  ASSERT_TRUE(made);

  EXPECT_EQ(made->Of("spiffe://ci?a=b", "main").value(), kRed);
  EXPECT_EQ(made->Of("spiffe://ci?a=b", "open").value(), kRed);
  EXPECT_EQ(made->Of("someone", "red").error().code(), Code::kPermissionDenied);
  EXPECT_EQ(made->Of("", "red/x").error().code(), Code::kPermissionDenied);
  EXPECT_EQ(made->Of("someone", "open").value(), kBlue);
  EXPECT_EQ(made->Of("someone", "main").value(), 0u);
}

TEST(Partitions, WorkersSayTheNumberOfTheOneTheyWorkIn) {
  auto made = Partitions::Make(
      {.instances = {{"open", "blue"}}, .identities = {{"ci", "red"}}, .workers = {"farm"}});
  ASSERT_TRUE(made);
  const std::string red = fmt::format("main/partition-{}", kRed);

  EXPECT_EQ(made->Of("farm", red).value(), kRed);
  EXPECT_EQ(made->Of("farm", fmt::format("partition-{}", kBlue)).value(), kBlue);
  EXPECT_EQ(made->Of("someone", red).error().code(), Code::kPermissionDenied);
  EXPECT_EQ(made->Of("farm", "main/partition-7").error().code(), Code::kPermissionDenied);
  EXPECT_EQ(made->Of("farm", "main/partition-x").value(), 0u);
  // Where instance names alone decide, anyone could say one that leads there.
  auto by_name = Partitions::Make({.instances = {{"red", "red"}}});
  ASSERT_TRUE(by_name);
  EXPECT_EQ(by_name->Of("", red).value(), kRed);
}

TEST(Partitions, ShowACallerOperationsOfItsOwnOrOfThoseThatAreNobodysOwn) {
  auto made = Partitions::Make(
      {.instances = {{"open", "blue"}}, .identities = {{"ci", "red"}, {"cd", "green"}}});
  ASSERT_TRUE(made);

  EXPECT_TRUE(made->ScopeOf("ci").Covers(kRed));
  EXPECT_FALSE(made->ScopeOf("ci").Covers(kBlue));
  EXPECT_FALSE(made->ScopeOf("ci").Covers(0));
  for (const char* other : {"someone", ""}) {
    EXPECT_FALSE(made->ScopeOf(other).Covers(kRed)) << other;
    EXPECT_TRUE(made->ScopeOf(other).Covers(kBlue)) << other;
    EXPECT_TRUE(made->ScopeOf(other).Covers(0)) << other;
  }
  EXPECT_TRUE(Partitions::None().ScopeOf("ci").Covers(0));
}

TEST(Partitions, OnlyThoseWhoAreNamedMayWorkForTenants) {
  auto made = Partitions::Make({.identities = {{"ci", "red"}}, .workers = {"farm"}});
  ASSERT_TRUE(made);
  int started = 0;
  std::vector<rpc::Method> methods(1);
  methods[0].start = [&](const auto&) {
    started++;
    return nullptr;
  };

  ForWorkersOnly(methods, *made);
  auto stranger = std::make_shared<FakeCall>("ci");
  methods[0].start(stranger);
  EXPECT_EQ(ToStatus(stranger->Wait()).code(), Code::kPermissionDenied);
  methods[0].start(std::make_shared<FakeCall>("farm"));

  EXPECT_EQ(started, 1);
  EXPECT_TRUE(Partitions::None().MayWork(""));
}

TEST(Partitions, RefusesRulesThatSayTwoThings) {
  EXPECT_FALSE(Partitions::Make({.instances = {{"a", "red"}, {"a", "blue"}}}));
  EXPECT_FALSE(Partitions::Make({.identities = {{"a", "red"}, {"a", "red"}}}));
  EXPECT_FALSE(Partitions::Make({.instances = {{"a", "not plain"}}}));
  EXPECT_FALSE(Partitions::Make({.instances = {{"a/blobs", "red"}}}));
  EXPECT_FALSE(Partitions::Make({.identities = {{"a", ""}}}));
}

TEST(Partitions, HaveTheSameNumberForever) {
  // Of blobs that lie on disks: it may never change.
  EXPECT_EQ(PartitionNumber("red"), 409092474u);
  EXPECT_NE(PartitionNumber("red"), PartitionNumber("blue"));
}

}  // namespace
}  // namespace lre::service

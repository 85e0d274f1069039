#include "scheduler/queue.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace lre::scheduler {
namespace {

Operation* Marker(uintptr_t n) { return reinterpret_cast<Operation*>(n); }

TEST(FairQueue, TakesTurnsBetweenInvocationsWhateverTheirLength) {
  Accounts accounts;
  FairQueue queue;
  Account* a = accounts.Acquire(0, "user", "a");
  Account* b = accounts.Acquire(0, "user", "b");
  for (uint64_t i = 0; i < 6; i++) queue.Push(a, {0, i}, Marker(1));
  for (uint64_t i = 6; i < 8; i++) queue.Push(b, {0, i}, Marker(2));

  std::string order;
  while (!queue.empty()) {
    const FairQueue::Front front = queue.Peek();
    queue.Remove(front.account, front.rank);
    Accounts::Charge(front.account);
    order += front.account == a ? 'a' : 'b';
  }

  EXPECT_EQ(order, "ababaaaa");
}

TEST(FairQueue, GivesTurnsInProportionToTheWeights) {
  Accounts accounts({.tenants = {{7, 3.0}}, .users = {{"slow", 0.0}}});
  FairQueue queue;
  Account* heavy = accounts.Acquire(7, "user", "");
  Account* light = accounts.Acquire(8, "user", "");
  Account* nothing = accounts.Acquire(8, "slow", "");
  uint64_t sequence = 0;
  for (Account* account : {heavy, light, nothing}) {
    for (int i = 0; i < 100; i++) queue.Push(account, {0, sequence++}, Marker(1));
  }

  std::map<Account*, int> turns;
  for (int i = 0; i < 40; i++) {
    const FairQueue::Front front = queue.Peek();
    queue.Remove(front.account, front.rank);
    Accounts::Charge(front.account);
    turns[front.account]++;
  }

  EXPECT_EQ(turns[heavy], 30);
  EXPECT_EQ(turns[light], 9);
  EXPECT_EQ(turns[nothing], 1) << "a weight of 0 is the smallest there is";
}

TEST(FairQueue, LetsANewcomerStartWhereTheOthersStand) {
  Accounts accounts;
  FairQueue queue;
  Account* old = accounts.Acquire(0, "", "old");
  uint64_t sequence = 0;
  for (; sequence < 100; sequence++) queue.Push(old, {0, sequence}, Marker(1));
  for (int i = 0; i < 50; i++) {
    queue.Remove(old, queue.Peek().rank);
    Accounts::Charge(old);
  }
  Account* fresh = accounts.Acquire(0, "", "fresh");
  for (int i = 0; i < 10; i++) queue.Push(fresh, {0, sequence++}, Marker(2));

  int turns_of_fresh = 0;
  for (int i = 0; i < 10; i++) {
    const FairQueue::Front front = queue.Peek();
    queue.Remove(front.account, front.rank);
    Accounts::Charge(front.account);
    turns_of_fresh += front.account == fresh;
  }

  EXPECT_GE(turns_of_fresh, 5);
  EXPECT_LE(turns_of_fresh, 6);
}

TEST(FairQueue, CountsTurnsTakenInAnotherQueue) {
  Accounts accounts;
  FairQueue one, other;
  Account* a = accounts.Acquire(0, "", "a");
  Account* b = accounts.Acquire(0, "", "b");
  one.Push(a, {0, 1}, Marker(1));
  one.Push(b, {0, 2}, Marker(2));
  other.Push(a, {0, 3}, Marker(3));

  EXPECT_EQ(one.Peek().account, a);
  other.Remove(a, other.Peek().rank);
  Accounts::Charge(a);

  EXPECT_EQ(one.Peek().account, b);
}

TEST(FairQueue, PrefersWhoHasLessRunningWhateverTurnsItTook) {
  Accounts accounts({.tenants = {{1, 2.0}}, .users = {}});
  FairQueue one, other;
  Account* a = accounts.Acquire(1, "", "a");
  Account* b = accounts.Acquire(2, "", "b");
  one.Push(a, {0, 1}, Marker(1));
  one.Push(b, {0, 2}, Marker(2));
  other.Push(b, {0, 3}, Marker(3));
  for (int i = 0; i < 10; i++) Accounts::Charge(a);
  EXPECT_EQ(one.Peek().account, b);

  Accounts::Begin(b);
  EXPECT_EQ(one.Peek().account, a);
  Accounts::Begin(a);
  EXPECT_EQ(one.Peek().account, a) << "one of two shares, and b has its only one";
  Accounts::Begin(a);
  EXPECT_EQ(one.Peek().account, b) << "as much by weight; b had fewer turns";
  Accounts::End(b);
  Accounts::End(a);
  EXPECT_EQ(one.Peek().account, b);
  Accounts::Begin(b);
  EXPECT_EQ(one.Peek().account, a);

  Accounts::End(a);
  Accounts::End(b);
  one.Remove(a, {0, 1});
  one.Remove(b, {0, 2});
  other.Remove(b, {0, 3});
  EXPECT_TRUE(one.empty() && other.empty());
  accounts.Release(a);
  accounts.Release(b);
  EXPECT_EQ(accounts.size(), 0u);
}

TEST(FairQueue, KeepsAccountsOnlyWhileSomebodyUsesThem) {
  Accounts accounts;

  Account* a = accounts.Acquire(1, "user", "a");
  Account* again = accounts.Acquire(1, "user", "a");
  EXPECT_EQ(a, again);
  EXPECT_EQ(accounts.size(), 3u);
  accounts.Release(a);
  accounts.Release(again);

  EXPECT_EQ(accounts.size(), 0u);
}

TEST(FairQueue, RanksByArrivalAndPriorityStepsWithoutOverflow) {
  const Instant now = Instant(std::chrono::hours(1));
  const Duration step = std::chrono::seconds(30);

  EXPECT_LT(RankOf(now, -1, step), RankOf(now, 0, step));
  EXPECT_EQ(RankOf(now + step, 0, step), RankOf(now, 1, step));
  EXPECT_LT(RankOf(now, INT32_MIN, step), RankOf(now, INT32_MAX, step));
  EXPECT_LE(RankOf(now, INT32_MIN, std::chrono::hours(24 * 365)), RankOf(now, 0, step));
}

}  // namespace
}  // namespace lre::scheduler

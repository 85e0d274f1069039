// The order in which queued operations run.
//
// Fairness is over a tree: tenants, within a tenant its users, within a user its invocations. Next
// is who has the least running in proportion to its weight, so that slots are shared evenly however
// long the actions of each take; among those, who had the fewest turns, in proportion again
// (start-time fair queueing). An Account is one node of that tree; it counts both and lives while
// an operation of it does. Whoever becomes active starts where its active siblings stand: it
// neither saves up turns nor owes any.
//
// Within an invocation the order is by QueueRank: time of arrival plus priority steps. A step is
// worth SchedulerOptions::ageing_step of waiting, so the rank never changes, nothing is sorted
// again and nothing starves.
//
// There is one FairQueue per property set but the accounts are shared by all, so a turn taken in
// one queue counts in every other. A queue keeps its nodes sorted by how their accounts stood when
// last looked at. Most changes put an account further back, so the front is found by refreshing
// nodes until the first one is up to date: each turn costs each queue one refresh, not a new sort.
// Only what ends puts its accounts further to the front, in every queue at once.
//
// Confined to one thread. Accounts must outlive the queues that name them.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/clock.h"

namespace lre::scheduler {

struct Operation;

struct QueueRank {
  int64_t rank = 0;       // microseconds: arrival, plus or minus priority steps
  uint64_t sequence = 0;  // of arrival; unique
  friend auto operator<=>(const QueueRank&, const QueueRank&) = default;
};
// `priority` as in ExecutionPolicy: lower runs first. Saturates.
int64_t RankOf(Instant arrival, int32_t priority, Duration ageing_step);

// Weights of tenants and of users; those that are not named have 1.
struct Weights {
  std::map<uint32_t, double> tenants;
  std::map<std::string, double, std::less<>> users;
};

struct FairNode;

// Where an account stands among its siblings: the lowest is next.
struct Turn {
  int64_t share = 0;   // what runs of it, each counting `turn`
  int64_t served = 0;  // turns taken, counted from where its siblings stood
  uint64_t id = 0;
  friend auto operator<=>(const Turn&, const Turn&) = default;
};

struct Account {
  static constexpr int64_t kTurn = 1 << 20;
  Account* parent = nullptr;  // invocation -> user -> tenant -> root
  std::string key;
  Turn stands;
  int64_t turn = 0;              // what a turn of it counts: kTurn divided by the weight
  int64_t children_floor = 0;    // where a child that becomes active starts
  size_t active = 0;             // operations of an invocation; children of the others
  std::vector<FairNode*> nodes;  // it in the queues where it waits
};

class Accounts {
 public:
  explicit Accounts(Weights weights = {});
  // The account of an invocation; give it back with Release.
  Account* Acquire(uint32_t tenant, std::string_view user, std::string_view invocation);
  void Release(Account* leaf);
  // One turn was taken by this invocation.
  static void Charge(Account* leaf);
  // Of an action of it that runs from now on, and no longer. `leaf` is kept meanwhile.
  static void Begin(Account* leaf);
  static void End(Account* leaf);
  size_t size() const { return accounts_.size(); }

 private:
  Account* Child(Account* parent, std::string key, double weight);

  const Weights weights_;
  Account root_;
  std::unordered_map<std::string, std::unique_ptr<Account>> accounts_;
  uint64_t next_id_ = 1;
};

class FairQueue {
 public:
  FairQueue();
  ~FairQueue();

  // An operation may be pushed under several accounts (merged requests); `rank` is then the same.
  void Push(Account* leaf, QueueRank rank, Operation* operation);
  void Remove(Account* leaf, QueueRank rank);
  bool empty() const { return nodes_.empty(); }

  // Who is next here. Comparing the fronts of two queues says whose turn it is between them.
  struct Front {
    std::array<Turn, 3> turns;  // of tenant, user and invocation
    QueueRank rank;
    Operation* operation = nullptr;
    Account* account = nullptr;
    bool Before(const Front& other) const {
      return turns != other.turns ? turns < other.turns : rank < other.rank;
    }
  };
  // REQUIRES: not empty.
  Front Peek();
  // The first of the `count` operations after the first one of the invocation that `wanted` takes;
  // null when there is none.
  Operation* FindNear(const Front& front, int count,
                      const std::function<bool(const Operation&)>& wanted) const;

 private:
  friend struct FairNode;
  struct Earlier {
    bool operator()(const FairNode* a, const FairNode* b) const;
  };
  using Siblings = std::set<FairNode*, Earlier>;
  FairNode* Ensure(Account* account);
  void DropIfEmpty(FairNode* node);
  // The child whose turn it is.
  FairNode* FirstOf(Siblings& children);

  Siblings tenants_;
  std::unordered_map<Account*, std::unique_ptr<FairNode>> nodes_;
};

}  // namespace lre::scheduler

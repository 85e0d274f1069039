#include "scheduler/queue.h"

#include <algorithm>
#include <iterator>

#include "base/check.h"

namespace lre::scheduler {

int64_t RankOf(Instant arrival, int32_t priority, Duration ageing_step) {
  using std::chrono::duration_cast;
  using std::chrono::microseconds;
  const int64_t arrival_us = duration_cast<microseconds>(arrival.time_since_epoch()).count();
  const int64_t step_us = duration_cast<microseconds>(ageing_step).count();
  int64_t shift, rank;
  if (__builtin_mul_overflow(static_cast<int64_t>(priority), step_us, &shift) ||
      __builtin_add_overflow(arrival_us, shift, &rank)) {
    return priority < 0 ? INT64_MIN : INT64_MAX;
  }
  return rank;
}

namespace {

// Beyond these a turn would count nothing, or for ever.
constexpr double kWeightMin = 0.001, kWeightMax = 1000;

template <typename Key, typename Map>
double WeightOf(const Key& key, const Map& weights) {
  const auto found = weights.find(key);
  if (found == weights.end()) return 1;
  return std::clamp(found->second, kWeightMin, kWeightMax);
}

}  // namespace

Accounts::Accounts(Weights weights) : weights_(std::move(weights)) { root_.active = 1; }

Account* Accounts::Acquire(uint32_t tenant, std::string_view user, std::string_view invocation) {
  // Lengths keep ("a", "bc") and ("ab", "c") apart.
  const std::string tenant_key = std::to_string(tenant);
  std::string user_key = tenant_key + '/' + std::to_string(user.size()) + '/';
  user_key += user;
  std::string key = user_key + '/';
  key += invocation;
  if (auto found = accounts_.find(key); found != accounts_.end()) {
    found->second->active++;
    return found->second.get();
  }
  Account* leaf = Child(&root_, tenant_key, WeightOf(tenant, weights_.tenants));
  leaf = Child(leaf, std::move(user_key), WeightOf(user, weights_.users));
  leaf = Child(leaf, std::move(key), 1);
  leaf->active++;
  return leaf;
}

// The account `key`; a new one becomes a child of `parent`, which it keeps alive.
Account* Accounts::Child(Account* parent, std::string key, double weight) {
  std::unique_ptr<Account>& account = accounts_[key];
  if (!account) {
    account = std::make_unique<Account>();
    account->parent = parent;
    account->key = std::move(key);
    account->stands = {0, parent->children_floor, next_id_++};
    account->turn = static_cast<int64_t>(Account::kTurn / weight);
    parent->active++;
  }
  return account.get();
}

void Accounts::Release(Account* leaf) {
  while (leaf != &root_ && --leaf->active == 0) {
    Account* parent = leaf->parent;
    CHECK(leaf->stands.share == 0 && leaf->nodes.empty());
    accounts_.erase(std::string(leaf->key));
    leaf = parent;
  }
}

void Accounts::Charge(Account* leaf) {
  for (Account* account = leaf; account->parent != nullptr; account = account->parent) {
    Account& parent = *account->parent;
    parent.children_floor = std::max(parent.children_floor, account->stands.served);
    account->stands.served += account->turn;
  }
}

void Accounts::Begin(Account* leaf) {
  for (Account* account = leaf; account->parent != nullptr; account = account->parent) {
    account->stands.share += account->turn;
  }
}

struct FairNode {
  FairQueue* queue = nullptr;
  Account* account = nullptr;
  size_t at = 0;                          // place in account->nodes
  FairNode* parent = nullptr;             // null for a tenant
  Turn turn;                              // as of the last look; never more than the account's
  FairQueue::Siblings children;           // of a tenant or user
  std::map<QueueRank, Operation*> items;  // of an invocation

  FairQueue::Siblings& siblings() const {
    return parent == nullptr ? queue->tenants_ : parent->children;
  }
  void Refresh() {
    FairQueue::Siblings& all = siblings();
    if (all.size() == 1) {
      turn = account->stands;
      return;
    }
    auto handle = all.extract(this);
    turn = account->stands;
    all.insert(std::move(handle));
  }
};

void Accounts::End(Account* leaf) {
  for (Account* account = leaf; account->parent != nullptr; account = account->parent) {
    account->stands.share -= account->turn;
    for (FairNode* node : account->nodes) node->Refresh();
  }
}

bool FairQueue::Earlier::operator()(const FairNode* a, const FairNode* b) const {
  return a->turn < b->turn;
}

FairQueue::FairQueue() = default;
FairQueue::~FairQueue() = default;

void FairQueue::Push(Account* leaf, QueueRank rank, Operation* operation) {
  FairNode* node = Ensure(leaf);
  // Most arrive in order, so the end is the right hint.
  node->items.emplace_hint(node->items.end(), rank, operation);
}

void FairQueue::Remove(Account* leaf, QueueRank rank) {
  auto found = nodes_.find(leaf);
  CHECK(found != nodes_.end(), "an operation is queued under its account");
  FairNode* node = found->second.get();
  CHECK(node->items.erase(rank) == 1, "an operation is queued under its rank");
  DropIfEmpty(node);
}

FairNode* FairQueue::Ensure(Account* account) {
  std::unique_ptr<FairNode>& node = nodes_[account];
  if (node) return node.get();
  node = std::make_unique<FairNode>();
  FairNode* made = node.get();  // the reference dies when the parent is added
  made->queue = this;
  made->account = account;
  made->turn = account->stands;
  made->at = account->nodes.size();
  account->nodes.push_back(made);
  if (account->parent->parent != nullptr) made->parent = Ensure(account->parent);
  made->siblings().insert(made);
  return made;
}

void FairQueue::DropIfEmpty(FairNode* node) {
  while (node != nullptr && node->items.empty() && node->children.empty()) {
    FairNode* parent = node->parent;
    node->siblings().erase(node);
    std::vector<FairNode*>& all = node->account->nodes;
    all[node->at] = all.back();
    all[node->at]->at = node->at;
    all.pop_back();
    nodes_.erase(node->account);
    node = parent;
  }
}

FairNode* FairQueue::FirstOf(Siblings& children) {
  while (true) {
    FairNode* node = *children.begin();
    if (node->turn == node->account->stands) return node;
    node->Refresh();
  }
}

FairQueue::Front FairQueue::Peek() {
  CHECK(!tenants_.empty());
  FairNode* tenant = FirstOf(tenants_);
  FairNode* user = FirstOf(tenant->children);
  FairNode* invocation = FirstOf(user->children);
  const auto& [rank, operation] = *invocation->items.begin();
  return {{tenant->turn, user->turn, invocation->turn}, rank, operation, invocation->account};
}

Operation* FairQueue::FindNear(const Front& front, int count,
                               const std::function<bool(const Operation&)>& wanted) const {
  const auto& items = nodes_.at(front.account)->items;
  for (auto at = std::next(items.begin()); at != items.end() && count > 0; ++at, --count) {
    if (wanted(*at->second)) return at->second;
  }
  return nullptr;
}

}  // namespace lre::scheduler

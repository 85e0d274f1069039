#include "scheduler/matching.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/check.h"

namespace lre::scheduler {

size_t SizeOf(const WorkerClass& worker_class) {
  return worker_class.terms.exact.size() + worker_class.terms.amounts.size();
}

namespace {

void AddClass(WorkerClass& worker_class, PropertyQueue& queue) {
  auto at = std::find_if(queue.classes.begin(), queue.classes.end(), [&](const WorkerClass* one) {
    return SizeOf(*one) > SizeOf(worker_class);
  });
  queue.classes.insert(at, &worker_class);
}

}  // namespace

Matching::Matching(const SchedulerOptions& options, Timers& timers)
    : options_(options), timers_(timers) {}

Matching::~Matching() {
  for (auto& [_, queue] : queues_) timers_.Disarm(queue->unserved);
}

PropertyQueue* Matching::QueueFor(const Terms& terms, Instant now) {
  std::string key = KeyOf(terms);
  if (auto found = queues_.find(key); found != queues_.end()) return found->second.get();
  if (queues_.size() >= options_.property_sets_max) {
    if (idle_.empty()) return nullptr;
    Evict(*idle_.front());
  }
  auto made = std::make_unique<PropertyQueue>();
  PropertyQueue& queue = *made;
  queue.terms = terms;
  queue.key = key;
  queue.unserved_since = now;
  if (free_indices_.empty()) {
    queue.index = queues_.size();
  } else {
    queue.index = free_indices_.back();
    free_indices_.pop_back();
  }
  for (auto& worker_class : classes_) {
    const bool serves = Serves(worker_class->terms, terms);
    if (worker_class->serves.size() <= queue.index) worker_class->serves.resize(queue.index + 1);
    worker_class->serves[queue.index] = serves;
    if (serves) queue.classes.push_back(worker_class.get());
  }
  std::stable_sort(
      queue.classes.begin(), queue.classes.end(),
      [](const WorkerClass* a, const WorkerClass* b) { return SizeOf(*a) < SizeOf(*b); });
  queue.pool_expected = Expected(terms);
  queue.idle_at = idle_.insert(idle_.end(), &queue);
  queues_.emplace(std::move(key), std::move(made));
  return &queue;
}

void Matching::Evict(PropertyQueue& queue) {
  CHECK(queue.users == 0 && queue.arrivals.empty() && queue.held == nullptr);
  timers_.Disarm(queue.unserved);
  idle_.erase(queue.idle_at);
  if (queue.dirty) std::erase(dirty_queues_, &queue);
  free_indices_.push_back(queue.index);
  queues_.erase(std::string(queue.key));
}

void Matching::AddUser(PropertyQueue& queue) {
  if (queue.users++ == 0) idle_.erase(queue.idle_at);
}

void Matching::DropUser(PropertyQueue& queue) {
  if (--queue.users == 0) queue.idle_at = idle_.insert(idle_.end(), &queue);
}

WorkerClass* Matching::Enter(const Terms& terms, const std::string& worker_name) {
  std::string key = KeyOf(terms);
  if (auto found = class_by_key_.find(key); found != class_by_key_.end()) {
    found->second->workers++;
    return found->second;
  }
  auto made = std::make_unique<WorkerClass>();
  WorkerClass& worker_class = *made;
  generation_++;
  worker_class.terms = terms;
  worker_class.key = key;
  worker_class.example = worker_name;
  worker_class.workers = 1;
  worker_class.at = classes_.size();
  for (auto& [_, queue] : queues_) {
    const bool serves = Serves(terms, queue->terms);
    if (worker_class.serves.size() <= queue->index) worker_class.serves.resize(queue->index + 1);
    worker_class.serves[queue->index] = serves;
    if (!serves) continue;
    AddClass(worker_class, *queue);
    timers_.Disarm(queue->unserved);
  }
  classes_.push_back(std::move(made));
  class_by_key_.emplace(std::move(key), &worker_class);
  return &worker_class;
}

void Matching::Leave(WorkerClass& worker_class, Instant now, std::vector<PropertyQueue*>& changed) {
  if (--worker_class.workers > 0) return;
  generation_++;
  CHECK(worker_class.free.empty(), "the last worker of a class is not free when it leaves");
  for (auto& [_, queue] : queues_) {
    if (std::erase(queue->classes, &worker_class) == 0 || !queue->classes.empty()) continue;
    queue->unserved_since = now;
    changed.push_back(queue.get());
  }
  // The table of queues has no order; the effects must.
  std::sort(changed.begin(), changed.end(),
            [](const PropertyQueue* a, const PropertyQueue* b) { return a->index < b->index; });
  if (worker_class.dirty) std::erase(dirty_classes_, &worker_class);
  class_by_key_.erase(worker_class.key);
  const size_t at = worker_class.at;
  std::swap(classes_[at], classes_.back());
  classes_[at]->at = at;
  classes_.pop_back();
}

bool Matching::Expected(const Terms& terms) const {
  return std::any_of(pools_.begin(), pools_.end(),
                     [&](const Pool& pool) { return Serves(pool.terms, terms); });
}

void Matching::DeclarePool(const std::string& name, const Terms& terms) {
  generation_++;
  auto found = std::find_if(pools_.begin(), pools_.end(),
                            [&](const Pool& pool) { return pool.name == name; });
  if (found != pools_.end()) {
    found->terms = terms;
  } else if (pools_.size() < options_.pools_max) {
    pools_.push_back({name, terms});
  }
  for (auto& [_, queue] : queues_) queue->pool_expected = Expected(queue->terms);
}

void Matching::SetFirstFree(WorkerClass& worker_class, const FreeKey& first) {
  FreeKey& known = worker_class.first_free;
  if (known.worker == first.worker && !(known < first) && !(first < known)) return;
  FreeClasses::node_type node;
  if (known.worker != nullptr) node = free_classes_.extract(&worker_class);
  known = first;
  if (known.worker == nullptr) return;
  if (node.empty()) {
    free_classes_.insert(&worker_class);
  } else {
    free_classes_.insert(std::move(node));
  }
}

void Matching::AddFree(WorkerClass& worker_class, const Amounts& left, const FreeKey& key) {
  worker_class.free[left].insert(key);
  const FreeKey& first = worker_class.first_free;
  if (first.worker == nullptr || key < first) SetFirstFree(worker_class, key);
}

void Matching::RemoveFree(WorkerClass& worker_class, const Amounts& left, const FreeKey& key) {
  auto group = worker_class.free.find(left);
  CHECK(group != worker_class.free.end() && group->second.erase(key) == 1);
  if (group->second.empty()) worker_class.free.erase(group);
  if (key.worker != worker_class.first_free.worker) return;
  FreeKey first;
  for (const auto& [_, keys] : worker_class.free) {
    if (first.worker == nullptr || *keys.begin() < first) first = *keys.begin();
  }
  SetFirstFree(worker_class, first);
}

void Matching::MarkDirty(PropertyQueue& queue) {
  if (!std::exchange(queue.dirty, true)) dirty_queues_.push_back(&queue);
}

void Matching::MarkDirty(WorkerClass& worker_class) {
  if (!std::exchange(worker_class.dirty, true)) dirty_classes_.push_back(&worker_class);
}

std::vector<PropertyQueue*> Matching::TakeDirtyQueues() {
  for (PropertyQueue* queue : dirty_queues_) queue->dirty = false;
  return std::exchange(dirty_queues_, {});
}

std::vector<WorkerClass*> Matching::TakeDirtyClasses() {
  for (WorkerClass* worker_class : dirty_classes_) worker_class->dirty = false;
  return std::exchange(dirty_classes_, {});
}

void Matching::SetActive(PropertyQueue& queue, bool active) {
  if (active) {
    queue.active_at = active_.size();
    active_.push_back(&queue);
    return;
  }
  active_[queue.active_at] = active_.back();
  active_[queue.active_at]->active_at = queue.active_at;
  active_.pop_back();
}

namespace {

// How many of the wishes are not met.
size_t DistanceOf(const Terms& offered, const Terms& wanted) {
  size_t lacks = 0;
  for (const auto& pair : wanted.exact) {
    lacks += !std::binary_search(offered.exact.begin(), offered.exact.end(), pair);
  }
  for (size_t i = 0; i < wanted.amounts.size(); i++) {
    lacks += (i < offered.amounts.size() ? offered.amounts[i] : kUnsaid) < wanted.amounts[i];
  }
  return lacks;
}

}  // namespace

// What exactly `offered`, the nearest, lacks.
std::string Matching::Difference(const Terms& offered, const Terms& wanted,
                                 const std::string& who) const {
  const char* single = DistanceOf(offered, wanted) == 1 ? "worker" : "single worker";
  std::string text;
  auto add = [&](const std::string& name, const std::string& lack, const std::string& has) {
    text += fmt::format("{}no {} offers {} ({}, the nearest, has {})", text.empty() ? "" : "; ",
                        single, lack, who, has.empty() ? "no " + name : has);
  };
  for (const auto& pair : wanted.exact) {
    if (std::binary_search(offered.exact.begin(), offered.exact.end(), pair)) continue;
    std::string has;
    for (const auto& [name, value] : offered.exact) {
      if (name == pair.first) has += fmt::format("{}\"{}\"", has.empty() ? "" : ", ", value);
    }
    add(pair.first, fmt::format("{}=\"{}\"", pair.first, pair.second), has);
  }
  for (size_t i = 0; i < wanted.amounts.size(); i++) {
    const int64_t has = i < offered.amounts.size() ? offered.amounts[i] : kUnsaid;
    if (has >= wanted.amounts[i]) continue;
    const std::string& name = options_.minimum_properties[i];
    add(name, PrintAmount(name, wanted.amounts[i]) + " or more",
        has == kUnsaid ? "" : PrintAmount(name, has));
  }
  return text;
}

std::string Matching::ExplainNow(const Terms& wanted) const {
  const Terms* nearest = nullptr;
  std::string name;
  size_t nearest_lacks = 0;
  auto consider = [&](const Terms& offered, const char* kind, const std::string& offered_by) {
    const size_t lacks = DistanceOf(offered, wanted);
    if (nearest != nullptr && lacks >= nearest_lacks) return;
    nearest = &offered;
    name = fmt::format("{} \"{}\"", kind, offered_by);
    nearest_lacks = lacks;
  };
  for (const auto& worker_class : classes_) {
    consider(worker_class->terms, "worker", worker_class->example);
  }
  for (const Pool& pool : pools_) consider(pool.terms, "pool", pool.name);
  if (nearest == nullptr) {
    const std::string asked = PrintTerms(wanted, options_);
    return fmt::format("no worker is connected and none is expected; it asks for {}",
                       asked.empty() ? "nothing in particular" : asked);
  }
  if (nearest_lacks == 0) return fmt::format("{} offers it but is not connected", name);
  return Difference(*nearest, wanted, name);
}

const std::string& Matching::Explain(PropertyQueue& queue) {
  // A client may ask for the impossible often, and there may be many workers to look at.
  if (queue.why_generation != generation_) queue.why = ExplainNow(queue.terms);
  queue.why_generation = generation_;
  return queue.why;
}

}  // namespace lre::scheduler

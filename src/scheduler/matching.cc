#include "scheduler/matching.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/check.h"

namespace lre::scheduler {

Properties Canonical(const Properties& properties, const std::vector<std::string>& ignored) {
  Properties canonical;
  canonical.reserve(properties.size());
  for (const auto& [name, value] : properties) {
    if (std::find(ignored.begin(), ignored.end(), name) != ignored.end()) continue;
    auto& [_, copy] = canonical.emplace_back(name, value);
    if (name != "OSFamily") continue;
    for (char& c : copy) {
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    }
  }
  std::sort(canonical.begin(), canonical.end());
  canonical.erase(std::unique(canonical.begin(), canonical.end()), canonical.end());
  return canonical;
}

std::string PrintProperties(const Properties& properties) {
  std::string text;
  for (const auto& [name, value] : properties) {
    if (!text.empty()) text += ';';
    text += name;
    text += '=';
    text += value;
  }
  return text;
}

bool Serves(const Properties& offered, const Properties& wanted) {
  return std::includes(offered.begin(), offered.end(), wanted.begin(), wanted.end());
}

Properties Missing(const Properties& offered, const Properties& wanted) {
  Properties missing;
  std::set_difference(wanted.begin(), wanted.end(), offered.begin(), offered.end(),
                      std::back_inserter(missing));
  return missing;
}

namespace {

// PrintProperties is for people: two sets may print alike. This is for the tables.
std::string KeyOf(const Properties& properties) {
  std::string key;
  for (const auto& [name, value] : properties) {
    key += std::to_string(name.size()) + ':' + name;
    key += std::to_string(value.size()) + ':' + value;
  }
  return key;
}

}  // namespace

Matching::Matching(const SchedulerOptions& options, Timers& timers)
    : options_(options), timers_(timers) {}

Matching::~Matching() {
  for (auto& [_, queue] : queues_) timers_.Disarm(queue->unserved);
}

PropertyQueue* Matching::QueueFor(const Properties& properties, Instant now) {
  std::string key = KeyOf(properties);
  if (auto found = queues_.find(key); found != queues_.end()) return found->second.get();
  if (queues_.size() >= options_.property_sets_max) {
    if (idle_.empty()) return nullptr;
    Evict(*idle_.front());
  }
  auto made = std::make_unique<PropertyQueue>();
  PropertyQueue& queue = *made;
  queue.properties = properties;
  queue.key = key;
  queue.unserved_since = now;
  if (free_indices_.empty()) {
    queue.index = queues_.size();
  } else {
    queue.index = free_indices_.back();
    free_indices_.pop_back();
  }
  for (auto& worker_class : classes_) {
    const bool serves = Serves(worker_class->properties, properties);
    if (worker_class->serves.size() <= queue.index) worker_class->serves.resize(queue.index + 1);
    worker_class->serves[queue.index] = serves;
    if (serves) queue.classes.push_back(worker_class.get());
  }
  queue.pool_expected = std::any_of(pools_.begin(), pools_.end(), [&](const Pool& pool) {
    return Serves(pool.properties, properties);
  });
  queue.idle_at = idle_.insert(idle_.end(), &queue);
  queues_.emplace(std::move(key), std::move(made));
  return &queue;
}

void Matching::Evict(PropertyQueue& queue) {
  CHECK(queue.users == 0 && queue.arrivals.empty());
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

WorkerClass* Matching::Enter(const Properties& properties, const std::string& worker_name) {
  std::string key = KeyOf(properties);
  if (auto found = class_by_key_.find(key); found != class_by_key_.end()) {
    found->second->workers++;
    return found->second;
  }
  auto made = std::make_unique<WorkerClass>();
  WorkerClass& worker_class = *made;
  worker_class.properties = properties;
  worker_class.key = key;
  worker_class.example = worker_name;
  worker_class.workers = 1;
  worker_class.at = classes_.size();
  for (auto& [_, queue] : queues_) {
    const bool serves = Serves(properties, queue->properties);
    if (worker_class.serves.size() <= queue->index) worker_class.serves.resize(queue->index + 1);
    worker_class.serves[queue->index] = serves;
    if (!serves) continue;
    queue->classes.push_back(&worker_class);
    timers_.Disarm(queue->unserved);
  }
  classes_.push_back(std::move(made));
  class_by_key_.emplace(std::move(key), &worker_class);
  return &worker_class;
}

void Matching::Leave(WorkerClass& worker_class, Instant now, std::vector<PropertyQueue*>& changed) {
  if (--worker_class.workers > 0) return;
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

void Matching::DeclarePool(const std::string& name, const Properties& properties) {
  auto found = std::find_if(pools_.begin(), pools_.end(),
                            [&](const Pool& pool) { return pool.name == name; });
  if (found != pools_.end()) {
    found->properties = properties;
  } else if (pools_.size() < options_.pools_max) {
    pools_.push_back({name, properties});
  }
  for (auto& [_, queue] : queues_) {
    queue->pool_expected = std::any_of(pools_.begin(), pools_.end(), [&](const Pool& pool) {
      return Serves(pool.properties, queue->properties);
    });
  }
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

std::string Matching::Explain(const Properties& properties) const {
  const Properties* nearest = nullptr;
  std::string name;
  Properties missing;
  auto consider = [&](const Properties& offered, std::string offered_by) {
    Properties lacks = Missing(offered, properties);
    if (nearest != nullptr && lacks.size() >= missing.size()) return;
    nearest = &offered;
    name = std::move(offered_by);
    missing = std::move(lacks);
  };
  for (const auto& worker_class : classes_) {
    consider(worker_class->properties, fmt::format("worker \"{}\"", worker_class->example));
  }
  for (const Pool& pool : pools_) consider(pool.properties, fmt::format("pool \"{}\"", pool.name));
  if (nearest == nullptr) {
    return fmt::format("no worker is connected and none is expected; it asks for {}",
                       properties.empty() ? "nothing in particular" : PrintProperties(properties));
  }
  std::string text;
  for (const auto& [wanted, value] : missing) {
    if (!text.empty()) text += "; ";
    text += fmt::format("no {} offers {}=\"{}\"", missing.size() == 1 ? "worker" : "single worker",
                        wanted, value);
    std::string has;
    for (const auto& [offered, offered_value] : *nearest) {
      if (offered != wanted) continue;
      has += fmt::format("{}\"{}\"", has.empty() ? "" : ", ", offered_value);
    }
    text += has.empty() ? fmt::format(" ({}, the nearest, has no {})", name, wanted)
                        : fmt::format(" ({}, the nearest, has {})", name, has);
  }
  return text.empty() ? fmt::format("{} offers it but is not connected", name) : text;
}

}  // namespace lre::scheduler

// What past runs say about the room an action needs: it goes into the terms of the queue it waits
// in, so that everything else about room stays as it is.
#include <algorithm>

#include "base/check.h"
#include "scheduler/state.h"

namespace lre::scheduler {

namespace {

constexpr int64_t kThousand = 1000;
// What an action that nothing is known of is given after it ran out of memory.
constexpr int64_t kEnlargedMemoryMin = 512 << 20;
constexpr int64_t kEnlargedMemoryMax = int64_t{1} << 50;

void SetAmount(const SchedulerOptions& options, const std::string& name, int64_t amount,
               Amounts& amounts) {
  const auto& names = options.minimum_properties;
  const auto found = std::find(names.begin(), names.end(), name);
  if (amount <= 0 || found == names.end()) return;
  if (amounts.empty()) amounts.assign(names.size(), kUnsaid);
  amounts[static_cast<size_t>(found - names.begin())] = amount * kThousand;
}

}  // namespace

Amounts Scheduler::State::LearnedAmounts(uint64_t kind, int64_t memory_bytes_min) const {
  const Size size = sizes.Of(kind);
  Amounts amounts;
  SetAmount(options, options.memory_property, std::max(size.memory_bytes, memory_bytes_min),
            amounts);
  SetAmount(options, options.cores_property, size.cores, amounts);
  return amounts;
}

PropertyQueue* Scheduler::State::QueueOf(Terms wanted, uint64_t kind) {
  wanted.learned = LearnedAmounts(kind, 0);
  // Who says how much it needs knows best.
  for (size_t i = 0; i < std::min(wanted.amounts.size(), wanted.learned.size()); i++) {
    if (wanted.amounts[i] != kUnsaid) wanted.learned[i] = kUnsaid;
  }
  PropertyQueue* queue = matching.QueueFor(wanted, now);
  if (queue != nullptr || wanted.learned.empty()) return queue;
  wanted.learned.clear();  // the bound is for what clients ask, not for what we make of it
  return matching.QueueFor(wanted, now);
}

int64_t Scheduler::State::ReservedMemory(const Operation& operation, const Worker& worker) const {
  const auto& names = options.minimum_properties;
  const size_t place = static_cast<size_t>(
      std::find(names.begin(), names.end(), options.memory_property) - names.begin());
  const Amounts need = NeedOf(operation.queue->terms, worker.terms.amounts);
  return place < need.size() ? need[place] / kThousand : 0;
}

void Scheduler::State::SetAside(Worker& worker, const AttemptId& attempt, int64_t memory_bytes) {
  Amounts given;
  SetAmount(options, options.memory_property, memory_bytes, given);
  Running& running = *workers.FindRunning(worker, attempt);
  for (size_t i = 0; i < std::min(given.size(), running.taken.size()); i++) {
    running.taken[i] = std::max(running.taken[i], given[i]);
  }
  workers.UpdateFree(worker);
}

void Scheduler::State::Enlarge(Operation& operation, const Usage& usage) {
  operation.enlarged = true;
  int64_t had = std::max<int64_t>(usage.memory_peak_bytes, kEnlargedMemoryMin / 2);
  for (const Amounts& amounts : {operation.queue->terms.amounts, operation.queue->terms.learned}) {
    for (size_t i = 0; i < amounts.size(); i++) {
      if (options.minimum_properties[i] != options.memory_property) continue;
      had = std::max(had, amounts[i] / kThousand);
    }
  }
  const int64_t memory_bytes = 2 * std::min(had, kEnlargedMemoryMax / 2);
  sizes.LearnMemory(operation.request->kind, memory_bytes);
  Terms terms = operation.queue->terms;
  terms.learned = LearnedAmounts(operation.request->kind, memory_bytes);
  MoveTo(operation, terms);
}

bool Scheduler::State::RunEnlarged(Operation& operation, const WorkerReported& event) {
  if (!event.out_of_memory) return false;
  out_of_memory++;
  if (operation.enlarged || operation.tries >= options.attempts_max) return false;
  Enlarge(operation, event.usage);
  Retry(operation, event.status);
  return true;
}

}  // namespace lre::scheduler

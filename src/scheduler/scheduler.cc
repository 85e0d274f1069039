// How the pieces work together: an event is handled by State::On, which changes operations through
// transitions; what became free or queued is marked dirty, and Dispatch brings the two together at
// the end of the step. Every effect is appended to one list, in the order of what happened.
#include "scheduler/scheduler.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "scheduler/state.h"

namespace lre::scheduler {

Scheduler::State::State(SchedulerOptions scheduler_options)
    : options(std::move(scheduler_options)),
      accounts({options.tenant_weights, options.user_weights}),
      matching(options, timers),
      operations(options, timers),
      workers(options, matching, timers),
      sizes(options.learned_sizes_max) {}

Scheduler::Scheduler(SchedulerOptions options)
    : state_(std::make_unique<State>(std::move(options))) {}
Scheduler::~Scheduler() = default;

std::vector<Effect> Scheduler::Step(Instant now, const Event& event) {
  State& state = *state_;
  CHECK(now >= state.now, "time does not go backwards");
  state.now = now;
  if (!state.started) state.started = now;
  state.Expire();                                              // what was due before the event
  std::visit([&](const auto& one) { state.On(one); }, event);  // the event itself
  state.Dispatch();                                            // operations meet free workers
  state.operations.Trim(now);                                  // old finished operations go
  return std::exchange(state.effects, {});
}

std::optional<Instant> Scheduler::NextDeadline() const {
  const std::optional<Instant> timer = state_->timers.Next();
  const std::optional<Instant> expiry = state_->operations.NextExpiry();
  if (!timer || !expiry) return timer ? timer : expiry;
  return std::min(*timer, *expiry);
}

std::optional<OperationView> Scheduler::Find(const OperationName& name, const Scope& scope) const {
  const Operation* operation = state_->operations.Find(name, scope);
  if (operation == nullptr) return std::nullopt;
  return state_->ViewOf(*operation);
}

std::vector<OperationView> Scheduler::List(uint32_t partition, uint64_t after, size_t limit) const {
  std::vector<OperationView> views;
  const auto& all = state_->operations.in_order();
  for (auto at = all.upper_bound({partition, after});
       at != all.end() && at->first.first == partition && views.size() < limit; ++at) {
    views.push_back(state_->ViewOf(*at->second));
  }
  return views;
}

OperationView Scheduler::State::ViewOf(const Operation& operation) const {
  OperationView view;
  view.name = operation.name;
  view.number = operation.number;
  view.stage = operation.stage;
  view.request = operation.request;
  if (operation.stage != Stage::kQueued) {
    view.worker = operation.last_worker;
    view.worker_name = operation.worker_name;
  }
  view.status = operation.status;
  view.answer = operation.answer;
  view.attempt = operation.attempt;
  view.progress = operation.progress;
  view.queue_position = PositionOf(operation);
  return view;
}

size_t Scheduler::State::PositionOf(const Operation& operation) {
  if (operation.stage != Stage::kQueued) return 0;
  const uint64_t dispatched = operation.queue->dispatched;
  return operation.ahead > dispatched ? operation.ahead - dispatched + 1 : 1;
}

SchedulerStats Scheduler::Stats(Instant now) const {
  const State& state = *state_;
  SchedulerStats stats;
  stats.queued = state.queued;
  stats.executing = state.executing;
  stats.finished = state.operations.finished();
  stats.clients = state.operations.clients() + state.awaiting.size();
  stats.workers = state.workers.size();
  for (const auto& [_, worker] : state.workers.all()) {
    stats.slots += static_cast<size_t>(worker->slots);
    stats.slots_busy += worker->running.size();
  }
  stats.stale_reports = state.stale_reports;
  stats.attempts_lost = state.attempts_lost;
  stats.recovered = state.recovered;
  stats.merged = state.merged;
  stats.out_of_memory = state.out_of_memory;
  stats.operations = state.operations.size();
  stats.timers = state.timers.size();
  stats.accounts = state.accounts.size();
  for (const PropertyQueue* queue : state.matching.active()) {
    stats.queues.push_back({PrintTerms(queue->terms, state.options), queue->arrivals.size(),
                            now - queue->arrivals.front()->wait_start, queue->dispatched});
  }
  return stats;
}

}  // namespace lre::scheduler

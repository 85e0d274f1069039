// What a simulation asserts of a worker and of the end.
#include <gtest/gtest.h>

#include <algorithm>

#include "scheduler/terms.h"
#include "simulation.h"

namespace lre::scheduler {

// What runs on a worker never takes more of what is counted than the worker has.
void Simulation::CheckRoom(const Worker& worker) {
  const Terms has = OfferedTerms(worker.properties, scheduler_options_);
  int64_t memory_bytes = 0;
  for (const auto& [_, attempt] : worker.attempts) {
    if (!attempt.finished && !attempt.cancelled) memory_bytes += attempt.memory_bytes;
  }
  if (!has.amounts.empty()) {
    EXPECT_LE(memory_bytes, has.amounts[1] / 1000) << worker.id;
  }
  Amounts taken(scheduler_options_.minimum_properties.size(), 0);
  for (const auto& [_, attempt] : worker.attempts) {
    if (attempt.finished || attempt.cancelled || !attempt.request) continue;
    const Result<Terms> asks = WantedTerms(attempt.request->properties, scheduler_options_);
    ASSERT_TRUE(asks);
    for (size_t i = 0; i < asks->amounts.size(); i++) {
      taken[i] += std::max<int64_t>(asks->amounts[i], 0);
    }
  }
  for (size_t i = 0; i < has.amounts.size(); i++) EXPECT_LE(taken[i], has.amounts[i]) << worker.id;
}

// A worker gets only what it offers every property of.
void Simulation::CheckServes(const Worker& worker, const ActionRequest& request) {
  const Result<Terms> asks = WantedTerms(request.properties, scheduler_options_);
  ASSERT_TRUE(asks);
  const Terms has = OfferedTerms(worker.properties, scheduler_options_);
  EXPECT_TRUE(Serves(has, *asks)) << worker.id << " got " << PrintTerms(*asks, scheduler_options_);
}

void Simulation::CheckSettled() {
  for (const auto& [id, client] : clients_) {
    EXPECT_EQ(client.answers, client.left ? 0 : 1)
        << "client " << id << " of " << client.operation << " (" << client.action << ")";
  }
  const SchedulerStats stats = scheduler_->Stats(now_);
  EXPECT_EQ(stats.queued, 0u);
  EXPECT_EQ(stats.executing, 0u);
  EXPECT_EQ(stats.clients, 0u);
  EXPECT_EQ(stats.accounts, 0u);
  EXPECT_EQ(stats.operations, stats.finished);
  EXPECT_LE(stats.finished, scheduler_options_.finished_operations_max);
  EXPECT_EQ(stats.slots_busy, 0u);
  EXPECT_LE(stats.workers, scheduler_options_.workers_max);
  EXPECT_EQ(stats.timers, stats.workers) << "one timer for the silence of each worker";
  EXPECT_GT(answers_, 100u);
}

std::string Simulation::Summary() const {
  return fmt::format(
      "seed {}: {} steps, {} clients, {} answers, {} assigned, {} links broken, {} crashes, {} "
      "restarts, {} attempts taken over",
      seed_, steps_, clients_.size(), answers_, assigns_, breaks_, crashes_, generation_,
      recovered_ + scheduler_->Stats(now_).recovered);
}

}  // namespace lre::scheduler

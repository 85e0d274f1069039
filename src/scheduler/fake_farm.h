// Test support: a Scheduler with a clock that is moved by hand, helpers for the events that tests
// send most, and a record of the effects. Confined to one thread.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "scheduler/scheduler.h"

namespace lre::scheduler {

Digest TestDigest(const std::string& text);

struct FakeFarm {
  explicit FakeFarm(SchedulerOptions options = {}) : scheduler(std::move(options)) {}

  // Steps and keeps the effects of this step in `effects`.
  const std::vector<Effect>& Step(const Event& event);
  // Moves time forward, stopping for every deadline on the way; the effects of all are kept.
  void Advance(Duration duration);

  struct Ask {
    Properties properties;
    int32_t priority = 0;
    std::string invocation;
    uint32_t partition = 0;
    bool do_not_cache = false;
    Duration timeout{};
    std::vector<uint64_t> affinities;
    uint64_t kind = 0;
  };
  // Enqueues action `action` as operation "op-<action>-<client>" for a new client, which is
  // returned.
  ClientId Run(const std::string& action, Ask ask);
  ClientId Run(const std::string& action) { return Run(action, Ask()); }
  void Join(const std::string& worker, int slots = 1, Properties properties = {},
            std::vector<AttemptId> running = {});
  void Report(const Assign& assign, Status status = {}, bool retryable = false);
  // Report, then Published.
  void Finish(const Assign& assign);

  template <typename T>
  std::vector<T> All() const {
    std::vector<T> all;
    for (const Effect& effect : effects) {
      if (const T* one = std::get_if<T>(&effect)) all.push_back(*one);
    }
    return all;
  }
  // The only effect of that kind in the last step; nullopt when there is none or several.
  template <typename T>
  std::optional<T> Only() const {
    std::vector<T> all = All<T>();
    return all.size() == 1 ? std::optional<T>(all[0]) : std::nullopt;
  }
  std::optional<Answer> AnswerTo(ClientId client) const;
  // The hash texts given to Run, of the actions assigned in the last step.
  std::vector<std::string> AssignedActions() const;

  Scheduler scheduler;
  Instant now = Instant(std::chrono::hours(1));
  std::vector<Effect> effects;
  ClientId next_client = 1;
};

}  // namespace lre::scheduler

#include "scheduler/fake_farm.h"

#include <algorithm>

namespace lre::scheduler {

Digest TestDigest(const std::string& text) { return ComputeDigest(DigestFunction::kSha256, text); }

const std::vector<Effect>& FakeFarm::Step(const Event& event) {
  effects = scheduler.Step(now, event);
  return effects;
}

void FakeFarm::Advance(Duration duration) {
  const Instant end = now + duration;
  std::vector<Effect> all;
  while (true) {
    const std::optional<Instant> due = scheduler.NextDeadline();
    now = due && *due < end ? std::max(now, *due) : end;
    for (Effect& effect : scheduler.Step(now, Tick())) all.push_back(std::move(effect));
    if (now == end) break;
  }
  effects = std::move(all);
}

ClientId FakeFarm::Run(const std::string& action, Ask ask) {
  const ClientId client = next_client++;
  auto request = std::make_shared<ActionRequest>();
  request->action = TestDigest(action);
  request->instance_name = "main";
  request->properties = std::move(ask.properties);
  request->priority = ask.priority;
  request->invocation = std::move(ask.invocation);
  request->partition = ask.partition;
  request->do_not_cache = ask.do_not_cache;
  request->timeout = ask.timeout;
  request->affinities = std::move(ask.affinities);
  request->kind = ask.kind;
  request->payload = std::make_shared<std::string>(action);
  Step(Enqueue{"op-" + action + "-" + std::to_string(client), std::move(request), client});
  return client;
}

void FakeFarm::Join(const std::string& worker, int slots, Properties properties,
                    std::vector<AttemptId> running) {
  Step(WorkerJoined{worker, worker, std::move(properties), slots, std::move(running)});
}

void FakeFarm::Report(const Assign& assign, Status status, bool retryable) {
  Step(WorkerReported{assign.worker, assign.attempt, std::move(status), retryable,
                      assign.request->payload, Usage(), false});
}

void FakeFarm::Finish(const Assign& assign) {
  Report(assign);
  std::vector<Effect> first = effects;
  Step(Published{assign.attempt, Status(), false, assign.request->payload});
  effects.insert(effects.begin(), first.begin(), first.end());
}

std::optional<Answer> FakeFarm::AnswerTo(ClientId client) const {
  std::optional<Answer> found;
  for (const Answer& answer : All<Answer>()) {
    if (answer.client == client) found = answer;
  }
  return found;
}

std::vector<std::string> FakeFarm::AssignedActions() const {
  std::vector<std::string> actions;
  for (const Assign& assign : All<Assign>()) {
    actions.push_back(*static_cast<const std::string*>(assign.request->payload.get()));
  }
  return actions;
}

}  // namespace lre::scheduler

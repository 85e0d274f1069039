// What clients ask for, and what they are told at once.
#include <algorithm>

#include "base/check.h"
#include "base/quantity.h"
#include "scheduler/state.h"

namespace lre::scheduler {

Status Scheduler::State::Refusal(const ActionRequest& request) {
  const size_t waiting = operations.clients() + awaiting.size();
  if (waiting >= options.clients_max) {
    return ErrorStatus(Code::kResourceExhausted,
                       "{} clients wait already (clients_max): try again later", waiting);
  }
  if (request.timeout < Duration(0) || request.timeout > options.timeout_max) {
    return ErrorStatus(
        Code::kInvalidArgument, "timeout of {} in action {}: at most {} is allowed (timeout_max)",
        FormatDuration(request.timeout), request.action, FormatDuration(options.timeout_max));
  }
  if (request.properties.size() > options.properties_max) {
    return ErrorStatus(Code::kInvalidArgument,
                       "{} platform properties in action {}: at most {} are allowed",
                       request.properties.size(), request.action, options.properties_max);
  }
  if (operations.Quarantined(request, now)) {
    return ErrorStatus(Code::kFailedPrecondition,
                       "action {} was lost together with its worker {} times; it is refused for {} "
                       "(quarantine)",
                       request.action, options.attempts_max, FormatDuration(options.quarantine));
  }
  return Status();
}

void Scheduler::State::On(const Enqueue& event) {
  auto refuse = [&](Status status) {
    effects.push_back(Answer{event.client, event.name, std::move(status), nullptr, nullptr});
  };
  const ActionRequest& request = *event.request;
  if (Status refusal = Refusal(request); !refusal.ok()) return refuse(std::move(refusal));
  Operation* same = operations.FindInFlight(request);
  if (same != nullptr && !same->recovered) return MergeInto(*same, event);
  if (same == nullptr && queued >= options.queued_actions_max) {
    return refuse(ErrorStatus(Code::kResourceExhausted,
                              "{} actions are queued already (queued_actions_max): try again later",
                              queued));
  }
  const Result<PropertyQueue*> queue = QueueOf(request);
  if (!queue) return refuse(queue.error());
  if (same != nullptr) {
    MakeOrdinary(*same, event.request, **queue);
    return MergeInto(*same, event);
  }
  if ((*queue)->classes.empty() && !(*queue)->pool_expected && matching.pools_closed()) {
    return refuse(ErrorStatus(Code::kFailedPrecondition, "no worker can run action {}: {}",
                              request.action, matching.Explain(**queue)));
  }

  Operation& operation = operations.Add(event.name, event.request);
  operation.queue = *queue;
  matching.AddUser(**queue);
  operation.rank = {RankOf(now, request.priority, options.ageing_step), next_sequence++};
  operations.AddClient(operation, event.client);
  operation.accounts.push_back(
      accounts.Acquire(request.partition, request.user, request.invocation));
  PutInQueue(operation);
  TellStage(operation, event.client);
}

Result<PropertyQueue*> Scheduler::State::QueueOf(const ActionRequest& request) {
  const Result<Terms> wanted = WantedTerms(request.properties, options);
  if (!wanted) {
    return std::unexpected(wanted.error().WithContext(fmt::format("action {}", request.action)));
  }
  PropertyQueue* queue = QueueOf(*wanted, request.kind);
  if (queue != nullptr) return queue;
  return Error(Code::kResourceExhausted,
               "actions with {} different sets of platform properties are in flight "
               "(property_sets_max): try again later",
               options.property_sets_max);
}

void Scheduler::State::MakeOrdinary(Operation& operation,
                                    std::shared_ptr<const ActionRequest> request,
                                    PropertyQueue& queue) {
  operation.recovered = false;
  operation.request = std::move(request);
  MoveTo(operation, queue);
  const ActionRequest& asked = *operation.request;
  operation.rank = {RankOf(now, asked.priority, options.ageing_step), next_sequence++};
  operation.accounts.push_back(accounts.Acquire(asked.partition, asked.user, asked.invocation));
}

void Scheduler::State::MergeInto(Operation& operation, const Enqueue& event) {
  merged++;
  operations.AddClient(operation, event.client);
  if (operation.stage == Stage::kQueued) AddInterest(operation, *event.request);
  TellStage(operation, event.client);
}

void Scheduler::State::On(const ClientAttached& event) {
  Operation* operation = operations.Find(event.name, event.scope);
  if (operation == nullptr) {
    if (!Await(event)) effects.push_back(UnknownOperation{event.client, event.name});
  } else if (operation->stage == Stage::kCompleted) {
    effects.push_back(Answer{event.client, operation->name, operation->status, operation->answer,
                             operation->request, operation->worker_name});
  } else if (operations.clients() + awaiting.size() >= options.clients_max) {
    effects.push_back(Answer{
        event.client, operation->name,
        ErrorStatus(Code::kResourceExhausted,
                    "{} clients wait already (clients_max): try again later", operations.clients()),
        nullptr, operation->request});
  } else {
    operations.AddClient(*operation, event.client);
    TellStage(*operation, event.client);
  }
}

bool Scheduler::State::Await(const ClientAttached& event) {
  const Instant until = *started + options.adoption_grace;
  if (now >= until || matching.pools_closed()) return false;
  if (operations.clients() + awaiting.size() >= options.clients_max) return false;
  CHECK(awaiting_names.emplace(event.client, event.name).second,
        "a client waits for one operation");
  awaiting.emplace(event.name, event);
  timers.Arm(awaiting_end, until, TimerKind::kAdoption, nullptr);
  return true;
}

void Scheduler::State::AttachAwaiting(const OperationName& name, Operation& operation) {
  const auto [begin, end] = awaiting.equal_range(name);
  for (auto at = begin; at != end;) {
    if (!at->second.scope.Covers(operation.request->partition)) {
      ++at;
      continue;
    }
    const ClientId client = at->second.client;
    awaiting_names.erase(client);
    at = awaiting.erase(at);
    operations.AddClient(operation, client);
    TellStage(operation, client);
  }
  if (awaiting.empty()) timers.Disarm(awaiting_end);
}

void Scheduler::State::EndAwaiting() {
  timers.Disarm(awaiting_end);
  for (const auto& [name, event] : awaiting) {
    effects.push_back(UnknownOperation{event.client, name});
  }
  awaiting.clear();
  awaiting_names.clear();
}

void Scheduler::State::On(const ClientLeft& event) {
  if (const auto named = awaiting_names.extract(event.client); !named.empty()) {
    const auto [begin, end] = awaiting.equal_range(named.mapped());
    awaiting.erase(std::find_if(
        begin, end, [&](const auto& entry) { return entry.second.client == event.client; }));
    if (awaiting.empty()) timers.Disarm(awaiting_end);
    return;
  }
  Operation* operation = operations.RemoveClient(event.client);
  if (operation == nullptr || !operation->clients.empty()) return;
  timers.Arm(operation->client_grace, now + options.client_grace, TimerKind::kClientGrace,
             operation);
}

void Scheduler::State::On(const CancelRequested& event) {
  Operation* operation = operations.Find(event.name, event.scope);
  if (operation == nullptr || operation->stage == Stage::kCompleted) return;
  Complete(*operation, ErrorStatus(Code::kCancelled, "{} was cancelled by a client", event.name),
           nullptr);
}

void Scheduler::State::On(const OperationDeleted& event) {
  Operation* operation = operations.Find(event.name, event.scope);
  if (operation != nullptr && operation->stage == Stage::kCompleted) operations.Forget(*operation);
}

}  // namespace lre::scheduler

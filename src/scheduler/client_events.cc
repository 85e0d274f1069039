// What clients ask for, and what they are told at once.
#include <algorithm>

#include "base/check.h"
#include "base/quantity.h"
#include "scheduler/state.h"

namespace lre::scheduler {

Status Scheduler::State::Refusal(const ActionRequest& request) {
  if (operations.clients() >= options.clients_max) {
    return ErrorStatus(Code::kResourceExhausted,
                       "{} clients wait already (clients_max): try again later",
                       operations.clients());
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
  if (Status refusal = Refusal(event.request); !refusal.ok()) return refuse(std::move(refusal));
  if (Operation* same = operations.FindInFlight(event.request)) return MergeInto(*same, event);
  if (queued >= options.queued_actions_max) {
    return refuse(ErrorStatus(Code::kResourceExhausted,
                              "{} actions are queued already (queued_actions_max): try again later",
                              queued));
  }
  Result<Terms> wanted = WantedTerms(event.request.properties, options);
  if (!wanted) {
    return refuse(wanted.error().WithContext(fmt::format("action {}", event.request.action)));
  }
  PropertyQueue* queue = QueueOf(*wanted, event.request.kind);
  if (queue == nullptr) {
    return refuse(ErrorStatus(Code::kResourceExhausted,
                              "actions with {} different sets of platform properties are in flight "
                              "(property_sets_max): try again later",
                              options.property_sets_max));
  }
  if (queue->classes.empty() && !queue->pool_expected && matching.pools_closed()) {
    return refuse(ErrorStatus(Code::kFailedPrecondition, "no worker can run action {}: {}",
                              event.request.action, matching.Explain(*queue)));
  }

  Operation& operation =
      operations.Add(event.name, std::make_shared<const ActionRequest>(event.request));
  operation.queue = queue;
  matching.AddUser(*queue);
  operation.rank = {RankOf(now, event.request.priority, options.ageing_step), next_sequence++};
  operations.AddClient(operation, event.client);
  operation.accounts.push_back(
      accounts.Acquire(event.request.partition, event.request.user, event.request.invocation));
  PutInQueue(operation);
  TellStage(operation, event.client);
}

void Scheduler::State::MergeInto(Operation& operation, const Enqueue& event) {
  merged++;
  operations.AddClient(operation, event.client);
  if (operation.stage == Stage::kQueued) AddInterest(operation, event.request);
  TellStage(operation, event.client);
}

void Scheduler::State::On(const ClientAttached& event) {
  Operation* operation = operations.Find(event.name);
  if (operation == nullptr) {
    effects.push_back(UnknownOperation{event.client, event.name});
  } else if (operation->stage == Stage::kCompleted) {
    effects.push_back(Answer{event.client, operation->name, operation->status, operation->answer,
                             operation->request});
  } else if (operations.clients() >= options.clients_max) {
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

void Scheduler::State::On(const ClientLeft& event) {
  Operation* operation = operations.RemoveClient(event.client);
  if (operation == nullptr || !operation->clients.empty()) return;
  timers.Arm(operation->client_grace, now + options.client_grace, TimerKind::kClientGrace,
             operation);
}

void Scheduler::State::On(const CancelRequested& event) {
  Operation* operation = operations.Find(event.name);
  if (operation == nullptr || operation->stage == Stage::kCompleted) return;
  Complete(*operation, ErrorStatus(Code::kCancelled, "{} was cancelled by a client", event.name),
           nullptr);
}

void Scheduler::State::On(const OperationDeleted& event) {
  Operation* operation = operations.Find(event.name);
  if (operation != nullptr && operation->stage == Stage::kCompleted) operations.Forget(*operation);
}

}  // namespace lre::scheduler

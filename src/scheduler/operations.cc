#include "scheduler/operations.h"

#include <algorithm>

#include "base/check.h"

namespace lre::scheduler {

ActionKey KeyOf(const ActionRequest& request) {
  return {request.action, request.instance_name, request.partition};
}

namespace {
std::pair<uint32_t, uint64_t> PlaceOf(const Operation& operation) {
  return {operation.request->partition, operation.number};
}
}  // namespace

Operations::Operations(const SchedulerOptions& options, Timers& timers)
    : options_(options), timers_(timers) {}

Operations::~Operations() {
  for (auto& [_, operation] : by_name_) {
    timers_.Disarm(operation->deadline);
    timers_.Disarm(operation->client_grace);
  }
}

Operation& Operations::Add(OperationName name, std::shared_ptr<const ActionRequest> request) {
  auto [at, added] = by_name_.emplace(std::move(name), std::make_unique<Operation>());
  CHECK(added, "operation names are used once");
  Operation& operation = *at->second;
  operation.name = at->first;
  operation.number = next_number_++;
  operation.request = std::move(request);
  // The latest of the last partition, most often.
  in_order_.emplace_hint(in_order_.end(), PlaceOf(operation), &operation);
  if (!operation.request->do_not_cache) {
    operation.merges = in_flight_.emplace(KeyOf(*operation.request), &operation).second;
  }
  return operation;
}

Operation* Operations::Find(const OperationName& name, const Scope& scope) const {
  auto found = by_name_.find(name);
  if (found == by_name_.end()) return nullptr;
  Operation* operation = found->second.get();
  return scope.Covers(operation->request->partition) ? operation : nullptr;
}

Operation* Operations::FindInFlight(const ActionRequest& request) const {
  if (request.do_not_cache) return nullptr;
  auto found = in_flight_.find(KeyOf(request));
  return found == in_flight_.end() ? nullptr : found->second;
}

void Operations::AddClient(Operation& operation, ClientId client) {
  CHECK(clients_.emplace(client, &operation).second, "a client waits for one operation");
  operation.clients.push_back(client);
  timers_.Disarm(operation.client_grace);
}

Operation* Operations::RemoveClient(ClientId client) {
  auto found = clients_.find(client);
  if (found == clients_.end()) return nullptr;
  Operation* operation = found->second;
  clients_.erase(found);
  std::erase(operation->clients, client);
  return operation;
}

void Operations::RemoveClients(Operation& operation) {
  for (ClientId client : operation.clients) clients_.erase(client);
  operation.clients.clear();
}

void Operations::Finish(Operation& operation, Instant now) {
  timers_.Disarm(operation.deadline);
  timers_.Disarm(operation.client_grace);
  if (operation.merges) in_flight_.erase(KeyOf(*operation.request));
  operation.merges = false;
  operation.stage = Stage::kCompleted;
  // The action and the command may be large, and nobody needs them now.
  auto lean = std::make_shared<ActionRequest>();
  lean->action = operation.request->action;
  lean->instance_name = operation.request->instance_name;
  lean->partition = operation.request->partition;
  lean->invocation = operation.request->invocation;
  lean->user = operation.request->user;
  operation.request = std::move(lean);
  operation.progress = nullptr;
  operation.expires = now + options_.operation_retention;
  operation.finished = finished_.insert(finished_.end(), &operation);
}

void Operations::Trim(Instant now) {
  while (!finished_.empty() && (finished_.size() > options_.finished_operations_max ||
                                finished_.front()->expires <= now)) {
    Forget(*finished_.front());
  }
}

void Operations::Forget(Operation& operation) {
  CHECK(operation.stage == Stage::kCompleted);
  finished_.erase(operation.finished);
  in_order_.erase(PlaceOf(operation));
  by_name_.erase(by_name_.find(operation.name));
}

std::optional<Instant> Operations::NextExpiry() const {
  if (finished_.empty()) return std::nullopt;
  return finished_.front()->expires;
}

void Operations::Quarantine(const ActionRequest& request, Instant now) {
  if (options_.quarantined_actions_max == 0) return;
  while (quarantine_order_.size() >= options_.quarantined_actions_max) {
    quarantined_.erase(quarantine_order_.front());
    quarantine_order_.pop_front();
  }
  ActionKey key = KeyOf(request);
  if (quarantined_.insert_or_assign(key, now + options_.quarantine).second) {
    quarantine_order_.push_back(std::move(key));
  }
}

bool Operations::Quarantined(const ActionRequest& request, Instant now) {
  if (quarantined_.empty()) return false;
  auto found = quarantined_.find(KeyOf(request));
  if (found == quarantined_.end()) return false;
  if (found->second > now) return true;
  std::erase(quarantine_order_, found->first);
  quarantined_.erase(found);
  return false;
}

}  // namespace lre::scheduler

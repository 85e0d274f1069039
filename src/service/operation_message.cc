#include "service/operation_message.h"

#include <utility>

#include "lre/worker/v1/queue_state.pb.h"
#include "reapi/digest_proto.h"
#include "reapi/error_details.h"
#include "service/execution_payload.h"
#include "service/log_stream.h"

namespace lre::service {

using scheduler::Stage;

OperationFacts FactsOf(const scheduler::StageChanged& change) {
  return {change.operation,
          change.stage,
          change.request,
          change.worker_name,
          change.progress,
          {},
          {},
          change.queue_position,
          change.attempt};
}
OperationFacts FactsOf(const scheduler::Answer& answer) {
  return {answer.operation, Stage::kCompleted, answer.request, answer.worker_name,
          nullptr,          answer.status,     answer.answer};
}
OperationFacts FactsOf(const scheduler::OperationView& view) {
  return {view.name,   view.stage,  view.request,        view.worker_name, view.progress,
          view.status, view.answer, view.queue_position, view.attempt};
}

namespace {

pb::ExecutionStage::Value StageMessage(Stage stage) {
  switch (stage) {
    case Stage::kQueued:
      return pb::ExecutionStage::QUEUED;
    case Stage::kExecuting:
      return pb::ExecutionStage::EXECUTING;
    case Stage::kCompleted:
      return pb::ExecutionStage::COMPLETED;
  }
  return pb::ExecutionStage::UNKNOWN;
}

void FillPartial(const OperationFacts& facts, pb::ExecutedActionMetadata* partial) {
  if (facts.progress) *partial = *ProgressOf(facts.progress);
  if (!facts.worker.empty() && partial->worker().empty()) partial->set_worker(facts.worker);
  if (!partial->has_queued_timestamp() && facts.request && facts.request->payload) {
    *partial->mutable_queued_timestamp() =
        PayloadOf(facts.request->payload)->assignment.queued_timestamp();
  }
  if (facts.stage == Stage::kQueued) {
    worker::v1::QueueState state;
    state.set_position(static_cast<int64_t>(facts.queue_position));
    state.set_attempts(facts.attempt);
    partial->add_auxiliary_metadata()->PackFrom(state);
  }
}

void FillMetadata(const OperationFacts& facts, pb::ExecuteOperationMetadata* metadata) {
  metadata->set_stage(StageMessage(facts.stage));
  if (!facts.request) return;
  reapi::ToProto(facts.request->action, metadata->mutable_action_digest());
  metadata->set_digest_function(reapi::ToProto(facts.request->action.function));
  if (facts.stage == Stage::kExecuting) {
    const std::string& instance = facts.request->instance_name;
    metadata->set_stdout_stream_name(LogStreamNameOf(instance, facts.name, false));
    metadata->set_stderr_stream_name(LogStreamNameOf(instance, facts.name, true));
  }
  pb::ExecutedActionMetadata* partial = metadata->mutable_partial_execution_metadata();
  if (facts.stage == Stage::kCompleted && facts.answer) {
    *partial = ResponseOf(facts.answer)->result().execution_metadata();
  }
  FillPartial(facts, partial);
}

}  // namespace

google::longrunning::Operation MakeOperation(const OperationFacts& facts) {
  google::longrunning::Operation operation;
  operation.set_name(facts.name);
  pb::ExecuteOperationMetadata metadata;
  FillMetadata(facts, &metadata);
  operation.mutable_metadata()->PackFrom(metadata);
  if (facts.stage != Stage::kCompleted) return operation;
  operation.set_done(true);
  if (facts.status.ok() && facts.answer) {
    operation.mutable_response()->PackFrom(*ResponseOf(facts.answer));
    return operation;
  }
  pb::ExecuteResponse response;
  if (facts.answer) response = *ResponseOf(facts.answer);
  reapi::ToRpcStatus(facts.status, response.mutable_status());
  operation.mutable_response()->PackFrom(response);
  return operation;
}

google::longrunning::Operation MakeCachedOperation(std::string name, const Digest& action,
                                                   pb::ActionResult result) {
  pb::ExecuteOperationMetadata metadata;
  metadata.set_stage(pb::ExecutionStage::COMPLETED);
  reapi::ToProto(action, metadata.mutable_action_digest());
  metadata.set_digest_function(reapi::ToProto(action.function));
  if (result.has_execution_metadata()) {
    *metadata.mutable_partial_execution_metadata() = result.execution_metadata();
  }
  pb::ExecuteResponse response;
  *response.mutable_result() = std::move(result);
  response.set_cached_result(true);
  response.mutable_status();  // OK, and said so: some clients look whether it is there
  google::longrunning::Operation operation;
  operation.set_name(std::move(name));
  operation.mutable_metadata()->PackFrom(metadata);
  operation.set_done(true);
  operation.mutable_response()->PackFrom(response);
  return operation;
}

}  // namespace lre::service

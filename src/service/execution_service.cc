#include "service/execution_service.h"

#include <optional>
#include <string>
#include <utility>

#include "base/guarded.h"
#include "base/log.h"
#include "base/random.h"
#include "reapi/action.h"
#include "reapi/digest_proto.h"
#include "reapi/error_details.h"
#include "reapi/request_metadata.h"
#include "service/blocking.h"
#include "service/execution_payload.h"
#include "service/operation_message.h"

namespace lre::service {
namespace {

Bytes Serialized(const google::protobuf::MessageLite& message) {
  return Bytes(message.SerializeAsString());
}

void SetTimestamp(WallTime time, google::protobuf::Timestamp* message) {
  const auto nanos = time.time_since_epoch();
  message->set_seconds(nanos / std::chrono::seconds(1));
  message->set_nanos(static_cast<int32_t>((nanos % std::chrono::seconds(1)).count()));
}

// The stream of one Execute or WaitExecution call. Messages are made on the call's loop: the
// scheduler's thread has better things to do than to serialise.
class OperationStream : public ClientStream {
 public:
  OperationStream(SchedulerThread& scheduler, std::shared_ptr<rpc::ServerCall> call)
      : scheduler_(scheduler), call_(std::move(call)) {}

  rpc::ServerCall& call() { return *call_; }

  void OnStage(const scheduler::StageChanged& change) override {
    call_->Post([call = call_, facts = FactsOf(change)] {
      call->Send({Serialized(MakeOperation(facts))});
    });
  }
  void OnAnswer(const scheduler::Answer& answer) override {
    call_->Post([call = call_, facts = FactsOf(answer)] {
      // Refused before there was an operation: the status of the call.
      if (!facts.request) return call->Finish(facts.status);
      call->Respond(BytesList{Serialized(MakeOperation(facts))});
    });
  }
  void OnUnknown(const scheduler::OperationName& operation) override {
    call_->Finish(ErrorStatus(Code::kNotFound,
                              "operation {} is not known: it ended long ago, or the server was "
                              "restarted",
                              operation));
  }

  // Both, in either order: the client is known to the scheduler as `client`; it left.
  void SetClient(scheduler::ClientId client) {
    const bool left = state_.With([&](State& state) {
      state.client = client;
      return state.left;
    });
    if (left) scheduler_.Leave(client);
  }
  void Leave() {
    const auto client = state_.With([](State& state) {
      state.left = true;
      return state.client;
    });
    if (client) scheduler_.Leave(*client);
  }

 private:
  struct State {
    std::optional<scheduler::ClientId> client;
    bool left = false;
  };
  SchedulerThread& scheduler_;
  const std::shared_ptr<rpc::ServerCall> call_;
  Guarded<State> state_;
};

class StreamHandler : public rpc::CallHandler {
 public:
  explicit StreamHandler(std::shared_ptr<OperationStream> stream) : stream_(std::move(stream)) {}
  void OnMessage(Bytes) override {}
  void OnCancel() override { stream_->Leave(); }

 private:
  const std::shared_ptr<OperationStream> stream_;
};

// One Execute on its way to the scheduler; runs on an I/O thread.
struct Execution {
  ExecutionParts parts;
  ExecutionOptions options;
  pb::ExecuteRequest request;
  Digest action_digest;
  store::Partition partition = 0;  // of the action and of every blob
  std::shared_ptr<OperationStream> stream;
  // Made on the way.
  worker::v1::Assignment assignment{};
  scheduler::ActionRequest wanted{};

  void SetHints(const reapi::RequestMetadata& about, const Digest& input_root);
  // Answers or enqueues; an error is the status of the call.
  Status Run();
  Status LoadAction(reapi::Action* action);
  Status LoadCommand(const reapi::Action& action);
  // True when the action cache had the answer and it was sent.
  Result<bool> AnswerFromCache();
  Status Inline(pb::ActionResult* result);
};

// Not RESOURCE_EXHAUSTED, as of a read that is too large: no client may try again.
Status CheckSize(const char* what, const Digest& digest, size_t bytes_max) {
  if (static_cast<size_t>(digest.size_bytes) <= bytes_max) return Status();
  return ErrorStatus(Code::kInvalidArgument, "{} {}: at most {} bytes are taken", what, digest,
                     bytes_max);
}

Status Execution::LoadAction(reapi::Action* action) {
  TRY(CheckSize("action", action_digest, options.action_bytes_max));
  auto bytes = store::ReadAll(parts.cas, {action_digest, partition}, options.action_bytes_max);
  if (!bytes && bytes.error().code() == Code::kNotFound) {
    return reapi::MissingBlobsStatus({&action_digest, 1});
  }
  if (!bytes) return bytes.error();
  TRY_ASSIGN(*action, reapi::ParseAction(*bytes, action_digest.function));
  if (!assignment.mutable_action()->ParseFromString(*bytes)) {
    return ErrorStatus(Code::kInvalidArgument, "action {} is no Action", action_digest);
  }
  return Status();
}

Status Execution::LoadCommand(const reapi::Action& action) {
  TRY(CheckSize("command", action.command, options.command_bytes_max));
  // The input root is looked at here as well, so that clients hear of both at once; what is below
  // it the worker will find out.
  const Digest needed[] = {action.command, action.input_root};
  TRY_ASSIGN(const std::vector<uint32_t> absent, parts.cas.FindMissing(partition, needed));
  if (!absent.empty()) {
    std::vector<Digest> missing;
    for (uint32_t i : absent) missing.push_back(needed[i]);
    return reapi::MissingBlobsStatus(missing);
  }
  TRY_ASSIGN(const std::string bytes,
             store::ReadAll(parts.cas, {action.command, partition}, options.command_bytes_max));
  TRY_ASSIGN(const reapi::Command command, reapi::ParseCommand(bytes));
  if (!assignment.mutable_command()->ParseFromString(bytes)) {
    return ErrorStatus(Code::kInvalidArgument, "command {} is no Command", action.command);
  }
  wanted.properties = reapi::PlatformOf(action, command);
  return Status();
}

Status Execution::Inline(pb::ActionResult* result) {
  auto inline_blob = [&](const pb::Digest& message, std::string* bytes) -> Status {
    if (!bytes->empty() || message.hash().empty() || message.size_bytes() == 0) return Status();
    TRY_ASSIGN(const Digest digest, reapi::FromProto(message, action_digest.function));
    if (static_cast<size_t>(digest.size_bytes) > options.inline_bytes_max) return Status();
    TRY_ASSIGN(*bytes, store::ReadAll(parts.cas, {digest, partition}, options.inline_bytes_max));
    return Status();
  };
  if (request.inline_stdout()) {
    TRY(inline_blob(result->stdout_digest(), result->mutable_stdout_raw()));
  }
  if (request.inline_stderr()) {
    TRY(inline_blob(result->stderr_digest(), result->mutable_stderr_raw()));
  }
  for (const std::string& path : request.inline_output_files()) {
    for (pb::OutputFile& file : *result->mutable_output_files()) {
      if (file.path() == path) TRY(inline_blob(file.digest(), file.mutable_contents()));
    }
  }
  return Status();
}

Result<bool> Execution::AnswerFromCache() {
  auto cached = parts.action_cache.Get({action_digest, request.instance_name(), partition});
  if (!cached) {
    // The cache is a shortcut: when it cannot answer, the action runs.
    if (cached.error().code() != Code::kNotFound) {
      Log(kWarning, "action_cache_get", {{"error", cached.error().ToString()}});
    }
    return false;
  }
  pb::ActionResult result;
  if (!result.ParseFromArray(cached->data(), static_cast<int>(cached->size()))) return false;
  if (!Inline(&result).ok()) return false;
  stream->call().Respond(BytesList{Serialized(
      MakeCachedOperation("operations/" + RandomUuid(), action_digest, std::move(result)))});
  return true;
}

// What tells the scheduler where the action runs best and how large it is: advice only, so hashes
// that collide do no harm.
void Execution::SetHints(const reapi::RequestMetadata& about, const Digest& input_root) {
  const std::hash<std::string> hash;
  const uint64_t named = about.action_mnemonic.empty() && about.target_id.empty() ? 0 : 1;
  wanted.kind = named * (hash(about.action_mnemonic + '\n' + about.target_id) | 1);
  wanted.affinities.push_back(DigestHash()(input_root));
  if (!about.target_id.empty()) wanted.affinities.push_back(hash("target " + about.target_id));
  // The program stands for its toolchain: below /lre/store its path has the toolchain's hash.
  const auto& arguments = assignment.command().arguments();
  if (!arguments.empty()) wanted.affinities.push_back(hash("program " + arguments[0]));
}

Status Execution::Run() {
  reapi::Action action;
  TRY(LoadAction(&action));
  if (!request.skip_cache_lookup() && !action.do_not_cache) {
    TRY_ASSIGN(const bool answered, AnswerFromCache());
    if (answered) return Status();
  }
  TRY(LoadCommand(action));

  const rpc::CallInfo& info = stream->call().info();
  const std::string_view metadata = rpc::FindMetadata(info.metadata, reapi::kRequestMetadataHeader);
  wanted.action = action_digest;
  wanted.instance_name = request.instance_name();
  wanted.partition = partition;
  wanted.priority = request.execution_policy().priority();
  wanted.do_not_cache = action.do_not_cache;
  wanted.skip_cache_lookup = request.skip_cache_lookup();
  wanted.timeout = action.timeout.value_or(Duration(0));
  const reapi::RequestMetadata about = reapi::ParseRequestMetadata(metadata);
  wanted.invocation = about.tool_invocation_id;
  wanted.user = info.identity;
  SetHints(about, action.input_root);

  assignment.set_instance_name(request.instance_name());
  reapi::ToProto(action_digest, assignment.mutable_action_digest());
  assignment.set_digest_function(reapi::ToProto(action_digest.function));
  SetTimestamp(parts.clock.WallNow(), assignment.mutable_queued_timestamp());
  if (!assignment.mutable_request_metadata()->ParseFromArray(metadata.data(),
                                                             static_cast<int>(metadata.size()))) {
    assignment.clear_request_metadata();
  }
  auto payload = std::make_shared<ExecutionPayload>();
  payload->assignment = std::move(assignment);
  if (parts.inputs) {
    payload->inputs = parts.inputs->Hold(
        {partition, action_digest, action.command, action.input_root, info.identity});
  }
  wanted.payload = std::move(payload);
  TRY_ASSIGN(const scheduler::ClientId client,
             parts.scheduler.Execute("operations/" + RandomUuid(), std::move(wanted), stream));
  stream->SetClient(client);
  return Status();
}

std::unique_ptr<rpc::CallHandler> StartExecute(const ExecutionParts& parts,
                                               const ExecutionOptions& options,
                                               std::shared_ptr<rpc::ServerCall> call,
                                               const Bytes& bytes) {
  auto refuse = [&](Status status) {
    call->Finish(std::move(status));
    return nullptr;
  };
  pb::ExecuteRequest request;
  if (!request.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return refuse(
        ErrorStatus(Code::kInvalidArgument, "{} bytes that are no ExecuteRequest", bytes.size()));
  }
  auto partition = parts.partitions.Admit(call->info(), request.instance_name());
  if (!partition) return refuse(partition.error());
  auto digest = reapi::FromProto(request.action_digest(), request.digest_function());
  if (!digest) return refuse(digest.error().WithContext("action_digest"));
  auto stream = std::make_shared<OperationStream>(parts.scheduler, call);
  auto execution = std::make_shared<Execution>(
      Execution{parts, options, std::move(request), *digest, *partition, stream});
  RunBlocking(parts.io, call, [execution] {
    if (Status status = execution->Run(); !status.ok()) {
      execution->stream->call().Finish(std::move(status));
    }
  });
  return std::make_unique<StreamHandler>(std::move(stream));
}

std::unique_ptr<rpc::CallHandler> StartWait(const ExecutionParts& parts,
                                            std::shared_ptr<rpc::ServerCall> call,
                                            const Bytes& bytes) {
  pb::WaitExecutionRequest request;
  if (!request.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    call->Finish(ErrorStatus(Code::kInvalidArgument, "{} bytes that are no WaitExecutionRequest",
                             bytes.size()));
    return nullptr;
  }
  scheduler::Scope scope = parts.partitions.ScopeOf(call->info().identity);
  auto stream = std::make_shared<OperationStream>(parts.scheduler, std::move(call));
  stream->SetClient(parts.scheduler.Wait(request.name(), stream, std::move(scope)));
  return std::make_unique<StreamHandler>(std::move(stream));
}

}  // namespace

std::vector<rpc::Method> ExecutionMethods(ExecutionParts parts, ExecutionOptions options) {
  std::vector<rpc::Method> methods;
  methods.push_back(rpc::ServerStreamMethod(
      "/build.bazel.remote.execution.v2.Execution/Execute",
      [parts, options](std::shared_ptr<rpc::ServerCall> call, Bytes request) {
        return StartExecute(parts, options, std::move(call), request);
      }));
  methods.push_back(
      rpc::ServerStreamMethod("/build.bazel.remote.execution.v2.Execution/WaitExecution",
                              [parts](std::shared_ptr<rpc::ServerCall> call, Bytes request) {
                                return StartWait(parts, std::move(call), request);
                              }));
  return methods;
}

}  // namespace lre::service

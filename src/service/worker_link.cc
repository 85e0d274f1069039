// One Session per link speaks the protocol; a gRPC stream and a pair of callbacks in process are
// two ways to carry its messages.
#include "service/worker_link.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/guarded.h"
#include "base/log.h"
#include "lre/worker/v1/resource_usage.pb.h"
#include "reapi/action.h"
#include "reapi/digest_proto.h"
#include "reapi/error_details.h"
#include "service/execution_payload.h"
#include "service/log_stream.h"

namespace lre::service {

namespace {

using scheduler::AttemptId;
using worker::v1::FromWorker;
using worker::v1::ToWorker;

AttemptId AttemptOf(const worker::v1::Attempt& message) {
  return {message.operation(), message.number()};
}
void SetAttempt(const AttemptId& attempt, worker::v1::Attempt* message) {
  message->set_operation(attempt.operation);
  message->set_number(attempt.number);
}
void SetDuration(Duration duration, google::protobuf::Duration* message) {
  message->set_seconds(duration / std::chrono::seconds(1));
  message->set_nanos(static_cast<int32_t>((duration % std::chrono::seconds(1)).count()));
}

Duration FromMessage(const google::protobuf::Duration& message) {
  // A worker's nonsense must not overflow.
  constexpr int64_t kSecondsMax = 1'000'000'000;
  return std::chrono::seconds(std::clamp<int64_t>(message.seconds(), 0, kSecondsMax)) +
         std::chrono::nanoseconds(std::clamp<int32_t>(message.nanos(), 0, 999'999'999));
}

scheduler::Usage UsageOf(const pb::ActionResult& result) {
  scheduler::Usage usage;
  for (const auto& any : result.execution_metadata().auxiliary_metadata()) {
    worker::v1::ResourceUsage message;
    if (!any.UnpackTo(&message)) continue;
    usage.memory_peak_bytes = message.memory_peak_bytes();
    usage.cpu = FromMessage(message.user_cpu()) + FromMessage(message.system_cpu());
    usage.wall = FromMessage(message.wall());
  }
  return usage;
}

// What a worker still runs, as a request; null when it cannot be understood.
std::shared_ptr<const scheduler::ActionRequest> RequestOf(const worker::v1::Assignment& held) {
  auto digest = reapi::FromProto(held.action_digest(), held.digest_function());
  if (!digest) return nullptr;
  auto action = reapi::ParseAction(held.action().SerializeAsString(), digest->function);
  if (!action) return nullptr;
  reapi::Command command;
  if (held.command().has_platform()) {
    command.platform.emplace();
    for (const auto& property : held.command().platform().properties()) {
      command.platform->emplace_back(property.name(), property.value());
    }
    std::sort(command.platform->begin(), command.platform->end());
  }
  auto request = std::make_shared<scheduler::ActionRequest>();
  request->action = *digest;
  request->instance_name = held.instance_name();
  request->partition = held.partition();
  request->properties = reapi::PlatformOf(*action, command);
  request->do_not_cache = action->do_not_cache;
  request->timeout = FromMessage(held.timeout());
  request->memory_bytes = std::max<int64_t>(held.memory_bytes(), 0);
  auto payload = std::make_shared<ExecutionPayload>();
  payload->assignment = held;
  request->payload = std::move(payload);
  return request;
}

// Killed for want of memory; other things a worker runs out of are not cured by a larger
// reservation.
bool IsOutOfMemory(const Status& status) {
  return status.code() == Code::kResourceExhausted &&
         status.message().find("memory") != std::string::npos;
}

// Carries messages to the worker. Thread-safe; nothing is called after Close.
class Carrier {
 public:
  virtual ~Carrier() = default;
  virtual void Send(const ToWorker& message) = 0;
  // The same, where the message may be made later on a better thread; in order with Send.
  virtual void SendLater(std::function<ToWorker()> make) { Send(make()); }
  virtual void Close(const Status& status) = 0;
};

// The protocol of one link. OnMessage may be called from one thread at a time (gRPC) or from
// several after the hello (in process); the peer's methods come from the scheduler's thread.
class Session : public WorkerPeer, public std::enable_shared_from_this<Session> {
 public:
  Session(SchedulerThread& scheduler, WorkerLinkOptions options, std::shared_ptr<Carrier> carrier)
      : scheduler_(scheduler), options_(options), carrier_(std::move(carrier)) {}

  void OnMessage(const FromWorker& message);
  // The connection is gone, or the worker closed its side. False when the server has ended the link
  // already, and is about to say how.
  bool OnLost();
  // Ends the link for good.
  void Refuse(const Status& status);

  void OnAssign(const scheduler::Assign& assign) override;
  void OnCancel(const scheduler::Cancel& cancel) override;
  void OnAcknowledge(const scheduler::Acknowledge& acknowledge) override;
  void OnClose(const Status& status) override;

 private:
  Status CheckHello(const worker::v1::Hello& hello) const;
  void Hello(const worker::v1::Hello& hello);
  void Report(const worker::v1::Report& report);
  void Output(const worker::v1::Output& output);
  // Live output: which attempts of this link show it, with the action's instance name.
  void OpenStreams(const AttemptId& attempt, const std::string& instance_name, uint32_t partition);
  void FinishStreams(const AttemptId& attempt);
  void FinishAllStreams();

  SchedulerThread& scheduler_;
  const WorkerLinkOptions options_;
  const std::shared_ptr<Carrier> carrier_;
  std::string worker_id_, name_;   // set by the hello, before link_
  std::atomic<uint64_t> link_{0};  // 0: no hello yet
  std::atomic<bool> closed_{false};
  Guarded<std::map<AttemptId, std::string>> streaming_;
};

Status Session::CheckHello(const worker::v1::Hello& hello) const {
  if (hello.version() != kWorkerLinkVersion) {
    return ErrorStatus(Code::kFailedPrecondition,
                       "worker link version {} is not spoken; this server speaks {}: use a worker "
                       "of the same release",
                       hello.version(), kWorkerLinkVersion);
  }
  if (hello.worker_id().empty() || hello.worker_id().size() > 256) {
    return ErrorStatus(Code::kInvalidArgument, "worker_id of {} bytes: 1 to 256 are allowed",
                       hello.worker_id().size());
  }
  if (static_cast<size_t>(hello.platform().properties_size()) > options_.properties_max) {
    return ErrorStatus(Code::kInvalidArgument, "{} properties: at most {} are allowed",
                       hello.platform().properties_size(), options_.properties_max);
  }
  if (static_cast<size_t>(hello.running_size()) > options_.running_max) {
    return ErrorStatus(Code::kInvalidArgument, "{} running attempts: at most {} are allowed",
                       hello.running_size(), options_.running_max);
  }
  if (hello.held_size() > hello.running_size()) {
    return ErrorStatus(Code::kInvalidArgument, "{} assignments held of {} running attempts",
                       hello.held_size(), hello.running_size());
  }
  if (hello.slots() < 1) {
    return ErrorStatus(Code::kInvalidArgument, "{} slots: at least 1 is needed", hello.slots());
  }
  return Status();
}

void Session::Hello(const worker::v1::Hello& hello) {
  if (Status status = CheckHello(hello); !status.ok()) return Refuse(status);
  ToWorker welcome;
  welcome.mutable_welcome()->set_version(kWorkerLinkVersion);
  SetDuration(options_.heartbeat_interval, welcome.mutable_welcome()->mutable_heartbeat_interval());
  SetDuration(options_.silence_max, welcome.mutable_welcome()->mutable_silence_max());
  carrier_->Send(welcome);  // before the join, whose effects may follow at once

  scheduler::WorkerJoined joined;
  joined.worker = hello.worker_id();
  joined.name = hello.name().empty() ? hello.worker_id() : hello.name();
  joined.slots = hello.slots();
  for (const auto& property : hello.platform().properties()) {
    joined.properties.emplace_back(property.name(), property.value());
  }
  for (const auto& attempt : hello.running()) joined.running.push_back(AttemptOf(attempt));
  for (const auto& held : hello.held()) {
    const AttemptId attempt = AttemptOf(held.attempt());
    if (auto request = RequestOf(held)) joined.held[attempt] = std::move(request);
    if (!held.stdout_stream_name().empty()) {
      OpenStreams(attempt, held.instance_name(), held.partition());
    }
  }
  worker_id_ = hello.worker_id();
  name_ = joined.name;
  // Before the join: an assignment, and in process the worker's answer to it, may come at once.
  const SchedulerThread::LinkId link = scheduler_.NewLink();
  link_.store(link);
  scheduler_.Join(link, std::move(joined), shared_from_this());
}

void Session::OnMessage(const FromWorker& message) {
  if (closed_.load()) return;
  const uint64_t link = link_.load();
  if (message.message_case() == FromWorker::kHello) {
    if (link != 0) {
      return Refuse(ErrorStatus(Code::kInvalidArgument, "a second hello on one link"));
    }
    return Hello(message.hello());
  }
  if (link == 0) {
    return Refuse(
        ErrorStatus(Code::kInvalidArgument, "the first message of a worker must be its hello"));
  }
  switch (message.message_case()) {
    case FromWorker::kHeartbeat: {
      scheduler_.FromWorker(link, scheduler::WorkerHeard{worker_id_});
      ToWorker answer;
      answer.mutable_heartbeat()->set_sequence(message.heartbeat().sequence());
      carrier_->Send(answer);
      break;
    }
    case FromWorker::kReport:
      Report(message.report());
      break;
    case FromWorker::kProgress:
      scheduler_.FromWorker(
          link, scheduler::WorkerProgressed{
                    worker_id_, AttemptOf(message.progress().attempt()),
                    std::make_shared<pb::ExecutedActionMetadata>(message.progress().metadata())});
      break;
    case FromWorker::kOutput:
      Output(message.output());
      scheduler_.FromWorker(link, scheduler::WorkerHeard{worker_id_});
      break;
    case FromWorker::kDrain:
      Log(kInfo, "worker_draining", {{"worker", worker_id_}, {"reason", message.drain().reason()}});
      scheduler_.FromWorker(link, scheduler::WorkerDraining{worker_id_});
      break;
    default:
      // A message of a later version: a sign of life, nothing else.
      scheduler_.FromWorker(link, scheduler::WorkerHeard{worker_id_});
      break;
  }
}

void Session::Output(const worker::v1::Output& output) {
  const AttemptId attempt = AttemptOf(output.attempt());
  const auto instance_name = streaming_.With([&](const auto& streaming) {
    const auto found = streaming.find(attempt);
    return found == streaming.end() ? std::nullopt : std::optional(found->second);
  });
  if (!instance_name) return;  // ended, or none of this worker's
  // Advice only: what cannot be shown live is in the result.
  (void)scheduler_.log_streams().Append(
      LogStreamNameOf(*instance_name, attempt.operation, output.is_stderr()), output.offset(),
      Bytes(output.data()));
}

void Session::OpenStreams(const AttemptId& attempt, const std::string& instance_name,
                          uint32_t partition) {
  LogStreams& streams = scheduler_.log_streams();
  for (const bool is_stderr : {false, true}) {
    (void)streams.Open(LogStreamNameOf(instance_name, attempt.operation, is_stderr), partition);
  }
  streaming_.With([&](auto& streaming) { streaming[attempt] = instance_name; });
}

void Session::FinishStreams(const AttemptId& attempt) {
  const auto node = streaming_.With([&](auto& streaming) { return streaming.extract(attempt); });
  if (node.empty()) return;
  for (const bool is_stderr : {false, true}) {
    scheduler_.log_streams().Finish(LogStreamNameOf(node.mapped(), attempt.operation, is_stderr));
  }
}

void Session::FinishAllStreams() {
  const auto streaming = streaming_.With([](const auto& all) { return all; });
  for (const auto& [attempt, _] : streaming) FinishStreams(attempt);
}

void Session::Report(const worker::v1::Report& report) {
  FinishStreams(AttemptOf(report.attempt()));
  auto response = std::make_shared<pb::ExecuteResponse>();
  if (report.has_result()) {
    *response->mutable_result() = report.result();
    pb::ExecutedActionMetadata& metadata =
        *response->mutable_result()->mutable_execution_metadata();
    if (metadata.worker().empty()) metadata.set_worker(name_);
  }
  *response->mutable_status() = report.status();
  *response->mutable_server_logs() = report.server_logs();
  response->set_message(report.message());
  scheduler::WorkerReported reported{worker_id_, AttemptOf(report.attempt()),
                                     reapi::FromRpcStatus(report.status()), report.retryable(),
                                     std::move(response)};
  reported.usage = UsageOf(report.result());
  reported.out_of_memory = report.out_of_memory() || IsOutOfMemory(reported.status);
  if (report.retryable() && !reported.status.ok()) {
    // It runs again and nobody hears of it: the operator should.
    Log(kWarning, "attempt_failed",
        {{"worker", worker_id_},
         {"operation", report.attempt().operation()},
         {"error", reported.status.ToString()}});
  }
  scheduler_.FromWorker(link_.load(), std::move(reported));
}

bool Session::OnLost() {
  const bool ended = closed_.exchange(true);
  FinishAllStreams();
  if (const uint64_t link = link_.load(); link != 0) scheduler_.LinkLost(link);
  return !ended;
}

void Session::Refuse(const Status& status) {
  Log(kWarning, "worker_refused", {{"worker", worker_id_}, {"reason", status.ToString()}});
  OnClose(status);
  if (const uint64_t link = link_.load(); link != 0) scheduler_.LinkLost(link);
}

void Session::OnAssign(const scheduler::Assign& assign) {
  OpenStreams(assign.attempt, assign.request->instance_name, assign.request->partition);
  carrier_->SendLater([assign] {
    ToWorker message;
    auto& assignment = *message.mutable_assignment();
    assignment = PayloadOf(assign.request->payload)->assignment;
    SetAttempt(assign.attempt, assignment.mutable_attempt());
    SetDuration(assign.timeout, assignment.mutable_timeout());
    const std::string &instance = assign.request->instance_name, &name = assign.attempt.operation;
    assignment.set_stdout_stream_name(LogStreamNameOf(instance, name, false));
    assignment.set_stderr_stream_name(LogStreamNameOf(instance, name, true));
    assignment.set_partition(assign.request->partition);
    assignment.set_memory_bytes(assign.memory_bytes);
    return message;
  });
}

void Session::OnCancel(const scheduler::Cancel& cancel) {
  ToWorker message;
  SetAttempt(cancel.attempt, message.mutable_cancel()->mutable_attempt());
  message.mutable_cancel()->set_reason(cancel.reason);
  carrier_->Send(message);
}

void Session::OnAcknowledge(const scheduler::Acknowledge& acknowledge) {
  ToWorker message;
  SetAttempt(acknowledge.attempt, message.mutable_acknowledge()->mutable_attempt());
  carrier_->Send(message);
}

void Session::OnClose(const Status& status) {
  if (closed_.exchange(true)) return;
  FinishAllStreams();
  ToWorker message;
  reapi::ToRpcStatus(status, message.mutable_quit()->mutable_status());
  carrier_->Send(message);
  carrier_->Close(status);
}

// --- Over gRPC ---

class RpcCarrier : public Carrier {
 public:
  explicit RpcCarrier(std::shared_ptr<rpc::ServerCall> call) : call_(std::move(call)) {}
  void Send(const ToWorker& message) override { call_->Send({Bytes(message.SerializeAsString())}); }
  // An assignment holds an action and a command: the scheduler's thread has better things to do.
  void SendLater(std::function<ToWorker()> make) override {
    call_->Post([call = call_, make = std::move(make)] {
      call->Send({Bytes(make().SerializeAsString())});
    });
  }
  void Close(const Status& status) override { call_->Finish(status); }

 private:
  const std::shared_ptr<rpc::ServerCall> call_;
};

class RpcHandler : public rpc::CallHandler {
 public:
  RpcHandler(SchedulerThread& scheduler, WorkerLinkOptions options,
             std::shared_ptr<rpc::ServerCall> call)
      : call_(std::move(call)),
        session_(
            std::make_shared<Session>(scheduler, options, std::make_shared<RpcCarrier>(call_))) {}

  void OnMessage(Bytes bytes) override {
    FromWorker message;
    if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
      return session_->Refuse(ErrorStatus(Code::kInvalidArgument,
                                          "a message of {} bytes is no FromWorker", bytes.size()));
    }
    session_->OnMessage(message);
  }
  void OnHalfClose() override {
    if (session_->OnLost()) call_->Finish(Status());
  }
  void OnCancel() override { session_->OnLost(); }

 private:
  const std::shared_ptr<rpc::ServerCall> call_;
  const std::shared_ptr<Session> session_;
};

// --- In process ---

class LocalCarrier : public Carrier {
 public:
  explicit LocalCarrier(LocalWorkerCallbacks callbacks) : callbacks_(std::move(callbacks)) {}
  void Send(const ToWorker& message) override {
    if (!ended_.load()) callbacks_.receive(message);
  }
  void Close(const Status& status) override {
    if (!ended_.exchange(true) && callbacks_.closed) callbacks_.closed(status);
  }
  void Drop() { ended_.store(true); }

 private:
  const LocalWorkerCallbacks callbacks_;
  std::atomic<bool> ended_{false};
};

class LocalLink : public LocalWorkerLink {
 public:
  LocalLink(SchedulerThread& scheduler, WorkerLinkOptions options, LocalWorkerCallbacks callbacks)
      : scheduler_(scheduler),
        carrier_(std::make_shared<LocalCarrier>(std::move(callbacks))),
        session_(std::make_shared<Session>(scheduler, options, carrier_)) {}
  ~LocalLink() override {
    carrier_->Drop();
    session_->OnLost();
    scheduler_.Flush();  // a callback that had begun has ended
  }
  void Send(const FromWorker& message) override { session_->OnMessage(message); }

 private:
  SchedulerThread& scheduler_;
  const std::shared_ptr<LocalCarrier> carrier_;
  const std::shared_ptr<Session> session_;
};

}  // namespace

std::vector<rpc::Method> WorkerLinkMethods(SchedulerThread& scheduler, WorkerLinkOptions options) {
  rpc::Method connect;
  connect.path = "/lre.worker.v1.WorkerLink/Connect";
  connect.request_bytes_max = options.message_bytes_max;
  connect.start = [&scheduler, options](std::shared_ptr<rpc::ServerCall> call) {
    return std::make_unique<RpcHandler>(scheduler, options, std::move(call));
  };
  std::vector<rpc::Method> methods;
  methods.push_back(std::move(connect));
  return methods;
}

std::unique_ptr<LocalWorkerLink> ConnectLocalWorker(SchedulerThread& scheduler,
                                                    WorkerLinkOptions options,
                                                    LocalWorkerCallbacks callbacks) {
  return std::make_unique<LocalLink>(scheduler, options, std::move(callbacks));
}

}  // namespace lre::service

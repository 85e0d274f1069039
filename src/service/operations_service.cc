#include "service/operations_service.h"

#include <algorithm>
#include <atomic>
#include <string>
#include <utility>

#include "google/longrunning/operations.pb.h"
#include "service/operation_message.h"

namespace lre::service {
namespace {

namespace longrunning = google::longrunning;
using scheduler::OperationView;
using scheduler::Scheduler;
using Call = std::shared_ptr<rpc::ServerCall>;

Status Unknown(const std::string& name) {
  return ErrorStatus(Code::kNotFound,
                     "operation {} is not known: it ended long ago, or the server was restarted",
                     name);
}
Status Busy() {
  return Status(Code::kResourceExhausted, "the scheduler's mailbox is full: try again later");
}

// Nullopt after the call was ended with an error.
template <typename Request>
std::optional<Request> Parse(rpc::ServerCall& call, const Bytes& bytes) {
  Request request;
  if (request.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return request;
  call.Finish(ErrorStatus(Code::kInvalidArgument, "{} bytes that are no {}", bytes.size(),
                          request.GetTypeName()));
  return std::nullopt;
}

void Respond(const Call& call, const OperationView& view) {
  call->Post(
      [call, facts = FactsOf(view)] { call->Respond(MakeOperation(facts).SerializeAsString()); });
}

void Get(SchedulerThread& scheduler, const Call& call, const Bytes& bytes) {
  auto request = Parse<longrunning::GetOperationRequest>(*call, bytes);
  if (!request) return;
  const bool asked = scheduler.Query([call, name = request->name()](const Scheduler& all, Instant) {
    std::optional<OperationView> view = all.Find(name);
    if (!view) return call->Finish(Unknown(name));
    Respond(call, *view);
  });
  if (!asked) call->Finish(Busy());
}

// "stage=queued AND instance=main": every condition must hold.
using Condition = std::function<bool(const OperationView&)>;
constexpr const char* kFilterHelp =
    "conditions joined by AND: stage=queued, stage=executing, stage=completed, worker=ID, "
    "action=HASH, instance=NAME, invocation=ID";

std::optional<Condition> ParseCondition(std::string_view text) {
  const size_t equals = text.find('=');
  if (equals == std::string_view::npos) return std::nullopt;
  const std::string_view key = text.substr(0, equals);
  const std::string value(text.substr(equals + 1));
  if (key == "stage") {
    const auto names = {std::pair("queued", scheduler::Stage::kQueued),
                        std::pair("executing", scheduler::Stage::kExecuting),
                        std::pair("completed", scheduler::Stage::kCompleted)};
    for (const auto& [name, stage] : names) {
      if (value == name) return [stage](const OperationView& view) { return view.stage == stage; };
    }
    return std::nullopt;
  }
  if (key == "worker") return [value](const OperationView& view) { return view.worker == value; };
  if (key == "action") {
    return [value](const OperationView& view) { return view.request->action.Hex() == value; };
  }
  if (key == "instance") {
    return [value](const OperationView& view) { return view.request->instance_name == value; };
  }
  if (key == "invocation") {
    return [value](const OperationView& view) { return view.request->invocation == value; };
  }
  return std::nullopt;
}

// Nullopt for what is not understood.
std::optional<Condition> ParseFilter(std::string_view filter) {
  constexpr std::string_view kAnd = " AND ";
  std::vector<Condition> conditions;
  while (!filter.empty()) {
    const size_t end = std::min(filter.find(kAnd), filter.size());
    std::optional<Condition> condition = ParseCondition(filter.substr(0, end));
    if (!condition) return std::nullopt;
    conditions.push_back(std::move(*condition));
    filter.remove_prefix(std::min(end + kAnd.size(), filter.size()));
  }
  return [conditions = std::move(conditions)](const OperationView& view) {
    return std::all_of(conditions.begin(), conditions.end(),
                       [&](const Condition& condition) { return condition(view); });
  };
}

void List(SchedulerThread& scheduler, const OperationsOptions& options, const Call& call,
          const Bytes& bytes) {
  auto request = Parse<longrunning::ListOperationsRequest>(*call, bytes);
  if (!request) return;
  auto filter = ParseFilter(request->filter());
  if (!filter) {
    return call->Finish(ErrorStatus(Code::kInvalidArgument, "filter \"{}\" is not understood: {}",
                                    request->filter(), kFilterHelp));
  }
  if (request->page_size() < 0) {
    return call->Finish(
        ErrorStatus(Code::kInvalidArgument, "page_size {}: negative", request->page_size()));
  }
  const size_t limit = request->page_size() == 0
                           ? options.operations_page_max
                           : std::min<size_t>(options.operations_page_max, request->page_size());
  const bool asked =
      scheduler.Query([call, filter = std::move(*filter), limit, after = request->page_token()](
                          const Scheduler& all, Instant) {
        std::vector<OperationView> views = all.List(after, limit);
        call->Post([call, filter, limit, views = std::move(views)] {
          longrunning::ListOperationsResponse response;
          for (const OperationView& view : views) {
            if (filter(view)) *response.add_operations() = MakeOperation(FactsOf(view));
          }
          if (views.size() == limit) response.set_next_page_token(views.back().name);
          call->Respond(response.SerializeAsString());
        });
      });
  if (!asked) call->Finish(Busy());
}

void Cancel(SchedulerThread& scheduler, const Call& call, const Bytes& bytes) {
  auto request = Parse<longrunning::CancelOperationRequest>(*call, bytes);
  if (!request) return;
  const bool asked =
      scheduler.Query([&scheduler, call, name = request->name()](const Scheduler& all, Instant) {
        if (!all.Find(name)) return call->Finish(Unknown(name));
        scheduler.CancelOperation(name);
        call->Respond(std::string());
      });
  if (!asked) call->Finish(Busy());
}

void Delete(SchedulerThread& scheduler, const Call& call, const Bytes& bytes) {
  auto request = Parse<longrunning::DeleteOperationRequest>(*call, bytes);
  if (!request) return;
  const bool asked =
      scheduler.Query([&scheduler, call, name = request->name()](const Scheduler& all, Instant) {
        if (!all.Find(name)) return call->Finish(Unknown(name));
        scheduler.DeleteOperation(name);
        call->Respond(std::string());
      });
  if (!asked) call->Finish(Busy());
}

// Answers when the operation is done, or with where it stands when the time is up.
class Waiter : public ClientStream {
 public:
  explicit Waiter(Call call) : call_(std::move(call)) {}
  void OnStage(const scheduler::StageChanged&) override {}
  void OnAnswer(const scheduler::Answer& answer) override {
    if (answered_.exchange(true)) return;
    if (!answer.request) return call_->Finish(answer.status);
    call_->Post([call = call_, facts = FactsOf(answer)] {
      call->Respond(MakeOperation(facts).SerializeAsString());
    });
  }
  void OnUnknown(const scheduler::OperationName& operation) override {
    if (!answered_.exchange(true)) call_->Finish(Unknown(operation));
  }
  // The time is up.
  void AnswerNow(SchedulerThread& scheduler, const std::string& name) {
    const bool asked = scheduler.Query([this_call = call_, name](const Scheduler& all, Instant) {
      std::optional<OperationView> view = all.Find(name);
      if (!view) return this_call->Finish(Unknown(name));
      Respond(this_call, *view);
    });
    if (!asked) call_->Finish(Busy());
  }
  bool Take() { return !answered_.exchange(true); }

 private:
  const Call call_;
  std::atomic<bool> answered_{false};
};

class WaitHandler : public rpc::CallHandler {
 public:
  WaitHandler(SchedulerThread& scheduler, OperationsOptions options, Call call)
      : scheduler_(scheduler), options_(options), call_(std::move(call)) {}

  void OnMessage(Bytes bytes) override {
    auto request = Parse<longrunning::WaitOperationRequest>(*call_, bytes);
    if (!request) return;
    auto waiter = std::make_shared<Waiter>(call_);
    client_ = scheduler_.Wait(request->name(), waiter);
    Duration patience = options_.wait_max;
    if (request->has_timeout()) {
      patience = std::clamp<Duration>(
          std::chrono::seconds(std::min<int64_t>(request->timeout().seconds(), 24 * 3600)) +
              std::chrono::nanoseconds(request->timeout().nanos()),
          Duration(0), options_.wait_max);
    }
    scheduler_.After(patience,
                     [&scheduler = scheduler_, client = *client_, waiter, name = request->name()] {
                       if (!waiter->Take()) return;
                       scheduler.Leave(client);
                       waiter->AnswerNow(scheduler, name);
                     });
  }
  void OnCancel() override {
    if (client_) scheduler_.Leave(*client_);
  }

 private:
  SchedulerThread& scheduler_;
  const OperationsOptions options_;
  const Call call_;
  std::optional<scheduler::ClientId> client_;
};

}  // namespace

std::vector<rpc::Method> OperationsMethods(SchedulerThread& scheduler, OperationsOptions options) {
  const std::string service = "/google.longrunning.Operations/";
  std::vector<rpc::Method> methods;
  auto unary = [&](const char* name, auto handle) {
    methods.push_back(rpc::UnaryMethod(
        service + name,
        [&scheduler, handle](Call call, Bytes request) { handle(scheduler, call, request); }));
  };
  unary("GetOperation", Get);
  unary("ListOperations",
        [options](SchedulerThread& thread, const Call& call, const Bytes& request) {
          List(thread, options, call, request);
        });
  unary("CancelOperation", Cancel);
  unary("DeleteOperation", Delete);
  rpc::Method wait;
  wait.path = service + "WaitOperation";
  wait.start = [&scheduler, options](Call call) {
    return std::make_unique<WaitHandler>(scheduler, options, std::move(call));
  };
  methods.push_back(std::move(wait));
  return methods;
}

}  // namespace lre::service

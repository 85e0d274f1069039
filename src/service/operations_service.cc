#include "service/operations_service.h"

#include <algorithm>
#include <atomic>
#include <charconv>
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

// What the methods share.
struct Parts {
  SchedulerThread& scheduler;
  const Partitions& partitions;
  OperationsOptions options;

  // Which operations a caller may see.
  scheduler::Scope ScopeOf(const Call& call) const {
    return partitions.ScopeOf(call->info().identity);
  }
};

// Calls `found` on the scheduler's thread with an operation that the caller may see.
template <typename Found>
void WithOperation(const Parts& parts, const Call& call, const std::string& name, Found found) {
  const bool asked = parts.scheduler.Query(
      [call, name, found, scope = parts.ScopeOf(call)](const Scheduler& all, Instant) {
        std::optional<OperationView> view = all.Find(name, scope);
        if (!view) return call->Finish(Unknown(name));
        found(*view);
      });
  if (!asked) call->Finish(Busy());
}

void Get(const Parts& parts, const Call& call, const Bytes& bytes) {
  auto request = Parse<longrunning::GetOperationRequest>(*call, bytes);
  if (!request) return;
  WithOperation(parts, call, request->name(),
                [call](const OperationView& view) { Respond(call, view); });
}

// "stage=queued AND instance=main": every condition must hold.
using Condition = std::function<bool(const OperationView&)>;

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
  if (key == "worker") {
    return [value](const OperationView& view) {
      return view.worker_name == value || view.worker == value;
    };
  }
  if (key == "action") {
    return [value](const OperationView& view) { return view.request->action.Hex() == value; };
  }
  if (key == "instance") {
    return [value](const OperationView& view) { return view.request->instance_name == value; };
  }
  if (key == "invocation") {
    return [value](const OperationView& view) { return view.request->invocation == value; };
  }
  if (key == "user") {
    return [value](const OperationView& view) { return view.request->user == value; };
  }
  return std::nullopt;
}

constexpr size_t kConditionsMax = 20;

// Nullopt for what is not understood.
std::optional<Condition> ParseFilter(std::string_view filter) {
  constexpr std::string_view kAnd = " AND ";
  std::vector<Condition> conditions;
  while (!filter.empty()) {
    const size_t end = std::min(filter.find(kAnd), filter.size());
    std::optional<Condition> condition = ParseCondition(filter.substr(0, end));
    if (!condition || conditions.size() == kConditionsMax) return std::nullopt;
    conditions.push_back(std::move(*condition));
    filter.remove_prefix(std::min(end + kAnd.size(), filter.size()));
  }
  return [conditions = std::move(conditions)](const OperationView& view) {
    return std::all_of(conditions.begin(), conditions.end(),
                       [&](const Condition& condition) { return condition(view); });
  };
}

// What a list is asked for, checked.
struct ListQuery {
  store::Partition partition = 0;
  std::string instance_name;  // empty: every one
  Condition filter;
  uint64_t after = 0;
  size_t limit = 0;
};

Result<ListQuery> ReadListQuery(const Parts& parts, const Call& call,
                                const longrunning::ListOperationsRequest& request) {
  ListQuery query;
  if (request.name() != "operations") query.instance_name = request.name();
  TRY_ASSIGN(query.partition, parts.partitions.Admit(call->info(), query.instance_name));
  auto filter = ParseFilter(request.filter());
  if (!filter) {
    return Error(Code::kInvalidArgument, "filter \"{:.1000}\" is not understood: {}",
                 request.filter(), kOperationFilterHelp);
  }
  query.filter = std::move(*filter);
  if (request.page_size() < 0) {
    return Error(Code::kInvalidArgument, "page_size {}: negative", request.page_size());
  }
  const size_t limit_max = parts.options.operations_page_max;
  query.limit = request.page_size() == 0
                    ? limit_max
                    : std::min(limit_max, static_cast<size_t>(request.page_size()));
  const std::string& token = request.page_token();
  const char* last = token.data() + token.size();
  const auto [end, error] = std::from_chars(token.data(), last, query.after);
  if (!token.empty() && (error != std::errc() || end != last)) {
    return Error(Code::kInvalidArgument, "page_token \"{:.100}\" is none that was given here",
                 token);
  }
  return query;
}

void List(const Parts& parts, const Call& call, const Bytes& bytes) {
  auto request = Parse<longrunning::ListOperationsRequest>(*call, bytes);
  if (!request) return;
  Result<ListQuery> query = ReadListQuery(parts, call, *request);
  if (!query) return call->Finish(query.error());
  const bool asked =
      parts.scheduler.Query([call, query = std::move(*query)](const Scheduler& all, Instant) {
        std::vector<OperationView> views = all.List(query.partition, query.after, query.limit);
        call->Post([call, query, views = std::move(views)] {
          longrunning::ListOperationsResponse response;
          for (const OperationView& view : views) {
            const std::string& instance_name = view.request->instance_name;
            if (!query.instance_name.empty() && query.instance_name != instance_name) continue;
            if (query.filter(view)) *response.add_operations() = MakeOperation(FactsOf(view));
          }
          if (views.size() == query.limit) {
            response.set_next_page_token(std::to_string(views.back().number));
          }
          call->Respond(response.SerializeAsString());
        });
      });
  if (!asked) call->Finish(Busy());
}

void Cancel(const Parts& parts, const Call& call, const Bytes& bytes) {
  auto request = Parse<longrunning::CancelOperationRequest>(*call, bytes);
  if (!request) return;
  WithOperation(parts, call, request->name(),
                [&scheduler = parts.scheduler, call](const OperationView& view) {
                  scheduler.CancelOperation(view.name);
                  call->Respond(std::string());
                });
}

void Delete(const Parts& parts, const Call& call, const Bytes& bytes) {
  auto request = Parse<longrunning::DeleteOperationRequest>(*call, bytes);
  if (!request) return;
  WithOperation(parts, call, request->name(),
                [&scheduler = parts.scheduler, call](const OperationView& view) {
                  scheduler.DeleteOperation(view.name);
                  call->Respond(std::string());
                });
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
  void AnswerNow(const Parts& parts, const std::string& name) {
    WithOperation(parts, call_, name,
                  [call = call_](const OperationView& view) { Respond(call, view); });
  }
  bool Take() { return !answered_.exchange(true); }

 private:
  const Call call_;
  std::atomic<bool> answered_{false};
};

class WaitHandler : public rpc::CallHandler {
 public:
  WaitHandler(Parts parts, Call call) : parts_(parts), call_(std::move(call)) {}

  void OnMessage(Bytes bytes) override {
    auto request = Parse<longrunning::WaitOperationRequest>(*call_, bytes);
    if (!request) return;
    auto waiter = std::make_shared<Waiter>(call_);
    client_ = parts_.scheduler.Wait(request->name(), waiter, parts_.ScopeOf(call_));
    Duration patience = parts_.options.wait_max;
    if (request->has_timeout()) {
      patience = std::clamp<Duration>(
          std::chrono::seconds(std::min<int64_t>(request->timeout().seconds(), 24 * 3600)) +
              std::chrono::nanoseconds(request->timeout().nanos()),
          Duration(0), parts_.options.wait_max);
    }
    parts_.scheduler.After(patience,
                           [parts = parts_, client = *client_, waiter, name = request->name()] {
                             if (!waiter->Take()) return;
                             parts.scheduler.Leave(client);
                             waiter->AnswerNow(parts, name);
                           });
  }
  void OnCancel() override {
    if (client_) parts_.scheduler.Leave(*client_);
  }

 private:
  const Parts parts_;
  const Call call_;
  std::optional<scheduler::ClientId> client_;
};

}  // namespace

std::vector<rpc::Method> OperationsMethods(SchedulerThread& scheduler, const Partitions& partitions,
                                           OperationsOptions options) {
  const Parts parts{scheduler, partitions, options};
  const std::string service = "/google.longrunning.Operations/";
  std::vector<rpc::Method> methods;
  auto unary = [&](const char* name, auto handle) {
    methods.push_back(rpc::UnaryMethod(service + name, [parts, handle](Call call, Bytes request) {
      handle(parts, call, request);
    }));
  };
  unary("GetOperation", Get);
  unary("ListOperations", List);
  unary("CancelOperation", Cancel);
  unary("DeleteOperation", Delete);
  rpc::Method wait;
  wait.path = service + "WaitOperation";
  wait.start = [parts](Call call) { return std::make_unique<WaitHandler>(parts, std::move(call)); };
  methods.push_back(std::move(wait));
  return methods;
}

}  // namespace lre::service

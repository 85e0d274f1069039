#include "service/seen_actions.h"

#include <unordered_set>
#include <utility>

#include "lre/explain/v1/explain.pb.h"
#include "reapi/digest_proto.h"
#include "reapi/wire/messages.h"
#include "service/proto_time.h"

namespace lre::service {
namespace {

namespace pb = reapi::pb;
namespace v1 = ::lre::explain::v1;

constexpr size_t kTextBytesMax = 512;
constexpr int kFoundMax = 1000;

struct Asked {
  Digest action;
  std::string instance_name;
};

std::optional<Asked> ActionOf(std::string_view method, const Bytes& request) {
  if (method.ends_with("/UpdateActionResult")) {
    auto update = reapi::wire::ParseUpdateActionResultRequest(request);
    if (!update) return std::nullopt;
    return Asked{update->action, std::string(update->instance_name)};
  }
  pb::ExecuteRequest execute;
  if (!execute.ParseFromArray(request.data(), static_cast<int>(request.size()))) return {};
  auto digest = reapi::FromProto(execute.action_digest(), execute.digest_function());
  if (!digest) return std::nullopt;
  return Asked{*digest, execute.instance_name()};
}

struct Watch {
  std::string path;
  std::function<std::unique_ptr<rpc::CallHandler>(std::shared_ptr<rpc::ServerCall>)> start;
  SeenActions& seen;
  const Partitions& partitions;
  const Clock& clock;
};

// Looks at the one message of a call on its way to the handler.
class WatchedHandler : public rpc::CallHandler {
 public:
  WatchedHandler(std::shared_ptr<const Watch> watch, std::shared_ptr<rpc::ServerCall> call)
      : watch_(std::move(watch)), call_(call), handler_(watch_->start(std::move(call))) {}

  void OnMessage(Bytes message) override {
    if (auto call = std::exchange(call_, nullptr)) Record(*call, message);
    handler_->OnMessage(std::move(message));
  }
  void OnHalfClose() override { handler_->OnHalfClose(); }
  void OnWritable() override { handler_->OnWritable(); }
  void OnCancel() override { handler_->OnCancel(); }

 private:
  void Record(const rpc::ServerCall& call, const Bytes& message) {
    std::optional<Asked> asked = ActionOf(watch_->path, message);
    if (!asked) return;
    const auto partition = watch_->partitions.Admit(call.info(), asked->instance_name);
    if (!partition) return;
    reapi::RequestMetadata about = reapi::ParseRequestMetadata(
        rpc::FindMetadata(call.info().metadata, reapi::kRequestMetadataHeader));
    watch_->seen.Record({asked->action, std::move(asked->instance_name), *partition,
                         std::move(about.target_id), std::move(about.action_mnemonic),
                         watch_->clock.WallNow()});
  }

  const std::shared_ptr<const Watch> watch_;
  std::shared_ptr<rpc::ServerCall> call_;  // until its message is there
  const std::unique_ptr<rpc::CallHandler> handler_;
};

v1::FindActionsResponse Answer(const SeenActions& seen, const SeenActions::Query& query) {
  v1::FindActionsResponse response;
  for (const SeenAction& found : seen.Find(query)) {
    v1::SeenAction& action = *response.add_actions();
    reapi::ToProto(found.action, action.mutable_action_digest());
    action.set_target_id(found.target);
    action.set_action_mnemonic(found.mnemonic);
    *action.mutable_seen() = ToProtoTime(found.seen);
  }
  return response;
}

}  // namespace

void SeenActions::Record(SeenAction action) {
  if (actions_max_ == 0) return;
  for (std::string* text : {&action.target, &action.mnemonic, &action.instance_name}) {
    if (text->size() > kTextBytesMax) return;
  }
  ring_.With([&](Ring& ring) {
    if (ring.actions.size() < actions_max_) return ring.actions.push_back(std::move(action));
    ring.actions[ring.next] = std::move(action);
    ring.next = (ring.next + 1) % actions_max_;
  });
}

std::vector<SeenAction> SeenActions::Find(const Query& query) const {
  std::vector<SeenAction> found;
  std::unordered_set<Digest, DigestHash> known;
  ring_.With([&](const Ring& ring) {
    const size_t count = ring.actions.size();
    for (size_t i = 0; i < count && found.size() < query.limit; ++i) {
      const SeenAction& action = ring.actions[(ring.next + count - 1 - i) % count];
      if (action.partition != query.partition || action.instance_name != query.instance_name ||
          (query.action && action.action != *query.action) ||
          (!query.target.empty() &&
           reapi::PlainLabel(action.target) != reapi::PlainLabel(query.target)) ||
          (!query.mnemonic.empty() && action.mnemonic != query.mnemonic)) {
        continue;
      }
      if (known.insert(action.action).second) found.push_back(action);
    }
  });
  return found;
}

std::vector<rpc::Method> WithSeenActions(std::vector<rpc::Method> methods, SeenActions& seen,
                                         const Partitions& partitions, const Clock& clock) {
  for (rpc::Method& method : methods) {
    if (!method.path.ends_with("/UpdateActionResult") && !method.path.ends_with("/Execute"))
      continue;
    auto watch = std::make_shared<const Watch>(
        Watch{method.path, std::move(method.start), seen, partitions, clock});
    method.start = [watch](std::shared_ptr<rpc::ServerCall> call) {
      return std::make_unique<WatchedHandler>(watch, std::move(call));
    };
  }
  return methods;
}

std::vector<rpc::Method> ExplainMethods(const SeenActions& seen, const Partitions& partitions) {
  auto find = [&seen, &partitions](std::shared_ptr<rpc::ServerCall> call, Bytes bytes) {
    v1::FindActionsRequest request;
    if (!request.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
      return call->Finish(Status(Code::kInvalidArgument, "the request does not parse"));
    }
    if (request.limit() < 0 || request.limit() > kFoundMax) {
      return call->Finish(ErrorStatus(Code::kInvalidArgument, "limit: {} is not from 0 to {}",
                                      request.limit(), kFoundMax));
    }
    const auto partition = partitions.Admit(call->info(), request.instance_name());
    if (!partition) return call->Finish(partition.error());
    SeenActions::Query query{
        .instance_name = request.instance_name(),
        .partition = *partition,
        .target = request.target_id(),
        .mnemonic = request.action_mnemonic(),
        .limit = static_cast<size_t>(request.limit() == 0 ? kFoundMax : request.limit())};
    if (request.has_action_digest()) {
      auto action = reapi::FromProto(request.action_digest());
      if (!action) return call->Finish(action.error().WithContext("action_digest"));
      query.action = *action;
    }
    call->Respond(Answer(seen, query).SerializeAsString());
  };
  return {rpc::UnaryMethod("/lre.explain.v1.Explain/FindActions", find)};
}

}  // namespace lre::service

#include "service/admin_service.h"

#include <algorithm>

#include "action_cache/stored_action_cache.h"
#include "base/log.h"
#include "lre/admin/v1/admin.pb.h"
#include "reapi/digest_proto.h"
#include "reapi/resource_name.h"
#include "service/blocking.h"

namespace lre::service {
namespace {

namespace pb = reapi::pb;
namespace admin = ::lre::admin::v1;

constexpr int kListMax = 10'000;
constexpr uint64_t kMessageBytesMax = 4 << 20;  // of an Action or Command that is searched

// The parts, and the partition that a request is about.
struct Scope : AdminParts {
  store::Partition partition = 0;
};

Result<admin::StatResponse> Stat(const Scope& parts, const admin::StatRequest&) {
  const store::LogStoreStats stats = parts.store.Stats();
  admin::StatResponse response;
  response.set_entries(static_cast<int64_t>(stats.entries));
  response.set_used_bytes(static_cast<int64_t>(stats.used_bytes));
  response.set_size_bytes_max(static_cast<int64_t>(parts.size_bytes_max));
  response.set_damaged(static_cast<int64_t>(stats.damaged));
  const std::vector<store::Pin> pins = parts.store.Pins();
  response.set_pins(static_cast<int64_t>(pins.size()));
  int64_t pinned = 0;
  for (const store::Pin& pin : pins) pinned += static_cast<int64_t>(pin.size_bytes);
  response.set_pinned_bytes(pinned);
  return response;
}

Result<admin::EvictResponse> Evict(const Scope& parts, const admin::EvictRequest& request) {
  std::vector<Digest> digests;
  for (const pb::Digest& message : request.digests()) {
    TRY_ASSIGN(const Digest digest, reapi::FromProto(message, request.digest_function()));
    digests.push_back(digest);
  }
  TRY_ASSIGN(const std::vector<uint32_t> missing,
             parts.store.FindMissing(parts.partition, digests));
  for (const Digest& digest : digests) {
    TRY(parts.store.Evict({digest, parts.partition}));
    Log(kInfo, "blob_evicted", {{"digest", digest.ToString()}});
  }
  admin::EvictResponse response;
  response.set_evicted(static_cast<int64_t>(digests.size() - missing.size()));
  return response;
}

Result<admin::VerifyResponse> Verify(const Scope& parts, const admin::VerifyRequest&) {
  TRY_ASSIGN(const uint64_t damaged, parts.store.Verify());
  admin::VerifyResponse response;
  response.set_damaged(static_cast<int64_t>(damaged));
  return response;
}

Result<admin::DropActionResultResponse> Drop(const Scope& parts,
                                             const admin::DropActionResultRequest& request) {
  TRY(reapi::CheckInstanceName(request.instance_name()));
  TRY_ASSIGN(const Digest action,
             reapi::FromProto(request.action_digest(), request.digest_function()));
  TRY(parts.action_cache.Remove({action, request.instance_name(), parts.partition}));
  Log(kInfo, "action_result_dropped",
      {{"instance_name", request.instance_name()}, {"action", action.ToString()}});
  return admin::DropActionResultResponse();
}

// What a list looks for.
class Search {
 public:
  Search(const Scope& parts, const admin::ListActionResultsRequest& request)
      : parts_(parts), request_(request) {}

  Result<bool> Matches(const action_cache::StoredResultKey& key, const std::string& value_key) {
    if (!request_.all_instances() && key.instance_name != request_.instance_name()) return false;
    // Assets have instance names that no client can say.
    if (!reapi::CheckInstanceName(key.instance_name).ok()) return false;
    if (request_.mentions_digests().empty() && request_.mentions_texts().empty()) return true;
    auto value = parts_.store.GetValue(value_key);
    if (!value && value.error().code() == Code::kNotFound) return false;
    TRY(value);
    const auto stored = action_cache::ParseStoredResult(*value);
    if (!stored) return false;
    for (const pb::Digest& wanted : request_.mentions_digests()) {
      for (const Digest& digest : stored->needed) {
        if (digest.size_bytes == wanted.size_bytes() && digest.Hex() == wanted.hash()) return true;
      }
    }
    return MentionsText(stored->result.view()) || MentionsText(CommandOf(key.action));
  }

 private:
  bool MentionsText(std::string_view bytes) const {
    return std::any_of(request_.mentions_texts().begin(), request_.mentions_texts().end(),
                       [&](const std::string& text) {
                         return !text.empty() && bytes.find(text) != std::string_view::npos;
                       });
  }
  // Empty when the CAS has forgotten it.
  std::string CommandOf(const Digest& action_digest) {
    if (request_.mentions_texts().empty()) return "";
    auto bytes = store::ReadAll(parts_.store, {action_digest, parts_.partition}, kMessageBytesMax);
    pb::Action action;
    if (!bytes || !action.ParseFromString(*bytes)) return "";
    auto command = reapi::FromProto(action.command_digest(), action_digest.function);
    if (!command) return "";
    return store::ReadAll(parts_.store, {*command, parts_.partition}, kMessageBytesMax)
        .value_or("");
  }

  const Scope& parts_;
  const admin::ListActionResultsRequest& request_;
};

Result<admin::ListActionResultsResponse> List(const Scope& parts,
                                              const admin::ListActionResultsRequest& request) {
  if (request.limit() < 0 || request.limit() > kListMax) {
    return Error(Code::kInvalidArgument, "limit: {} is not from 0 to {}", request.limit(),
                 kListMax);
  }
  const int limit = request.limit() == 0 ? kListMax : request.limit();
  admin::ListActionResultsResponse response;
  Search search(parts, request);
  Status failed;
  TRY(parts.store.List([&](const store::LogRecord& record) {
    if (!record.is_value || !failed.ok() || response.truncated()) return;
    const auto key = action_cache::ParseStoredResultKey(record.key);
    if (!key || key->partition != parts.partition) return;
    Result<bool> matches = search.Matches(*key, record.key);
    if (!matches) failed = matches.error();
    if (!matches || !*matches) return;
    if (response.entries_size() == limit) return response.set_truncated(true);
    auto* entry = response.add_entries();
    entry->set_instance_name(key->instance_name);
    reapi::ToProto(key->action, entry->mutable_action_digest());
    if (request.drop())
      failed = parts.action_cache.Remove({key->action, key->instance_name, key->partition});
  }));
  TRY(failed);
  if (request.drop() && response.entries_size() > 0) {
    Log(kInfo, "action_results_dropped", {{"results", response.entries_size()}});
  }
  return response;
}

// Whoever belongs to a partition is the operator of that one only.
Result<store::Partition> PartitionOf(const Partitions& partitions, const rpc::CallInfo& call,
                                     const std::string& name) {
  const std::optional<store::Partition> own = partitions.OfIdentity(call.identity);
  if (name.empty()) return own.value_or(0);
  TRY(CheckPartitionName(name));
  const store::Partition wanted = PartitionNumber(name);
  if (!own || *own == wanted) return wanted;
  return Error(Code::kPermissionDenied, "partition {} is one of others", name);
}

template <typename Request, typename Handler>
rpc::Method OperatorMethod(const char* name, const AdminParts& parts, Handler handler) {
  auto handle = [parts, handler](std::shared_ptr<rpc::ServerCall> call, Bytes bytes) {
    if (!IsOperator(call->info())) {
      return call->Finish(Status(Code::kPermissionDenied,
                                 "only from this machine or with a TLS client certificate"));
    }
    auto request = std::make_shared<Request>();
    if (!request->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
      return call->Finish(
          ErrorStatus(Code::kInvalidArgument, "the request is no {}", request->GetTypeName()));
    }
    Scope scope{parts};
    if constexpr (requires { request->partition(); }) {
      auto partition = PartitionOf(parts.partitions, call->info(), request->partition());
      if (!partition) return call->Finish(partition.error());
      scope.partition = *partition;
    }
    RunBlocking(parts.io, call, [call, request, scope, handler] {
      auto response = handler(scope, *request);
      response ? call->Respond(response->SerializeAsString()) : call->Finish(response.error());
    });
  };
  return rpc::UnaryMethod(std::string("/lre.admin.v1.Cache/") + name, std::move(handle));
}

}  // namespace

bool IsOperator(const rpc::CallInfo& call) {
  return !call.identity.empty() || call.peer.starts_with("unix:") ||
         call.peer.starts_with("127.") || call.peer.starts_with("[::1]:");
}

std::vector<rpc::Method> AdminMethods(const AdminParts& parts) {
  std::vector<rpc::Method> methods;
  methods.push_back(OperatorMethod<admin::StatRequest>("Stat", parts, Stat));
  methods.push_back(OperatorMethod<admin::EvictRequest>("Evict", parts, Evict));
  methods.push_back(OperatorMethod<admin::VerifyRequest>("Verify", parts, Verify));
  methods.push_back(
      OperatorMethod<admin::DropActionResultRequest>("DropActionResult", parts, Drop));
  methods.push_back(
      OperatorMethod<admin::ListActionResultsRequest>("ListActionResults", parts, List));
  return methods;
}

}  // namespace lre::service

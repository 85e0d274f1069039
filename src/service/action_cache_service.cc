#include "service/action_cache_service.h"

#include <unordered_set>

#include "reapi/digest_proto.h"
#include "reapi/wire/messages.h"
#include "service/blocking.h"
#include "store/partition_name.h"

namespace lre::service {
namespace {

namespace pb = reapi::pb;
namespace wire = reapi::wire;

// Puts what the client wants inline into the result, as far as `bytes_max` goes. Hints: a blob that
// cannot be read stays a digest.
class Inliner {
 public:
  // Of a result under `key`.
  Inliner(store::BlobStore& cas, const action_cache::ActionKey& key, size_t bytes_max)
      : cas_(cas), function_(key.action.function), partition_(key.partition), left_(bytes_max) {}

  void Inline(const pb::Digest& message, std::string* text) {
    if (!text->empty() || message.size_bytes() == 0) return;
    Result<Digest> digest = reapi::FromProto(message, function_);
    if (!digest || static_cast<uint64_t>(digest->size_bytes) > left_) return;
    auto bytes = store::ReadAll(cas_, {*digest, partition_}, left_);
    if (!bytes) return;
    left_ -= bytes->size();
    *text = std::move(*bytes);
  }

 private:
  store::BlobStore& cas_;
  const DigestFunction function_;
  const store::Partition partition_;
  size_t left_;
};

struct Wanted {
  Bytes request;  // keeps the views below
  wire::GetActionResultRequest parsed;
  store::Partition partition = 0;
  action_cache::ActionKey key() const { return {parsed.action, parsed.instance_name, partition}; }
  bool any() const {
    return parsed.inline_stdout || parsed.inline_stderr || !parsed.inline_output_files.empty();
  }
};

Result<Bytes> WithInlined(const ActionCacheParts& parts, size_t bytes_max, const Wanted& wanted,
                          const Bytes& stored) {
  pb::ActionResult result;
  if (!result.ParseFromArray(stored.data(), static_cast<int>(stored.size()))) {
    return Error(Code::kInternal, "the stored result of action {} does not parse",
                 wanted.parsed.action);
  }
  Inliner inliner(parts.cas, wanted.key(), bytes_max);
  if (wanted.parsed.inline_stdout) {
    inliner.Inline(result.stdout_digest(), result.mutable_stdout_raw());
  }
  if (wanted.parsed.inline_stderr) {
    inliner.Inline(result.stderr_digest(), result.mutable_stderr_raw());
  }
  std::unordered_set<std::string_view> paths(wanted.parsed.inline_output_files.begin(),
                                             wanted.parsed.inline_output_files.end());
  for (pb::OutputFile& file : *result.mutable_output_files()) {
    if (paths.contains(file.path())) inliner.Inline(file.digest(), file.mutable_contents());
  }
  return Bytes(reapi::SerializeDeterministically(result));
}

void AnswerGet(rpc::ServerCall& call, Result<Bytes> result) {
  if (!result) return call.Finish(result.error());
  call.Respond(BytesList{std::move(*result)});
}

void Get(const ActionCacheParts& parts, size_t inline_bytes_max,
         std::shared_ptr<rpc::ServerCall> call, Bytes bytes) {
  auto request = wire::ParseGetActionResultRequest(bytes.view());
  if (!request) return call->Finish(request.error());
  const auto partition = parts.partitions.Admit(call->info(), request->instance_name);
  if (!partition) return call->Finish(partition.error());
  // A worker reads what a tenant wrote under the tenant's instance name.
  request->instance_name = store::InstanceWithoutPartition(request->instance_name);
  const action_cache::ActionKey key{request->action, request->instance_name, *partition};
  const bool inlined =
      request->inline_stdout || request->inline_stderr || !request->inline_output_files.empty();
  if (auto result = parts.action_cache.TryGet(key); result && (!inlined || !*result)) {
    return AnswerGet(*call, std::move(*result));
  }
  auto wanted = std::make_shared<Wanted>(Wanted{std::move(bytes), std::move(*request), *partition});
  RunBlocking(parts.io, call, [call, wanted, parts, inline_bytes_max] {
    auto result = parts.action_cache.Get(wanted->key());
    if (result && wanted->any()) result = WithInlined(parts, inline_bytes_max, *wanted, *result);
    AnswerGet(*call, std::move(result));
  });
}

void AnswerUpdate(rpc::ServerCall& call, const Status& status, const Bytes& result) {
  if (!status.ok()) return call.Finish(status);
  call.Respond(BytesList{result});
}

void Update(const ActionCacheParts& parts, const ActionCacheServiceOptions& options,
            std::shared_ptr<rpc::ServerCall> call, Bytes bytes) {
  auto request = wire::ParseUpdateActionResultRequest(bytes);
  if (!request) return call->Finish(request.error());
  if (!options.update.Allows(request->instance_name)) {
    return call->Finish(ErrorStatus(Code::kPermissionDenied,
                                    "instance \"{:.200}\" takes no action results from clients",
                                    request->instance_name));
  }
  const auto partition = parts.partitions.Admit(call->info(), request->instance_name);
  if (!partition) return call->Finish(partition.error());
  const action_cache::ActionKey key{request->action, request->instance_name, *partition};
  if (auto put = parts.action_cache.TryPut(key, request->action_result)) {
    return AnswerUpdate(*call, *put, request->action_result);
  }
  RunBlocking(
      parts.io, call,
      [call, bytes, parsed = std::move(*request), in = *partition, &cache = parts.action_cache] {
        Status put = cache.Put({parsed.action, parsed.instance_name, in}, parsed.action_result);
        AnswerUpdate(*call, put, parsed.action_result);
      });
}

}  // namespace

std::vector<rpc::Method> ActionCacheMethods(ActionCacheParts parts,
                                            ActionCacheServiceOptions options) {
  const std::string service = "/build.bazel.remote.execution.v2.ActionCache/";
  std::vector<rpc::Method> methods;
  methods.push_back(
      rpc::UnaryMethod(service + "GetActionResult",
                       [parts, options](std::shared_ptr<rpc::ServerCall> call, Bytes request) {
                         Get(parts, options.inline_bytes_max, std::move(call), std::move(request));
                       }));
  methods.push_back(rpc::UnaryMethod(
      service + "UpdateActionResult",
      [parts, options](std::shared_ptr<rpc::ServerCall> call, Bytes request) {
        Update(parts, options, std::move(call), std::move(request));
      },
      options.result_bytes_max));
  return methods;
}

}  // namespace lre::service

#include "action_cache/read_through_action_cache.h"

#include <atomic>

#include "base/log.h"
#include "reapi/digest_proto.h"

namespace lre::action_cache {
namespace {

namespace pb = reapi::pb;

class ReadThroughActionCache final : public ActionCache {
 public:
  ReadThroughActionCache(std::unique_ptr<ActionCache> local, std::shared_ptr<rpc::Channel> upstream,
                         const Clock& clock, ReadThroughOptions options)
      : local_(std::move(local)),
        upstream_(std::move(upstream)),
        clock_(clock),
        options_(std::move(options)) {}

  Result<Bytes> Get(const ActionKey& key) override {
    auto local = local_->Get(key);
    if (local || local.error().code() != Code::kNotFound || !Asks(key)) return local;
    auto fetched = Fetch(key);
    if (!fetched) {
      Noticed("get", fetched.error());
      return local;
    }
    // Kept only when it is complete: its blobs are here or at the upstream.
    Status kept = local_->Put(key, *fetched);
    return kept.ok() || kept.code() == Code::kResourceExhausted ? fetched : local;
  }

  Status Put(const ActionKey& key, Bytes result) override {
    TRY(local_->Put(key, result));
    if (!options_.write_through || !Asks(key)) return Status();
    pb::UpdateActionResultRequest request;
    Fill(key, &request);
    if (request.mutable_action_result()->ParseFromArray(result.data(),
                                                        static_cast<int>(result.size()))) {
      auto answer = Call("UpdateActionResult", request);
      if (!answer) Noticed("put", answer.error());
    }
    return Status();
  }

  Status Remove(const ActionKey& key) override { return local_->Remove(key); }

  std::optional<Result<Bytes>> TryGet(const ActionKey& key) override {
    auto local = local_->TryGet(key);
    const bool miss = local && !*local && local->error().code() == Code::kNotFound;
    return miss && Asks(key) ? std::nullopt : std::move(local);
  }
  std::optional<Status> TryPut(const ActionKey& key, const Bytes& result) override {
    if (options_.write_through && Asks(key)) return std::nullopt;
    return local_->TryPut(key, result);
  }

 private:
  template <typename Request>
  void Fill(const ActionKey& key, Request* request) const {
    request->set_instance_name(options_.instance_name.empty() ? std::string(key.instance_name)
                                                              : options_.instance_name);
    reapi::ToProto(key.action, request->mutable_action_digest());
    request->set_digest_function(reapi::ToProto(key.action.function));
  }
  Result<Bytes> Call(const char* method, const google::protobuf::MessageLite& request) {
    return upstream_->Unary(std::string("/build.bazel.remote.execution.v2.ActionCache/") + method,
                            {Bytes(request.SerializeAsString())},
                            {.timeout = options_.call_timeout});
  }
  Result<Bytes> Fetch(const ActionKey& key) {
    pb::GetActionResultRequest request;
    Fill(key, &request);
    return Call("GetActionResult", request);
  }

  // Tenants' results stay here, as their blobs do (store/read_through_store.h).
  bool Asks(const ActionKey& key) const {
    return key.partition == 0 &&
           clock_.Now().time_since_epoch().count() >= down_until_.load(std::memory_order_relaxed);
  }
  void Noticed(const char* what, const Status& error) {
    const bool silent =
        error.code() == Code::kUnavailable || error.code() == Code::kDeadlineExceeded;
    if (error.code() == Code::kNotFound) return;
    if (silent) {
      down_until_ = (clock_.Now() + options_.down_pause).time_since_epoch().count();
    }
    Log(kWarning, "upstream_action_cache", {{"call", what}, {"error", error.ToString()}});
  }

  const std::unique_ptr<ActionCache> local_;
  const std::shared_ptr<rpc::Channel> upstream_;
  const Clock& clock_;
  const ReadThroughOptions options_;
  std::atomic<int64_t> down_until_{INT64_MIN};
};

}  // namespace

std::unique_ptr<ActionCache> NewReadThroughActionCache(std::unique_ptr<ActionCache> local,
                                                       std::shared_ptr<rpc::Channel> upstream,
                                                       const Clock& clock,
                                                       ReadThroughOptions options) {
  return std::make_unique<ReadThroughActionCache>(std::move(local), std::move(upstream), clock,
                                                  std::move(options));
}

}  // namespace lre::action_cache

// What happens to a result between the worker's report and the clients: it is put into the action
// cache, which refuses it when a blob it names is absent.
#include <utility>

#include "base/log.h"
#include "service/execution_payload.h"
#include "service/execution_service.h"

namespace lre::service {
namespace {

using scheduler::Publish;
using scheduler::Published;

// The times and names that the server knows and the worker may have left out.
std::shared_ptr<const pb::ExecuteResponse> Completed(const Publish& publish) {
  std::shared_ptr<const pb::ExecuteResponse> response = ResponseOf(publish.answer);
  const auto& metadata = response->result().execution_metadata();
  if (metadata.has_queued_timestamp()) return response;
  auto completed = std::make_shared<pb::ExecuteResponse>(*response);
  *completed->mutable_result()->mutable_execution_metadata()->mutable_queued_timestamp() =
      PayloadOf(publish.request->payload)->assignment.queued_timestamp();
  return completed;
}

Published PublishNow(action_cache::ActionCache& action_cache, const Publish& publish) {
  std::shared_ptr<const pb::ExecuteResponse> response = Completed(publish);
  Published published{publish.attempt, Status(), false, response};
  const Status put = action_cache.Put(
      {publish.request->action, publish.request->instance_name, publish.request->partition},
      Bytes(response->result().SerializeAsString()));
  if (put.ok()) return published;
  if (put.code() == Code::kFailedPrecondition || put.code() == Code::kInvalidArgument) {
    // The worker said that every blob is there: it is not to be trusted with this action.
    published.status =
        Status(Code::kInternal, fmt::format("the worker's result of action {} is incomplete: {}",
                                            publish.request->action, put.message()));
    published.retryable = true;
    published.answer = nullptr;
    return published;
  }
  // The client can do without the cache.
  Log(kWarning, "action_cache_put",
      {{"action", publish.request->action.ToString()}, {"error", put.ToString()}});
  return published;
}

}  // namespace

Publisher NewResultPublisher(action_cache::ActionCache& action_cache, ThreadPool& io) {
  return [&action_cache, &io](const Publish& publish, std::function<void(Published)> done) {
    const bool cacheable =
        !publish.request->do_not_cache && ResponseOf(publish.answer)->result().exit_code() == 0;
    if (!cacheable) return done({publish.attempt, Status(), false, Completed(publish)});
    const bool taken =
        io.TryRun([&action_cache, publish, done] { done(PublishNow(action_cache, publish)); });
    if (taken) return;
    Log(kWarning, "action_cache_put_skipped", {{"reason", "the I/O pool is busy"}});
    done({publish.attempt, Status(), false, Completed(publish)});
  };
}

}  // namespace lre::service

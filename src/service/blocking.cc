#include "service/blocking.h"

#include "reapi/error_details.h"
#include "store/lease_holder.h"

namespace lre::service {

Status BusyStatus() {
  return reapi::WithRetryDelay(
      Status(Code::kResourceExhausted, "too many requests wait for the disk; try again"),
      std::chrono::milliseconds(200));
}

void RunBlocking(ThreadPool& io, std::shared_ptr<rpc::ServerCall> call,
                 std::function<void()> work) {
  rpc::ServerCall& answered = *call;
  auto run = [call, work = std::move(work)] {
    store::LeaseHolder scope(call->info().identity);
    if (!call->cancelled()) work();
  };
  if (!io.TryRun(std::move(run))) answered.Finish(BusyStatus());
}

}  // namespace lre::service

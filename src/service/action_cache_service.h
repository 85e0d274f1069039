// build.bazel.remote.execution.v2.ActionCache. A hit is sent as it is stored, unless the client
// asks for stdout, stderr or files inline. Thread-safe; what is borrowed must outlive every call.
// Errors: NOT_FOUND for a miss (also when a blob it names is gone), FAILED_PRECONDITION for an
// update that names absent blobs, PERMISSION_DENIED when updates are not allowed.
#pragma once

#include <vector>

#include "action_cache/action_cache.h"
#include "base/thread_pool.h"
#include "rpc/call.h"
#include "service/partitions.h"
#include "service/update_permission.h"
#include "store/blob_store.h"

namespace lre::service {

struct ActionCacheParts {
  action_cache::ActionCache& action_cache;
  store::BlobStore& cas;
  ThreadPool& io;
  const Partitions& partitions = Partitions::None();
};
struct ActionCacheServiceOptions {
  UpdatePermission update;
  size_t result_bytes_max = 16 << 20;  // of an UpdateActionResult request
  // Of stdout, stderr and files together that one answer carries inline; what does not fit stays a
  // digest, as the specification allows.
  size_t inline_bytes_max = 1 << 20;
};

std::vector<rpc::Method> ActionCacheMethods(ActionCacheParts parts,
                                            ActionCacheServiceOptions options = {});

}  // namespace lre::service

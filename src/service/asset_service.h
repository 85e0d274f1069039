// build.bazel.remote.asset.v1: Fetch (FetchBlob, FetchDirectory) and Push (PushBlob,
// PushDirectory). One object; its methods borrow it and it must outlive every call, and what
// AssetParts borrows must outlive it. Thread-safe; fetches run on threads of its own.
//
// Decided here. A push and a fetch mean the same asset when URI and all qualifiers are equal
// (HTTP headers aside when there is a checksum). What was pushed is answered without a look at its
// qualifiers; what is fetched from its origin must match them, so ones that are not supported
// refuse the request, but only then. What was fetched with a checksum is answered as long as it is
// there, what was fetched without one for `keep`. Fetched assets are pinned for `keep`, as far as
// the bounds of pins allow; expires_at is said only of what is pinned. A fetch goes on after its
// caller has left, so that the next one finds it; equal requests share one. When several origins
// fail, the first one's error is answered. Errors outside the server's control stand in the
// response's status: NOT_FOUND, PERMISSION_DENIED, DEADLINE_EXCEEDED, ABORTED, RESOURCE_EXHAUSTED;
// everything else ends the call.
#pragma once

#include <memory>
#include <vector>

#include "action_cache/action_cache.h"
#include "base/clock.h"
#include "base/metrics.h"
#include "base/thread_pool.h"
#include "rpc/call.h"
#include "service/asset_origin.h"
#include "service/asset_records.h"
#include "service/partitions.h"
#include "service/update_permission.h"
#include "store/blob_store.h"

namespace lre::service {

struct AssetParts {
  store::BlobStore& store;
  action_cache::ActionCache& records;
  ThreadPool& io;
  const Clock& clock;
  PinFunction pin;  // empty: nothing is pinned
  const Partitions& partitions = Partitions::None();
};
struct AssetOptions {
  AssetOriginOptions origin;
  UpdatePermission push;
  Duration keep = std::chrono::hours(24);  // of fetched assets
  Duration timeout_default = std::chrono::minutes(10);
  Duration timeout_max = std::chrono::hours(1);  // longer ones are cut to it
  int fetches_max = 8;                           // at once
  size_t fetches_waiting_max = 1000;             // beyond: RESOURCE_EXHAUSTED
  int uris_max = 64;                             // of one request
  uint64_t unpacked_bytes_max = 8ull << 30;      // of one archive
  size_t entries_max = 500'000;                  // of one archive
  uint64_t blob_bytes_max = UINT64_MAX;          // of an asset, or a file of an archive
  Metrics* metrics = nullptr;                    // ones of its own when not given
};

class AssetService {
 public:
  AssetService(AssetParts parts, AssetOptions options);
  ~AssetService();  // ends fetches that run, with UNAVAILABLE
  std::vector<rpc::Method> Methods();

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace lre::service

// The cache over plain HTTP, for programs that do not speak gRPC. Thread-safe; what HttpCacheParts
// borrows must outlive every request.
//
//   GET, HEAD, PUT  [/{instance}]/cas/{sha256}   blobs, as Bazel's --remote_cache=http:// has them
//   GET, HEAD, PUT  [/{instance}]/ac/{sha256}    ActionResults: parsed, and served only while every
//                                                blob they name is present
//   GET, HEAD, PUT, DELETE, PROPFIND, MKCOL  /raw/{name}/{key}   values nobody looks into: ccache
//                                                (layout=bazel), sccache (WebDAV)
//
// A URL of a blob does not say its size, which is part of its name in the store. PUT therefore
// stores the size beside the blob; blobs that came over gRPC are found when an ActionResult that
// names them was fetched by HTTP before. For the same reason an action's result is another one than
// that of gRPC clients: its key has size 0.
// Browsers are refused (they send Origin or Sec-Fetch-Site): a page that someone visits must not
// reach a server on their own machine.
// Status codes: 400 malformed, 403 not allowed, 404 absent, 409 a result that names absent blobs,
// 413 too large, 503 busy, 507 full.
#pragma once

#include "action_cache/action_cache.h"
#include "base/thread_pool.h"
#include "rpc/server.h"
#include "service/partitions.h"
#include "service/update_permission.h"
#include "store/blob_store.h"
#include "store/value_store.h"

namespace lre::service {

struct HttpCacheParts {
  store::BlobStore& cas;
  action_cache::ActionCache& action_cache;
  store::ValueStore& values;  // raw values, and sizes of blobs
  ThreadPool& io;
  const Partitions& partitions = Partitions::None();
};
struct HttpCacheOptions {
  UpdatePermission update;  // of action results; raw values are those of instance "raw/NAME"
  size_t raw_value_bytes_max = 32 << 20;
  int64_t blob_bytes_max = INT64_MAX;  // of a PUT under /cas/
};

// Answers the paths above and hands every other request to `otherwise`.
rpc::HttpHandler NewHttpCache(HttpCacheParts parts, HttpCacheOptions options,
                              rpc::HttpHandler otherwise);

}  // namespace lre::service

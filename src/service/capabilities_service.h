// build.bazel.remote.execution.v2.Capabilities. Answers are made once; they differ between instance
// names only where clients may write action results. Every field says what this server does now.
// Thread-safe.
#pragma once

#include <cstdint>
#include <vector>

#include "rpc/call.h"
#include "service/chunk_methods.h"
#include "service/update_permission.h"

namespace lre::service {

struct CapabilitiesOptions {
  bool exec_enabled = true;
  UpdatePermission action_cache_update;
  // What clients may put into one batch: 4 MiB is the message limit of most clients, and the rest
  // of the message needs room too.
  int64_t batch_total_size_bytes_max = (4 << 20) - (64 << 10);
  int64_t cas_blob_size_bytes_max = 0;  // 0: no limit is announced
  ChunkOptions chunks = {};             // as SplitBlob cuts
};

std::vector<rpc::Method> CapabilitiesMethods(const CapabilitiesOptions& options);

}  // namespace lre::service

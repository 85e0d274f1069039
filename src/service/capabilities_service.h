// build.bazel.remote.execution.v2.Capabilities. The answer is made once and is the same for every
// instance name; every field says what this server does now. Thread-safe.
#pragma once

#include <cstdint>
#include <vector>

#include "rpc/call.h"
#include "service/chunk_methods.h"

namespace lre::service {

struct CapabilitiesOptions {
  bool exec_enabled = true;
  bool action_cache_update_enabled = true;
  // What clients may put into one batch: 4 MiB is the message limit of most clients, and the rest
  // of the message needs room too.
  int64_t batch_total_size_bytes_max = (4 << 20) - (64 << 10);
  int64_t cas_blob_size_bytes_max = 0;  // 0: no limit is announced
  ChunkOptions chunks = {};             // as SplitBlob cuts
};

std::vector<rpc::Method> CapabilitiesMethods(const CapabilitiesOptions& options);

}  // namespace lre::service

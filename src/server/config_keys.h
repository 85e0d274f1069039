// The parts of the schema that lie in files of their own, and what they share. For config_*.cc
// only. Free functions, thread-safe.
#pragma once

#include <string>
#include <vector>

#include "server/config.h"

namespace lre::server {

// As ParseSize and ParseDuration read it again, without loss.
std::string ExactSize(uint64_t bytes);
std::string ExactDuration(Duration duration);

// [action_cache].
std::vector<ConfigKey> ActionCacheKeys();
// [cas], [byte_stream] and [chunks].
std::vector<ConfigKey> TransferKeys();
// [execution], [operations], [worker_link], [scheduler] and [log_streams].
std::vector<ConfigKey> ExecutionKeys();

}  // namespace lre::server

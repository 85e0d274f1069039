// ReadThroughActionCache: a local action cache in front of that of another server. What is missing
// here is asked for there, and kept here when it is complete; the blobs that it names may still be
// at the upstream, which the local cache's blob store has to know of (store/read_through_store.h).
// Thread-safe; owns the local cache. Try* answer what the local cache can answer alone, a miss
// being no answer.
//
// When the upstream does not answer it is left alone for `down_pause`: then its results are misses
// and nothing fails.
#pragma once

#include <memory>
#include <string>

#include "action_cache/action_cache.h"
#include "rpc/client.h"

namespace lre::action_cache {

struct ReadThroughOptions {
  std::string instance_name;  // to say there; empty: the one that is asked for
  // Whether a result that is written here is written there too, after it was acknowledged here. One
  // that is refused is logged; the write has succeeded.
  bool write_through = false;
  Duration down_pause = std::chrono::seconds(10);
  Duration call_timeout = std::chrono::seconds(30);
};

// `clock` must outlive the cache.
std::unique_ptr<ActionCache> NewReadThroughActionCache(std::unique_ptr<ActionCache> local,
                                                       std::shared_ptr<rpc::Channel> upstream,
                                                       const Clock& clock,
                                                       ReadThroughOptions options = {});

}  // namespace lre::action_cache

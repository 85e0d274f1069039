// The server: stores, action cache, scheduler and every service on its addresses, made from a
// Config. One object; two of them in one process do not meet. Start and Drain from the composing
// thread; the accessors are thread-safe, and what they give lives as long as the server.
//
// A data directory belongs to one server at a time: a second one is refused (kFailedPrecondition).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "action_cache/action_cache.h"
#include "base/clock.h"
#include "base/metrics.h"
#include "base/status.h"
#include "server/config.h"
#include "service/scheduler_thread.h"
#include "service/worker_link.h"
#include "store/blob_store.h"

namespace lre::server {

class Server {
 public:
  // REQUIRES: CheckConfig(config). `clock` must outlive the server.
  static Result<std::unique_ptr<Server>> Start(const Config& config, const Clock& clock);
  // Without Drain before: open calls get UNAVAILABLE.
  virtual ~Server() = default;

  // With the ports that the system chose, in the order of Config::listen.
  virtual const std::vector<std::string>& addresses() const = 0;
  virtual store::BlobStore& cas() = 0;
  virtual action_cache::ActionCache& action_cache() = 0;
  // Null when execution is off.
  virtual service::SchedulerThread* scheduler() = 0;
  virtual const service::WorkerLinkOptions& worker_link_options() const = 0;
  virtual Metrics& metrics() = 0;
  // Reads the TLS files again, for new connections; on an error (which is logged) the old ones stay
  // in use.
  virtual void ReloadCertificates() = 0;
  // Says NOT_SERVING, lets calls end for at most Config::drain_max, then ends the rest.
  virtual void Drain() = 0;
};

}  // namespace lre::server

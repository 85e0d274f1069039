// What browsers, monitoring and load balancers see on the same ports: `/` (a status page),
// `/metrics` (Prometheus text), `/healthz` (200 while serving, 503 while draining). Thread-safe.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/metrics.h"
#include "rpc/server.h"
#include "service/health_service.h"

namespace lre::server {

struct WebPageParts {
  const Metrics& metrics;
  const service::HealthState& health;
  // Lines of the status page, (name, value); runs on a loop: must not block.
  std::function<std::vector<std::pair<std::string, std::string>>()> facts;
};

rpc::HttpHandler NewWebPage(WebPageParts parts);

}  // namespace lre::server

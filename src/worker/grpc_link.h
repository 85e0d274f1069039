// The worker's link over gRPC: lre.worker.v1.WorkerLink/Connect on a channel. Thread-safe.
#pragma once

#include <memory>

#include "rpc/client.h"
#include "worker/link.h"

namespace lre::worker {

std::unique_ptr<LinkConnector> NewGrpcLinkConnector(std::shared_ptr<rpc::Channel> channel);

}  // namespace lre::worker

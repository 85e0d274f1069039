// The worker's side of lre.worker.v1.WorkerLink, as the worker sees it: something that connects,
// and a connection that carries messages. In a worker of its own it is gRPC (grpc_link.h); in `lre
// up` the server's link in process; in tests a fake. Protocol: proto/lre/worker/v1/worker.proto.
#pragma once

#include <functional>
#include <memory>

#include "base/status.h"
#include "lre/worker/v1/worker.pb.h"

namespace lre::worker {

// One connection. Thread-safe. Dropping it closes it; no callback runs after the destructor
// returned.
class Link {
 public:
  virtual ~Link() = default;
  virtual void Send(const v1::FromWorker& message) = 0;
};

struct LinkCallbacks {
  // Called on a thread of the link, in order; must not block.
  std::function<void(const v1::ToWorker& message)> receive;
  std::function<void(Status status)> closed;  // the last call
};

class LinkConnector {
 public:
  virtual ~LinkConnector() = default;
  // Never fails: a link that cannot be made is told to `closed`. May call back before it returns.
  virtual std::unique_ptr<Link> Connect(LinkCallbacks callbacks) = 0;
};

}  // namespace lre::worker

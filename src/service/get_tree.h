// GetTree of the CAS service, in a file of its own: a walk over Directory blobs, breadth first,
// that goes on only while the client takes what it is sent. Thread-safe; rules: cas_service.h.
#pragma once

#include "rpc/call.h"
#include "service/cas_service.h"

namespace lre::service {

rpc::Method GetTreeMethod(CasParts parts, CasOptions options);

}  // namespace lre::service

// The one detail of errors that folders below the messages need: when to come back. A header of its
// own because it needs no protobuf. A free function, thread-safe. See error_details.h.
#pragma once

#include "base/clock.h"
#include "base/status.h"

namespace lre::reapi {

// `status` with a RetryInfo: come back after `delay`.
Status WithRetryDelay(Status status, Duration delay);

}  // namespace lre::reapi

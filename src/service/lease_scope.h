// Makes every call of these methods act for the identity of its caller (store/lease_holder.h), on
// the event loop; RunBlocking does the same on the I/O pool. Only a store with
// LogStoreOptions::lease_share_percent below 100 looks at it. A free function, thread-safe.
#pragma once

#include <vector>

#include "rpc/call.h"

namespace lre::service {

void ActForCallers(std::vector<rpc::Method>& methods);

}  // namespace lre::service

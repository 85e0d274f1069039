// lre.admin.v1.Pins: what stays in the cache until it is retired. Thread-safe; everything runs on
// the I/O pool. Errors: those of PinTable; PERMISSION_DENIED when clients may not write results.
#pragma once

#include <vector>

#include "action_cache/pin_table.h"
#include "base/thread_pool.h"
#include "rpc/call.h"

namespace lre::service {

struct PinServiceOptions {
  bool update_enabled = true;
};
// What is borrowed must outlive every call.
std::vector<rpc::Method> PinMethods(action_cache::PinTable& pins, ThreadPool& io,
                                    PinServiceOptions options = {});

}  // namespace lre::service

// lre.admin.v1.Pins: what stays in the cache until it is retired. Thread-safe; everything runs on
// the I/O pool. Errors: those of PinTable; PERMISSION_DENIED when clients may not write results of
// the instance.
#pragma once

#include <vector>

#include "action_cache/pin_table.h"
#include "base/thread_pool.h"
#include "rpc/call.h"
#include "service/partitions.h"
#include "service/update_permission.h"

namespace lre::service {

struct PinServiceOptions {
  UpdatePermission update;
};
// What is borrowed must outlive every call.
struct PinParts {
  action_cache::PinTable& pins;
  ThreadPool& io;
  const Partitions& partitions = Partitions::None();
};
std::vector<rpc::Method> PinMethods(PinParts parts, PinServiceOptions options = {});

}  // namespace lre::service

// lre.admin.v1.Cache: what operators do to a store on disk. Answered to callers on this machine
// (loopback, Unix sockets) and to those with a TLS client certificate, PERMISSION_DENIED to others:
// a proxy on this machine makes everyone behind it an operator. Identities that have a partition of
// their own are operators of that one. Thread-safe; everything runs on the
// I/O pool; what is borrowed must outlive every call.
#pragma once

#include <vector>

#include "action_cache/action_cache.h"
#include "base/thread_pool.h"
#include "rpc/call.h"
#include "service/partitions.h"
#include "store/log_store.h"

namespace lre::service {

struct AdminParts {
  store::LogStore& store;
  action_cache::ActionCache& action_cache;
  ThreadPool& io;
  uint64_t size_bytes_max = 0;  // of the store
  const Partitions& partitions = Partitions::None();
};
std::vector<rpc::Method> AdminMethods(const AdminParts& parts);

// Whether a call is an operator's.
bool IsOperator(const rpc::CallInfo& call);

}  // namespace lre::service

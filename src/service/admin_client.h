// The client's side of lre.admin.v1.Cache (admin_service.h). Thread-safe; every call blocks;
// borrows the channel. Errors: the server's; kUnimplemented, in words for people, from servers that
// have no such service.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "digest/digest.h"
#include "rpc/client.h"

namespace google::protobuf {
class MessageLite;
}

namespace lre::service {

struct CacheStat {
  uint64_t entries = 0;  // blobs and values
  uint64_t used_bytes = 0, size_bytes_max = 0;
  uint64_t damaged = 0;  // since the server's start
  uint64_t pins = 0, pinned_bytes = 0;
};

class AdminClient {
 public:
  explicit AdminClient(rpc::Channel& channel) : channel_(channel) {}

  Result<CacheStat> Stat();
  // How many of them were there. `partition`: of a tenant, by name; empty: the caller's.
  Result<uint64_t> Evict(const std::vector<Digest>& digests, const std::string& partition = {});
  // How many were damaged, and are absent now. Takes as long as reading all that is stored.
  Result<uint64_t> Verify();
  Status DropActionResult(const std::string& instance_name, const Digest& action,
                          const std::string& partition = {});

 private:
  Status Call(const char* method, const google::protobuf::MessageLite& request,
              google::protobuf::MessageLite* response, Duration timeout = std::chrono::minutes(1));

  rpc::Channel& channel_;
};

}  // namespace lre::service

// The protocol of persistent workers on bytes: requests to write, responses read from what came.
// See proto/bazel/worker_protocol.proto. Plain values; ResponseReader is confined to one thread.
//
// Errors: kInternal when what came is no response: the process printed something else; and beyond
// `response_bytes_max`.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "bazel/worker_protocol.pb.h"

namespace lre::worker {

enum class WorkProtocol { kProto, kJson };

std::string EncodeWorkRequest(WorkProtocol protocol, const blaze::worker::WorkRequest& request);

class ResponseReader {
 public:
  explicit ResponseReader(WorkProtocol protocol, size_t response_bytes_max = 16 << 20)
      : protocol_(protocol), response_bytes_max_(response_bytes_max) {}

  void Append(std::string_view bytes) { bytes_ += bytes; }
  // The next response, when it is whole. After an error there is no other.
  Result<std::optional<blaze::worker::WorkResponse>> Next();
  bool empty() const { return bytes_.empty(); }

 private:
  Result<std::optional<blaze::worker::WorkResponse>> NextProto();
  Result<std::optional<blaze::worker::WorkResponse>> NextJson();

  const WorkProtocol protocol_;
  const size_t response_bytes_max_;
  std::string bytes_;
};

}  // namespace lre::worker

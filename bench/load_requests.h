// Requests: the REAPI calls that the load generator makes, as bytes. Whole requests are made once
// and repeated (Stored); writes are made for each call, as every blob must be new, by composing a
// small head with shared data. Confined to one thread; outlives the runs that use its requests.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "build/bazel/remote/execution/v2/remote_execution.pb.h"
#include "load_blobs.h"
#include "load_client.h"

namespace lre::bench {

namespace pb = ::build::bazel::remote::execution::v2;

// A gRPC message: five bytes of prefix, then the message.
std::string Framed(const google::protobuf::MessageLite& message);
// The messages of an answer's DATA. Stops at a message that is cut off.
std::vector<std::string> Unframed(std::string_view data);

class Requests {
 public:
  struct Options {
    std::string instance;
    size_t chunk_bytes = 64 << 10;  // of one WriteRequest
  };
  explicit Requests(Options options) : options_(std::move(options)) {}

  // Keeps `body`; the request sends it from there.
  Request Stored(const char* path, std::string body);

  Request GetCapabilities();
  Request GetActionResult(uint64_t nonce, uint64_t i, int code);
  // Its output files are the blobs 2i and 2i+1 of `outputs`, modulo `count`.
  void UpdateActionResult(uint64_t nonce, uint64_t i, Request& request);
  Request FindMissing(const std::vector<Digest>& digests);
  Request BatchRead(const std::vector<Digest>& digests);
  Request Read(const Digest& digest, bool zstd = false);
  // Blobs [first, first + count) of `blobs` in one BatchUpdateBlobs.
  void BatchUpdate(const BlobSet& blobs, uint64_t first, uint64_t count, Request& request);
  // Writes blob `i`; `request.middle` is kept here per set and compressor.
  void Write(const BlobSet& blobs, uint64_t i, bool zstd, Request& request);

  // What action results name; must be stored before UpdateActionResult is called.
  void SetOutputs(const BlobSet* outputs, uint64_t count) {
    outputs_ = outputs;
    outputs_count_ = count;
  }

 private:
  // The parts of a write that all blobs of a set share.
  struct WriteParts {
    Pieces middle;
    std::deque<std::string> owned;
    size_t first_data_bytes = 0;  // of the first message, without the own bytes
    uint64_t messages = 0;
  };
  const WriteParts& PartsOf(const BlobSet& blobs, bool zstd);
  std::string InstancePrefix() const;

  const Options options_;
  const BlobSet* outputs_ = nullptr;
  uint64_t outputs_count_ = 1;
  std::deque<std::pair<std::string, Pieces>> stored_;
  std::map<std::pair<const BlobSet*, bool>, WriteParts> write_parts_;
};

}  // namespace lre::bench

// Outputs: from what an action left behind to an ActionResult and the blobs it names. Collecting
// hashes files where they lie; uploading sends only what the store lacks. Blocking; one call is
// confined to one thread. Errors: INVALID_ARGUMENT when an output cannot be named in a message
// (a file name that is not UTF-8), RESOURCE_EXHAUSTED beyond `entries_max`, the store's.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "build/bazel/remote/execution/v2/remote_execution.pb.h"
#include "reapi/action.h"
#include "store/blob_store.h"
#include "worker/file_cache.h"
#include "worker/output_tree.h"

namespace lre::worker {

// A blob to upload, from memory or from a file.
struct OutputBlob {
  Digest digest;
  Bytes bytes;
  std::string path;  // when set, the bytes lie there
  // Set for output files: they can serve as inputs of the next action.
  bool adoptable = false;
  bool executable = false;
  std::vector<std::string> store_paths;
};

struct CollectOptions {
  DigestFunction function = DigestFunction::kSha256;
  size_t entries_max = 1'000'000;            // files, links and directories of all outputs
  uint64_t kept_file_bytes_max = 256 << 10;  // smaller files are read once
  uint64_t kept_bytes_max = 32 << 20;        // of all of them
  std::string store_prefix = "/lre/store";
};

struct Collected {
  build::bazel::remote::execution::v2::ActionResult result;
  std::vector<OutputBlob> blobs;
};

// Outputs that are not there are left out, as the REAPI asks.
Result<Collected> CollectOutputs(const reapi::Command& command, const OutputTree& tree,
                                 const CollectOptions& options);
// Digest of a file on disk, for stdout and stderr.
Result<OutputBlob> HashFile(const std::string& path, const CollectOptions& options);

Status UploadBlobs(store::BlobStore& cas, store::Partition partition,
                   const std::vector<OutputBlob>& blobs);

}  // namespace lre::worker

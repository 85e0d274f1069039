// Puts store paths into a CAS and their entries into the index (reapi/store_index.h): asks first
// what is missing, sends only that. Blocking; small files go in batches, large ones as streams, on
// a few threads. What a store path holds is taken from its record; every blob is hashed on its way
// (by the CAS, which refuses what does not match), so a damaged file cannot get in.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/status.h"
#include "reapi/store_index.h"
#include "store/blob_store.h"
#include "toolchain/root/toolchain_store.h"

namespace lre::cli {

class RemoteServer;

struct UploadReport {
  uint64_t blobs = 0, bytes = 0;            // of all paths
  uint64_t sent_blobs = 0, sent_bytes = 0;  // what was missing
  uint64_t new_entries = 0;                 // of the index
  std::vector<Digest> actions;              // the entries, as pins name them
};

struct UploadParts {
  store::BlobStore& cas;
  std::function<Result<Bytes>(const Digest& action)> get_result;
  std::function<Status(const Digest& action, std::string_view result)> put_result;
};
// Those of a server, which must outlive them.
UploadParts PartsOf(RemoteServer& server);
struct UploadOptions {
  int threads = 4;
  uint64_t batch_bytes_max = 3 << 20;     // of small files in memory, per thread
  uint64_t stream_piece_bytes = 1 << 20;  // of large ones
  // From any thread, one call at a time.
  std::function<void(uint64_t done_bytes, uint64_t total_bytes)> progress;
};

// kDataLoss names a file that is not what its record says.
Result<UploadReport> UploadPaths(const toolchain::ToolchainStore& store,
                                 const std::vector<toolchain::StorePath>& paths,
                                 const UploadParts& parts, const UploadOptions& options = {});
// Pins what was uploaded under a name; false: the server keeps no pins. kResourceExhausted, with
// what to do, beyond the server's bounds: what was uploaded is then cache like anything else.
Result<bool> PinUpload(RemoteServer& server, const std::string& name, const UploadReport& report);

// The name of the toolchain whose userland workers without one of their own take.
inline constexpr const char* kDefaultToolchain = "default";

// Puts an entry of the index and the messages of its key, unless that very entry is there; adds its
// action to `report`.
Status UploadEntry(const reapi::StoreIndexKey& key, const std::string& result,
                   const UploadParts& parts, UploadReport& report);
// A manifest under a toolchain's name; adds its action to `report`.
Status UploadManifest(const toolchain::Manifest& manifest, const std::string& name,
                      const UploadParts& parts, UploadReport& report);

}  // namespace lre::cli

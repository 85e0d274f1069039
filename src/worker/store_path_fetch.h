// Fetching toolchain store paths from a CAS through its index (reapi/store_index.h): one path is
// looked up, its Directory tree read, its files fetched in parallel, the whole hashed again from
// disk and compared with the tree digest of its record, and installed by ToolchainStore::Add: a
// path is there and right, or it is not there. Blocking; thread-safe on distinct paths.
//
// Errors: kNotFound when the index or the CAS lacks something (the message names it); kDataLoss
// when what came is not what was promised; kResourceExhausted beyond the bounds; the CAS's own.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/status.h"
#include "store/blob_store.h"
#include "toolchain/root/toolchain_store.h"

namespace lre::worker {

// A serialised ActionResult by the digest of its action; kNotFound when there is none.
using ReadActionResult = std::function<Result<Bytes>(const Digest& action)>;

struct StorePathFetchOptions {
  store::Partition partition = 0;
  int threads = 4;
  uint64_t batch_bytes_max = 3 << 20;  // of small files read together; larger ones are streamed
  size_t batch_files_max = 1000;
  size_t entries_max = 2'000'000;  // files and links of one path
  int depth_max = 128;
};

// The record of `path` as the index has it. kDataLoss when it is about something else, or names
// references that are no store paths.
Result<toolchain::StorePath> LookUpStorePath(const ReadActionResult& read, std::string_view prefix,
                                             std::string_view path);

// Makes `record.path` in `store`. What it references need not be there.
Status FetchStorePath(store::BlobStore& cas, toolchain::ToolchainStore& store,
                      const toolchain::StorePath& record,
                      const StorePathFetchOptions& options = {});

}  // namespace lre::worker

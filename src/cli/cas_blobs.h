// What `lre cas` does with blobs of a server, beyond single calls: moves large ones piece by piece,
// walks directories, writes and reads archives of blobs. Confined to the calling thread; blocks.
// Errors: the server's; kDataLoss when bytes that came do not have their digest.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "cli/remote_server.h"
#include "digest/digest.h"
#include "reapi/action.h"
#include "store/blob_store.h"

namespace lre::cli {

// "[FUNCTION:]HASH/SIZE", without a function by the length of the hash.
Result<Digest> ParseDigestArgument(std::string_view text);

// The bytes of a blob in order, checked at the end.
Status StreamBlob(store::BlobStore& cas, const Digest& digest,
                  const std::function<Status(std::string_view)>& take);
// The file `path`, which appears whole or not at all.
Status GetFile(store::BlobStore& cas, const Digest& digest, const std::string& path);
// The bytes of a file, as one stream. kInvalidArgument: they have another digest.
Status PutFile(store::BlobStore& cas, const Digest& digest, const std::string& path,
               uint64_t piece_bytes = 1 << 20);
// Digest of a file or of the Directory that a folder is; what the server lacks is uploaded.
// Empty folders below a folder are left out. SHA-256.
Result<Digest> PutPath(store::BlobStore& cas, const std::string& path);

// A path in a tree and what is there; exactly one of them is set.
struct TreeEntry {
  std::string path;
  const reapi::FileNode* file = nullptr;
  const reapi::SymlinkNode* symlink = nullptr;
  const reapi::DirectoryNode* directory = nullptr;
};
// Calls `visit` for everything below `root`, parents first; with `recursive` false, for its entries
// only. Each distinct Directory is read once.
Status WalkDirectory(store::BlobStore& cas, const Digest& root, bool recursive,
                     const std::function<Status(const TreeEntry&)>& visit);
// Every blob of a tree, its directories included, each once.
Result<std::vector<Digest>> BlobsOfTree(store::BlobStore& cas, const Digest& root);
// What an action needs and what it made: the Action, its Command, its inputs, and its outputs when
// the server has a result. `result` is the serialised ActionResult, or empty.
Result<std::vector<Digest>> BlobsOfAction(RemoteServer& server, const Digest& action,
                                          std::string* result);

// An archive: docs/formats/cas-archive.md.
struct ArchivedResult {
  Digest action;
  std::string result;
};
// Returns how many blobs it wrote, each once.
Result<size_t> ExportBlobs(store::BlobStore& cas, std::vector<Digest> blobs,
                           const std::vector<ArchivedResult>& results, const std::string& path);
struct ImportReport {
  size_t blobs = 0, uploaded = 0, results = 0;
};
// Uploads what the server lacks, then the results.
Result<ImportReport> ImportBlobs(RemoteServer& server, const std::string& path);

}  // namespace lre::cli

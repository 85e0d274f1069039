// The index of toolchain store paths, kept in the action cache of any REAPI server: the entry of a
// store path is the result of a canonical Action whose Command is ["lre-store-path", "<path>"]. The
// result has one output directory, "tree", which is the store path as files in the CAS, and the
// path's record (name, tree digest, references, sizes) as JSON in stdout_raw. A toolchain's
// manifest is kept the same way under ["lre-toolchain", "<name>"], without a directory. Because a
// server keeps and completes what a result names, it keeps whole trees.
//
// An entry says what someone with the right to write results claimed. Who installs a path hashes
// what came and compares it with the record; nothing here does.
//
// A file by its SHA-256 alone (a mirrored package) is kept under ["lre-file", "<hex>"]: the result
// has one output file, which says how large it is.
//
// Pure functions, thread-safe. SHA-256 only. Errors: kInvalidArgument naming what is wrong.
// Format: docs/formats/store-index.md.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "digest/digest.h"
#include "reapi/tree.h"

namespace lre::reapi {

// Where an entry is: the digest of its Action, and the messages themselves, for people who look.
struct StoreIndexKey {
  Digest action;
  std::vector<NewBlob> blobs;  // Action, Command, the empty input root
};
StoreIndexKey StorePathKey(std::string_view path);
StoreIndexKey ToolchainKey(std::string_view name);
StoreIndexKey FileKey(std::string_view sha256);

// A serialised ActionResult that names one file, and back.
std::string EncodeFileEntry(const Digest& file);
Result<Digest> ParseFileEntry(std::string_view action_result);

struct StoreIndexEntry {
  std::string record;          // JSON
  std::optional<Digest> root;  // of the Directory tree; a toolchain's manifest has none
  std::optional<Digest> tree;  // the same as one Tree message, for servers that know only those
  friend bool operator==(const StoreIndexEntry&, const StoreIndexEntry&) = default;
};
// A serialised ActionResult.
std::string EncodeStoreIndexEntry(const StoreIndexEntry& entry);
Result<StoreIndexEntry> ParseStoreIndexEntry(std::string_view action_result);

// The Tree message of directories as bytes, the root's first, the others in any order.
NewBlob MakeTree(const std::vector<std::string_view>& directories);

}  // namespace lre::reapi

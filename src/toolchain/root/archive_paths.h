// Store paths in one file, for machines that no network reaches: a tar archive (pax), zstd
// compressed, of closures in order, references first. Each path is its record, its listing, then
// its tree; nothing depends on who exported, when or where, so the same paths give the same bytes.
// Blocking; thread-safe. Format: docs/formats/store.md.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "toolchain/root/toolchain_store.h"

namespace lre::toolchain {

struct ArchiveOptions {
  int compression_level = 3;
  uint64_t path_bytes_max = 16ull << 30;  // of one path read: kResourceExhausted beyond
  std::function<void(std::string_view path)> progress;  // each path, before it is begun
};

// `paths` in the order in which they are to be added. kDataLoss names a file that is not what was
// recorded; then `file` is not made.
Status ExportPaths(const ToolchainStore& store, const std::vector<StorePath>& paths,
                   const std::string& file, const ArchiveOptions& options = {});

struct ImportReport {
  std::vector<std::string> added, present;
};
// Adds what is not there, hashed again. kDataLoss when the archive is damaged or holds something
// else than its records say; what was added before stays. kInvalidArgument: for another prefix.
Result<ImportReport> ImportPaths(ToolchainStore& store, const std::string& file,
                                 const ArchiveOptions& options = {});

}  // namespace lre::toolchain

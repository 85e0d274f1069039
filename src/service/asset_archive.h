// Archives become directories: a tar (plain, gzip, bzip2, xz, zstd) or a zip is read once, its
// files go to the store as they come, and Directory messages are made of the rest. Free function,
// thread-safe; blocks.
//
// An archive comes from a stranger. Paths that are absolute or climb out of the tree, symlinks that
// lead out of it, devices and pipes refuse the whole archive, and so does one that is larger
// unpacked than its bounds say. Owners, times and permission bits other than "executable" are
// dropped; of entries with one path the last one counts, as with tar.
// Errors: kAborted for an archive that is damaged or refused; kResourceExhausted beyond a bound;
// kNotFound when it has no such directory; the store's.
#pragma once

#include <cstdint>
#include <string>

#include "base/status.h"
#include "service/spool_file.h"
#include "store/blob_store.h"

namespace lre::service {

struct UnpackOptions {
  DigestFunction function = DigestFunction::kSha256;
  store::Partition partition = 0;
  std::string directory;  // only what is below it, which becomes the root; empty: everything
  std::string spool_directory;
  uint64_t unpacked_bytes_max = 8ull << 30;
  size_t entries_max = 500'000;
  uint64_t file_bytes_max = UINT64_MAX;  // of one file of it
};

// Everything is in the store when it returns the digest of the root Directory.
Result<Digest> UnpackArchive(const SpoolFile& archive, store::BlobStore& store,
                             const UnpackOptions& options);

}  // namespace lre::service

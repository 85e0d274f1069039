// The files of a container image as a tree: its layers one over the other, whiteouts taken out,
// what `include` chooses kept. Ownership, times and set-user-ID bits are dropped, devices and pipes
// left out; bin, lib ... are folded below usr. Bytes of what is not chosen are not kept in memory.
// Thread-safe. Source: the OCI Image Format Specification, "Image Layer Filesystem Changeset".
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/status.h"
#include "toolchain/root/deb.h"
#include "toolchain/root/file_tree.h"

namespace lre::toolchain {

struct ImageTreeOptions {
  std::vector<std::string> include;  // patterns of files or folders in the image; empty: all
  std::string into;                  // the folder that everything goes below; empty: the root
  int strip = 0;                     // leading folders of names that are left out
  UnpackOptions limits;
};

// `layers` are files, lowest first, of any compression that libarchive reads (gzip, zstd, none).
// kDataLoss: damaged, or a name that leaves the tree; kNotFound: a pattern that fits nothing;
// kResourceExhausted.
Result<FileTree> UnpackLayers(const std::vector<std::string>& layers,
                              const ImageTreeOptions& options);

// The files of the image with this manifest or index, all of whose parts are in `files` (SHA-256 ->
// file; oci/image.h, FetchImage).
Result<FileTree> UnpackImage(const std::string& sha256, const std::string& system,
                             const std::map<std::string, std::string>& files,
                             const ImageTreeOptions& options);

}  // namespace lre::toolchain

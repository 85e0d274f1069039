// A toolchain with changes that are being tried: files laid over store paths, under new names, for
// the loop of edit and build. What references a changed path gets a new name too, its bytes naming
// the new one: names have one length, so this is a replacement in place, without unpacking,
// relocating or linking anything anew. Files that stay are hard links to those of the old path.
// Blocking; several at once are fine.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "toolchain/root/sync.h"

namespace lre::toolchain {

struct Overlay {
  std::string role;
  std::string directory;
  // The folder is all that the path holds (an edited copy of it); otherwise its files are laid over
  // what is there.
  bool whole = false;
};

struct DevelopmentOptions {
  SyncOptions sync;
  // Also try the compilers as a sync does. It takes longer than all the rest.
  bool self_test = false;
};

// The manifest of `toolchain`, as SyncToolchain gives it, with the changes. The same changes give
// the same paths. What the compilers are is asked again. kNotFound: no path with that role;
// kInvalidArgument: a folder that cannot be read, or files that name paths outside the toolchain.
Result<Manifest> DevelopToolchain(const Lock& lock, std::string_view toolchain,
                                  const std::vector<Overlay>& overlays,
                                  const DevelopmentOptions& options, SyncProgress& progress);

// Copies what a store path holds to `directory`, which must not exist, for editing.
Status CopyForEditing(const StorePath& path, const std::string& directory);

}  // namespace lre::toolchain

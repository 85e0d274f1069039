// The Nix store paths of a lock (spec.h, kNix): which there are, how they get to /nix/store, and
// the links by which an LRE path offers what they hold. Nothing in them is changed. Blocking;
// thread-safe on distinct paths.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/status.h"
#include "toolchain/lock/lock.h"
#include "toolchain/lock/manifest.h"
#include "toolchain/root/file_tree.h"
#include "toolchain/root/toolchain_store.h"

namespace lre::toolchain {

// Those that the paths `names` of the lock need, each once, references before referrers; role
// "nix.<hash>", package "nar=<sha256>". kInvalidArgument: two of them have one name and other
// bytes.
Result<std::vector<StorePath>> PlannedNixPaths(const Lock& lock,
                                               const std::vector<std::string>& names);

// Makes the path from its archive in `files` (SHA-256 -> file), or takes the tree that Nix itself
// put there when it has these bytes. Ok when it is there. kFailedPrecondition: it is there with
// other bytes than those planned; kNotFound: not in `files`.
Status MakeNixPath(ToolchainStore& store, const StorePath& planned,
                   const std::map<std::string, std::string>& files);

// Leaves in `extra.closure` what is to be fetched: those that are neither in the store nor where
// Nix puts them.
Status DropPresent(const ToolchainStore* store, Extra* extra);

// Puts into `tree` links to the Nix paths of its extras: one to the whole path, at `into`, else
// "nix/<name of the extra>", and one in usr/bin for each of its programs. Returns the paths.
// kAlreadyExists: something else is there.
Result<std::vector<std::string>> AddNixLinks(const LockedPath& locked, FileTree* tree);

}  // namespace lre::toolchain

// What a store path holds besides packages of archives (spec.h, Extra): files of the project, local
// packages, archives; and what it leaves out or patches. Memory in, memory out: thread-safe on
// distinct trees. Errors name the extra, and of a patch the file and the line of the patch.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "toolchain/lock/lock.h"
#include "toolchain/root/file_tree.h"
#include "toolchain/root/sync.h"

namespace lre::toolchain {

// The files of a kDeb, kTar or kOci (whose `system` is set); empty for others. kNotFound: not in
// options.extras.
Result<FileTree> UnpackExtra(const Extra& extra, const SyncOptions& options);

// Leaves out what `locked.drop` says, puts the kFile extras in place (of what may be there), then
// applies the patches, all in the order of names. kNotFound: a pattern that fits nothing, a file
// that is not in options.extras; kFailedPrecondition: a patch that does not fit.
Status ShapeTree(FileTree& tree, const LockedPath& locked, const SyncOptions& options);

// Whether `pattern` fits `path`: '?' and '*' any characters but '/', "**" any.
bool MatchesPattern(std::string_view pattern, std::string_view path);

// Applies a unified diff (git's or diff -u's) to the text files of `tree`; names lose their first
// `strip` folders. Strict: every hunk must fit where it says, as the files are known to the byte.
Status ApplyPatch(FileTree& tree, std::string_view diff, int strip);

}  // namespace lre::toolchain

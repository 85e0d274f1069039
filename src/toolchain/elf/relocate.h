// Relocates an ELF file: sets the loader it names and the directories in which it finds its
// libraries, so that it runs from a fixed store prefix. Bytes in, bytes out; the same input gives
// the same output. Pure functions, thread-safe. Hostile bytes give an error, never a crash. The
// method is described at the top of relocate.cc.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace lre::toolchain {

struct ElfRelocation {
  // New PT_INTERP; empty leaves it alone, and so does a file that has none.
  std::string interpreter;
  // New DT_RPATH. Entries of the old one that begin with $ORIGIN stay in front; all others go. It
  // is DT_RPATH, not DT_RUNPATH: LD_LIBRARY_PATH must not override it and children must inherit it.
  std::vector<std::string> rpath;
  // Sets DF_1_NODEFLIB: a library missing from the rpath is an error instead of the host's.
  bool no_default_libraries = false;
  // A program's new segment lies as far into the file as into memory (see relocate.cc), so a large
  // .bss makes a large hole; beyond this the program is refused with kResourceExhausted.
  uint64_t growth_bytes_max = 64 << 20;
};

// kFailedPrecondition: already relocated (always start from the package's file), or not a dynamic
// program or library; kInvalidArgument: not a consistent ELF file, or a path with ':' or NUL in it.
Result<std::string> RelocateElf(std::string_view bytes, const ElfRelocation& relocation);

// Replaces the NUL-terminated string `from`, wherever it stands as a whole string in `bytes` (after
// a NUL), by `to`. Returns how many were replaced; a test or an audit decides how many there must
// be. kInvalidArgument unless both have the same, non-zero length and no NUL.
Result<size_t> ReplaceStrings(std::string& bytes, std::string_view from, std::string_view to);

// The same for the first characters of whole strings: every NUL-terminated string that begins with
// `from` begins with `to` afterwards.
Result<size_t> ReplaceStringPrefixes(std::string& bytes, std::string_view from,
                                     std::string_view to);

}  // namespace lre::toolchain

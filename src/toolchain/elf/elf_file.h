// Reads what LRE must know of an ELF file: its kind, what it needs at run time and where it looks.
// Pure functions over bytes, thread-safe. The bytes may be hostile: every read is checked, sizes
// and counts are bounded by the file itself, and a file that lies gives kInvalidArgument with the
// field. Only 64-bit little-endian x86-64 and AArch64 files are understood in depth; others are
// kOther. Sources: System V ABI gABI 4.1 chapters 4 and 5; elf(5); the processor supplements.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace lre::toolchain {

enum class ElfMachine { kOther, kX86_64, kAarch64 };

enum class ElfKind {
  kOther,       // another class, byte order or machine; core files
  kObject,      // .o and kernel modules: ET_REL
  kStatic,      // runs without a loader: no PT_DYNAMIC, or static-pie
  kExecutable,  // names a loader in PT_INTERP
  kLibrary,     // ET_DYN without PT_INTERP; the loader itself is one
  kDebug,       // separate debug information: headers without contents
};

struct ElfFacts {
  ElfKind kind = ElfKind::kOther;
  ElfMachine machine = ElfMachine::kOther;
  bool position_independent = false;  // ET_DYN
  std::string interpreter;            // PT_INTERP
  std::string soname;                 // DT_SONAME
  std::vector<std::string> needed;    // DT_NEEDED, in order
  std::vector<std::string> rpath;     // DT_RPATH, split at ':'
  std::vector<std::string> runpath;   // DT_RUNPATH, split at ':'
  bool relocated = false;             // the output of RelocateElf
};

// Whether `bytes` begins as an ELF file does.
bool IsElf(std::string_view bytes);
// REQUIRES nothing of `bytes`. kInvalidArgument: not ELF, or inconsistent.
Result<ElfFacts> ReadElf(std::string_view bytes);

}  // namespace lre::toolchain

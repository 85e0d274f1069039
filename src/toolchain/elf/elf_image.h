// The tables of one ELF file, read once with every bound checked; shared by the reader and the
// relocator of this folder and used by nobody else. Plain values; thread-safe.
#pragma once

#include <elf.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace lre::toolchain {

// Addresses beyond this are refused, so that sums of a few of them cannot overflow.
inline constexpr uint64_t kElfAddressMax = 1ull << 47;
// First bytes of the segment that RelocateElf appends: how an already relocated file is known.
inline constexpr std::string_view kRelocatedMark{"LRE relocated 1\0", 16};

struct ElfImage {
  Elf64_Ehdr header{};
  std::vector<Elf64_Phdr> segments;
  std::vector<Elf64_Shdr> sections;     // empty when the file has none
  std::optional<size_t> dynamic_index;  // of PT_DYNAMIC in `segments`
  std::optional<size_t> interp_index;   // of PT_INTERP
  std::vector<Elf64_Dyn> dynamic;       // without the DT_NULLs at its end
  uint64_t strtab_offset = 0;           // of DT_STRTAB in the file; 0 when there is none
  uint64_t strtab_size = 0;
  bool relocated = false;
  bool debug_only = false;

  // First dynamic entry with `tag`.
  std::optional<uint64_t> Dynamic(int64_t tag) const;
};

// The machine of a 64-bit little-endian file that this folder handles; EM_NONE for any other ELF
// file. kInvalidArgument when it is not ELF or shorter than its header.
Result<uint16_t> HandledMachine(std::string_view bytes);
// REQUIRES: HandledMachine(bytes) is not EM_NONE, and it is ET_EXEC or ET_DYN.
Result<ElfImage> ParseElfImage(std::string_view bytes);
// The string at `offset` of the dynamic string table.
Result<std::string_view> DynamicString(std::string_view bytes, const ElfImage& image,
                                       uint64_t offset);
// `bytes` from `offset` up to the NUL, which must come before `end`.
Result<std::string_view> StringAt(std::string_view bytes, uint64_t offset, uint64_t end);

}  // namespace lre::toolchain

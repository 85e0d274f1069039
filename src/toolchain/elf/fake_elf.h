// ELF files for tests: the tables of a dynamic program or library and no code, so small that every
// byte of them counts. Pure functions.
#pragma once

#include <elf.h>

#include <cstdint>
#include <string>

namespace lre::toolchain {

struct TinyElf {
  uint16_t type = ET_DYN;
  uint16_t machine = EM_X86_64;
  bool interpreter = true;
  std::string rpath;  // of the old file, as DT_RUNPATH
  uint64_t bss_bytes = 0x2345;
  int spare = 3;  // DT_NULLs beyond the needed one
  uint64_t base = 0;
};

// It needs libc.so.6 and libz.so.1 and is called self.so.
std::string MakeElf(const TinyElf& tiny);

}  // namespace lre::toolchain

#include "toolchain/elf/fake_elf.h"

#include <cstring>
#include <string_view>
#include <vector>

namespace lre::toolchain {
namespace {

template <typename T>
void Append(std::string& bytes, const T& value) {
  bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
}

}  // namespace

std::string MakeElf(const TinyElf& tiny) {
  const std::string_view interp("/lib64/ld.so", 13);
  std::string strings("\0libc.so.6\0libz.so.1\0self.so\0", 29);
  uint64_t rpath_at = strings.size();
  if (!tiny.rpath.empty()) strings += tiny.rpath + '\0';
  std::vector<Elf64_Phdr> segments;
  uint64_t count = 3 + (tiny.interpreter ? 2 : 0);
  uint64_t interp_at = sizeof(Elf64_Ehdr) + count * sizeof(Elf64_Phdr);
  uint64_t strings_at = interp_at + 16, dynamic_at = (strings_at + strings.size() + 15) / 16 * 16;
  std::vector<Elf64_Dyn> dynamic = {{DT_NEEDED, {1}},
                                    {DT_NEEDED, {11}},
                                    {DT_SONAME, {21}},
                                    {DT_STRTAB, {tiny.base + strings_at}},
                                    {DT_STRSZ, {strings.size()}}};
  if (!tiny.rpath.empty()) dynamic.push_back({DT_RUNPATH, {rpath_at}});
  dynamic.resize(dynamic.size() + 1 + static_cast<size_t>(tiny.spare));
  uint64_t dynamic_size = dynamic.size() * sizeof(Elf64_Dyn), end = dynamic_at + dynamic_size;
  auto segment = [&](uint32_t type, uint64_t at, uint64_t size, uint64_t align) {
    segments.push_back({type, PF_R | PF_W, at, tiny.base + at, tiny.base + at, size, size, align});
  };
  if (tiny.interpreter) {
    segment(PT_PHDR, sizeof(Elf64_Ehdr), count * sizeof(Elf64_Phdr), 8);
    segment(PT_INTERP, interp_at, interp.size(), 1);
  }
  segment(PT_LOAD, 0, end, 0x1000);
  segments.back().p_memsz += tiny.bss_bytes;
  segment(PT_DYNAMIC, dynamic_at, dynamic_size, 8);
  segment(PT_GNU_STACK, 0, 0, 16);
  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_ident[EI_VERSION] = EV_CURRENT;
  header.e_type = tiny.type;
  header.e_machine = tiny.machine;
  header.e_version = EV_CURRENT;
  header.e_phoff = header.e_ehsize = sizeof header;
  header.e_phentsize = sizeof(Elf64_Phdr);
  header.e_phnum = static_cast<uint16_t>(segments.size());
  std::string bytes;
  Append(bytes, header);
  for (const auto& s : segments) Append(bytes, s);
  bytes += interp;
  bytes.resize(strings_at);
  bytes += strings;
  bytes.resize(dynamic_at);
  for (const auto& d : dynamic) Append(bytes, d);
  return bytes;
}

}  // namespace lre::toolchain

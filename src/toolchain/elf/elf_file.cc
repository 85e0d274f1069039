#include "toolchain/elf/elf_file.h"

#include <cstring>

#include "toolchain/elf/elf_image.h"

namespace lre::toolchain {
namespace {

std::vector<std::string> SplitPath(std::string_view path) {
  std::vector<std::string> entries;
  while (!path.empty()) {
    size_t end = std::min(path.find(':'), path.size());
    if (end != 0) entries.emplace_back(path.substr(0, end));
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  return entries;
}

Status ReadDynamicNames(std::string_view bytes, const ElfImage& image, ElfFacts& facts) {
  for (const Elf64_Dyn& entry : image.dynamic) {
    bool named = entry.d_tag == DT_NEEDED || entry.d_tag == DT_SONAME || entry.d_tag == DT_RPATH ||
                 entry.d_tag == DT_RUNPATH;
    if (!named) continue;
    TRY_ASSIGN(std::string_view name, DynamicString(bytes, image, entry.d_un.d_val));
    if (entry.d_tag == DT_NEEDED) facts.needed.emplace_back(name);
    if (entry.d_tag == DT_SONAME) facts.soname = name;
    if (entry.d_tag == DT_RPATH) facts.rpath = SplitPath(name);
    if (entry.d_tag == DT_RUNPATH) facts.runpath = SplitPath(name);
  }
  return {};
}

ElfKind KindOf(const ElfImage& image, const ElfFacts& facts) {
  if (image.debug_only) return ElfKind::kDebug;
  if (image.interp_index) return ElfKind::kExecutable;
  if (!image.dynamic_index) return ElfKind::kStatic;
  auto flags = image.Dynamic(DT_FLAGS_1);
  bool static_pie = flags && (*flags & DF_1_PIE) != 0 && facts.needed.empty();
  return static_pie ? ElfKind::kStatic : ElfKind::kLibrary;
}

}  // namespace

bool IsElf(std::string_view bytes) { return bytes.starts_with(std::string_view(ELFMAG, SELFMAG)); }

Result<ElfFacts> ReadElf(std::string_view bytes) {
  ElfFacts facts;
  TRY_ASSIGN(uint16_t machine, HandledMachine(bytes));
  if (machine == EM_NONE) return facts;
  facts.machine = machine == EM_X86_64 ? ElfMachine::kX86_64 : ElfMachine::kAarch64;
  Elf64_Ehdr header;
  std::memcpy(&header, bytes.data(), sizeof header);
  if (header.e_type == ET_REL) facts.kind = ElfKind::kObject;
  if (header.e_type != ET_EXEC && header.e_type != ET_DYN) return facts;
  facts.position_independent = header.e_type == ET_DYN;
  TRY_ASSIGN(ElfImage image, ParseElfImage(bytes));
  TRY(ReadDynamicNames(bytes, image, facts));
  facts.kind = KindOf(image, facts);
  facts.relocated = image.relocated;
  if (facts.kind == ElfKind::kExecutable) {
    const Elf64_Phdr& segment = image.segments[*image.interp_index];
    TRY_ASSIGN(facts.interpreter,
               StringAt(bytes, segment.p_offset, segment.p_offset + segment.p_filesz));
  }
  return facts;
}

}  // namespace lre::toolchain

#include "toolchain/elf/elf_image.h"

#include <cstring>

namespace lre::toolchain {
namespace {

bool Inside(uint64_t offset, uint64_t size, uint64_t total) {
  return offset <= total && size <= total - offset;
}

// Copies out: the bytes need not be aligned, and what was checked cannot change.
template <typename T>
Result<std::vector<T>> ReadTable(std::string_view bytes, uint64_t offset, uint64_t count,
                                 const char* what) {
  if (!Inside(offset, count * sizeof(T), bytes.size()))
    return Error(Code::kInvalidArgument,
                 "ELF: {} at offset {} with {} entries does not lie in the file of {} bytes", what,
                 offset, count, bytes.size());
  std::vector<T> table(count);
  if (count != 0) std::memcpy(table.data(), bytes.data() + offset, count * sizeof(T));
  return table;
}

Status CheckSegment(const Elf64_Phdr& segment, size_t index, size_t file_size) {
  auto invalid = [&](const char* what) {
    return ErrorStatus(Code::kInvalidArgument, "ELF: program header {} {}", index, what);
  };
  if (segment.p_vaddr > kElfAddressMax || segment.p_memsz > kElfAddressMax)
    return invalid("has an address beyond 2^47");
  if (!Inside(segment.p_offset, segment.p_filesz, file_size))
    return invalid("does not lie in the file");
  if (segment.p_type != PT_LOAD) return {};
  if (segment.p_filesz > segment.p_memsz) return invalid("is larger in the file than in memory");
  if ((segment.p_align & (segment.p_align - 1)) != 0 || segment.p_align > (1ull << 30))
    return invalid("has an alignment that is no power of two up to 2^30");
  if (segment.p_align > 1 && (segment.p_vaddr - segment.p_offset) % segment.p_align != 0)
    return invalid("has an address that does not match its offset");
  return {};
}

// Where the byte at `address` lies in the file, when `size` bytes from it do so too.
std::optional<uint64_t> FileOffset(const ElfImage& image, uint64_t address, uint64_t size) {
  for (const Elf64_Phdr& segment : image.segments) {
    if (segment.p_type != PT_LOAD || address < segment.p_vaddr) continue;
    uint64_t skip = address - segment.p_vaddr;
    if (Inside(skip, size, segment.p_filesz)) return segment.p_offset + skip;
  }
  return std::nullopt;
}

Status ReadSegments(std::string_view bytes, ElfImage& image) {
  const Elf64_Ehdr& header = image.header;
  if (header.e_phnum == PN_XNUM)
    return ErrorStatus(Code::kInvalidArgument, "ELF: 65535 or more program headers");
  if (header.e_phnum != 0 && header.e_phentsize != sizeof(Elf64_Phdr))
    return ErrorStatus(Code::kInvalidArgument, "ELF: program headers of {} bytes",
                       header.e_phentsize);
  TRY_ASSIGN(image.segments,
             ReadTable<Elf64_Phdr>(bytes, header.e_phoff, header.e_phnum, "program header table"));
  for (size_t i = 0; i < image.segments.size(); ++i) {
    const Elf64_Phdr& segment = image.segments[i];
    TRY(CheckSegment(segment, i, bytes.size()));
    if (segment.p_type == PT_DYNAMIC || segment.p_type == PT_INTERP) {
      auto& index = segment.p_type == PT_DYNAMIC ? image.dynamic_index : image.interp_index;
      if (index)
        return ErrorStatus(Code::kInvalidArgument, "ELF: two program headers of type {}",
                           segment.p_type);
      index = i;
    }
    if (segment.p_type == PT_LOAD && segment.p_filesz >= kRelocatedMark.size() &&
        bytes.substr(segment.p_offset, kRelocatedMark.size()) == kRelocatedMark)
      image.relocated = true;
  }
  return {};
}

Status ReadSections(std::string_view bytes, ElfImage& image) {
  const Elf64_Ehdr& header = image.header;
  if (header.e_shoff == 0 || header.e_shnum == 0) return {};
  if (header.e_shentsize != sizeof(Elf64_Shdr))
    return ErrorStatus(Code::kInvalidArgument, "ELF: section headers of {} bytes",
                       header.e_shentsize);
  TRY_ASSIGN(image.sections,
             ReadTable<Elf64_Shdr>(bytes, header.e_shoff, header.e_shnum, "section header table"));
  for (const Elf64_Shdr& section : image.sections) {
    bool dynamic = section.sh_type == SHT_NOBITS && image.dynamic_index && section.sh_size != 0 &&
                   section.sh_addr == image.segments[*image.dynamic_index].p_vaddr;
    if (dynamic) image.debug_only = true;
  }
  return {};
}

Status ReadDynamic(std::string_view bytes, ElfImage& image) {
  const Elf64_Phdr& segment = image.segments[*image.dynamic_index];
  if (segment.p_filesz == 0) image.debug_only = true;
  if (image.debug_only) return {};
  uint64_t count = segment.p_filesz / sizeof(Elf64_Dyn);
  TRY_ASSIGN(image.dynamic, ReadTable<Elf64_Dyn>(bytes, segment.p_offset, count, "dynamic table"));
  size_t used = 0;
  while (used < image.dynamic.size() && image.dynamic[used].d_tag != DT_NULL) ++used;
  if (used == image.dynamic.size())
    return ErrorStatus(Code::kInvalidArgument, "ELF: the dynamic table has no DT_NULL");
  image.dynamic.resize(used);
  auto address = image.Dynamic(DT_STRTAB), size = image.Dynamic(DT_STRSZ);
  if (!address && !size) return {};
  if (!address || !size || *size == 0)
    return ErrorStatus(Code::kInvalidArgument, "ELF: DT_STRTAB without DT_STRSZ or the reverse");
  auto offset = FileOffset(image, *address, *size);
  if (!offset)
    return ErrorStatus(Code::kInvalidArgument,
                       "ELF: DT_STRTAB at {:#x} with {} bytes lies in no loaded segment", *address,
                       *size);
  if (bytes[*offset + *size - 1] != '\0')
    return ErrorStatus(Code::kInvalidArgument,
                       "ELF: the dynamic string table does not end with NUL");
  image.strtab_offset = *offset;
  image.strtab_size = *size;
  return {};
}

}  // namespace

std::optional<uint64_t> ElfImage::Dynamic(int64_t tag) const {
  for (const Elf64_Dyn& entry : dynamic)
    if (entry.d_tag == tag) return entry.d_un.d_val;
  return std::nullopt;
}

Result<uint16_t> HandledMachine(std::string_view bytes) {
  if (bytes.substr(0, SELFMAG) != std::string_view(ELFMAG, SELFMAG))
    return Error(Code::kInvalidArgument, "not an ELF file");
  if (bytes.size() < EI_NIDENT) return Error(Code::kInvalidArgument, "ELF: the header is cut off");
  if (bytes[EI_CLASS] != ELFCLASS64 || bytes[EI_DATA] != ELFDATA2LSB) return uint16_t{EM_NONE};
  if (bytes.size() < sizeof(Elf64_Ehdr))
    return Error(Code::kInvalidArgument, "ELF: the header is cut off");
  Elf64_Ehdr header;
  std::memcpy(&header, bytes.data(), sizeof header);
  bool handled = header.e_machine == EM_X86_64 || header.e_machine == EM_AARCH64;
  return handled ? header.e_machine : uint16_t{EM_NONE};
}

Result<ElfImage> ParseElfImage(std::string_view bytes) {
  ElfImage image;
  std::memcpy(&image.header, bytes.data(), sizeof image.header);
  TRY(ReadSegments(bytes, image));
  TRY(ReadSections(bytes, image));
  if (image.dynamic_index) TRY(ReadDynamic(bytes, image));
  return image;
}

Result<std::string_view> StringAt(std::string_view bytes, uint64_t offset, uint64_t end) {
  if (offset >= end || end > bytes.size())
    return Error(Code::kInvalidArgument, "ELF: a string at offset {} lies outside its table",
                 offset);
  std::string_view rest = bytes.substr(offset, end - offset);
  size_t length = rest.find('\0');
  if (length == rest.npos)
    return Error(Code::kInvalidArgument, "ELF: the string at offset {} has no end", offset);
  return rest.substr(0, length);
}

Result<std::string_view> DynamicString(std::string_view bytes, const ElfImage& image,
                                       uint64_t offset) {
  if (offset >= image.strtab_size)
    return Error(Code::kInvalidArgument,
                 "ELF: name {} lies beyond the dynamic string table of {} bytes", offset,
                 image.strtab_size);
  return StringAt(bytes, image.strtab_offset + offset, image.strtab_offset + image.strtab_size);
}

}  // namespace lre::toolchain

// How a file is relocated
// =======================
// Three things must grow: the name of the loader (PT_INTERP), the dynamic string table (it gets the
// new DT_RPATH) and the program header table (it gets one more entry). None has room where it
// stands, and nothing else may move: code refers to everything by distance. So the file keeps all
// its bytes at their offsets, and one new PT_LOAD behind the last holds new copies of the tables
// that grow:
//
//      old file, unchanged but for a few fields     (hole)     new segment
//   +-----------------------------------------------+- - -
//   -+--------------------------------------+ | ELF header, segments, section headers         | |
//   mark | phdrs | interp | dynstr | dyn |
//   +-----------------------------------------------+- - -
//   -+--------------------------------------+
//
// The fields that change: e_phoff and e_phnum; PT_PHDR, PT_INTERP (and PT_DYNAMIC) point into the
// new segment; in the dynamic table DT_STRTAB, DT_STRSZ, DT_RPATH and DT_FLAGS_1; and the section
// headers of .interp, .dynstr (and .dynamic), which the run-time loader ignores but the link editor
// reads when it links against a library.
//
// The dynamic table itself stays where it is while it has spare DT_NULLs at its end (the GNU linker
// leaves five), and else moves too. It moves into a writable segment, as the loader writes DT_DEBUG
// and relocates the table in place; when it stays, the new segment is read-only.
//
// Where the new segment lies. In memory: at the next page after everything else. In the file: for a
// library at the next page too. Any other offset would do for the segment, but glibc takes as the
// program headers' place in memory the first mapping whose whole pages hold e_phoff. Closer, that
// is the end of the data segment, where .bss is zeroed: the library loads, and no exception that
// passes through it is ever caught. For a program the
// distance must be that of its first segment. Linux before 5.18 tells the loader where the program
// headers are (AT_PHDR) as first address + e_phoff without looking where that offset is really
// mapped. So the file has a hole as long as the program's .bss, sparse on disk and bounded.
//
// Order matters in two places: PT_LOADs must ascend by address, so ours goes after the last one;
// and PT_PHDR must come before them, which it does.
//
// A relocated file is refused: its first segment would be relocated into a second, and so
// the bytes would depend on history. The mark at the start of the segment tells.
#include "toolchain/elf/relocate.h"

#include <algorithm>
#include <cstring>

#include "toolchain/elf/elf_file.h"
#include "toolchain/elf/elf_image.h"

namespace lre::toolchain {
namespace {

constexpr uint64_t kPageMin = 0x1000;

uint64_t AlignUp(uint64_t value, uint64_t alignment) {
  return (value + alignment - 1) / alignment * alignment;
}

template <typename T>
void Put(std::string& bytes, uint64_t offset, const T& value) {
  std::memcpy(bytes.data() + offset, &value, sizeof value);
}

std::string JoinRpath(const ElfFacts& facts, const std::vector<std::string>& directories) {
  std::vector<std::string> entries;
  auto add = [&](const std::string& entry) {
    if (std::find(entries.begin(), entries.end(), entry) == entries.end()) entries.push_back(entry);
  };
  // The loader ignores DT_RPATH when there is a DT_RUNPATH.
  for (const std::string& entry : facts.runpath.empty() ? facts.rpath : facts.runpath)
    if (entry.starts_with("$ORIGIN") || entry.starts_with("${ORIGIN}")) add(entry);
  for (const std::string& directory : directories) add(directory);
  std::string joined;
  for (const std::string& entry : entries) joined += (joined.empty() ? "" : ":") + entry;
  return joined;
}

// One relocation: the parts of the new segment, then the fields that point at them.
class Relocator {
 public:
  Relocator(std::string_view bytes, ElfImage image) : bytes_(bytes), image_(std::move(image)) {}

  Result<std::string> Run(const ElfFacts& facts, const ElfRelocation& relocation) {
    if (facts.kind == ElfKind::kExecutable) interpreter_ = relocation.interpreter;
    TRY(BuildDynamic(JoinRpath(facts, relocation.rpath), relocation.no_default_libraries));
    TRY(Place(facts.kind == ElfKind::kExecutable, relocation.growth_bytes_max));
    return Emit();
  }

 private:
  Status BuildDynamic(const std::string& rpath, bool no_default_libraries) {
    strings_ = bytes_.substr(image_.strtab_offset, image_.strtab_size);
    auto& table = image_.dynamic;
    std::erase_if(table,
                  [](const Elf64_Dyn& d) { return d.d_tag == DT_RPATH || d.d_tag == DT_RUNPATH; });
    if (!rpath.empty()) {
      Elf64_Dyn entry{.d_tag = DT_RPATH, .d_un = {.d_val = strings_.size()}};
      strings_ += rpath + '\0';
      // Right after the names that are looked up along it, as a link editor would put it.
      auto after = std::find_if(table.begin(), table.end(), [](const Elf64_Dyn& d) {
        return d.d_tag != DT_NEEDED && d.d_tag != DT_SONAME;
      });
      table.insert(after, entry);
    }
    if (no_default_libraries) {
      auto flags = std::find_if(table.begin(), table.end(),
                                [](const Elf64_Dyn& d) { return d.d_tag == DT_FLAGS_1; });
      if (flags == table.end())
        flags = table.insert(flags, Elf64_Dyn{.d_tag = DT_FLAGS_1, .d_un = {.d_val = 0}});
      flags->d_un.d_val |= DF_1_NODEFLIB;
    }
    uint64_t capacity = image_.segments[*image_.dynamic_index].p_filesz / sizeof(Elf64_Dyn);
    move_dynamic_ = table.size() + 1 > capacity;
    return {};
  }

  // Decides where the new segment and each part in it lies.
  Status Place(bool program, uint64_t growth_bytes_max) {
    uint64_t page = kPageMin, memory_end = 0;
    const Elf64_Phdr* first = nullptr;
    for (const Elf64_Phdr& segment : image_.segments) {
      if (segment.p_type != PT_LOAD) continue;
      if (first == nullptr) first = &segment;
      page = std::max<uint64_t>(page, segment.p_align);
      memory_end = std::max(memory_end, segment.p_vaddr + segment.p_memsz);
    }
    if (first == nullptr) return ErrorStatus(Code::kInvalidArgument, "ELF: nothing is loaded");
    uint64_t address = AlignUp(memory_end, page);
    uint64_t offset = AlignUp(bytes_.size(), page);
    if (program) {
      if (first->p_vaddr < first->p_offset)
        return ErrorStatus(Code::kInvalidArgument,
                           "ELF: the first segment lies lower in memory than in the file");
      uint64_t distance = first->p_vaddr - first->p_offset;
      // The file may be longer than the memory image: debug sections are not loaded.
      address = std::max(address, AlignUp(offset + distance, page));
      offset = address - distance;
    }
    if (address > kElfAddressMax)
      return ErrorStatus(Code::kInvalidArgument, "ELF: no address is left behind the last segment");
    if (offset - bytes_.size() > growth_bytes_max)
      return ErrorStatus(Code::kResourceExhausted,
                         "ELF: relocating leaves a hole of {} bytes, more than the allowed {}",
                         offset - bytes_.size(), growth_bytes_max);
    segment_ = {.p_type = PT_LOAD,
                .p_flags = move_dynamic_ ? Elf64_Word{PF_R | PF_W} : Elf64_Word{PF_R},
                .p_offset = offset,
                .p_vaddr = address,
                .p_paddr = address,
                .p_align = page};
    uint64_t at = kRelocatedMark.size();
    auto reserve = [&](uint64_t size, uint64_t alignment) {
      at = AlignUp(at, alignment);
      return std::exchange(at, at + size);
    };
    headers_at_ = reserve((image_.segments.size() + 1) * sizeof(Elf64_Phdr), 8);
    if (move_dynamic_) dynamic_at_ = reserve((image_.dynamic.size() + 1) * sizeof(Elf64_Dyn), 16);
    if (!interpreter_.empty()) interpreter_at_ = reserve(interpreter_.size() + 1, 1);
    strings_at_ = reserve(strings_.size(), 8);
    segment_.p_filesz = segment_.p_memsz = at;
    return {};
  }

  Result<std::string> Emit() {
    std::string out;
    out.reserve(segment_.p_offset + segment_.p_filesz);  // or resize copies it all again
    out = bytes_;
    out.resize(segment_.p_offset + segment_.p_filesz, '\0');
    auto place = [&](uint64_t at, std::string_view part) {
      std::memcpy(out.data() + segment_.p_offset + at, part.data(), part.size());
    };
    place(0, kRelocatedMark);
    place(strings_at_, strings_);
    if (!interpreter_.empty()) place(interpreter_at_, interpreter_);
    for (Elf64_Dyn& entry : image_.dynamic) {
      if (entry.d_tag == DT_STRTAB) entry.d_un.d_ptr = segment_.p_vaddr + strings_at_;
      if (entry.d_tag == DT_STRSZ) entry.d_un.d_val = strings_.size();
    }
    UpdateSections(out);  // before the segments: it finds sections by their old addresses
    UpdateSegments();
    WriteDynamic(out);
    auto headers = std::string_view(reinterpret_cast<const char*>(image_.segments.data()),
                                    image_.segments.size() * sizeof(Elf64_Phdr));
    place(headers_at_, headers);
    image_.header.e_phoff = segment_.p_offset + headers_at_;
    image_.header.e_phnum = static_cast<Elf64_Half>(image_.segments.size());
    Put(out, 0, image_.header);
    return out;
  }

  void WriteDynamic(std::string& out) {
    const Elf64_Phdr& dynamic =
        image_.segments[*image_.dynamic_index + (inserted_at_ <= *image_.dynamic_index)];
    size_t room = dynamic.p_filesz / sizeof(Elf64_Dyn);
    for (size_t i = 0; i < room; ++i) {
      Elf64_Dyn entry = i < image_.dynamic.size() ? image_.dynamic[i] : Elf64_Dyn{};
      Put(out, dynamic.p_offset + i * sizeof entry, entry);
    }
  }

  void Move(Elf64_Phdr& segment, uint64_t at, uint64_t size) const {
    segment.p_offset = segment_.p_offset + at;
    segment.p_vaddr = segment.p_paddr = segment_.p_vaddr + at;
    segment.p_filesz = segment.p_memsz = size;
  }

  void UpdateSegments() {
    auto& segments = image_.segments;
    size_t last_load = 0;
    for (size_t i = 0; i < segments.size(); ++i) {
      Elf64_Phdr& segment = segments[i];
      if (segment.p_type == PT_LOAD) last_load = i;
      if (segment.p_type == PT_PHDR)
        Move(segment, headers_at_, (segments.size() + 1) * sizeof segment);
      if (segment.p_type == PT_INTERP && !interpreter_.empty())
        Move(segment, interpreter_at_, interpreter_.size() + 1);
      if (segment.p_type == PT_DYNAMIC && move_dynamic_)
        Move(segment, dynamic_at_, (image_.dynamic.size() + 1) * sizeof(Elf64_Dyn));
    }
    inserted_at_ = last_load + 1;
    segments.insert(segments.begin() + static_cast<ptrdiff_t>(inserted_at_), segment_);
  }

  void UpdateSections(std::string& out) const {
    for (size_t i = 0; i < image_.sections.size(); ++i) {
      Elf64_Shdr section = image_.sections[i];
      if ((section.sh_flags & SHF_ALLOC) == 0) continue;
      auto move = [&](uint64_t at, uint64_t size) {
        section.sh_offset = segment_.p_offset + at;
        section.sh_addr = segment_.p_vaddr + at;
        section.sh_size = size;
      };
      const Elf64_Phdr& dynamic = image_.segments[*image_.dynamic_index];
      if (section.sh_type == SHT_STRTAB && section.sh_offset == image_.strtab_offset)
        move(strings_at_, strings_.size());
      else if (section.sh_type == SHT_DYNAMIC && section.sh_offset == dynamic.p_offset &&
               move_dynamic_)
        move(dynamic_at_, (image_.dynamic.size() + 1) * sizeof(Elf64_Dyn));
      else if (section.sh_type == SHT_PROGBITS && !interpreter_.empty() &&
               section.sh_offset == image_.segments[*image_.interp_index].p_offset)
        move(interpreter_at_, interpreter_.size() + 1);
      Put(out, image_.header.e_shoff + i * sizeof section, section);
    }
  }

  std::string_view bytes_;
  ElfImage image_;
  std::string interpreter_, strings_;
  bool move_dynamic_ = false;
  Elf64_Phdr segment_{};
  uint64_t headers_at_ = 0, dynamic_at_ = 0, interpreter_at_ = 0,
           strings_at_ = 0;  // in the segment
  size_t inserted_at_ = 0;
};

Status CheckRelocation(const ElfRelocation& relocation) {
  for (const std::string& directory : relocation.rpath)
    if (directory.empty() ||
        directory.find_first_of(std::string_view(":\0", 2)) != std::string::npos)
      return ErrorStatus(Code::kInvalidArgument,
                         "rpath entry '{}' is empty or has ':' or NUL in it", directory);
  if (relocation.interpreter.find('\0') != std::string::npos)
    return ErrorStatus(Code::kInvalidArgument, "the interpreter has NUL in its name");
  return {};
}

// Calls `at(position)` for each `from` that begins a NUL-terminated string.
template <typename F>
void ForEachStringStart(const std::string& bytes, std::string_view from, F at) {
  for (size_t i = bytes.find(from); i != std::string::npos; i = bytes.find(from, i + from.size()))
    if (i == 0 || bytes[i - 1] == '\0') at(i);
}

Status CheckSameLength(std::string_view from, std::string_view to) {
  if (from.empty() || from.size() != to.size())
    return ErrorStatus(Code::kInvalidArgument, "'{}' and '{}' are not of one length", from, to);
  if (from.find('\0') != from.npos || to.find('\0') != to.npos)
    return ErrorStatus(Code::kInvalidArgument, "a string to replace has NUL in it");
  return {};
}

}  // namespace

Result<std::string> RelocateElf(std::string_view bytes, const ElfRelocation& relocation) {
  TRY(CheckRelocation(relocation));
  TRY_ASSIGN(ElfFacts facts, ReadElf(bytes));
  if (facts.kind != ElfKind::kExecutable && facts.kind != ElfKind::kLibrary)
    return Error(Code::kFailedPrecondition, "ELF: neither a dynamic program nor a library");
  if (facts.relocated)
    return Error(Code::kFailedPrecondition,
                 "ELF: already relocated; start from the file as packaged");
  TRY_ASSIGN(ElfImage image, ParseElfImage(bytes));
  if (image.segments.size() + 1 >= PN_XNUM)
    return Error(Code::kInvalidArgument, "ELF: no room for one more program header");
  if (!image.dynamic_index || image.strtab_size == 0)
    return Error(Code::kFailedPrecondition, "ELF: no dynamic string table");
  return Relocator(bytes, std::move(image)).Run(facts, relocation);
}

Result<size_t> ReplaceStrings(std::string& bytes, std::string_view from, std::string_view to) {
  TRY(CheckSameLength(from, to));
  size_t count = 0;
  std::string whole(from);
  whole += '\0';
  ForEachStringStart(bytes, whole, [&](size_t i) {
    bytes.replace(i, to.size(), to);
    ++count;
  });
  return count;
}

Result<size_t> ReplaceStringPrefixes(std::string& bytes, std::string_view from,
                                     std::string_view to) {
  TRY(CheckSameLength(from, to));
  size_t count = 0;
  ForEachStringStart(bytes, from, [&](size_t i) {
    bytes.replace(i, to.size(), to);
    ++count;
  });
  return count;
}

}  // namespace lre::toolchain

// ELF files that lie: whatever is relocated must again be a file that a loader accepts, when the
// original was one, with the same needs under the new loader and rpath, and must not be relocated
// a second time.
#include <elf.h>

#include <cstring>
#include <optional>

#include "base/check.h"
#include "fuzz.h"
#include "toolchain/elf/elf_file.h"
#include "toolchain/elf/fake_elf.h"
#include "toolchain/elf/relocate.h"

namespace lre::fuzz {
namespace {

const toolchain::ElfRelocation kRelocation = {
    .interpreter = "/lre/store/00000000000000000000000000000000-libc/lib64/ld.so",
    .rpath = {"/lre/store/own", "/lre/store/libc"},
    .no_default_libraries = true};

// What the kernel and the loader look at before a program's first instruction. `bytes` was read by
// ReadElf, so its tables are inside the file.
class LoadersView {
 public:
  explicit LoadersView(std::string_view bytes) : bytes_(bytes) {
    std::memcpy(&header_, bytes.data(), sizeof header_);
    segments_.resize(header_.e_phnum);
    std::memcpy(segments_.data(), bytes.data() + header_.e_phoff,
                segments_.size() * sizeof(Elf64_Phdr));
  }

  bool Accepts() const {
    uint64_t end = 0;
    bool any = false;
    for (const Elf64_Phdr& segment : segments_) {
      if (segment.p_type != PT_LOAD) continue;
      if (segment.p_vaddr < end || segment.p_memsz < segment.p_filesz || !InFile(segment) ||
          (segment.p_vaddr - segment.p_offset) % 0x1000 != 0)
        return false;
      end = segment.p_vaddr + segment.p_memsz;
      any = true;
    }
    for (const Elf64_Phdr& segment : segments_)
      if ((segment.p_type == PT_PHDR || segment.p_type == PT_DYNAMIC ||
           segment.p_type == PT_INTERP) &&
          (!InFile(segment) || OffsetOf(segment.p_vaddr, segment.p_filesz) != segment.p_offset))
        return false;
    return any && HeadersAreMapped();
  }

 private:
  bool InFile(const Elf64_Phdr& segment) const {
    return segment.p_offset <= bytes_.size() &&
           segment.p_filesz <= bytes_.size() - segment.p_offset;
  }
  bool HeadersAreMapped() const {
    for (const Elf64_Phdr& segment : segments_)
      if (segment.p_type == PT_PHDR)
        return segment.p_offset == header_.e_phoff &&
               segment.p_filesz == segments_.size() * sizeof(Elf64_Phdr);
    return true;  // libraries need none
  }
  std::optional<uint64_t> OffsetOf(uint64_t address, uint64_t size) const {
    for (const Elf64_Phdr& segment : segments_)
      if (segment.p_type == PT_LOAD && address >= segment.p_vaddr && size <= segment.p_filesz &&
          address - segment.p_vaddr <= segment.p_filesz - size)
        return segment.p_offset + (address - segment.p_vaddr);
    return std::nullopt;
  }

  std::string_view bytes_;
  Elf64_Ehdr header_;
  std::vector<Elf64_Phdr> segments_;
};

}  // namespace

std::vector<std::string> Seeds() {
  std::vector<std::string> seeds;
  for (bool program : {true, false})
    for (int spare : {0, 3})
      for (uint64_t base : {0x0, 0x400000}) {
        if (!program && base != 0) continue;
        seeds.push_back(
            toolchain::MakeElf({.type = static_cast<uint16_t>(base != 0 ? ET_EXEC : ET_DYN),
                                .interpreter = program,
                                .rpath = spare == 0 ? "/usr/lib/x:$ORIGIN/../lib" : "",
                                .spare = spare,
                                .base = base}));
      }
  seeds.push_back(toolchain::MakeElf({.machine = EM_AARCH64}));
  return seeds;
}

}  // namespace lre::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lre;
  const std::string_view bytes = fuzz::Text(data, size);
  auto before = toolchain::ReadElf(bytes);
  auto relocated = toolchain::RelocateElf(bytes, fuzz::kRelocation);
  if (!relocated) return 0;
  CHECK(before);
  auto after = toolchain::ReadElf(*relocated);
  CHECK(after, after ? "" : after.error().message());
  CHECK(after->relocated);
  CHECK(after->needed == before->needed);
  CHECK(after->soname == before->soname);
  CHECK(after->runpath.empty());
  CHECK(after->kind == before->kind);
  if (after->kind == toolchain::ElfKind::kExecutable)
    CHECK(after->interpreter == fuzz::kRelocation.interpreter);
  CHECK(fuzz::LoadersView(*relocated).Accepts() || !fuzz::LoadersView(bytes).Accepts());
  auto twice = toolchain::RelocateElf(*relocated, fuzz::kRelocation);
  CHECK(!twice && twice.error().code() == Code::kFailedPrecondition);
  return 0;
}

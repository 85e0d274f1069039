#include "toolchain/elf/relocate.h"

#include <elf.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstring>
#include <random>

#include "base/file.h"
#include "base/random.h"
#include "base/subprocess.h"
#include "toolchain/elf/elf_file.h"
#include "toolchain/elf/fake_elf.h"

namespace lre::toolchain {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using namespace std::string_literals;

ElfFacts Facts(std::string_view bytes) {
  auto facts = ReadElf(bytes);
  EXPECT_TRUE(facts) << facts.error().ToString();
  return facts.value_or(ElfFacts{});
}

std::vector<Elf64_Phdr> Segments(const std::string& bytes) {
  Elf64_Ehdr header;
  std::memcpy(&header, bytes.data(), sizeof header);
  std::vector<Elf64_Phdr> segments(header.e_phnum);
  std::memcpy(segments.data(), bytes.data() + header.e_phoff, header.e_phnum * sizeof(Elf64_Phdr));
  return segments;
}

const ElfRelocation kStore = {
    .interpreter = "/lre/store/00000000000000000000000000000000-libc/lib64/ld.so",
    .rpath = {"/lre/store/own", "/lre/store/libc"}};

TEST(RelocateElf, SetsLoaderAndRpathAndKeepsEverythingElse) {
  std::string before = MakeElf({});

  std::string after = RelocateElf(before, kStore).value();

  ElfFacts facts = Facts(after);
  EXPECT_EQ(facts.kind, ElfKind::kExecutable);
  EXPECT_EQ(facts.interpreter, kStore.interpreter);
  EXPECT_THAT(facts.rpath, ElementsAre("/lre/store/own", "/lre/store/libc"));
  EXPECT_TRUE(facts.runpath.empty());
  EXPECT_THAT(facts.needed, ElementsAre("libc.so.6", "libz.so.1"));
  EXPECT_EQ(facts.soname, "self.so");
  EXPECT_TRUE(facts.relocated);
}

TEST(RelocateElf, KeepsOriginEntriesInFrontAndDropsTheOthers) {
  std::string before = MakeElf({.rpath = "/usr/lib/x:$ORIGIN/../lib::${ORIGIN}"});

  ElfFacts facts = Facts(RelocateElf(before, kStore).value());

  EXPECT_THAT(facts.rpath,
              ElementsAre("$ORIGIN/../lib", "${ORIGIN}", "/lre/store/own", "/lre/store/libc"));
  EXPECT_TRUE(facts.runpath.empty());
}

TEST(RelocateElf, MovesTheDynamicTableWhenItHasNoRoom) {
  for (int spare : {0, 1, 3}) {
    std::string before = MakeElf({.spare = spare});
    ElfRelocation relocation = kStore;
    relocation.no_default_libraries = true;

    std::string after = RelocateElf(before, relocation).value();

    EXPECT_THAT(Facts(after).rpath, ElementsAre("/lre/store/own", "/lre/store/libc"));
    EXPECT_THAT(Facts(after).needed, ElementsAre("libc.so.6", "libz.so.1"));
    auto segments = Segments(after);
    bool writable = false;
    for (const auto& s : segments)
      writable = s.p_type == PT_LOAD ? (s.p_flags & PF_W) != 0 : writable;
    EXPECT_EQ(writable, spare < 2) << spare;
  }
}

TEST(RelocateElf, LaysTheHeadersOfAProgramAsFarInTheFileAsInMemory) {
  for (uint64_t base : {0x0, 0x400000}) {
    std::string before = MakeElf({.type = static_cast<uint16_t>(base ? ET_EXEC : ET_DYN),
                                  .bss_bytes = 0x12345,
                                  .base = base});

    std::string after = RelocateElf(before, kStore).value();

    Elf64_Ehdr header;
    std::memcpy(&header, after.data(), sizeof header);
    bool found = false;
    for (const auto& s : Segments(after)) {
      if (s.p_type == PT_PHDR) {
        EXPECT_EQ(s.p_vaddr, base + header.e_phoff);
        found = true;
      }
      if (s.p_type == PT_LOAD) {
        EXPECT_EQ(s.p_vaddr - s.p_offset, base);
      }
    }
    EXPECT_TRUE(found);
  }
}

TEST(RelocateElf, NeedsNoHoleForALibrary) {
  std::string before = MakeElf({.interpreter = false, .bss_bytes = 32 << 20});

  std::string after = RelocateElf(before, kStore).value();

  EXPECT_LT(after.size(), before.size() + 2 * 4096);
  EXPECT_EQ(Facts(after).kind, ElfKind::kLibrary);
  EXPECT_EQ(Facts(after).interpreter, "");
}

// glibc finds the headers in the first mapping whose whole pages hold them: no other may.
TEST(RelocateElf, LaysTheHeadersOfALibraryInAPageOfTheirOwn) {
  for (uint64_t bss_bytes : {0x0, 0x10, 0x2345}) {
    std::string before = MakeElf({.interpreter = false, .bss_bytes = bss_bytes});

    std::string after = RelocateElf(before, kStore).value();

    Elf64_Ehdr header;
    std::memcpy(&header, after.data(), sizeof header);
    int holding = 0;
    for (const auto& s : Segments(after)) {
      if (s.p_type != PT_LOAD) continue;
      uint64_t end = (s.p_offset + s.p_filesz + 0xfff) & ~0xfffull;
      holding += (s.p_offset & ~0xfffull) <= header.e_phoff && header.e_phoff < end;
    }
    EXPECT_EQ(holding, 1) << bss_bytes;
  }
}

TEST(RelocateElf, RefusesAHoleBeyondTheBound) {
  std::string before = MakeElf({.bss_bytes = 1 << 20});
  ElfRelocation relocation = kStore;
  relocation.growth_bytes_max = 1 << 19;

  auto after = RelocateElf(before, relocation);

  ASSERT_FALSE(after);
  EXPECT_EQ(after.error().code(), Code::kResourceExhausted);
}

TEST(RelocateElf, RefusesAFileThatIsAlreadyRelocated) {
  std::string once = RelocateElf(MakeElf({}), kStore).value();

  auto twice = RelocateElf(once, kStore);

  ASSERT_FALSE(twice);
  EXPECT_EQ(twice.error().code(), Code::kFailedPrecondition);
  EXPECT_THAT(twice.error().message(), HasSubstr("already relocated"));
}

TEST(RelocateElf, GivesTheSameBytesForTheSameInput) {
  for (uint16_t machine : {uint16_t{EM_X86_64}, uint16_t{EM_AARCH64}}) {
    std::string before = MakeElf({.machine = machine, .rpath = "$ORIGIN"});
    EXPECT_EQ(RelocateElf(before, kStore).value(), RelocateElf(before, kStore).value());
  }
}

TEST(RelocateElf, RefusesWhatIsNotADynamicProgramOrLibrary) {
  EXPECT_EQ(RelocateElf("#!/bin/sh\n", kStore).error().code(), Code::kInvalidArgument);
  EXPECT_EQ(RelocateElf(MakeElf({.type = ET_REL}), kStore).error().code(),
            Code::kFailedPrecondition);
  EXPECT_EQ(RelocateElf(MakeElf({.machine = EM_RISCV}), kStore).error().code(),
            Code::kFailedPrecondition);
  EXPECT_EQ(RelocateElf(MakeElf({}), {.rpath = {"/a:/b"}}).error().code(), Code::kInvalidArgument);
}

// Whatever a file claims, the answer is bytes or an error; sanitizers watch.
TEST(RelocateElf, SurvivesMutatedFiles) {
  uint64_t seed = std::random_device{}();
  SCOPED_TRACE(seed);
  Random random(seed);
  const uint64_t kNasty[] = {0,          1,          7,          0x7f,  0xff,     0xffff,
                             0x7fffffff, 0xffffffff, 1ull << 47, ~0ull, ~0ull - 7};
  int relocated = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string bytes = MakeElf({.type = static_cast<uint16_t>(random.OneIn(2) ? ET_DYN : ET_EXEC),
                                 .interpreter = !random.OneIn(3),
                                 .rpath = random.OneIn(2) ? "$ORIGIN" : "",
                                 .spare = static_cast<int>(random.Below(4))});
    for (uint64_t i = random.Below(6); i-- > 0;) {
      size_t at = random.Below(bytes.size());
      switch (random.Below(4)) {
        case 0:
          bytes[at] = static_cast<char>(random.Next());
          break;
        case 1:
          bytes.resize(at + 1);
          break;
        default: {
          at = at / 8 * 8;
          uint64_t value = kNasty[random.Below(std::size(kNasty))];
          std::memcpy(bytes.data() + at, &value, std::min<size_t>(8, bytes.size() - at));
        }
      }
    }
    auto after = RelocateElf(bytes, kStore);
    if (!after) continue;
    ++relocated;
    // What it made, it can read back.
    auto facts = ReadElf(*after);
    if (facts) {
      EXPECT_TRUE(facts->relocated);
    }
  }
  EXPECT_GT(relocated, 1000);
}

TEST(ReplaceStrings, EditsWholeStringsOnly) {
  std::string bytes(
      "\0/etc/ld.so.cache\0x/etc/ld.so.cache\0/etc/ld.so.cache.old\0/etc/ld.so.cache\0", 74);

  EXPECT_EQ(ReplaceStrings(bytes, "/etc/ld.so.cache", "/lre/store/cache").value(), 2u);

  EXPECT_EQ(bytes,
            "\0/lre/store/cache\0x/etc/ld.so.cache\0/etc/ld.so.cache.old\0/lre/store/cache\0"s);
  EXPECT_FALSE(ReplaceStrings(bytes, "/etc", "/longer"));
  EXPECT_FALSE(ReplaceStrings(bytes, "", ""));
}

TEST(ReplaceStringPrefixes, EditsTheStartOfEveryString) {
  std::string bytes = "\0/usr/lib/gcc/\0/usr/bin/\0a/usr/b\0"s;

  EXPECT_EQ(ReplaceStringPrefixes(bytes, "/usr/", "/lre/").value(), 2u);

  EXPECT_EQ(bytes, "\0/lre/lib/gcc/\0/lre/bin/\0a/usr/b\0"s);
}

// Judge: the machine's own programs, relocated to the machine's own loader, still run; readelf
// finds nothing to complain about; patchelf reads back what was set.
TEST(RelocateElf, LeavesRealProgramsRunning) {
  if (!FileExists("/usr/bin/readelf") || !FileExists("/usr/bin/patchelf"))
    GTEST_SKIP() << "needs binutils and patchelf";
  for (const std::string& program :
       {std::string("/bin/true"), std::string("/usr/bin/readelf"), std::string("/bin/bash")}) {
    std::string before = ReadFile(program).value();
    std::string loader = Facts(before).interpreter;
    TempDir directory;
    std::string file = directory / "program";

    std::string longer = "/" + std::string(60, '/') + loader.substr(1);
    std::string after =
        RelocateElf(before, {.interpreter = longer, .rpath = {"/lre/none"}}).value();
    ASSERT_TRUE(WriteFileAtomically(file, after, 0755).ok());

    EXPECT_EQ(RunSubprocess({.arguments = {file, "--version"}})->exit_code, 0) << program;
    auto read = RunSubprocess({.arguments = {"readelf", "-W", "-a", file}}).value();
    EXPECT_EQ(read.error_output, "") << program;
    EXPECT_EQ(RunSubprocess({.arguments = {"patchelf", "--print-rpath", file}})->output,
              "/lre/none\n");
    EXPECT_EQ(RunSubprocess({.arguments = {"patchelf", "--print-interpreter", file}})->output,
              longer + "\n");
  }
}

}  // namespace
}  // namespace lre::toolchain

// bench_elf_relocate FILE...: how fast ELF files are relocated. Each file is read once, then
// relocated again and again for a second; prints MB/s of input and microseconds a file. The cost is
// the copy: one pass over the bytes, whatever their size.
#include <fmt/format.h>

#include <algorithm>

#include "base/clock.h"
#include "base/file.h"
#include "toolchain/elf/relocate.h"

namespace lre::toolchain {
namespace {

constexpr Duration kRun = std::chrono::seconds(1);

void Measure(const std::string& path) {
  auto bytes = ReadFile(path);
  if (!bytes) {
    fmt::print("{}: {}\n", path, bytes.error().ToString());
    return;
  }
  const std::string store = "/lre/store/00000000000000000000000000000000-";
  const ElfRelocation relocation = {
      .interpreter = store + "libc/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
      .rpath = {store + "gcc/usr/lib/x86_64-linux-gnu", store + "libc/usr/lib/x86_64-linux-gnu"},
      .no_default_libraries = true};
  Instant start = SystemClock().Now(), now = start;
  int rounds = 0;
  size_t added = 0;
  for (; now - start < kRun; now = SystemClock().Now(), ++rounds) {
    auto relocated = RelocateElf(*bytes, relocation);
    if (!relocated) {
      fmt::print("{}: {}\n", path, relocated.error().ToString());
      return;
    }
    added = relocated->size() - bytes->size();
  }
  double seconds = std::chrono::duration<double>(now - start).count() / rounds;
  fmt::print("{:>8.0f} MB/s {:>9.1f} us  {:>9} bytes + {:>7}  {}\n",
             static_cast<double>(bytes->size()) / seconds / 1e6, seconds * 1e6, bytes->size(),
             added, path);
}

}  // namespace
}  // namespace lre::toolchain

int main(int argc, char** argv) {
  if (argc < 2) fmt::print(stderr, "usage: bench_elf_relocate FILE...\n");
  for (int i = 1; i < argc; ++i) lre::toolchain::Measure(argv[i]);
  return argc < 2 ? 2 : 0;
}

// bench_elf_references FILE...: how fast a worker finds the store paths that an input file names.
// Prints GB/s for the whole file at once and for pieces of 64 KiB.
#include <fmt/format.h>

#include "base/clock.h"
#include "base/file.h"
#include "toolchain/root/toolchain_store.h"

namespace lre::toolchain {
namespace {

template <typename F>
double Gigabytes(size_t size, F run) {
  Instant start = SystemClock().Now(), now = start;
  int rounds = 0;
  for (; now - start < std::chrono::seconds(1); now = SystemClock().Now(), ++rounds) run();
  return static_cast<double>(size) * rounds / std::chrono::duration<double>(now - start).count() /
         1e9;
}

void Measure(const std::string& path) {
  auto bytes = ReadFile(path);
  if (!bytes) {
    fmt::print("{}: {}\n", path, bytes.error().ToString());
    return;
  }
  size_t found = 0;
  double whole = Gigabytes(bytes->size(), [&] { found = FindStoreReferences(*bytes).size(); });
  double pieces = Gigabytes(bytes->size(), [&] {
    StoreReferenceScanner scanner;
    for (size_t at = 0; at < bytes->size(); at += 1 << 16)
      scanner.Update(std::string_view(*bytes).substr(at, 1 << 16));
    found = scanner.Finish().size();
  });
  fmt::print("{:6.2f} GB/s whole, {:6.2f} GB/s in pieces, {} references  {}\n", whole, pieces,
             found, path);
}

}  // namespace
}  // namespace lre::toolchain

int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) lre::toolchain::Measure(argv[i]);
  return argc < 2 ? 2 : 0;
}

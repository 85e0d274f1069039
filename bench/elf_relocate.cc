// bench_elf_relocate FILE...: how fast ELF files are relocated. Each file is read once, then
// relocated again and again for a second; prints MB/s of input and microseconds a file. The cost is
// the copy: one pass over the bytes, whatever their size.
//
// bench_elf_relocate --patchelf DIRECTORY...: every dynamic program and library below the
// directories, as packaged, beside patchelf in the same run. Both read a file and write another.
// Ours are calls in this process, as the toolchain is made; patchelf is a program, so what starting
// it costs (`patchelf --version`, as often) is measured too and shown apart.
#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <filesystem>

#include "base/clock.h"
#include "base/file.h"
#include "base/subprocess.h"
#include "toolchain/elf/elf_file.h"
#include "toolchain/elf/relocate.h"

namespace lre::toolchain {
namespace {

constexpr Duration kRun = std::chrono::seconds(1);
constexpr int kRounds = 5;

ElfRelocation Relocation() {
  const std::string store = "/lre/store/00000000000000000000000000000000-";
  return {
      .interpreter = store + "libc/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
      .rpath = {store + "gcc/usr/lib/x86_64-linux-gnu", store + "libc/usr/lib/x86_64-linux-gnu"},
      .no_default_libraries = true};
}

void Measure(const std::string& path) {
  auto bytes = ReadFile(path);
  if (!bytes) {
    fmt::print("{}: {}\n", path, bytes.error().ToString());
    return;
  }
  Instant start = SystemClock().Now(), now = start;
  int rounds = 0;
  size_t added = 0;
  for (; now - start < kRun; now = SystemClock().Now(), ++rounds) {
    auto relocated = RelocateElf(*bytes, Relocation());
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

// User and system time of this process, or of those it has waited for.
double CpuSeconds(int who) {
  rusage usage{};
  getrusage(who, &usage);
  auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

struct ElfPath {
  std::string path;
  ElfKind kind;
};

// Those that RelocateElf takes.
std::vector<ElfPath> DynamicFiles(const std::string& directory, uint64_t& bytes) {
  std::vector<ElfPath> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) {
    if (!entry.is_regular_file() || entry.is_symlink()) continue;
    auto content = ReadFile(entry.path());
    if (!content || !IsElf(*content)) continue;
    auto facts = ReadElf(*content);
    if (!facts || (facts->kind != ElfKind::kExecutable && facts->kind != ElfKind::kLibrary))
      continue;
    files.push_back({entry.path(), facts->kind});
    bytes += content->size();
  }
  std::sort(files.begin(), files.end(),
            [](const ElfPath& a, const ElfPath& b) { return a.path < b.path; });
  return files;
}

// The same for both: the file read, another written.
Status Relocate(const ElfPath& file, const std::string& to) {
  TRY_ASSIGN(std::string bytes, ReadFile(file.path));
  TRY_ASSIGN(std::string relocated, RelocateElf(bytes, Relocation()));
  FILE* out = std::fopen(to.c_str(), "wb");
  const bool written =
      out != nullptr && std::fwrite(relocated.data(), 1, relocated.size(), out) == relocated.size();
  if (out == nullptr || std::fclose(out) != 0 || !written)
    return ErrorStatus(Code::kInternal, "{} cannot be written", to);
  return {};
}

Status Patchelf(const ElfPath& file, const std::string& to) {
  const ElfRelocation relocation = Relocation();
  std::vector<std::string> command = {
      "patchelf",    "--force-rpath",
      "--set-rpath", relocation.rpath[0] + ":" + relocation.rpath[1],
      "--output",    to};
  if (file.kind == ElfKind::kExecutable) {
    command.push_back("--set-interpreter");
    command.push_back(relocation.interpreter);
  }
  command.push_back("--no-default-lib");
  command.push_back(file.path);
  TRY_ASSIGN(SubprocessResult result, RunSubprocess({.arguments = std::move(command)}));
  if (result.exit_code != 0)
    return ErrorStatus(Code::kInternal, "patchelf {}: {}", file.path, result.error_output);
  return {};
}

struct Cost {
  double cpu_seconds = 0, wall_seconds = 0;
};

template <typename F>
Cost CostOf(int who, F&& run) {
  const double before = CpuSeconds(who);
  const Instant start = SystemClock().Now();
  run();
  return {CpuSeconds(who) - before,
          std::chrono::duration<double>(SystemClock().Now() - start).count()};
}

void KeepLess(Cost& least, const Cost& cost) {
  if (least.wall_seconds == 0 || cost.cpu_seconds < least.cpu_seconds) least = cost;
}

int Compare(int count, char** directories) {
  uint64_t bytes = 0;
  std::vector<ElfPath> files;
  for (int i = 0; i < count; ++i) {
    auto more = DynamicFiles(directories[i], bytes);
    files.insert(files.end(), more.begin(), more.end());
  }
  TempDir directory;
  const std::string to = directory / "relocated";
  Cost ours, patchelf, starts;
  int refused = 0;
  for (int round = 0; round < kRounds; ++round) {
    refused = 0;
    KeepLess(ours, CostOf(RUSAGE_SELF, [&] {
               for (const ElfPath& file : files) {
                 Status status = Relocate(file, to);
                 if (!status.ok()) fmt::print("{}: {}\n", file.path, status.ToString());
               }
             }));
    KeepLess(patchelf, CostOf(RUSAGE_CHILDREN, [&] {
               for (const ElfPath& file : files) refused += !Patchelf(file, to).ok();
             }));
    KeepLess(starts, CostOf(RUSAGE_CHILDREN, [&] {
               for (size_t i = 0; i < files.size(); ++i)
                 (void)RunSubprocess({.arguments = {"patchelf", "--version"}});
             }));
  }
  fmt::print("{} files, {:.1f} MB; the least of {} rounds\n", files.size(),
             static_cast<double>(bytes) / 1e6, kRounds);
  auto row = [&](std::string_view name, const Cost& cost) {
    fmt::print("{:<28} {:>8.1f} ms CPU {:>8.1f} ms wall {:>7.1f} x\n", name, cost.cpu_seconds * 1e3,
               cost.wall_seconds * 1e3, cost.cpu_seconds / ours.cpu_seconds);
  };
  row("lre", ours);
  row("patchelf", patchelf);
  row("patchelf without its starts",
      {patchelf.cpu_seconds - starts.cpu_seconds, patchelf.wall_seconds - starts.wall_seconds});
  if (refused > 0) fmt::print("patchelf refused {} files\n", refused);
  return 0;
}

}  // namespace
}  // namespace lre::toolchain

int main(int argc, char** argv) {
  if (argc > 2 && std::string_view(argv[1]) == "--patchelf")
    return lre::toolchain::Compare(argc - 2, argv + 2);
  if (argc < 2) fmt::print(stderr, "usage: bench_elf_relocate FILE... | --patchelf DIRECTORY...\n");
  for (int i = 1; i < argc; ++i) lre::toolchain::Measure(argv[i]);
  return argc < 2 ? 2 : 0;
}

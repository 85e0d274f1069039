// What hashing an installed toolchain costs a worker before its first use and at its start: the
// closure of store paths through the worker's own StorePathCache, which compares every file with
// its record, beside sha256sum of the same files. In turns, so that a noisy machine is noisy for
// both.
//
//   bench_check_closure PATH... [--rounds N]     store paths, or a toolchain.json: all of its paths
//
// Each figure is the median of the rounds (5): wall time, and processor time of all threads and
// processes. The first reading, into the page cache, is not counted. Needs to be able to lock paths
// of /lre/store.
#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <functional>

#include "base/check.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/subprocess.h"
#include "store/memory_store.h"
#include "worker/store_path_cache.h"

namespace {

using lre::toolchain::StorePath;
using lre::toolchain::ToolchainStore;

double CpuSeconds() {
  double seconds = 0;
  for (int who : {RUSAGE_SELF, RUSAGE_CHILDREN}) {
    rusage usage{};
    getrusage(who, &usage);
    for (const timeval& time : {usage.ru_utime, usage.ru_stime})
      seconds += static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  }
  return seconds;
}

struct Measured {
  std::vector<double> wall, cpu;

  void Add(const std::function<void()>& work) {
    const lre::Instant start = lre::SystemClock().Now();
    const double before = CpuSeconds();
    work();
    cpu.push_back(CpuSeconds() - before);
    wall.push_back(std::chrono::duration<double>(lre::SystemClock().Now() - start).count());
  }
  void Print(std::string_view what, uint64_t bytes) {
    auto median = [](std::vector<double> values) {
      std::sort(values.begin(), values.end());
      return values[values.size() / 2];
    };
    const double seconds = median(cpu);
    fmt::print("{:<12}{:>9.0f}{:>9.0f}{:>15.2f}\n", what, median(wall) * 1e3, seconds * 1e3,
               static_cast<double>(bytes) / seconds / 1e9);
  }
};

// As a worker that was just started: nothing is known yet.
void CheckAsWorker(const std::vector<std::string>& paths) {
  auto cas = lre::store::NewMemoryStore(lre::SystemClock());
  auto cache = lre::worker::StorePathCache::Make(*cas, nullptr);
  auto closure = cache->Closure(paths, "bench");
  CHECK(closure.has_value(), lre::ToStatus(closure).ToString());
}

void CheckAsSha256sum(const std::string& names) {
  auto result = lre::RunSubprocess(
      {.arguments = {"xargs", "-0", "sha256sum"}, .directory = {}, .input = names});
  CHECK(result && result->exit_code == 0, "sha256sum");
}

std::vector<std::string> PathsOf(const std::string& what) {
  if (!what.ends_with(".json")) return {what};
  auto text = lre::ReadFile(what);
  CHECK(text.has_value(), lre::ToStatus(text).ToString());
  auto manifest = lre::toolchain::ParseManifest(*text);
  CHECK(manifest.has_value(), lre::ToStatus(manifest).ToString());
  std::vector<std::string> paths;
  for (const StorePath& path : manifest->paths) paths.push_back(path.path);
  return paths;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> paths;
  int rounds = 5;
  for (int i = 1; i < argc; ++i) {
    if (std::string_view(argv[i]) == "--rounds" && i + 1 < argc)
      rounds = std::max(1, std::atoi(argv[++i]));
    else
      for (std::string& path : PathsOf(argv[i])) paths.push_back(std::move(path));
  }
  if (paths.empty()) {
    fmt::print(stderr, "{} PATH... [--rounds N]\n", argv[0]);
    return 2;
  }
  auto store = ToolchainStore::Open();
  CHECK(store.has_value(), lre::ToStatus(store).ToString());
  auto closure = (*store)->Closure(paths);
  CHECK(closure.has_value(), lre::ToStatus(closure).ToString());
  uint64_t bytes = 0, files = 0;
  std::string names;
  for (const StorePath& path : *closure) {
    auto listing = (*store)->Listing(path.path);
    CHECK(listing.has_value(), lre::ToStatus(listing).ToString());
    bytes += listing->TotalBytes();
    files += listing->files.size();
    for (const auto& file : listing->files) names += path.path + "/" + file.path + '\0';
  }
  CheckAsSha256sum(names);  // into the page cache
  Measured worker, sha256sum;
  for (int i = 0; i < rounds; ++i) {
    worker.Add([&] { CheckAsWorker(paths); });
    sha256sum.Add([&] { CheckAsSha256sum(names); });
  }
  fmt::print("{} store paths, {} files, {:.1f} MB; medians of {} rounds\n", closure->size(), files,
             static_cast<double>(bytes) / 1e6, rounds);
  fmt::print("{:<12}{:>9}{:>9}{:>15}\n", "", "wall ms", "CPU ms", "GB per CPU s");
  worker.Print("worker", bytes);
  sha256sum.Print("sha256sum", bytes);
}

// What recycling costs: how many bytes are written per byte that is stored, and how long readers
// wait while segments are given up. One thread writes blobs of the sizes of real builds through a
// store that is always full, one finds and reads, without blocking, some that are used again and
// again and some at random.
//
//   bench_store_recycle [--mb SIZE] [--rounds N] [--dir DIR]
//
// The store turns over N times. Its clock moves with the bytes written: one turn is a day. A call
// that takes over a millisecond is counted as blocked when the thread gave the processor up of its
// own accord meanwhile (a lock, the disk), else as preempted, which is the machine's business.
#include <fmt/core.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "base/file.h"
#include "base/random.h"
#include "digest/hasher.h"
#include "store/log_store.h"

namespace {

using namespace lre;
using namespace lre::store;

constexpr uint64_t kUsedAgain = 2000;

// Two thirds under 1 kB, one in 170 over 1 MB, as in production.
std::string BlobOf(uint64_t i) {
  Random random(i);
  uint64_t kind = random.Below(1000);
  uint64_t size = kind < 660   ? 16 + random.Below(1000)
                  : kind < 940 ? 1000 + random.Below(30'000)
                  : kind < 994 ? 30'000 + random.Below(500'000)
                               : 1'000'000 + random.Below(3'000'000);
  std::string text(size, 'x');
  std::string number = std::to_string(i);
  return text.replace(0, number.size(), number);
}
BlobKey KeyOf(const std::string& text) { return {ComputeDigest(DigestFunction::kSha256, text), 0}; }

struct Latencies {
  std::vector<double> micros;
  double blocked_max = 0, preempted_max = 0;
  uint64_t blocked = 0, preempted = 0;

  template <typename F>
  void Time(const F& call) {
    auto start = std::chrono::steady_clock::now();
    call();
    double took =
        std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count();
    micros.push_back(took);
    if (took < 1000) return;
    rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    bool waited = std::exchange(voluntary_, usage.ru_nvcsw) != usage.ru_nvcsw;
    ++(waited ? blocked : preempted);
    double& longest = waited ? blocked_max : preempted_max;
    longest = std::max(longest, took);
  }
  void Print(const char* what) {
    std::sort(micros.begin(), micros.end());
    auto at = [&](double share) {
      return micros[static_cast<size_t>(share * static_cast<double>(micros.size() - 1))];
    };
    fmt::print(
        "{:<12} {:>9} calls, us: median {:.1f}, p99 {:.1f}, p99.9 {:.1f}; over 1 ms: {} blocked "
        "(longest {:.1f} ms), {} preempted (longest {:.1f} ms)\n",
        what, micros.size(), at(0.5), at(0.99), at(0.999), blocked, blocked_max / 1000, preempted,
        preempted_max / 1000);
  }

 private:
  long voluntary_ = 0;
};

void Read(LogStore& store, const std::vector<BlobKey>& keys, const std::atomic<uint64_t>& written,
          const std::atomic<bool>& done) {
  Random random(1);
  Latencies find, read;
  uint64_t would_block = 0, absent = 0;
  while (!done) {
    uint64_t end = written.load(std::memory_order_acquire);
    if (end < kUsedAgain) continue;
    std::vector<Digest> digests;
    for (int i = 0; i < 10; ++i)
      digests.push_back(keys[random.Below(i < 8 ? kUsedAgain : end)].digest);
    find.Time([&] { (void)store.TryFindMissing(0, digests); });
    const BlobKey& key = keys[random.Below(random.OneIn(2) ? kUsedAgain : end)];
    read.Time([&] {
      auto bytes = store.TryRead(key, {});
      if (!bytes)
        ++would_block;
      else if (!*bytes)
        ++absent;
    });
  }
  find.Print("find 10");
  read.Print("read");
  fmt::print("of the reads {} would have blocked, {} were of blobs given up\n", would_block,
             absent);
}

}  // namespace

int main(int argc, char** argv) {
  uint64_t mb = 1024, rounds = 4;
  std::string parent;
  for (int i = 1; i + 1 < argc; i += 2) {
    std::string flag = argv[i];
    if (flag == "--mb") mb = std::strtoull(argv[i + 1], nullptr, 10);
    if (flag == "--rounds") rounds = std::strtoull(argv[i + 1], nullptr, 10);
    if (flag == "--dir") parent = argv[i + 1];
  }
  uint64_t size = mb << 20;
  TempDir dir(parent);
  FakeClock clock;
  auto opened = OpenLogStore(
      clock, {.directory = dir / "store", .size_bytes_max = size, .lease = std::chrono::hours(3)});
  if (!opened) {
    fmt::print(stderr, "{}\n", opened.error().ToString());
    return 1;
  }
  LogStore& store = **opened;

  std::vector<BlobKey> keys(size * rounds / 2000 + kUsedAgain);
  std::atomic<uint64_t> written{0};
  std::atomic<bool> done{false};
  std::thread reader([&] { Read(store, keys, written, done); });
  uint64_t bytes = 0, refused = 0;
  for (uint64_t i = 0; bytes < size * rounds && i < keys.size(); ++i) {
    std::string text = BlobOf(i);
    keys[i] = KeyOf(text);
    bytes += text.size();
    clock.Advance(Duration(std::chrono::hours(24)) / (size >> 10) *
                  static_cast<int64_t>(text.size() >> 10));
    if (!Put(store, keys[i], Bytes(std::move(text))).ok()) ++refused;
    written.store(i + 1, std::memory_order_release);
  }
  done = true;
  reader.join();

  LogStoreStats stats = store.Stats();
  fmt::print(
      "{} MiB through a store of {} MiB in {} blobs, {} refused: {} segments recycled, {} MiB "
      "carried, written {:.3f} times\n",
      bytes >> 20, mb, written.load(), refused, stats.recycled_segments, stats.carried_bytes >> 20,
      static_cast<double>(bytes + stats.carried_bytes) / static_cast<double>(bytes));
  return 0;
}

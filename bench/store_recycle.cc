// What recycling costs: how many bytes are written per byte that is stored, and how long readers
// wait while segments are given up. One thread writes blobs of the sizes of real builds through a
// store that is always full, one finds and reads, without blocking, some that are used again and
// again and some at random.
//
//   bench_store_recycle [--mb SIZE] [--rounds N] [--lease-minutes N] [--dir DIR]
//
// The store turns over N times. Its clock moves with the bytes written: one turn is a day. Leases
// are short (--lease-minutes): what is found and read at random must not fill the store with
// leases, or writes are refused and nothing is recycled.
//
// A call's time is split three ways: on the processor, waiting for one (the run delay that
// /proc/thread-self/schedstat counts: the machine's business), and the rest, in which the thread
// waited for a lock or the disk: the store's business.
#include <fcntl.h>
#include <fmt/core.h>
#include <time.h>
#include <unistd.h>

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

// Times in microseconds.
double ThreadCpu() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_nsec) / 1e3;
}
// Confined to the thread that made it.
class RunDelay {
 public:
  RunDelay() : file_(open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC)) {}
  double Now() const {
    char text[96] = "";
    if (pread(file_.get(), text, sizeof text - 1, 0) <= 0) return 0;
    unsigned long long running = 0, waiting = 0;
    std::sscanf(text, "%llu %llu", &running, &waiting);
    return static_cast<double>(waiting) / 1e3;
  }

 private:
  UniqueFd file_;
};

struct Latencies {
  std::vector<double> micros;
  double longest = 0, running = 0, preempted = 0, waited = 0;  // the longest of each

  template <typename F>
  void Time(const F& call) {
    const double delay = delay_.Now(), cpu = ThreadCpu();
    const auto start = std::chrono::steady_clock::now();
    call();
    const double took =
        std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count();
    const double ran = ThreadCpu() - cpu, delayed = delay_.Now() - delay;
    micros.push_back(took);
    longest = std::max(longest, took);
    running = std::max(running, std::min(ran, took));
    preempted = std::max(preempted, std::min(delayed, took));
    waited = std::max(waited, took - ran - delayed);
  }
  void Print(const char* what) {
    std::sort(micros.begin(), micros.end());
    auto at = [&](double share) {
      return micros[static_cast<size_t>(share * static_cast<double>(micros.size() - 1))];
    };
    fmt::print(
        "{:<8}{:>9} calls, us: median {:.1f}, p99 {:.1f}, p99.9 {:.1f}; longest, ms: {:.2f}; "
        "on the processor {:.2f}, waiting for one {:.2f}, waiting for the store {:.2f}\n",
        what, micros.size(), at(0.5), at(0.99), at(0.999), longest / 1000, running / 1000,
        preempted / 1000, waited / 1000);
  }

 private:
  RunDelay delay_;
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
  uint64_t mb = 1024, rounds = 4, lease_minutes = 1;
  std::string parent;
  for (int i = 1; i + 1 < argc; i += 2) {
    std::string flag = argv[i];
    if (flag == "--mb") mb = std::strtoull(argv[i + 1], nullptr, 10);
    if (flag == "--rounds") rounds = std::strtoull(argv[i + 1], nullptr, 10);
    if (flag == "--lease-minutes") lease_minutes = std::strtoull(argv[i + 1], nullptr, 10);
    if (flag == "--dir") parent = argv[i + 1];
  }
  uint64_t size = mb << 20;
  TempDir dir(parent);
  FakeClock clock;
  const Duration lease = std::chrono::minutes(lease_minutes);
  auto opened = OpenLogStore(
      clock,
      {.directory = dir / "store", .size_bytes_max = size, .lease = lease, .lease_min = lease});
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

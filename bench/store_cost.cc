// What the digest functions, the log store and the action cache cost per operation, and how long a
// store takes to open. Single-threaded CPU time of this process; no network.
//
//   bench_store_cost [--blobs N] [--dir DIR] [--only open]
//
// Blobs are 1 kB. Opening is measured at N blobs written through the store, after a clean end and
// after a kill (the process forks, the child writes and is killed), each with what it reads in the
// page cache and dropped from it.
#include <fcntl.h>
#include <fmt/core.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "action_cache/stored_action_cache.h"
#include "base/file.h"
#include "base/random.h"
#include "digest/hasher.h"
#include "reapi/digest_proto.h"
#include "store/log_store.h"

namespace {

using namespace lre;
using namespace lre::store;

double CpuSeconds(clockid_t clock = CLOCK_PROCESS_CPUTIME_ID) {
  timespec time;
  clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

// Prints nanoseconds of CPU per operation.
void Measure(const std::string& what, uint64_t count, const std::function<void()>& run) {
  double wall = CpuSeconds(CLOCK_MONOTONIC), cpu = CpuSeconds();
  run();
  cpu = CpuSeconds() - cpu;
  wall = CpuSeconds(CLOCK_MONOTONIC) - wall;
  fmt::print("{:<58} {:>10.0f} ns CPU {:>10.0f} ns wall\n", what,
             cpu * 1e9 / static_cast<double>(count), wall * 1e9 / static_cast<double>(count));
  fflush(stdout);
}

std::string Blob(uint64_t i, size_t size) {
  std::string text(size, 'x');
  std::string number = std::to_string(i);
  return text.replace(0, number.size(), number);
}

void Digests() {
  for (DigestFunction function : kDigestFunctions) {
    for (size_t size : {64, 1024, 1 << 20}) {
      std::string text(size, 'x');
      uint64_t count = std::max<uint64_t>(20, (64 << 20) / (size + 1000));
      Measure(fmt::format("{} of {} B", DigestFunctionName(function), size), count, [&] {
        for (uint64_t i = 0; i < count; ++i) {
          text[0] = static_cast<char>(i);
          if (ComputeDigest(function, text).size_bytes == 0) std::abort();
        }
      });
    }
  }
}

template <typename T>
T Must(Result<T> result) {
  if (!result) {
    fmt::print(stderr, "{}\n", result.error().ToString());
    std::exit(1);
  }
  return std::move(*result);
}
void Must(const Status& status) {
  if (status.ok()) return;
  fmt::print(stderr, "{}\n", status.ToString());
  std::exit(1);
}

LogStoreOptions Options(const std::string& directory) {
  return {.directory = directory, .size_bytes_max = 40ull << 30};
}

void Fill(LogStore& store, uint64_t from, uint64_t to, size_t size) {
  for (uint64_t i = from; i < to; ++i) {
    std::string text = Blob(i, size);
    BlobKey key{ComputeDigest(DigestFunction::kSha256, text), 0};
    Bytes bytes(std::move(text));
    auto put = store.TryPut(key, bytes, true);
    Must(put ? *put : Put(store, key, bytes));
  }
}

void Find(LogStore& store, uint64_t blobs, size_t batch, bool present) {
  std::vector<std::vector<Digest>> batches(std::max<uint64_t>(1, 200'000 / batch));
  Random random(1);
  for (auto& digests : batches)
    for (size_t i = 0; i < batch; ++i)
      digests.push_back(ComputeDigest(DigestFunction::kSha256,
                                      present ? Blob(random.Below(blobs), 1000) : Blob(i, 999)));
  Measure(fmt::format("FindMissing, per digest, {} in a batch, {}", batch,
                      present ? "present" : "absent"),
          batches.size() * batch, [&] {
            for (auto& digests : batches) {
              auto missing = *store.TryFindMissing(0, digests);
              if (!missing || missing->size() != (present ? 0 : batch)) std::abort();
            }
          });
}

void Operations(LogStore& store, uint64_t blobs) {
  for (size_t batch : {1, 100, 1000, 10'000}) Find(store, blobs, batch, true);
  Find(store, blobs, 1000, false);
  for (size_t size : {100, 1000, 65536}) {
    std::vector<std::pair<BlobKey, Bytes>> put;
    for (uint64_t i = 0; i < (size > 10'000 ? 2000 : 50'000); ++i) {
      std::string text = Blob(i + 1'000'000'000, size);
      BlobKey key{ComputeDigest(DigestFunction::kSha256, text), 0};
      put.emplace_back(key, Bytes(std::move(text)));
    }
    Measure(fmt::format("TryPut of {} B, hashed before", size), put.size(), [&] {
      for (auto& [key, bytes] : put) {
        auto status = store.TryPut(key, bytes, true);
        Must(status ? *status : Put(store, key, bytes));
      }
    });
    Measure(fmt::format("TryRead of {} B", size), put.size(), [&] {
      for (auto& [key, bytes] : put) {
        auto read = store.TryRead(key, {});
        if (!read || TotalSize(Must(std::move(*read))) != size) std::abort();
      }
    });
  }
  std::vector<std::vector<std::pair<Digest, Bytes>>> batches(300);
  for (uint64_t i = 0; i < 30'000; ++i) {
    std::string text = Blob(i + 2'000'000'000, 1000);
    Digest digest = ComputeDigest(DigestFunction::kSha256, text);
    batches[i / 100].emplace_back(digest, Bytes(std::move(text)));
  }
  Measure("TryPutMany of 100 x 1000 B, hashing included, per blob", 30'000, [&] {
    for (const auto& batch : batches) {
      auto answers = store.TryPutMany(0, batch, false);
      for (const Status& status : answers ? *answers : store.PutMany(0, batch)) Must(status);
    }
  });
  std::string large(64 << 20, 'x');
  BlobKey key{ComputeDigest(DigestFunction::kSha256, large), 0};
  Measure("Write of 64 MiB in 64 KiB pieces, hashed inline, per MiB", 64, [&] {
    auto writer = Must(store.Write(key));
    Bytes bytes(large);
    for (size_t at = 0; at < large.size(); at += 65536)
      Must(writer->Append(bytes.Slice(at, 65536)));
    Must(writer->Commit());
  });
  Measure("Read of 64 MiB in 64 KiB ranges, per range, not touched", 1024, [&] {
    for (size_t at = 0; at < large.size(); at += 65536) {
      auto read = store.TryRead(key, {at, at + 65536});
      if (!read || TotalSize(Must(std::move(*read))) != 65536) std::abort();
    }
  });
}

void ActionResults(LogStore& store) {
  auto cache = action_cache::NewStoredActionCache(store, store);
  build::bazel::remote::execution::v2::ActionResult result;
  for (int i = 0; i < 4; ++i) {
    auto* file = result.add_output_files();
    file->set_path("bazel-out/k8-fastbuild/bin/some/path/file" + std::to_string(i) + ".o");
    reapi::ToProto(ComputeDigest(DigestFunction::kSha256, Blob(static_cast<uint64_t>(i), 1000)),
                   file->mutable_digest());
  }
  Bytes bytes(result.SerializeAsString());
  std::vector<action_cache::ActionKey> keys;
  for (int i = 0; i < 50'000; ++i) {
    keys.push_back({ComputeDigest(DigestFunction::kSha256, "action" + std::to_string(i)), "main"});
  }
  Measure("ActionCache TryPut, 4 output files", keys.size(), [&] {
    for (const auto& key : keys) {
      auto status = cache->TryPut(key, bytes);
      Must(status ? *status : cache->Put(key, bytes));
    }
  });
  Measure("ActionCache TryGet, hit, 4 output files", keys.size(), [&] {
    for (const auto& key : keys)
      if (!cache->TryGet(key)->has_value()) std::abort();
  });
  for (auto& key : keys) key.instance_name = "other";
  Measure("ActionCache TryGet, miss", keys.size(), [&] {
    for (const auto& key : keys)
      if (cache->TryGet(key)->has_value()) std::abort();
  });
}

// Takes the store's files out of the page cache.
void DropPages(const std::string& directory) {
  sync();
  for (const auto& file : std::filesystem::recursive_directory_iterator(directory)) {
    if (!file.is_regular_file()) continue;
    UniqueFd fd(open(file.path().c_str(), O_RDONLY | O_CLOEXEC));
    if (fd) posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED);
  }
}

void Opening(const std::string& directory, const std::string& what, bool cold) {
  if (cold) DropPages(directory);
  double wall = CpuSeconds(CLOCK_MONOTONIC), cpu = CpuSeconds();
  auto options = Options(directory);
  options.background = false;
  auto store = Must(OpenLogStore(SystemClock(), options));
  cpu = CpuSeconds() - cpu;
  wall = CpuSeconds(CLOCK_MONOTONIC) - wall;
  LogStoreStats stats = store->Stats();
  fmt::print(
      "open {}: {:.3f} s wall, {:.3f} s CPU, {} entries, {} replayed, {:.1f} B of index each\n",
      what + (cold ? ", page cache dropped" : ""), wall, cpu, stats.entries, stats.replayed,
      static_cast<double>(stats.memory_bytes) / static_cast<double>(stats.entries));
  fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  uint64_t blobs = 1'000'000;
  std::string parent, only;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (std::string(argv[i]) == "--blobs") blobs = std::strtoull(argv[i + 1], nullptr, 10);
    if (std::string(argv[i]) == "--dir") parent = argv[i + 1];
    if (std::string(argv[i]) == "--only") only = argv[i + 1];
  }
  TempDir dir(parent);
  std::string directory = dir / "store";
  if (only != "open") Digests();
  pid_t child = fork();
  if (child == 0) {
    auto store = Must(OpenLogStore(SystemClock(), Options(directory)));
    Measure(fmt::format("filling: TryPut of 1000 B with SHA256, {} blobs", blobs), blobs,
            [&] { Fill(*store, 0, blobs, 1000); });
    if (only != "open") {
      Operations(*store, blobs);
      ActionResults(*store);
    }
    LogStoreStats stats = store->Stats();
    fmt::print("index: {} entries, {:.1f} B each\n", stats.entries,
               static_cast<double>(stats.memory_bytes) / static_cast<double>(stats.entries));
    fflush(stdout);
    kill(getpid(), SIGKILL);
  }
  waitpid(child, nullptr, 0);
  Opening(directory, "after kill -9", false);
  Opening(directory, "after a clean end", false);
  Opening(directory, "after a clean end", true);
  return 0;
}

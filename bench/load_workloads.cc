#include "load_workloads.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "google/bytestream/bytestream.pb.h"

namespace lre::bench {
namespace {

constexpr size_t kKilo = 1000, kKiB = 1 << 10, kMiB = 1 << 20;
constexpr uint64_t kStoredNonce = 1;  // of what is read: the same in every run
constexpr uint64_t kActionResults = 1000;
constexpr size_t kBatch = 100;
// Sizes of production blobs by decade from 1 B: 66 % under 1 kB, 0.6 % over 1 MB (BuildBuddy's
// tools/cacheload). The last decade ends at 16 MiB here.
constexpr uint64_t kDecades[] = {23, 33611, 33498, 20473, 10036, 3265, 504, 62};
constexpr size_t kMixedSizes = 400;

template <typename Message>
std::string ParseOne(const std::vector<std::string>& messages, Message& out) {
  if (messages.size() != 1) return fmt::format("{} messages instead of one", messages.size());
  return out.ParseFromString(messages[0]) ? "" : "the answer does not parse";
}

std::string JudgeRead(const std::vector<std::string>& messages, uint64_t size, bool zstd) {
  uint64_t bytes = 0;
  for (const std::string& message : messages) {
    google::bytestream::ReadResponse response;
    if (!response.ParseFromString(message)) return "an answer does not parse";
    bytes += response.data().size();
  }
  bool right = zstd ? bytes > 0 && bytes < size : bytes == size;
  return right ? "" : fmt::format("{} bytes of data for a blob of {}", bytes, size);
}

// A digest that is asked for twice may be named once.
std::string JudgeFindMissing(const std::vector<std::string>& messages, size_t missing) {
  pb::FindMissingBlobsResponse response;
  if (std::string problem = ParseOne(messages, response); !problem.empty()) return problem;
  auto found = static_cast<size_t>(response.missing_blob_digests_size());
  bool right = found <= missing && found * 2 >= missing;
  return right ? "" : fmt::format("{} missing instead of {}", found, missing);
}

std::string JudgeWrite(const std::vector<std::string>& messages) {
  google::bytestream::WriteResponse response;
  if (std::string problem = ParseOne(messages, response); !problem.empty()) return problem;
  return response.committed_size() > 0 ? "" : "nothing committed";
}

std::string JudgeBatchUpdate(const std::vector<std::string>& messages) {
  pb::BatchUpdateBlobsResponse response;
  if (std::string problem = ParseOne(messages, response); !problem.empty()) return problem;
  for (const auto& one : response.responses())
    if (one.status().code() != 0) return one.status().message();
  return response.responses_size() == kBatch ? "" : "not as many responses as blobs";
}

std::string JudgeBatchRead(const std::vector<std::string>& messages) {
  pb::BatchReadBlobsResponse response;
  if (std::string problem = ParseOne(messages, response); !problem.empty()) return problem;
  for (const auto& one : response.responses())
    if (one.status().code() != 0 || one.data().size() != kKilo) return one.status().message();
  return response.responses_size() == kBatch ? "" : "not as many responses as digests";
}

}  // namespace

Workloads::Workloads(WorkloadOptions options)
    : options_(std::move(options)),
      nonce_(std::stoull(RandomHex(8), nullptr, 16)),
      requests_({.instance = options_.instance, .chunk_bytes = options_.chunk_bytes}) {}

const std::vector<std::string>& Workloads::Names() {
  static const std::vector<std::string> names = {"capabilities",
                                                 "ac_hit",
                                                 "ac_miss",
                                                 "ac_update",
                                                 "find_missing_1",
                                                 "find_missing_100",
                                                 "find_missing_1000",
                                                 "find_missing_1000_absent",
                                                 "find_missing_10000",
                                                 "read_1k",
                                                 "read_64k",
                                                 "read_1m",
                                                 "read_16m",
                                                 "batch_read_100x1k",
                                                 "write_1k",
                                                 "write_64k",
                                                 "write_1m",
                                                 "write_16m",
                                                 "batch_update_100x1k",
                                                 "zstd_read_1m",
                                                 "zstd_write_1m",
                                                 "mixed"};
  return names;
}

const BlobSet& Workloads::Set(size_t size) {
  auto& set = sets_[size];
  if (set == nullptr) set = std::make_unique<BlobSet>(size, kStoredNonce);
  return *set;
}

uint64_t Workloads::CountOf(size_t size) const {
  if (size == kKilo) return std::max<uint64_t>(options_.index_blobs, 10'000);
  return std::clamp<uint64_t>(options_.set_bytes / size, 1, 100'000);
}

// Of 1 kB blobs a part that fits the cache, unless a larger set was asked for.
uint64_t Workloads::KiloRange() const {
  return std::min<uint64_t>(CountOf(kKilo), options_.set_bytes / kKilo + 1);
}

// In batches of about 1 MB while blobs are small; else one write each.
Status Workloads::Store(Client& client, const BlobSet& blobs, uint64_t count) {
  RunOptions run{.in_flight = 8, .duration = std::chrono::hours(1)};
  uint64_t batch = std::min<uint64_t>(1000, kMiB / blobs.size());
  run.calls_max = batch == 0 ? count : (count + batch - 1) / batch;
  if (batch == 0) run.in_flight = 4;
  Maker make = [&](uint64_t i, Request& request) {
    if (batch == 0) return requests_.Write(blobs, i, false, request);
    requests_.BatchUpdate(blobs, i * batch, std::min(batch, count - i * batch), request);
  };
  TRY_ASSIGN(RunResult result, client.Run(make, run));
  if (result.errors == 0) return {};
  return ErrorStatus(Code::kInternal, "storing blobs of {} bytes: {}", blobs.size(),
                     result.first_error);
}

Status Workloads::StoreActionResults(Client& client) {
  requests_.SetOutputs(&Set(kKilo), CountOf(kKilo));
  RunOptions run{.in_flight = 32, .duration = std::chrono::hours(1), .calls_max = kActionResults};
  Maker make = [&](uint64_t i, Request& request) {
    requests_.UpdateActionResult(kStoredNonce, i, request);
  };
  TRY_ASSIGN(RunResult result, client.Run(make, run));
  if (result.errors == 0) return {};
  return ErrorStatus(Code::kInternal, "storing action results: {}", result.first_error);
}

Status Workloads::Prepare(Client& client, const std::vector<std::string>& names) {
  auto wanted = [&](std::string_view part) {
    return std::any_of(names.begin(), names.end(), [&](const std::string& name) {
      return name.find(part) != std::string::npos;
    });
  };
  TRY(Store(client, Set(kKilo), CountOf(kKilo)));
  if (wanted("ac_") || wanted("mixed")) TRY(StoreActionResults(client));
  if (wanted("read_64k")) TRY(Store(client, Set(64 * kKiB), CountOf(64 * kKiB)));
  if (wanted("read_1m")) TRY(Store(client, Set(kMiB), CountOf(kMiB)));
  if (wanted("read_16m") || wanted("stalled"))
    TRY(Store(client, Set(16 * kMiB), CountOf(16 * kMiB)));
  if (!wanted("mixed")) return {};
  Random sizes(3);
  std::swap(random_, sizes);
  for (size_t i = 0; i < kMixedSizes; ++i) TRY(Store(client, Set(ProductionSize()), 1));
  return {};
}

Workload Workloads::Cycle(std::vector<Request> requests, int in_flight) {
  Workload workload{.in_flight = in_flight};
  auto shared = std::make_shared<std::vector<Request>>(std::move(requests));
  workload.make = [shared](uint64_t i, Request& out) { out = (*shared)[i % shared->size()]; };
  return workload;
}

Workload Workloads::FindMissing(size_t digests, bool present, int in_flight) {
  const BlobSet& set = Set(kKilo);
  const uint64_t range = KiloRange();
  std::vector<Request> requests;
  // The messages are to fit the cache too.
  size_t count = std::clamp<size_t>(100'000 / digests, 16, 1000);
  for (size_t i = 0; i < count; ++i) {
    std::vector<Digest> list;
    for (size_t k = 0; k < digests; ++k) {
      uint64_t number = random_.Below(range);
      list.push_back(set.DigestOf(present ? number : (1ull << 40) + number));
    }
    requests.push_back(requests_.FindMissing(list));
  }
  Workload workload = Cycle(std::move(requests), in_flight);
  workload.judge = [=](const auto& messages) {
    return JudgeFindMissing(messages, present ? 0 : digests);
  };
  return workload;
}

Workload Workloads::Read(size_t size, bool zstd, int in_flight) {
  const BlobSet& set = Set(size);
  std::vector<Request> requests;
  const uint64_t count = size == kKilo ? KiloRange() : CountOf(size);
  for (uint64_t i = 0; i < std::min<uint64_t>(count, 100'000); ++i) {
    uint64_t number = size == kKilo ? random_.Below(count) : i;
    requests.push_back(requests_.Read(set.DigestOf(number), zstd));
  }
  std::shuffle(requests.begin(), requests.end(), std::mt19937_64(5));
  Workload workload = Cycle(std::move(requests), in_flight);
  workload.judge = [=](const auto& messages) { return JudgeRead(messages, size, zstd); };
  return workload;
}

Workload Workloads::BatchRead(size_t count, int in_flight) {
  const BlobSet& set = Set(kKilo);
  const uint64_t range = KiloRange();
  std::vector<Request> requests;
  for (int i = 0; i < 1000; ++i) {
    std::vector<Digest> list;
    for (size_t k = 0; k < count; ++k) list.push_back(set.DigestOf(random_.Below(range)));
    std::sort(list.begin(), list.end());
    list.erase(std::unique(list.begin(), list.end()), list.end());
    while (list.size() < count) list.push_back(set.DigestOf(range - 1 - list.size()));
    requests.push_back(requests_.BatchRead(list));
  }
  Workload workload = Cycle(std::move(requests), in_flight);
  workload.judge = [](const auto& messages) { return JudgeBatchRead(messages); };
  return workload;
}

Workload Workloads::Write(size_t size, bool zstd, int in_flight) {
  new_sets_.push_back(std::make_unique<BlobSet>(size, nonce_ + new_sets_.size()));
  const BlobSet& set = *new_sets_.back();
  auto next = std::make_shared<uint64_t>(0);
  Workload workload{.in_flight = in_flight, .calls_max = options_.write_bytes / size + 1};
  workload.make = [this, &set, zstd, next](uint64_t, Request& request) {
    requests_.Write(set, (*next)++, zstd, request);
  };
  workload.judge = [](const auto& messages) { return JudgeWrite(messages); };
  return workload;
}

Workload Workloads::BatchUpdate(size_t count, int in_flight) {
  new_sets_.push_back(std::make_unique<BlobSet>(kKilo, nonce_ + new_sets_.size()));
  const BlobSet& set = *new_sets_.back();
  auto next = std::make_shared<uint64_t>(0);
  Workload workload{.in_flight = in_flight, .calls_max = options_.write_bytes / count / kKilo};
  workload.make = [this, &set, count, next](uint64_t, Request& request) {
    requests_.BatchUpdate(set, *next, count, request);
    *next += count;
  };
  workload.judge = [](const auto& messages) { return JudgeBatchUpdate(messages); };
  return workload;
}

Workload Workloads::ActionResults(bool hit) {
  std::vector<Request> requests;
  for (uint64_t i = 0; i < kActionResults; ++i)
    requests.push_back(requests_.GetActionResult(hit ? kStoredNonce : nonce_, i, hit ? 0 : 5));
  Workload workload = Cycle(std::move(requests), 64);
  workload.judge = [hit](const auto& messages) -> std::string {
    pb::ActionResult result;
    if (!hit) return messages.empty() ? "" : "an answer to a miss";
    if (std::string problem = ParseOne(messages, result); !problem.empty()) return problem;
    return result.output_files_size() == 2 ? "" : "not two output files";
  };
  return workload;
}

Workload Workloads::UpdateActionResult(int in_flight) {
  requests_.SetOutputs(&Set(kKilo), CountOf(kKilo));
  auto next = std::make_shared<uint64_t>(1ull << 32);
  Workload workload{.in_flight = in_flight, .calls_max = 1'000'000};
  workload.make = [this, next](uint64_t, Request& request) {
    requests_.UpdateActionResult(nonce_, (*next)++, request);
  };
  return workload;
}

// Log-uniform within its decade.
size_t Workloads::ProductionSize() {
  uint64_t sum = 0;
  for (uint64_t weight : kDecades) sum += weight;
  uint64_t dice = random_.Below(sum);
  size_t decade = 0;
  while (dice >= kDecades[decade]) dice -= kDecades[decade++];
  double power = static_cast<double>(decade) + static_cast<double>(random_.Below(1000)) / 1000;
  return std::clamp(static_cast<size_t>(std::pow(10.0, power)), kOwnBytes, 16 * kMiB);
}

// A hundred calls: 40 FindMissing of 20 digests, 15 hits and 10 misses of the action cache, 20
// reads and 10 writes of production sizes, 5 UpdateActionResult.
Workload Workloads::Mixed(int in_flight) {
  std::vector<Maker> parts;
  auto add = [&](int weight, const Maker& maker) {
    for (int i = 0; i < weight; ++i) parts.push_back(maker);
  };
  add(40, FindMissing(20, true, 1).make);
  add(15, ActionResults(true).make);
  add(10, ActionResults(false).make);
  std::vector<Request> reads;
  Random sizes(3);
  std::swap(random_, sizes);
  for (size_t i = 0; i < kMixedSizes; ++i)
    reads.push_back(requests_.Read(Set(ProductionSize()).DigestOf(0)));
  add(20, Cycle(std::move(reads), 1).make);
  auto writes = std::make_shared<std::vector<Maker>>();
  for (size_t i = 0; i < kMixedSizes; ++i)
    writes->push_back(Write(ProductionSize(), false, 1).make);
  add(10, [writes](uint64_t i, Request& out) { (*writes)[i % writes->size()](i, out); });
  add(5, UpdateActionResult(1).make);
  std::shuffle(parts.begin(), parts.end(), std::mt19937_64(11));
  Workload workload{.in_flight = in_flight};
  auto shared = std::make_shared<std::vector<Maker>>(std::move(parts));
  workload.make = [shared](uint64_t i, Request& out) {
    out = {};
    // Divided, so that every part sees consecutive numbers.
    (*shared)[i % shared->size()](i / shared->size() * 7 + i % 7, out);
  };
  return workload;
}

Request Workloads::LargeRead() { return requests_.Read(Set(16 * kMiB).DigestOf(0)); }

Workload Workloads::Make(const std::string& name) {
  Workload workload = Build(name);
  workload.name = name;
  return workload;
}

Workload Workloads::Build(const std::string& name) {
  if (name == "ac_hit" || name == "ac_miss") return ActionResults(name == "ac_hit");
  if (name == "ac_update") return UpdateActionResult(32);
  if (name == "find_missing_1") return FindMissing(1, true, 64);
  if (name == "find_missing_100") return FindMissing(100, true, 32);
  if (name == "find_missing_1000") return FindMissing(1000, true, 8);
  if (name == "find_missing_1000_absent") return FindMissing(1000, false, 8);
  if (name == "find_missing_10000") return FindMissing(10'000, true, 4);
  if (name == "read_1k") return Read(kKilo, false, 64);
  if (name == "read_64k") return Read(64 * kKiB, false, 16);
  if (name == "read_1m") return Read(kMiB, false, 8);
  if (name == "read_16m") return Read(16 * kMiB, false, 4);
  if (name == "batch_read_100x1k") return BatchRead(kBatch, 16);
  if (name == "write_1k") return Write(kKilo, false, 32);
  if (name == "write_64k") return Write(64 * kKiB, false, 16);
  if (name == "write_1m") return Write(kMiB, false, 8);
  if (name == "write_16m") return Write(16 * kMiB, false, 4);
  if (name == "batch_update_100x1k") return BatchUpdate(kBatch, 8);
  if (name == "zstd_read_1m") return Read(kMiB, true, 8);
  if (name == "zstd_write_1m") return Write(kMiB, true, 8);
  if (name == "mixed") return Mixed(32);
  CHECK(name == "capabilities", name);
  return Cycle({requests_.GetCapabilities()}, 64);
}

}  // namespace lre::bench

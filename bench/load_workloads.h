// Workloads: what the load generator can ask of a server, by name, in the order of the table in
// docs/performance.md. Each is a Maker with its number of calls in flight and a judge of the first
// answer. Prepare() stores what the chosen workloads read. Confined to one thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "load_requests.h"

namespace lre::bench {

struct WorkloadOptions {
  std::string instance;
  uint64_t index_blobs = 10'000;   // of 1,000 bytes each, stored before the runs
  uint64_t set_bytes = 8 << 20;    // of the blobs that one read or find workload goes over
  size_t chunk_bytes = 64 << 10;   // of one WriteRequest
  uint64_t write_bytes = 2 << 30;  // the most that one write workload stores
};

struct Workload {
  std::string name;
  int in_flight = 1;
  Maker make;
  uint64_t calls_max = UINT64_MAX;
  // Says what is wrong with the messages of an answer; empty when it is right.
  std::function<std::string(const std::vector<std::string>&)> judge;
};

class Workloads {
 public:
  explicit Workloads(WorkloadOptions options);

  // All names, in order.
  static const std::vector<std::string>& Names();
  // Stores the index and what the named workloads read.
  Status Prepare(Client& client, const std::vector<std::string>& names);
  // REQUIRES: Prepare() was called with `name`.
  Workload Make(const std::string& name);
  // A read of 16 MiB, stored by Prepare: for readers that stop reading.
  Request LargeRead();

 private:
  const BlobSet& Set(size_t size);
  uint64_t CountOf(size_t size) const;
  uint64_t KiloRange() const;
  Status Store(Client& client, const BlobSet& blobs, uint64_t count);
  Status StoreActionResults(Client& client);
  Workload Cycle(std::vector<Request> requests, int in_flight);
  Workload FindMissing(size_t digests, bool present, int in_flight);
  Workload Read(size_t size, bool zstd, int in_flight);
  Workload BatchRead(size_t count, int in_flight);
  Workload Write(size_t size, bool zstd, int in_flight);
  Workload BatchUpdate(size_t count, int in_flight);
  Workload ActionResults(bool hit);
  Workload UpdateActionResult(int in_flight);
  Workload Mixed(int in_flight);
  Workload Build(const std::string& name);
  size_t ProductionSize();

  const WorkloadOptions options_;
  const uint64_t nonce_;  // of this run: what is written is new
  Requests requests_;
  Random random_{7};
  std::map<size_t, std::unique_ptr<BlobSet>> sets_;
  std::vector<std::unique_ptr<BlobSet>> new_sets_;
};

}  // namespace lre::bench

// Worker: serves execution slots to a scheduler. It keeps one link to the server, opening it again
// when it breaks; takes assignments into its slots; and reports each attempt until the server
// acknowledges it. Protocol: proto/lre/worker/v1/worker.proto.
//
// Threads: one owns the link and everything said on it; one per slot runs actions. Thread-safe.
// Bounds: at most slots_max assignments at once (the server is told how many slots there are; more
// are refused as retryable); a report is kept until it is acknowledged or its link told to drop it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/metrics.h"
#include "base/status.h"
#include "sandbox/sandbox.h"
#include "store/blob_store.h"
#include "worker/link.h"
#include "worker/patience.h"
#include "worker/persistent_processes.h"
#include "worker/root_mounts.h"

namespace lre::worker {

// What a worker offers that is told nothing else: this kind of machine, and Linux.
std::vector<std::pair<std::string, std::string>> DefaultProperties();

struct WorkerOptions {
  std::string directory;  // caches and slots; the worker's own
  std::string name;       // for people; empty: the host's name
  // What the worker offers, a name may come several times. Empty: OSFamily=linux and ISA=x86-64.
  std::vector<std::pair<std::string, std::string>> properties;
  int slots = 1;  // as many as the launcher has, at most
  uint64_t cache_bytes_max = uint64_t{10} << 30;
  uint64_t directory_cache_bytes_max = 32 << 20;
  uint64_t stdout_bytes_max = 64 << 20;
  // An action that writes more is given a disk instead of memory to write to; see sandbox::Command.
  uint64_t memory_files_bytes_max = uint64_t{256} << 20;
  uint64_t action_memory_bytes_max = 0;  // ends an action that uses more; 0: no bound
  bool adopt_outputs = true;             // see ExecutorOptions
  sandbox::Isolation isolation = sandbox::Isolation::kNamespaces;
  UserlandFinder find_userland;              // of the default toolchain; may be empty
  std::vector<sandbox::Mount> extra_mounts;  // besides EtcMounts()
  std::string store_prefix = "/lre/store";
  uint64_t disk_free_bytes_min = 1 << 20;  // see ExecutorOptions
  // An action may ask for this machine's network by the property network=host, which is then
  // offered.
  bool network_allowed = false;
  PersistentOptions persistent;  // processes that stay, see docs/adr/0008
  PatienceOptions patience;      // see ExecutorOptions
  Duration reconnect_min = std::chrono::milliseconds(100);  // doubles up to
  Duration reconnect_max = std::chrono::seconds(5);
  Duration welcome_max = std::chrono::seconds(20);  // from connecting to the server's welcome
};

// What a worker borrows; all must outlive it.
struct WorkerParts {
  store::BlobStore& cas;
  sandbox::Launcher& launcher;
  LinkConnector& connector;
  StorePathSource& store_paths;
  const Clock& clock;
  Metrics& metrics;
};

class Worker {
 public:
  // Starts serving.
  static Result<std::unique_ptr<Worker>> Start(WorkerParts parts, WorkerOptions options);
  // Cancels what runs; the server learns that the link is gone.
  virtual ~Worker() = default;

  // Takes no more assignments. WaitForEnd returns when what runs has been reported.
  virtual void Drain(std::string reason) = 0;
  // Waits until a drain is complete (OK) or the server ended the link for good (its status).
  virtual Status WaitForEnd(std::stop_token stop) = 0;
};

}  // namespace lre::worker

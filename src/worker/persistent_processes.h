// PersistentProcesses: the processes that stay of one execution slot, by what they are started with
// (docs/adr/0008). A request is given to the process of its key, or to a new one. Confined to the
// slot's thread; PersistentBudget is shared by the slots of a worker and thread-safe.
//
// Bounds: processes of the worker, how long one idles, how many requests it serves, its memory; a
// key whose processes failed `failures_max` times in a row is given none any more.
//
// Errors are never the action's: whatever goes wrong with a process, it is killed and the caller
// runs the command plainly, which tells the truth. kFailedPrecondition: there can be no process
// now. kInternal: it did not start, ended, printed something else, used too much memory; the
// message has the end of what it wrote to stderr.
#pragma once

#include <atomic>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <stop_token>
#include <string>

#include "base/clock.h"
#include "base/metrics.h"
#include "base/status.h"
#include "sandbox/sandbox.h"
#include "worker/work_protocol.h"

namespace lre::worker {

struct PersistentOptions {
  int processes_max = 4;  // of the worker; 0: none
  Duration idle_max = std::chrono::seconds(60);
  int requests_max = 1000;                        // of one process
  uint64_t memory_bytes_max = uint64_t{2} << 30;  // of one process with all it started
  int failures_max = 3;
};

// How many processes there are in a worker, and what became of them.
class PersistentBudget {
 public:
  explicit PersistentBudget(Metrics& metrics);
  bool Take(int processes_max);
  void GiveBack() {
    processes_.Add(-1);
    --count_;
  }

  Counter& requests;
  Counter& starts;
  Counter& failures;

 private:
  std::atomic<int> count_{0};
  Gauge& processes_;
};

struct PersistentRequest {
  std::string key;
  // What starts the process when there is none, with the input root as overlay by entry; of one
  // that is there only the overlay, the timeout and on_output count.
  sandbox::Command command;
  WorkProtocol protocol = WorkProtocol::kProto;
  const blaze::worker::WorkRequest& work;
  std::shared_ptr<const void> hold;  // what the process needs, for as long as it is there
};

class PersistentProcesses {
 public:
  // What it borrows must outlive it.
  PersistentProcesses(sandbox::Launcher& launcher, const Clock& clock, PersistentBudget& budget,
                      PersistentOptions options);
  ~PersistentProcesses();

  // Ending kExited with the answer's exit code and its output as stderr, as Bazel has it;
  // kTimedOut, kCancelled and kOutgrewMemory when the process was killed for that.
  Result<sandbox::Outcome> Run(const PersistentRequest& request, std::stop_token stop);
  // When the next process has idled for too long; Instant::max() when there is none.
  Instant NextExpiry() const;
  // Ends those that have.
  void Expire();

 private:
  class Process;
  Result<Process*> Find(const PersistentRequest& request);
  Result<std::unique_ptr<Process>> Start(const PersistentRequest& request);
  void Drop(const Process* process);
  void CountFailure(const std::string& key);

  sandbox::Launcher& launcher_;
  const Clock& clock_;
  PersistentBudget& budget_;
  const PersistentOptions options_;
  std::list<std::unique_ptr<Process>> processes_;  // most recently used first
  std::map<std::string, int> failures_;            // in a row, by key
};

}  // namespace lre::worker

// Executor: runs one assignment after another in one execution slot: stage inputs, run the command
// in the sandbox, capture and upload outputs, make the Report. Confined to the slot's thread; the
// caches it borrows are shared and must outlive it.
//
// What a Report's status says is in proto/lre/worker/v1/worker.proto. Failures of the worker itself
// (disk, store, sandbox) are retryable and never carry a result.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "lre/worker/v1/worker.pb.h"
#include "sandbox/sandbox.h"
#include "store/blob_store.h"
#include "worker/directory_cache.h"
#include "worker/file_cache.h"
#include "worker/large_actions.h"
#include "worker/lower_tree.h"
#include "worker/outputs.h"
#include "worker/patience.h"
#include "worker/persistent_action.h"
#include "worker/persistent_processes.h"
#include "worker/root_mounts.h"
#include "worker/workspace.h"

namespace lre::worker {

struct ExecutorOptions {
  std::string directory;  // of this slot; on the file system of the file cache
  std::string worker_name;
  int slot = 0;
  sandbox::Isolation isolation = sandbox::Isolation::kNamespaces;
  // Where the action sees it; "/": it is all the action sees besides /proc, /dev and /tmp. An
  // action may say otherwise by the platform property InputRootAbsolutePath.
  std::string input_root = "/build";
  uint64_t stdout_bytes_max = 64 << 20;       // of stdout and of stderr; beyond is dropped
  uint64_t inline_bytes_max = 4096;           // stdout and stderr up to this travel in the result
  uint64_t stdout_kept_bytes_max = 64 << 10;  // of each in memory; more goes through a file
  uint64_t memory_files_bytes_max = uint64_t{256} << 20;  // see sandbox::Command
  // Ends an action that uses more, unless more was set aside for it; 0: no bound.
  uint64_t memory_bytes_max = 0;
  // Outputs are kept as inputs of later actions; needless where the store is on this machine.
  bool adopt_outputs = true;
  uint64_t command_bytes_max = 8 << 20;  // of arguments and environment together
  std::string store_prefix = "/lre/store";
  // With less than this left where actions write, one that fails is taken to have failed for that.
  uint64_t disk_free_bytes_min = 1 << 20;
  // Whether the property network=host gives an action the network of this machine.
  bool network_allowed = false;
  PersistentOptions persistent;
  // With a server that does not answer while inputs are fetched and outputs uploaded.
  PatienceOptions patience;
};

// What the slots of a worker share.
struct ExecutorParts {
  store::BlobStore& cas;
  sandbox::Launcher& launcher;
  FileCache& files;
  DirectoryCache& directories;
  RootMounts& mounts;
  LargeActions& large_actions;
  PersistentBudget& persistent;
  const Clock& clock;
};

class Executor {
 public:
  // Called on the thread that calls Run; must not block. Either may be empty.
  struct Callbacks {
    std::function<void(v1::Progress)> progress;
    std::function<void(bool is_stderr, std::string_view bytes)> output;
  };

  Executor(ExecutorParts parts, ExecutorOptions options);
  ~Executor();

  // A stop request ends the command and answers CANCELLED.
  v1::Report Run(const v1::Assignment& assignment, const Callbacks& callbacks,
                 std::stop_token stop);
  // Keeps what may serve as input, removes what else the last Run left. Not part of it, so that the
  // report need not wait.
  void CleanUp();
  // When to call Expire; Instant::max(): there is no need to.
  Instant NextExpiry() const { return persistent_.NextExpiry(); }
  void Expire() { persistent_.Expire(); }

 private:
  struct Job;
  Status RunJob(Job& job);
  Status Parse(Job& job);
  Status Stage(Job& job);
  Workspace::Kind KindOfWorkspace(const Job& job) const;
  Status PrepareWorkspace(const Job& job);
  Result<sandbox::Command> MakeCommand(Job& job);
  Status Execute(Job& job);
  Result<sandbox::Outcome> RunCommand(Job& job);
  Result<sandbox::Outcome> RunPlainly(Job& job);
  Result<sandbox::Outcome> RunPersistently(Job& job, const PersistentWish& wish);
  Status AllowNetwork(const Job& job, sandbox::Command& command) const;
  void AddUsage(Job& job, const sandbox::Outcome& outcome) const;
  Status Collect(Job& job);
  Status AddStream(Job& job, bool is_stderr);
  void AddServerLog(Job& job, const Status& status, v1::Report& report) const;
  Status CheckDisk() const;
  void Progress(Job& job, v1::Progress::Stage stage);

  const ExecutorParts parts_;
  const ExecutorOptions options_;
  LowerTree lower_;
  Workspace workspace_;
  bool directory_made_ = false;
  PersistentProcesses persistent_;
  std::vector<OutputBlob> adoptable_;         // outputs of the last Run
  store::Partition adoptable_partition_ = 0;  // theirs
};

}  // namespace lre::worker

// WorkerSetup: everything a test of a worker needs around it: a store in memory, a launcher, a fake
// server, and helpers that make actions. Confined to the test's thread.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/metrics.h"
#include "sandbox/fake_sandbox_setup.h"
#include "sandbox/sandbox.h"
#include "store/fake_blob_store.h"
#include "worker/fake_link.h"
#include "worker/worker.h"

namespace lre::worker {

// Knows no store path, or those it was given.
class FakeStorePaths : public StorePathSource {
 public:
  Result<StoreClosure> Closure(const std::vector<std::string>& paths,
                               const std::string& user) override;
  std::vector<std::string> Verified() override;
  std::map<std::string, std::vector<std::string>> closures;
};

using sandbox::HostUserland;
using sandbox::MachineHasUserNamespaces;

struct TestAction {
  std::string script;
  std::map<std::string, std::string>
      files;  // path -> content; a program or a name ending in .sh is executable
  std::map<std::string, std::string> symlinks;
  std::vector<std::string> output_paths, output_files, output_directories;
  std::string working_directory;
  std::vector<std::string> arguments;  // instead of the script
  std::vector<std::pair<std::string, std::string>> environment = {{"PATH", "/usr/bin:/bin"}};
  Duration timeout{};
  std::set<std::string> tools = {};  // of `files`: marked with the node property bazel_tool_input
  std::vector<std::pair<std::string, std::string>> platform = {};
  store::Partition partition = 0;  // of the action and every blob of it
};

class WorkerSetup {
 public:
  explicit WorkerSetup(int slots = 2);
  void Start(WorkerOptions options = {});
  // Uploads the action's blobs and makes the assignment.
  // `change` may change what is sent.
  v1::Assignment Assign(const TestAction& action,
                        const std::function<void(v1::Assignment&)>& change = {});
  // Assigns, waits for the report and acknowledges it.
  v1::Report Run(const TestAction& action);
  v1::Report WaitForReport();
  void Welcome();
  void Acknowledge(const v1::Attempt& attempt);
  void Cancel(const v1::Attempt& attempt);
  // Content of a blob.
  std::string Blob(const build::bazel::remote::execution::v2::Digest& digest,
                   store::Partition partition = 0);
  // Content of an output file of a result; "(absent)" when it is not there.
  std::string Output(const v1::Report& report, const std::string& path);

  store::FakeBlobStore cas;
  store::BlobStore* blobs = &cas;  // the worker's, when it starts
  TempDir directory;
  std::unique_ptr<sandbox::Launcher> launcher;
  FakeServer server;
  FakeStorePaths store_paths;
  Metrics metrics;
  std::unique_ptr<Worker> worker;
  int attempts = 0;

 private:
  // Uploads the input root.
  Digest Upload(const TestAction& action);
};

// A test with such a setup, made where the machine can run sandboxes.
class WorkerSetupTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!MachineHasUserNamespaces())
      GTEST_SKIP() << "SKIPPED: this machine refuses user namespaces";
    setup_ = std::make_unique<WorkerSetup>();
  }
  std::unique_ptr<WorkerSetup> setup_;
};

}  // namespace lre::worker

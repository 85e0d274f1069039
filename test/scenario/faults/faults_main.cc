// lre-scenario-faults: runs the scenarios against our own services with one seeded fault at a time.
//   lre-scenario-faults [--only TEXT] FILE...
// Exit code 0: without a fault all pass, every fault makes some scenario fail, and every scenario
// fails under some fault; 1: what does not hold is named.
#include <google/protobuf/stubs/logging.h>

#include <CLI/CLI.hpp>
#include <set>

#include "action_cache/stored_action_cache.h"
#include "base/file.h"
#include "base/metrics.h"
#include "base/thread_pool.h"
#include "fault.h"
#include "rpc/server.h"
#include "runner.h"
#include "server_features.h"
#include "service/action_cache_service.h"
#include "service/asset_service.h"
#include "service/byte_stream_service.h"
#include "service/capabilities_service.h"
#include "service/cas_service.h"
#include "service/chunk_methods.h"
#include "service/execution_service.h"
#include "service/health_service.h"
#include "service/operations_service.h"
#include "store/memory_store.h"

namespace lre::scenario {
namespace {

constexpr const char* kInstance = "main";
constexpr int64_t kBlobBytesMax = 12 << 20;

// Everything below the transport: right, and used by one server after the other.
class Services {
 public:
  Services()
      : store_(store::NewMemoryStore(SystemClock(), {.blob_bytes_max = kBlobBytesMax})),
        cache_(action_cache::NewMemoryActionCache(*store_)),
        scheduler_({.scheduler = {.worker_grace = std::chrono::milliseconds(20)}},
                   service::NewResultPublisher(*cache_, io_), SystemClock(), metrics_),
        assets_({*store_, *cache_, io_, SystemClock(), {}}, {}),
        health_(service::ServicesOf(StorageMethods())) {}

  std::vector<rpc::Method> Methods() {
    std::vector<rpc::Method> methods = StorageMethods();
    Append(methods, service::ExecutionMethods({*store_, *cache_, scheduler_, io_, SystemClock()}));
    Append(methods, service::OperationsMethods(scheduler_));
    Append(methods, service::HealthMethods(health_));
    return methods;
  }
  Metrics& metrics() { return metrics_; }

 private:
  static void Append(std::vector<rpc::Method>& methods, std::vector<rpc::Method> more) {
    for (rpc::Method& method : more) methods.push_back(std::move(method));
  }
  std::vector<rpc::Method> StorageMethods() {
    std::vector<rpc::Method> methods =
        service::CapabilitiesMethods({.cas_blob_size_bytes_max = kBlobBytesMax});
    Append(methods, service::CasMethods({*store_, io_}));
    Append(methods, service::ChunkMethods({*store_, io_}));
    Append(methods, assets_.Methods());
    Append(methods, service::ByteStreamMethods({*store_, io_, SystemClock()},
                                               {.blob_bytes_max = kBlobBytesMax}));
    Append(methods, service::ActionCacheMethods({*cache_, *store_, io_}));
    return methods;
  }

  Metrics metrics_;
  std::unique_ptr<store::BlobStore> store_;
  std::unique_ptr<action_cache::ActionCache> cache_;
  ThreadPool io_{{.threads = 2}};
  service::SchedulerThread scheduler_;
  service::AssetService assets_;
  service::HealthState health_;
};

// Whether the scenario calls the method at all; `put` is a BatchUpdateBlobs.
bool Calls(const Scenario& scenario, std::string_view path) {
  const std::string_view name = path.substr(1);
  return std::any_of(scenario.steps.begin(), scenario.steps.end(), [&](const Step& step) {
    if (step.verb == "put") return name.ends_with("/BatchUpdateBlobs");
    return step.verb == "call" && !step.arguments.empty() && step.arguments[0] == name;
  });
}

class Matrix {
 public:
  explicit Matrix(std::vector<Scenario> scenarios, uint64_t seed)
      : scenarios_(std::move(scenarios)), seed_(seed) {}

  // The titles of the scenarios that fail against `methods`.
  Result<std::set<std::string>> Failing(std::vector<rpc::Method> methods, std::string_view path,
                                        bool say) {
    TRY_ASSIGN(auto server,
               rpc::Server::Start({.listen = {"127.0.0.1:0"}, .loops = 1}, std::move(methods),
                                  nullptr, services_.metrics(), SystemClock()));
    TRY_ASSIGN(auto channel, rpc::Channel::Create(server->addresses()[0]));
    Runner runner(*channel, {.instance_name = kInstance,
                             .seed = seed_++,
                             .call_timeout = std::chrono::seconds(say ? 30 : 5)});
    std::set<std::string> failing;
    for (const Scenario& scenario : scenarios_) {
      if (!path.empty() && !Calls(scenario, path)) continue;
      const Status status = runner.Run(scenario);
      if (status.ok()) continue;
      failing.insert(scenario.title);
      if (say)
        fmt::print("FAILED without a fault  {}\n        {}\n", scenario.title, status.message());
    }
    return failing;
  }
  // Runs against one fault; false, and says so, when no scenario tells. Adds to `seen`.
  Result<bool> Try(const Fault& fault, std::set<std::string>& seen) {
    TRY_ASSIGN(std::set<std::string> failing,
               Failing(WithFault(services_.Methods(), fault), fault.method, false));
    seen.insert(failing.begin(), failing.end());
    if (failing.empty()) {
      fmt::print("NOT CAUGHT  {}  ({})\n", fault.name, fault.method);
    } else {
      fmt::print("caught by {:3}  {}: \"{}\"\n", failing.size(), fault.name, *failing.begin());
    }
    return !failing.empty();
  }
  Services& services() { return services_; }
  const std::vector<Scenario>& scenarios() const { return scenarios_; }

 private:
  Services services_;
  const std::vector<Scenario> scenarios_;
  uint64_t seed_;
};

Result<std::vector<Scenario>> ReadScenarios(const std::vector<std::string>& files) {
  std::vector<Scenario> all;
  for (const std::string& file : files) {
    TRY_ASSIGN(std::string text, ReadFile(file));
    TRY_ASSIGN(std::vector<Scenario> scenarios, ParseScenarios(text, file));
    for (Scenario& scenario : scenarios) all.push_back(std::move(scenario));
  }
  return all;
}

Result<bool> RunMatrix(Matrix& matrix, const std::string& only) {
  TRY_ASSIGN(std::set<std::string> failing, matrix.Failing(matrix.services().Methods(), "", true));
  if (!failing.empty()) return false;

  bool good = true;
  int faults = 0;
  std::set<std::string> seen;
  for (const Fault& fault : SeededFaults()) {
    if (fault.name.find(only) == std::string::npos) continue;
    TRY_ASSIGN(const bool caught, matrix.Try(fault, seen));
    good = good && caught;
    faults++;
  }
  const size_t by_seeded = seen.size();
  if (!only.empty()) return good;
  for (const Fault& fault : WholesaleFaults(matrix.services().Methods())) {
    TRY_ASSIGN(const bool caught, matrix.Try(fault, seen));
    (void)caught;  // methods that no scenario calls are none of this test
  }
  for (const Scenario& scenario : matrix.scenarios()) {
    if (seen.contains(scenario.title)) continue;
    fmt::print("NEVER SEEN TO FAIL  {}\n", scenario.title);
    good = false;
  }
  fmt::print("{} scenarios, {} seeded faults; {} scenarios fail under a seeded one, {} under any\n",
             matrix.scenarios().size(), faults, by_seeded, seen.size());
  return good;
}

int Main(int argc, char** argv) {
  CLI::App cli("Runs the scenarios against seeded faults", "lre-scenario-faults");
  std::string only;
  uint64_t seed = std::random_device()();
  std::vector<std::string> files;
  cli.add_option("--only", only, "Only faults whose name holds this text");
  cli.add_option("--seed", seed, "Of the blobs");
  cli.add_option("FILE", files, "Scenario files")->required();
  CLI11_PARSE(cli, argc, argv);
  // Text that does not parse is part of some faults.
  google::protobuf::LogSilencer silence;

  auto scenarios = ReadScenarios(files);
  if (!scenarios) {
    fmt::print(stderr, "{}\n", scenarios.error().message());
    return 2;
  }
  fmt::print("seed {}\n", seed);
  Matrix matrix(std::move(*scenarios), seed);
  auto good = RunMatrix(matrix, only);
  if (!good) fmt::print(stderr, "{}\n", good.error().ToString());
  return good && *good ? 0 : 1;
}

}  // namespace
}  // namespace lre::scenario

int main(int argc, char** argv) { return lre::scenario::Main(argc, argv); }

// lre-conformance: runs scenarios against any server of the Remote Execution API.
//   lre-conformance --target ADDRESS [--instance NAME] [--only TEXT] FILE...
// Scenarios that require what the server does not announce are skipped, and said so.
// Exit code 0: all passed; 1: some failed, each said with file, line and difference; 2: usage.
#include <google/protobuf/stubs/logging.h>

#include <CLI/CLI.hpp>

#include "base/file.h"
#include "build/bazel/remote/execution/v2/remote_execution.pb.h"
#include "google/bytestream/bytestream.pb.h"
#include "google/longrunning/operations.pb.h"
#include "grpc/health/v1/health.pb.h"
#include "runner.h"
#include "server_features.h"

namespace lre::scenario {
namespace {

// Descriptors of a message in each file keep the linker from dropping the services.
void UseServices() {
  (void)::build::bazel::remote::execution::v2::Digest::descriptor();
  (void)::google::bytestream::ReadRequest::descriptor();
  (void)::google::longrunning::Operation::descriptor();
  // Inside Operation.metadata and Operation.response.
  (void)::build::bazel::remote::execution::v2::ExecuteResponse::descriptor();
  (void)::grpc::health::v1::HealthCheckRequest::descriptor();
}

int Main(int argc, char** argv) {
  UseServices();
  google::protobuf::LogSilencer silence;  // deprecated fields are tested too
  CLI::App cli("Runs scenarios against a server of the Remote Execution API", "lre-conformance");
  std::string target, instance, only;
  uint64_t seed = std::random_device()();
  std::vector<std::string> files;
  cli.add_option("--target", target, "host:port, grpcs://host:port or unix:/path")->required();
  cli.add_option("--instance", instance, "Instance name [empty]");
  cli.add_option("--only", only, "Only scenarios whose title holds this text");
  cli.add_option("--seed", seed, "Of the blobs");
  cli.add_option("FILE", files, "Scenario files")->required();
  CLI11_PARSE(cli, argc, argv);

  auto channel = rpc::Channel::Create(target);
  if (!channel) {
    fmt::print(stderr, "{}\n", channel.error().message());
    return 2;
  }
  auto features = AskFeatures(**channel, instance);
  if (!features) {
    fmt::print(stderr, "{}: {}\n", target, features.error().ToString());
    return 2;
  }
  Runner runner(**channel, {.instance_name = instance, .seed = seed});
  int passed = 0, failed = 0, skipped = 0;
  for (const std::string& file : files) {
    auto text = ReadFile(file);
    auto scenarios = text ? ParseScenarios(*text, file)
                          : Result<std::vector<Scenario>>(std::unexpected(text.error()));
    if (!scenarios) {
      fmt::print(stderr, "{}\n", scenarios.error().message());
      return 2;
    }
    for (const Scenario& scenario : *scenarios) {
      if (scenario.title.find(only) == std::string::npos) continue;
      if (std::string lacking = Lacking(scenario, *features); !lacking.empty()) {
        fmt::print("skipped {} (no {})\n", scenario.title, lacking);
        skipped++;
        continue;
      }
      Status status = runner.Run(scenario);
      status.ok() ? passed++ : failed++;
      if (status.ok()) continue;
      fmt::print("FAILED  {}\n        cites {}\n        {}\n", scenario.title, scenario.cites,
                 status.message());
    }
  }
  fmt::print("{} passed, {} failed, {} skipped (seed {})\n", passed, failed, skipped, seed);
  return failed == 0 && passed > 0 ? 0 : 1;
}

}  // namespace
}  // namespace lre::scenario

int main(int argc, char** argv) { return lre::scenario::Main(argc, argv); }

#include "cli/farm.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <thread>
#include <tuple>

#include "base/file.h"
#include "base/log.h"
#include "base/quantity.h"
#include "cli/commands.h"
#include "cli/store_upload.h"
#include "cli/terminal.h"
#include "reapi/store_index.h"
#include "server/web_page.h"
#include "service/worker_link.h"
#include "toolchain/lock/manifest.h"
#include "toolchain/root/toolchain_store.h"

namespace lre::cli {
namespace {

std::string BazelTarget(const server::Config& config, const std::string& address) {
  if (address.starts_with("unix:")) return address;
  return (config.tls_certificate.empty() ? "grpc://" : "grpcs://") + address;
}

// The manifests that `lre sync` kept, the last one first; those of lre-cc before all others, so
// that somebody's own toolchain changes nobody's /bin.
std::vector<std::string> KeptManifests() {
  std::error_code error;
  std::vector<std::tuple<bool, std::filesystem::file_time_type, std::string>> found;
  const std::string folder = std::string(toolchain::kStorePrefix) + "/.lre/manifests";
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    if (entry.path().extension() != ".json") continue;
    const auto time = entry.last_write_time(error);
    const std::string path = entry.path().string();
    if (!error) found.emplace_back(path.ends_with("-lre-cc.json"), time, path);
  }
  std::ranges::sort(found, std::greater());
  std::vector<std::string> paths;
  for (auto& [first, time, path] : found) paths.push_back(std::move(path));
  return paths;
}

struct FoundUserland {
  std::optional<worker::Userland> userland;
  std::string description;
};

Result<FoundUserland> ReadUserland(const std::string& path) {
  TRY_ASSIGN(std::string text, ReadFile(path));
  TRY_ASSIGN(toolchain::Manifest manifest, toolchain::ParseManifest(text));
  TRY_ASSIGN(worker::Userland userland, worker::UserlandOf(manifest));
  return FoundUserland{std::move(userland), fmt::format("{} ({})", manifest.name, path)};
}

bool HasShell(const worker::Userland& userland) {
  return std::ranges::any_of(userland.links,
                             [](const sandbox::Mount& link) { return link.target == "/bin"; });
}

// Only what the operator named must be there. Of what was synced the first usable one is taken:
// another may be gone from the store, be of another version of this program or for another system,
// or have no shell because it is only a tool.
Result<FoundUserland> FindUserland(const server::Config& config) {
  if (!config.worker_manifest.empty()) {
    Result<FoundUserland> named = ReadUserland(config.worker_manifest);
    if (!named) return std::unexpected(named.error().WithContext(config.worker_manifest));
    return named;
  }
  std::string unusable;
  for (const std::string& path : KeptManifests()) {
    Result<FoundUserland> found = ReadUserland(path);
    if (found && HasShell(*found->userland)) return found;
    if (unusable.empty())
      unusable = found ? path + ": no shell" : found.error().WithContext(path).message();
  }
  const std::string reason = unusable.empty() ? "" : fmt::format(" ({})", unusable);
  return FoundUserland{
      std::nullopt,
      fmt::format("none here{}: that of the toolchain pushed last (`lre push`), or `lre sync`",
                  reason)};
}

// The userland of the toolchain that was pushed last, fetched; nullopt when none was.
Result<std::optional<worker::Userland>> PushedUserland(const worker::ReadActionResult& read,
                                                       worker::StorePathSource& store_paths) {
  Result<worker::Userland> found = [&]() -> Result<worker::Userland> {
    TRY_ASSIGN(Bytes bytes, read(reapi::ToolchainKey(kDefaultToolchain).action));
    TRY_ASSIGN(reapi::StoreIndexEntry entry, reapi::ParseStoreIndexEntry(bytes.view()));
    TRY_ASSIGN(toolchain::Manifest manifest, toolchain::ParseManifest(entry.record));
    std::vector<std::string> paths;
    for (const char* role : {"base", "libc"})
      if (const auto* path = manifest.Find(role)) paths.push_back(path->path);
    TRY_ASSIGN(worker::StoreClosure closure, store_paths.Closure(paths, "userland"));
    return worker::UserlandOf(manifest);
  }();
  if (found) {
    Log(kInfo, "worker_userland",
        {{"paths", fmt::format("{}", fmt::join(found->store_paths, " "))}});
    return std::move(*found);
  }
  if (found.error().code() == Code::kUnavailable) return std::unexpected(found.error());
  if (found.error().code() != Code::kNotFound)
    Log(kWarning, "worker_userland", {{"error", found.error().ToString()}});
  return std::nullopt;
}

// Turns the server's link into the worker's.
class LocalConnector final : public worker::LinkConnector {
 public:
  explicit LocalConnector(server::Server& server) : server_(server) {}

  std::unique_ptr<worker::Link> Connect(worker::LinkCallbacks callbacks) override {
    class LocalLink final : public worker::Link {
     public:
      explicit LocalLink(std::unique_ptr<service::LocalWorkerLink> link) : link_(std::move(link)) {}
      void Send(const worker::v1::FromWorker& message) override { link_->Send(message); }

     private:
      std::unique_ptr<service::LocalWorkerLink> link_;
    };
    return std::make_unique<LocalLink>(service::ConnectLocalWorker(
        *server_.scheduler(), server_.worker_link_options(),
        {.receive = std::move(callbacks.receive), .closed = std::move(callbacks.closed)}));
  }

 private:
  server::Server& server_;
};

std::string WorkerDirectory(const server::Config& config) {
  if (!config.worker_directory.empty()) return config.worker_directory;
  return config.data_dir + "/worker";
}

}  // namespace

std::string BazelFlags(const server::Config& config, const std::vector<std::string>& addresses) {
  std::string flags = "--remote_cache=" + BazelTarget(config, addresses.front());
  if (config.execution) flags += " --remote_executor=" + BazelTarget(config, addresses.back());
  if (!config.instance_name.empty()) flags += " --remote_instance_name=" + config.instance_name;
  return flags;
}

void PrintServing(const server::Config& config, const std::vector<std::string>& addresses) {
  const bool local = std::all_of(addresses.begin(), addresses.end(), server::IsLocalAddress);
  std::string who = "this machine only";
  if (!local) {
    who =
        config.tls_client_ca.empty()
            ? Coloured("anyone who reaches it can run programs here (--insecure)", Colour::kYellow)
            : std::string("clients with a certificate");
  }
  Print(fmt::format("lre {} serves on {} ({})\n", Version(), fmt::join(addresses, ", "), who));
  Print(fmt::format(
      "  data      {}\n",
      config.data_dir.empty()
          ? fmt::format("in memory, at most {}", FormatSize(config.memory_size_bytes_max))
          : fmt::format("{}, at most {}", config.data_dir,
                        FormatSize(config.store_size_bytes_max))));
  if (const std::string& first = addresses.front(); !first.starts_with("unix:")) {
    Print(fmt::format("  status    {}://{}/\n", config.tls_certificate.empty() ? "http" : "https",
                      first));
  }
  Print(fmt::format("  Bazel     {}\n", BazelFlags(config, addresses)));
}

Status WriteReadyFile(const std::string& path, const server::Config& config,
                      const std::vector<std::string>& addresses) {
  if (path.empty()) return Status();
  nlohmann::json ready = {
      {"pid", getpid()}, {"addresses", addresses}, {"bazel_flags", BazelFlags(config, addresses)}};
  return WriteFileAtomically(path, ready.dump(2) + "\n");
}

int WorkerSlots(const server::Config& config) {
  if (config.worker_slots > 0) return config.worker_slots;
  return std::max(1, static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN)));
}

Result<std::unique_ptr<sandbox::Launcher>> StartLauncher(const server::Config& config) {
  if (config.data_dir.empty() && config.worker_directory.empty()) {
    return Error(Code::kInvalidArgument,
                 "a worker needs a folder: say --data-dir or --worker-directory");
  }
  const bool isolated = config.worker_sandbox != "none";
  if (isolated) {
    Status support = sandbox::CheckSandboxSupport();
    if (!support.ok()) {
      return std::unexpected(Status(
          support.code(),
          support.message() + "; or say --sandbox=none: actions then run without isolation"));
    }
  }
  const std::string scratch = WorkerDirectory(config) + "/scratch";
  TRY(SystemFiles().MakeDirectories(scratch));
  return sandbox::Launcher::Start(
      {.slots = WorkerSlots(config),
       .scratch_directory = scratch,
       .processes_max = static_cast<uint64_t>(config.worker_action_processes_max),
       .cgroup_directory = config.worker_cgroup});
}

std::unique_ptr<worker::LinkConnector> NewLocalLinkConnector(server::Server& server) {
  return std::make_unique<LocalConnector>(server);
}

std::string DescribeUserland(const server::Config& config) {
  Result<FoundUserland> found = FindUserland(config);
  return found ? found->description : "none: " + found.error().message();
}

worker::WorkerOptions WorkerOptionsOf(const server::Config& config) {
  worker::WorkerOptions options;
  options.directory = WorkerDirectory(config);
  options.name = config.worker_name;
  options.properties = config.worker_properties;
  options.slots = WorkerSlots(config);
  options.cache_bytes_max = config.worker_cache_bytes_max;
  options.directory_cache_bytes_max = config.worker_directory_cache_bytes_max;
  options.stdout_bytes_max = config.worker_stdout_bytes_max;
  options.memory_files_bytes_max = config.worker_memory_files_bytes_max;
  options.action_memory_bytes_max = config.worker_action_memory_bytes_max;
  options.network_allowed = config.worker_network == "host";
  options.patience.away_max = config.worker_server_away_max;
  options.persistent = {.processes_max = config.worker_persistent_max,
                        .idle_max = config.worker_persistent_idle_max,
                        .requests_max = config.worker_persistent_requests_max,
                        .memory_bytes_max = config.worker_persistent_memory_bytes_max};
  options.isolation =
      config.worker_sandbox == "none" ? sandbox::Isolation::kNone : sandbox::Isolation::kNamespaces;
  return options;
}

Result<std::unique_ptr<rpc::Server>> ServeWorkerStatus(const server::Config& config,
                                                       Metrics& metrics,
                                                       const service::HealthState& health) {
  if (config.worker_status_listen.empty()) return nullptr;
  auto facts = [server = config.worker_server, slots = WorkerSlots(config),
                started = SystemClock().Now()] {
    return std::vector<std::pair<std::string, std::string>>{
        {"Version", std::string(Version())},
        {"Works for", server},
        {"Slots", std::to_string(slots)},
        {"Running for", FormatDuration(SystemClock().Now() - started)}};
  };
  rpc::ServerOptions options;
  options.listen = {config.worker_status_listen};
  options.loops = 1;
  return rpc::Server::Start(std::move(options), {},
                            server::NewWebPage({metrics, health, std::move(facts)}), metrics,
                            SystemClock());
}

Result<WorkerHandle> StartWorker(const server::Config& config, WorkerSetup setup,
                                 std::unique_ptr<worker::LinkConnector> connector) {
  TRY_ASSIGN(FoundUserland found, FindUserland(config));
  WorkerHandle handle;
  handle.connector = std::move(connector);
  handle.store_paths =
      worker::StorePathCache::Make(setup.cas, setup.read_result,
                                   {.fetched_bytes_max = config.worker_store_bytes_max,
                                    .read_tenant = setup.read_tenant_result,
                                    .check_interval = config.worker_store_check_interval,
                                    .metrics = &setup.metrics});
  worker::WorkerOptions options = WorkerOptionsOf(config);
  options.find_userland = [read = setup.read_result, store_paths = handle.store_paths,
                           local = std::move(found.userland)] {
    return local ? Result<std::optional<worker::Userland>>(local)
                 : PushedUserland(read, *store_paths);
  };
  TRY_ASSIGN(handle.worker,
             worker::Worker::Start({setup.cas, setup.launcher, *handle.connector,
                                    *handle.store_paths, SystemClock(), setup.metrics},
                                   std::move(options)));
  return handle;
}

}  // namespace lre::cli

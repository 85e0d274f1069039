// From a Config to a running server, layer by layer; each part owns only what is its own, and goes
// before what it borrows.
#include "server/server.h"

#include <fcntl.h>
#include <sys/file.h>

#include <atomic>

#include "action_cache/pin_table.h"
#include "action_cache/read_through_action_cache.h"
#include "action_cache/stored_action_cache.h"
#include "base/file.h"
#include "base/freed_memory.h"
#include "base/log.h"
#include "base/quantity.h"
#include "base/thread_pool.h"
#include "rpc/server.h"
#include "server/options.h"
#include "server/web_page.h"
#include "service/action_cache_service.h"
#include "service/admin_service.h"
#include "service/asset_service.h"
#include "service/byte_stream_service.h"
#include "service/capabilities_service.h"
#include "service/cas_service.h"
#include "service/chunk_methods.h"
#include "service/execution_service.h"
#include "service/health_service.h"
#include "service/http_cache.h"
#include "service/input_leases.h"
#include "service/lease_scope.h"
#include "service/log_stream_service.h"
#include "service/operations_service.h"
#include "service/pin_service.h"
#include "service/reflection_service.h"
#include "service/seen_actions.h"
#include "store/existence_cache_store.h"
#include "store/log_store.h"
#include "store/memory_store.h"
#include "store/read_through_store.h"
#include "store/remote_store.h"
#include "store/value_store.h"

namespace lre::server {
namespace {

// Keeps a second server out of the data directory.
Result<UniqueFd> LockDataDirectory(const std::string& directory) {
  const std::string path = directory + "/lock";
  UniqueFd fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (!fd) return ErrnoError(errno, "open " + path);
  if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    return Error(Code::kFailedPrecondition,
                 "data directory {} is in use by another server; end that one or choose another "
                 "--data-dir",
                 directory);
  }
  return fd;
}

// Where blobs and action results live.
struct Storage {
  UniqueFd lock;
  std::unique_ptr<store::BlobStore> all_blobs;  // the log or memory, behind it the upstream
  store::LogStore* log = nullptr;               // with a data directory: part of all_blobs
  std::unique_ptr<store::ValueStore> memory_values;
  std::unique_ptr<action_cache::ActionCache> action_cache;
  action_cache::PinTable* pins = nullptr;             // of action_cache; null in memory
  std::unique_ptr<action_cache::ActionCache> assets;  // their records: never asked of the upstream

  store::BlobStore& blobs() { return *all_blobs; }
  store::ValueStore& values() { return log ? *log : *memory_values; }
};

// What is missing here is looked for at the upstream.
Status PutUpstreamBehind(const Config& config, const Clock& clock, Metrics& metrics,
                         Storage* storage) {
  auto channel = rpc::Channel::Create(config.upstream, UpstreamChannelOf(config));
  if (!channel) return channel.error().WithContext("upstream.address");
  auto remote = store::NewRemoteStore(*channel, {.instance_name = config.upstream_instance_name,
                                                 .call_timeout = config.upstream_call_timeout});
  if (config.upstream_existence_entries_max > 0) {
    remote = store::NewExistenceCacheStore(std::move(remote), clock, ExistenceOptionsOf(config));
  }
  store::ReadThroughOptions options = ReadThroughOptionsOf(config);
  options.metrics = &metrics;
  storage->all_blobs =
      store::NewReadThroughStore(std::move(storage->all_blobs), std::move(remote), clock, options);
  storage->action_cache = action_cache::NewReadThroughActionCache(
      action_cache::NewStoredActionCache(storage->values(), storage->blobs(),
                                         StoredActionCacheOptionsOf(config)),
      *channel, clock,
      {.instance_name = config.upstream_instance_name,
       .write_through = config.upstream_write_through,
       .down_pause = config.upstream_down_pause,
       .call_timeout = std::min<Duration>(config.upstream_call_timeout, std::chrono::seconds(30))});
  return Status();
}

Result<Storage> OpenStorage(const Config& config, const Clock& clock, Metrics& metrics) {
  Storage storage;
  if (config.data_dir.empty()) {
    storage.all_blobs = store::NewMemoryStore(
        clock, {.size_bytes_max = config.memory_size_bytes_max,
                .blob_bytes_max = static_cast<uint64_t>(BlobBytesMaxOf(config))});
    storage.memory_values = store::NewMemoryValueStore();
  } else {
    TRY(SystemFiles().MakeDirectories(config.data_dir));
    TRY_ASSIGN(storage.lock, LockDataDirectory(config.data_dir));
    TRY(SystemFiles().MakeDirectories(config.data_dir + "/spool"));
    store::LogStoreOptions options = LogOptionsOf(config);
    options.metrics = &metrics;
    TRY_ASSIGN(auto log, store::OpenLogStore(clock, options));
    storage.log = log.get();
    storage.all_blobs = std::move(log);
  }
  if (!config.upstream.empty()) {
    TRY(PutUpstreamBehind(config, clock, metrics, &storage));
  } else {
    storage.action_cache = action_cache::NewStoredActionCache(storage.values(), storage.blobs(),
                                                              StoredActionCacheOptionsOf(config));
  }
  if (storage.log) {
    TRY_ASSIGN(auto pins,
               action_cache::PinTable::Open(
                   std::move(storage.action_cache), *storage.log, clock,
                   {.file = config.data_dir + "/pins",
                    .results_max = static_cast<size_t>(config.store_pinned_results_max)}));
    storage.pins = pins.get();
    storage.action_cache = std::move(pins);
  }
  storage.assets = action_cache::NewStoredActionCache(storage.values(), storage.blobs());
  return storage;
}

service::PinFunction PinsOf(store::LogStore& log) {
  return [&log](const std::string& name, store::Partition partition,
                std::span<const Digest> digests, WallTime until) {
    if (digests.empty()) return log.RemovePin(name);
    return log.SetPin({.name = name, .until = until}, partition, digests);
  };
}

class RunningServer final : public Server {
 public:
  RunningServer(const Config& config, const Clock& clock) : config_(config), clock_(clock) {}

  ~RunningServer() override {
    if (scheduler_) scheduler_->Stop();
    rpc_.reset();
    assets_.reset();
    io_.Stop();
  }

  Status Open() {
    TRY_ASSIGN(partitions_, service::Partitions::Make(PartitionRulesOf(config_)));
    TRY_ASSIGN(storage_, OpenStorage(config_, clock_, metrics_));
    if (config_.execution) {
      inputs_ = std::make_unique<service::InputLeases>(storage_.blobs(), clock_, metrics_,
                                                       InputLeasesOptionsOf(config_));
      scheduler_ = std::make_unique<service::SchedulerThread>(
          SchedulerOptionsOf(config_), service::NewResultPublisher(*storage_.action_cache, io_),
          clock_, metrics_);
      DeclarePools();
    }
    service::AssetParts asset_parts{storage_.blobs(), *storage_.assets, io_, clock_, {},
                                    partitions_};
    if (storage_.log) asset_parts.pin = PinsOf(*storage_.log);
    service::AssetOptions asset_options = AssetOptionsOf(config_);
    asset_options.metrics = &metrics_;
    assets_ = std::make_unique<service::AssetService>(asset_parts, asset_options);
    std::vector<rpc::Method> methods = Methods();
    health_ = std::make_unique<service::HealthState>(service::ServicesOf(methods));
    for (auto& method : service::HealthMethods(*health_)) methods.push_back(std::move(method));
    for (auto& method : service::ReflectionMethods(service::ServicesOf(methods))) {
      methods.push_back(std::move(method));
    }
    if (config_.store_lease_share_percent < 100) service::ActForCallers(methods);
    rpc::HttpHandler http = service::NewHttpCache(
        {storage_.blobs(), *storage_.action_cache, storage_.values(), io_, partitions_},
        {.update = UpdatesOf(config_),
         .raw_value_bytes_max = config_.http_raw_value_bytes_max,
         .blob_bytes_max = BlobBytesMaxOf(config_)},
        NewWebPage({metrics_, *health_, [this] { return Facts(); }}));
    TRY_ASSIGN(rpc_, rpc::Server::Start(RpcOptionsOf(config_), std::move(methods), std::move(http),
                                        metrics_, clock_));
    ready_ = true;
    return Status();
  }

  const std::vector<std::string>& addresses() const override { return rpc_->addresses(); }
  store::BlobStore& cas() override { return storage_.blobs(); }
  action_cache::ActionCache& action_cache() override { return *storage_.action_cache; }
  service::SchedulerThread* scheduler() override { return scheduler_.get(); }
  const service::WorkerLinkOptions& worker_link_options() const override { return link_options_; }
  Metrics& metrics() override { return metrics_; }

  void ReloadCertificates() override {
    if (Status status = rpc_->ReloadCertificates(); !status.ok()) {
      Log(kError, "certificates_not_reloaded", {{"error", status.ToString()}});
    } else {
      Log(kInfo, "certificates_reloaded", {{"certificate", config_.tls_certificate}});
    }
  }

  void Drain() override {
    // Streams that never end by themselves go first: watchers hear it, clients that wait for an
    // action get UNAVAILABLE (and ask again later), workers are told to come back.
    health_->Shutdown();
    if (scheduler_) scheduler_->Stop();
    rpc_->Drain(config_.drain_max);
    if (storage_.log) {
      if (Status status = storage_.log->Sync(); !status.ok()) {
        Log(kError, "store_sync", {{"error", status.ToString()}});
      }
    }
  }

 private:
  void DeclarePools();
  std::vector<rpc::Method> Methods();
  std::vector<std::pair<std::string, std::string>> Facts();

  const Config config_;
  const Clock& clock_;
  const Instant started_ = clock_.Now();
  const service::WorkerLinkOptions link_options_ = WorkerLinkOptionsOf(config_);
  const FreedMemory freed_memory_{config_.freed_memory_interval};
  Metrics metrics_;
  service::Partitions partitions_;
  Storage storage_;
  ThreadPool io_{{.name = "io",
                  .threads = config_.io_threads,
                  .queue_items_max = static_cast<size_t>(config_.io_queue_max)}};
  service::SeenActions seen_actions_{static_cast<size_t>(config_.action_cache_seen_max)};
  std::unique_ptr<service::InputLeases> inputs_;
  std::unique_ptr<service::SchedulerThread> scheduler_;
  std::unique_ptr<service::AssetService> assets_;
  std::unique_ptr<service::HealthState> health_;
  std::unique_ptr<rpc::Server> rpc_;
  std::atomic<bool> ready_{false};
};

void RunningServer::DeclarePools() {
  for (const scheduler::PoolDeclared& pool : config_.pools) scheduler_->DeclarePool(pool);
  if (!config_.pools_only) return;
  // Not before workers that were there before a restart have had the time to come back.
  scheduler_->After(config_.scheduling.scheduler.adoption_grace,
                    [this] { scheduler_->ClosePools(); });
}

std::vector<rpc::Method> RunningServer::Methods() {
  std::vector<rpc::Method> methods;
  auto add = [&](std::vector<rpc::Method> more) {
    for (auto& method : more) methods.push_back(std::move(method));
  };
  store::BlobStore& blobs = storage_.blobs();
  add(service::CapabilitiesMethods(CapabilitiesOptionsOf(config_)));
  add(service::CasMethods({blobs, io_, partitions_}, config_.cas));
  add(service::ChunkMethods({blobs, io_, partitions_}, config_.chunks));
  std::vector<rpc::Method> byte_stream =
      service::ByteStreamMethods({blobs, io_, clock_, partitions_}, ByteStreamOptionsOf(config_));
  if (scheduler_) {
    byte_stream =
        service::WithLogStreams(std::move(byte_stream), scheduler_->log_streams(), partitions_);
    add(service::LogStreamMethods(scheduler_->log_streams(), partitions_));
  }
  add(std::move(byte_stream));
  add(service::ActionCacheMethods({*storage_.action_cache, blobs, io_, partitions_},
                                  ActionCacheServiceOptionsOf(config_)));
  if (storage_.pins) {
    add(service::PinMethods({*storage_.pins, io_, partitions_}, {.update = UpdatesOf(config_)}));
  }
  add(assets_->Methods());
  if (storage_.log) {
    add(service::AdminMethods(
        {*storage_.log, *storage_.action_cache, io_, config_.store_size_bytes_max, partitions_}));
  }
  if (scheduler_) {
    add(service::ExecutionMethods(
        {blobs, *storage_.action_cache, *scheduler_, io_, clock_, partitions_, inputs_.get()},
        config_.execution_service));
    add(service::OperationsMethods(*scheduler_, partitions_, config_.operations));
    std::vector<rpc::Method> worker_link = service::WorkerLinkMethods(*scheduler_, link_options_);
    service::ForWorkersOnly(worker_link, partitions_);
    add(std::move(worker_link));
  }
  add(service::ExplainMethods(seen_actions_, partitions_));
  return service::WithSeenActions(std::move(methods), seen_actions_, partitions_, clock_);
}

std::vector<std::pair<std::string, std::string>> RunningServer::Facts() {
  std::vector<std::pair<std::string, std::string>> facts;
  // A first request may come before Start has returned.
  if (ready_) facts.emplace_back("Addresses", fmt::format("{}", fmt::join(addresses(), ", ")));
  facts.emplace_back("Running for", FormatDuration(clock_.Now() - started_));
  facts.emplace_back("Data directory",
                     config_.data_dir.empty() ? "none: in memory" : config_.data_dir);
  if (storage_.log) {
    const store::LogStoreStats stats = storage_.log->Stats();
    facts.emplace_back("Blobs and results", std::to_string(stats.entries));
    facts.emplace_back("Bytes on disk", fmt::format("{} of {}", FormatSize(stats.used_bytes),
                                                    FormatSize(config_.store_size_bytes_max)));
  }
  facts.emplace_back("Execution", config_.execution ? "on" : "off");
  return facts;
}

}  // namespace

Result<std::unique_ptr<Server>> Server::Start(const Config& config, const Clock& clock) {
  auto server = std::make_unique<RunningServer>(config, clock);
  TRY(server->Open());
  return std::unique_ptr<Server>(std::move(server));
}

}  // namespace lre::server

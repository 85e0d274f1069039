// Configuration of the server and its worker: one schema, read from a TOML file and from flags of
// the same names (`store.size_max` is `--store-size-max`), a flag winning over the file. Unknown
// keys are errors that name the nearest known key. Plain values, no thread-safety of their own.
// Reference: `lre help config` (printed from the schema), docs/configuration.md.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "service/action_cache_service.h"
#include "service/byte_stream_service.h"
#include "service/cas_service.h"
#include "service/chunk_methods.h"
#include "service/execution_service.h"
#include "service/operations_service.h"
#include "service/scheduler_thread.h"
#include "service/worker_link.h"

namespace lre::server {

struct Config {
  std::string data_dir;  // empty: everything in memory
  // The first is shown to clients as the cache, the last as the executor; all serve everything.
  std::vector<std::string> listen = {"127.0.0.1:50051", "127.0.0.1:50052"};
  bool insecure = false;               // listen beyond loopback without authentication
  std::string instance_name = "main";  // in the flags that are printed; every name is served
  Duration drain_max = std::chrono::seconds(30);
  std::string log_level = "info";
  int loops = 0;
  int io_threads = 8;
  int io_queue_max = 65'536;
  Duration freed_memory_interval = std::chrono::seconds(30);

  std::string tls_certificate, tls_key, tls_client_ca;

  int connections_max = 10000;
  int streams_max = 1024;  // of one connection
  Duration connection_age_max{};
  Duration connection_age_grace = std::chrono::minutes(10);
  Duration stream_stall_max = std::chrono::minutes(5);
  Duration keepalive_interval = std::chrono::minutes(5);
  uint64_t header_bytes_max = 32 << 10;
  uint64_t assembling_bytes_max = 256 << 20;
  bool gzip_answers = false;
  uint64_t http_body_bytes_max = 256 << 20;
  uint64_t http_bodies_bytes_max = 512 << 20;
  uint64_t http_raw_value_bytes_max = 32 << 20;

  uint64_t store_size_bytes_max = 10ull << 30;
  Duration store_lease = std::chrono::hours(3);
  Duration store_lease_min = std::chrono::minutes(15);
  std::string store_lease_policy = "shrink";
  int store_reserve_percent = 10;
  int store_lease_share_percent = 100;
  std::string store_at_rest = "identity";
  int store_pins_max = 1000;
  int store_pinned_percent_max = 50;
  int store_pinned_blobs_max = 2'000'000;
  uint64_t store_blob_bytes_max = 0;  // 0: as many as the store holds
  bool store_synced = false;
  Duration store_sync_interval = std::chrono::seconds(1);
  uint64_t store_scrub_bytes_per_second = 16 << 20;
  Duration store_scrub_interval = std::chrono::hours(7 * 24);
  uint64_t store_checkpoint_interval_bytes = 64 << 20;
  uint64_t store_segment_bytes = 0;  // 0: by the size of the store
  uint64_t store_frame_cache_bytes = 32 << 20;
  uint64_t store_chunk_list_cache_bytes = 16 << 20;
  int store_chunks_per_blob_max = 65'536;
  int store_pinned_results_max = 1000;
  uint64_t memory_size_bytes_max = 1ull << 30;  // of the store when there is no data_dir
  // (partition, instance name), (partition, identity), identities, (partition, at_rest).
  std::vector<std::pair<std::string, std::string>> partition_instances, partition_identities;
  std::vector<std::string> partition_workers;
  std::vector<std::pair<std::string, std::string>> partition_at_rest;
  bool action_cache_updates = true;
  std::vector<std::string> action_cache_update_instances;  // empty: every one
  int action_cache_blobs_max = 200'000;                    // of one result
  int action_cache_seen_max = 20'000;
  // As the services have them; options.h fills in what other fields say.
  service::ActionCacheServiceOptions action_cache;
  service::CasOptions cas;
  int64_t cas_batch_announced_bytes = (4 << 20) - (64 << 10);
  service::ByteStreamOptions byte_stream;
  service::ChunkOptions chunks;

  std::string upstream;  // "grpcs://host:port"; empty: none
  std::string upstream_instance_name;
  bool upstream_write_through = false;
  Duration upstream_lease = std::chrono::hours(3);
  Duration upstream_down_pause = std::chrono::seconds(10);
  Duration upstream_call_timeout = std::chrono::minutes(5);
  Duration upstream_fetch_max = std::chrono::minutes(10);
  int upstream_existence_entries_max = 1'000'000;
  std::string upstream_tls_ca, upstream_tls_certificate, upstream_tls_key;

  std::vector<std::string> asset_hosts;  // that assets may be fetched from
  Duration asset_keep = std::chrono::hours(24);
  Duration asset_timeout_max = std::chrono::hours(1);
  Duration asset_timeout_default = std::chrono::minutes(10);
  uint64_t asset_bytes_max = 2ull << 30;
  uint64_t asset_unpacked_bytes_max = 8ull << 30;
  int asset_fetches_max = 8;
  int asset_waiting_max = 1000;
  int asset_entries_max = 500'000;
  int asset_uris_max = 64;

  bool execution = true;
  service::SchedulerThreadOptions scheduling;
  service::ExecutionOptions execution_service;
  service::OperationsOptions operations;
  service::WorkerLinkOptions worker_link;
  int input_leases_directories_max = 1'000'000;                // of one action
  std::vector<std::pair<std::string, double>> tenant_weights;  // by the partition's name
  std::vector<scheduler::PoolDeclared> pools;                  // of workers that may come
  bool pools_only = false;

  std::string worker_server;     // of `lre worker`: where the scheduler is
  std::string worker_directory;  // caches and slots; empty: <data_dir>/worker
  std::string worker_name;
  std::string worker_status_listen;  // of `lre worker`: /metrics and /healthz; empty: nowhere
  int worker_slots = 0;              // 0: one per core
  uint64_t worker_cache_bytes_max = 10ull << 30;
  uint64_t worker_store_bytes_max = 20ull << 30;  // of store paths fetched from the CAS
  Duration worker_store_check_interval = std::chrono::hours(24);
  std::vector<std::pair<std::string, std::string>> worker_properties;
  std::string worker_cgroup;  // a delegated cgroup v2 for actions; empty: none
  uint64_t worker_directory_cache_bytes_max = 32 << 20;
  uint64_t worker_stdout_bytes_max = 64 << 20;
  uint64_t worker_memory_files_bytes_max = 256 << 20;
  uint64_t worker_action_memory_bytes_max = 0;
  int worker_action_processes_max = 8192;
  std::string worker_network = "none";
  Duration worker_server_away_max = std::chrono::minutes(2);
  int worker_persistent_max = 4;  // processes that stay; 0: none
  Duration worker_persistent_idle_max = std::chrono::seconds(60);
  int worker_persistent_requests_max = 1000;
  uint64_t worker_persistent_memory_bytes_max = 2ull << 30;
  std::string worker_sandbox = "namespaces";
  std::string worker_manifest;  // toolchain whose userland every action gets; empty: the newest one
};

// One key of the schema.
struct ConfigKey {
  std::string_view name;  // "store.size_max"
  std::string_view unit;  // what a value looks like: "10GiB", "30s", "NUMBER", "true|false", ...
  std::string_view help;  // one sentence
  bool list = false;      // an array in the file, comma-separated in a flag
  std::function<Status(Config&, std::string_view)> set;  // of a list: adds one item
  std::function<std::string(const Config&)> show;
  std::function<void(Config&)> clear;  // of a list
};
const std::vector<ConfigKey>& ConfigSchema();
// "--store-size-max" for "store.size_max".
std::string FlagOf(const ConfigKey& key);

// Applies a file's text. kInvalidArgument with file, line and key.
Status ApplyConfigText(std::string_view toml, std::string_view file, Config& config);
// Applies one value as a flag gives it; a list is replaced, split at commas.
Status ApplyConfigValue(const ConfigKey& key, std::string_view value, Config& config);
// What one key cannot see: addresses beyond loopback without TLS client certificates or `insecure`,
// half a TLS pair, a data_dir that is not absolute.
Status CheckConfig(const Config& config);
// The schema with defaults, for people and for docs/configuration.md.
std::string DescribeConfig();

// Whether an address can only be reached from this machine.
bool IsLocalAddress(std::string_view address);

}  // namespace lre::server

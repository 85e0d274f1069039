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

  std::string tls_certificate, tls_key, tls_client_ca;

  uint64_t store_size_bytes_max = 10ull << 30;
  Duration store_lease = std::chrono::hours(3);
  bool store_synced = false;
  uint64_t memory_size_bytes_max = 1ull << 30;  // of the store when there is no data_dir
  bool action_cache_updates = true;

  bool execution = true;
  Duration client_grace = std::chrono::seconds(60);
  Duration worker_grace = std::chrono::seconds(10);
  Duration operation_retention = std::chrono::minutes(5);
  Duration timeout_default = std::chrono::minutes(15);
  Duration timeout_max = std::chrono::hours(3);

  std::string worker_server;     // of `lre worker`: where the scheduler is
  std::string worker_directory;  // caches and slots; empty: <data_dir>/worker
  std::string worker_name;
  int worker_slots = 0;  // 0: one per core
  uint64_t worker_cache_bytes_max = 10ull << 30;
  uint64_t worker_store_bytes_max = 20ull << 30;  // of store paths fetched from the CAS
  Duration worker_store_check_interval = std::chrono::hours(24);
  std::vector<std::pair<std::string, std::string>> worker_properties;
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

// The schema: every key once, with how it is read, shown and explained.
#include <charconv>

#include "base/quantity.h"
#include "server/config.h"

namespace lre::server {
namespace {

std::string ExactSize(uint64_t bytes) {
  for (auto [unit, shift] : {std::pair("TiB", 40), {"GiB", 30}, {"MiB", 20}, {"KiB", 10}}) {
    if (bytes != 0 && bytes % (uint64_t{1} << shift) == 0) {
      return fmt::format("{}{}", bytes >> shift, unit);
    }
  }
  return fmt::format("{}B", bytes);
}

std::string ExactDuration(Duration duration) {
  const int64_t nanos = duration.count();
  for (auto [unit, size] : {std::pair("h", 3'600'000'000'000),
                            {"m", 60'000'000'000},
                            {"s", 1'000'000'000},
                            {"ms", 1'000'000},
                            {"us", 1'000}}) {
    if (nanos != 0 && nanos % size == 0) return fmt::format("{}{}", nanos / size, unit);
  }
  return fmt::format("{}ns", nanos);
}

using Name = std::string_view;

ConfigKey Text(Name name, Name unit, Name help, std::string Config::*field) {
  return {.name = name,
          .unit = unit,
          .help = help,
          .set =
              [field](Config& config, std::string_view value) {
                config.*field = value;
                return Status();
              },
          .show = [field](const Config& config) { return config.*field; }};
}

ConfigKey Choice(Name name, Name choices, Name help, std::string Config::*field) {
  ConfigKey key = Text(name, choices, help, field);
  key.set = [field, choices](Config& config, std::string_view value) {
    for (size_t start = 0; start <= choices.size();) {
      size_t end = std::min(choices.find('|', start), choices.size());
      if (!value.empty() && choices.substr(start, end - start) == value) {
        config.*field = value;
        return Status();
      }
      start = end + 1;
    }
    return ErrorStatus(Code::kInvalidArgument, "\"{}\" is none of {}", value, choices);
  };
  return key;
}

ConfigKey Flag(Name name, Name help, bool Config::*field) {
  return {.name = name,
          .unit = "true|false",
          .help = help,
          .set =
              [field](Config& config, std::string_view value) {
                if (value != "true" && value != "false") {
                  return ErrorStatus(Code::kInvalidArgument, "\"{}\" is neither true nor false",
                                     value);
                }
                config.*field = value == "true";
                return Status();
              },
          .show = [field](const Config& config) { return config.*field ? "true" : "false"; }};
}

ConfigKey Count(Name name, Name help, int Config::*field) {
  return {.name = name,
          .unit = "NUMBER",
          .help = help,
          .set =
              [field](Config& config, std::string_view value) {
                int number = 0;
                auto [end, error] =
                    std::from_chars(value.data(), value.data() + value.size(), number);
                if (error != std::errc() || end != value.data() + value.size() || number < 0 ||
                    number > 100000) {
                  return ErrorStatus(Code::kInvalidArgument,
                                     "\"{}\" is not a number from 0 to 100000", value);
                }
                config.*field = number;
                return Status();
              },
          .show = [field](const Config& config) { return std::to_string(config.*field); }};
}

ConfigKey Size(Name name, Name help, uint64_t Config::*field) {
  return {.name = name,
          .unit = "SIZE",
          .help = help,
          .set = [field](Config& config, std::string_view value) -> Status {
            TRY_ASSIGN(config.*field, ParseSize(value));
            return Status();
          },
          .show = [field](const Config& config) { return ExactSize(config.*field); }};
}

ConfigKey Time(Name name, Name help, Duration Config::*field) {
  return {.name = name,
          .unit = "TIME",
          .help = help,
          .set = [field](Config& config, std::string_view value) -> Status {
            TRY_ASSIGN(config.*field, ParseDuration(value));
            return Status();
          },
          .show = [field](const Config& config) { return ExactDuration(config.*field); }};
}

ConfigKey Listen() {
  return {
      .name = "listen",
      .unit = "ADDRESS,...",
      .help =
          "Addresses to serve on, \"host:port\" or \"unix:/path\"; port 0 lets the system "
          "choose. Every service answers on each.",
      .list = true,
      .set =
          [](Config& config, std::string_view value) {
            config.listen.emplace_back(value);
            return Status();
          },
      .show = [](const Config& config) { return fmt::format("{}", fmt::join(config.listen, ",")); },
      .clear = [](Config& config) { config.listen.clear(); }};
}

ConfigKey Properties() {
  return {.name = "worker.properties",
          .unit = "NAME=VALUE,...",
          .help = "Platform properties that the worker offers; a name may come several times.",
          .list = true,
          .set =
              [](Config& config, std::string_view value) {
                const size_t equals = value.find('=');
                if (equals == 0 || equals == std::string_view::npos) {
                  return ErrorStatus(Code::kInvalidArgument, "\"{}\" is not NAME=VALUE", value);
                }
                config.worker_properties.emplace_back(value.substr(0, equals),
                                                      value.substr(equals + 1));
                return Status();
              },
          .show =
              [](const Config& config) {
                std::string text;
                for (const auto& [name, value] : config.worker_properties) {
                  text += (text.empty() ? "" : ",") + name + "=" + value;
                }
                return text;
              },
          .clear = [](Config& config) { config.worker_properties.clear(); }};
}

std::vector<ConfigKey> MakeSchema() {
  using C = Config;
  return {
      Text("data_dir", "PATH", "Where blobs and results are kept; empty keeps them in memory.",
           &C::data_dir),
      Listen(),
      Flag("insecure",
           "Listen beyond loopback without authentication: anyone who reaches the port "
           "can run programs here.",
           &C::insecure),
      Text("instance_name", "NAME",
           "The instance name in the flags that are printed; every name is "
           "served.",
           &C::instance_name),
      Time("drain_max", "How long calls may go on after SIGTERM.", &C::drain_max),
      Choice("log_level", "debug|info|warning|error", "Log events below this are dropped.",
             &C::log_level),
      Count("loops", "Event loops; 0: one per core.", &C::loops),
      Count("io_threads", "Threads for work that waits for the disk.", &C::io_threads),
      Text("tls.certificate", "PATH", "PEM certificate chain; with tls.key it turns TLS on.",
           &C::tls_certificate),
      Text("tls.key", "PATH", "PEM private key.", &C::tls_key),
      Text("tls.client_ca", "PATH", "PEM authorities: clients must show a certificate of theirs.",
           &C::tls_client_ca),
      Size("store.size_max", "Bytes of blobs and results on disk; at least 1MiB.",
           &C::store_size_bytes_max),
      Time("store.lease", "What was found, read or written is kept at least that long.",
           &C::store_lease),
      Flag("store.synced", "Acknowledge writes only when they are on the disk.", &C::store_synced),
      Size("store.memory_size_max", "Bytes of blobs in memory, without data_dir.",
           &C::memory_size_bytes_max),
      Flag("action_cache.updates", "Whether clients may write action results.",
           &C::action_cache_updates),
      Flag("execution.enabled", "Whether actions are executed, or only cached.", &C::execution),
      Time("execution.client_grace",
           "How long an action goes on after its last client's connection "
           "was lost.",
           &C::client_grace),
      Time("execution.worker_grace", "How long an action that no worker can serve waits for one.",
           &C::worker_grace),
      Time("execution.operation_retention", "How long finished operations are kept.",
           &C::operation_retention),
      Time("execution.timeout_default", "Of actions that set none.", &C::timeout_default),
      Time("execution.timeout_max", "Longer timeouts are refused.", &C::timeout_max),
      Text("worker.server", "ADDRESS",
           "Of `lre worker`: the server it serves, \"host:port\" or "
           "\"grpcs://host:port\".",
           &C::worker_server),
      Text("worker.directory", "PATH", "The worker's caches and slots; empty: data_dir/worker.",
           &C::worker_directory),
      Text("worker.name", "NAME", "For people; empty: the host's name.", &C::worker_name),
      Count("worker.slots", "Actions at once; 0: one per core.", &C::worker_slots),
      Size("worker.cache_size_max", "Bytes of input files that the worker keeps.",
           &C::worker_cache_bytes_max),
      Size("worker.store_max",
           "Bytes of toolchain store paths that the worker fetches from the CAS and keeps; what "
           "`lre sync` made does not count.",
           &C::worker_store_bytes_max),
      Time("worker.store_check_interval",
           "How often every toolchain store path is hashed again, besides before its first use; 0s: "
           "never.",
           &C::worker_store_check_interval),
      Properties(),
      Choice("worker.sandbox", "namespaces|none",
             "\"none\" runs actions without isolation: they see this machine.", &C::worker_sandbox),
      Text("worker.manifest", "PATH",
           "toolchain.json whose userland (/bin, /usr/bin, libc) every "
           "action sees; empty: the newest that was synced.",
           &C::worker_manifest),
  };
}

}  // namespace

const std::vector<ConfigKey>& ConfigSchema() {
  static const std::vector<ConfigKey>* const schema = new std::vector<ConfigKey>(MakeSchema());
  return *schema;
}

}  // namespace lre::server

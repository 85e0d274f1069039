#include "server/config.h"

#include <toml++/toml.h>

#include <algorithm>
#include <bit>

#include "server/options.h"
#include "store/value_store.h"

namespace lre::server {
namespace {

// Edits between two names: for "did you mean".
size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); j++) row[j] = j;
  for (size_t i = 1; i <= a.size(); i++) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); j++) {
      const size_t replaced = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row[b.size()];
}

const ConfigKey* FindKey(std::string_view name) {
  for (const ConfigKey& key : ConfigSchema()) {
    if (key.name == name) return &key;
  }
  return nullptr;
}

std::string_view NearestKey(std::string_view name) {
  std::string_view nearest;
  size_t best = SIZE_MAX;
  for (const ConfigKey& key : ConfigSchema()) {
    const size_t distance = EditDistance(name, key.name);
    if (distance < best) {
      best = distance;
      nearest = key.name;
    }
  }
  return nearest;
}

struct Place {
  std::string_view file;
  toml::source_position position;
};
Status At(const Place& place, std::string_view name, const Status& status) {
  return status.WithContext(fmt::format("{}:{}: {}", place.file, place.position.line, name));
}

// A scalar as the text that a flag would give.
Result<std::string> ScalarText(const toml::node& node) {
  if (auto text = node.value_exact<std::string>()) return *text;
  if (auto number = node.value_exact<int64_t>()) return std::to_string(*number);
  if (auto flag = node.value_exact<bool>()) return std::string(*flag ? "true" : "false");
  return Error(Code::kInvalidArgument, "a string, a whole number or a boolean is expected");
}

Status ApplyNode(const ConfigKey& key, const toml::node& node, const Place& place, Config& config) {
  const toml::array* array = node.as_array();
  if (array && !key.list) {
    return At(place, key.name, Status(Code::kInvalidArgument, "one value is expected, not a list"));
  }
  if (key.list) key.clear(config);
  auto apply = [&](const toml::node& item) -> Status {
    Result<std::string> text = ScalarText(item);
    Status status = text ? key.set(config, *text) : text.error();
    return status.ok() ? status : At(place, key.name, status);
  };
  if (!array) return apply(node);
  for (const toml::node& item : *array) TRY(apply(item));
  return Status();
}

Status ApplyTable(const toml::table& table, const std::string& prefix, std::string_view file,
                  Config& config) {
  for (const auto& [raw_key, node] : table) {
    const std::string name = prefix + std::string(raw_key.str());
    const Place place{file, raw_key.source().begin};
    if (const ConfigKey* key = FindKey(name)) {
      TRY(ApplyNode(*key, node, place, config));
    } else if (node.is_table() && std::any_of(ConfigSchema().begin(), ConfigSchema().end(),
                                              [&](const ConfigKey& known) {
                                                return known.name.starts_with(name + ".");
                                              })) {
      TRY(ApplyTable(*node.as_table(), name + ".", file, config));
    } else {
      return ErrorStatus(Code::kInvalidArgument, "{}:{}: unknown key \"{}\"; did you mean \"{}\"?",
                         file, place.position.line, name, NearestKey(name));
    }
  }
  return Status();
}

}  // namespace

std::string FlagOf(const ConfigKey& key) {
  std::string flag = "--" + std::string(key.name);
  std::replace_if(
      flag.begin(), flag.end(), [](char c) { return c == '.' || c == '_'; }, '-');
  return flag;
}

Status ApplyConfigText(std::string_view text, std::string_view file, Config& config) {
  try {
    return ApplyTable(toml::parse(text), "", file, config);
  } catch (const toml::parse_error& error) {
    return ErrorStatus(Code::kInvalidArgument, "{}:{}: {}", file, error.source().begin.line,
                       std::string(error.description()));
  }
}

Status ApplyConfigValue(const ConfigKey& key, std::string_view value, Config& config) {
  auto set = [&](std::string_view item) -> Status {
    Status status = key.set(config, item);
    return status.ok() ? status : status.WithContext(FlagOf(key));
  };
  if (!key.list) return set(value);
  key.clear(config);
  for (size_t start = 0; start <= value.size() && !value.empty();) {
    const size_t end = std::min(value.find(',', start), value.size());
    TRY(set(value.substr(start, end - start)));
    start = end + 1;
  }
  return Status();
}

bool IsLocalAddress(std::string_view address) {
  if (address.starts_with("unix:")) return true;
  const std::string_view host = address.substr(0, address.rfind(':'));
  if (host == "localhost" || host == "[::1]") return true;
  // 127.0.0.0/8 as an address, not as the start of a name.
  return host.starts_with("127.") &&
         host.find_first_not_of("0123456789.") == std::string_view::npos;
}

namespace {

Status CheckChunks(const service::ChunkOptions& chunks) {
  const size_t average = chunks.fast_cdc.average_bytes;
  if (!std::has_single_bit(average) || average < (1 << 10) || average > (1 << 20)) {
    return ErrorStatus(Code::kInvalidArgument,
                       "chunks.fast_cdc_average {}: a power of two from 1KiB to 1MiB", average);
  }
  const service::RepMaxCdcOptions& rep_max = chunks.rep_max_cdc;
  if (rep_max.bytes_min < 64 || rep_max.bytes_min > (16 << 20)) {
    return ErrorStatus(Code::kInvalidArgument, "chunks.rep_max_min {}: from 64B to 16MiB",
                       rep_max.bytes_min);
  }
  if (rep_max.horizon_bytes < rep_max.bytes_min || rep_max.horizon_bytes > (64 << 20)) {
    return ErrorStatus(Code::kInvalidArgument,
                       "chunks.rep_max_horizon {}: from chunks.rep_max_min to 64MiB",
                       rep_max.horizon_bytes);
  }
  return Status();
}

Status Bad(std::string message) { return Status(Code::kInvalidArgument, std::move(message)); }

bool HasPartition(const Config& config, std::string_view name) {
  auto is_it = [&](const auto& rule) { return rule.first == name; };
  return std::ranges::any_of(config.partition_identities, is_it) ||
         std::ranges::any_of(config.partition_instances, is_it);
}

Status CheckStorage(const Config& config) {
  if (config.store_size_bytes_max < (1 << 20)) return Bad("store.size_max is less than 1MiB");
  if (config.store_segment_bytes != 0 && config.store_segment_bytes < (1 << 20)) {
    return Bad("store.segment_size is less than 1MiB");
  }
  if (config.store_segment_bytes > config.store_size_bytes_max / 8) {
    return Bad("store.segment_size is more than an eighth of store.size_max");
  }
  if (config.store_checkpoint_interval_bytes < (64 << 10)) {
    return Bad("store.checkpoint_interval is less than 64KiB");
  }
  if (auto made = service::Partitions::Make(PartitionRulesOf(config)); !made) {
    return made.error().WithContext("partitions");
  }
  for (const auto& [name, at_rest] : config.partition_at_rest) {
    if (!HasPartition(config, name)) {
      return Bad(fmt::format("partitions.at_rest: there is no partition \"{}\"", name));
    }
  }
  if (config.cas_batch_announced_bytes > static_cast<int64_t>(config.cas.batch_bytes_max)) {
    return Bad("cas.batch_announced is more than cas.batch_max");
  }
  if (config.http_raw_value_bytes_max > store::ValueStore::kValueBytesMax) {
    return Bad("http.raw_value_max is more than 32MiB");
  }
  return CheckChunks(config.chunks);
}

Status CheckScheduling(const Config& config) {
  const scheduler::SchedulerOptions& scheduler = config.scheduling.scheduler;
  if (scheduler.timeout_default > scheduler.timeout_max) {
    return Bad("execution.timeout_default is longer than execution.timeout_max");
  }
  if (config.worker_link.heartbeat_interval <= Duration(0) ||
      config.worker_link.heartbeat_interval > scheduler.worker_silence_max / 2) {
    return Bad("scheduler.worker_heartbeat is 0, or more than half of worker_silence_max");
  }
  if (config.pools.size() > scheduler.pools_max) {
    return Bad("scheduler.pools are more than scheduler.pools_max");
  }
  for (const auto& [name, weight] : config.tenant_weights) {
    if (!HasPartition(config, name)) {
      return Bad(fmt::format("scheduler.tenant_weights: there is no partition \"{}\"", name));
    }
  }
  return Status();
}

}  // namespace

Status CheckConfig(const Config& config) {
  auto bad = [](std::string message) { return Status(Code::kInvalidArgument, std::move(message)); };
  if (config.listen.empty()) return bad("listen: no address");
  for (const std::string& address : config.listen) {
    if (IsLocalAddress(address) || config.insecure || !config.tls_client_ca.empty()) continue;
    return bad(fmt::format(
        "listen {}: other machines could run programs here; set tls.client_ca (clients with "
        "certificates), or say --insecure",
        address));
  }
  if (config.tls_certificate.empty() != config.tls_key.empty()) {
    return bad("tls.certificate and tls.key go together");
  }
  // A worker may trust an authority of its server's without showing a certificate.
  const bool serves = config.worker_server.empty();
  if (serves && !config.tls_client_ca.empty() && config.tls_certificate.empty()) {
    return bad("tls.client_ca needs tls.certificate and tls.key");
  }
  if (config.io_threads < 1) return bad("io_threads is 0");
  if (config.asset_fetches_max < 1) return bad("asset.fetches_max is 0");
  if (config.connections_max < 1 || config.streams_max < 1) {
    return bad("connections.max and connections.streams_max are at least 1");
  }
  if (config.upstream.contains("://") && !config.upstream.starts_with("grpc://") &&
      !config.upstream.starts_with("grpcs://")) {
    return bad(fmt::format("upstream.address {}: grpc:// or grpcs://", config.upstream));
  }
  if (config.upstream.empty() && config.upstream_write_through) {
    return bad("upstream.write_through needs upstream.address");
  }
  if (config.upstream_tls_certificate.empty() != config.upstream_tls_key.empty()) {
    return bad("upstream.tls_certificate and upstream.tls_key go together");
  }
  TRY(CheckStorage(config));
  return CheckScheduling(config);
}

std::string DescribeConfig() {
  const Config defaults;
  std::string text;
  std::string_view section;
  for (const ConfigKey& key : ConfigSchema()) {
    const size_t dot = key.name.find('.');
    const std::string_view table = dot == std::string_view::npos ? "" : key.name.substr(0, dot);
    if (table != std::exchange(section, table)) text += fmt::format("\n[{}]\n", table);
    const std::string shown = key.show(defaults);
    text += fmt::format("{} = {}   ({})\n    {}\n    Flag {}\n",
                        key.name.substr(dot == std::string_view::npos ? 0 : dot + 1), key.unit,
                        shown.empty() ? "empty" : shown, key.help, FlagOf(key));
  }
  return text;
}

}  // namespace lre::server

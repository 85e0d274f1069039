#include "server/options.h"

#include <algorithm>

namespace lre::server {

LogLevel LogLevelOf(const Config& config) {
  if (config.log_level == "debug") return kDebug;
  if (config.log_level == "warning") return kWarning;
  return config.log_level == "error" ? kError : kInfo;
}

rpc::ServerOptions RpcOptionsOf(const Config& config) {
  rpc::ServerOptions options;
  options.listen = config.listen;
  options.loops = config.loops;
  options.tls = {.certificate_path = config.tls_certificate,
                 .key_path = config.tls_key,
                 .client_ca_path = config.tls_client_ca};
  options.connections_max = static_cast<size_t>(config.connections_max);
  options.streams_max = static_cast<uint32_t>(config.streams_max);
  options.connection_age_max = config.connection_age_max;
  options.connection_age_grace = config.connection_age_grace;
  options.stream_stall_max = config.stream_stall_max;
  options.keepalive_interval = config.keepalive_interval;
  options.header_bytes_max = config.header_bytes_max;
  options.assembling_bytes_max = config.assembling_bytes_max;
  options.gzip_answers = config.gzip_answers;
  options.http_body_bytes_max = config.http_body_bytes_max;
  options.http_bodies_bytes_max = config.http_bodies_bytes_max;
  return options;
}

store::LogStoreOptions LogOptionsOf(const Config& config) {
  store::LogStoreOptions options;
  options.directory = config.data_dir + "/store";
  options.size_bytes_max = config.store_size_bytes_max;
  options.lease = config.store_lease;
  options.lease_min = std::min(config.store_lease, config.store_lease_min);
  options.lease_policy = config.store_lease_policy == "strict" ? store::LeasePolicy::kStrict
                                                               : store::LeasePolicy::kShrink;
  options.reserve_percent = config.store_reserve_percent;
  options.lease_share_percent = config.store_lease_share_percent;
  options.at_rest =
      config.store_at_rest == "zstd" ? store::AtRest::kZstd : store::AtRest::kIdentity;
  for (const auto& [name, at_rest] : config.partition_at_rest) {
    options.at_rest_partitions[service::PartitionNumber(name)] =
        at_rest == "zstd" ? store::AtRest::kZstd : store::AtRest::kIdentity;
  }
  options.blob_bytes_max = static_cast<uint64_t>(BlobBytesMaxOf(config));
  options.pins_max = static_cast<size_t>(config.store_pins_max);
  options.pinned_percent_max = config.store_pinned_percent_max;
  options.pinned_blobs_max = static_cast<size_t>(config.store_pinned_blobs_max);
  options.durability =
      config.store_synced ? store::Durability::kSynced : store::Durability::kBuffered;
  options.sync_interval = config.store_sync_interval;
  options.scrub_bytes_per_second = config.store_scrub_bytes_per_second;
  options.scrub_interval = config.store_scrub_interval;
  options.checkpoint_interval_bytes = config.store_checkpoint_interval_bytes;
  options.segment_bytes = config.store_segment_bytes;
  options.frame_cache_bytes = config.store_frame_cache_bytes;
  options.chunk_list_cache_bytes = config.store_chunk_list_cache_bytes;
  options.chunks_per_blob_max = static_cast<size_t>(config.store_chunks_per_blob_max);
  return options;
}

service::SchedulerThreadOptions SchedulerOptionsOf(const Config& config) {
  service::SchedulerThreadOptions options = config.scheduling;
  for (const auto& [name, weight] : config.tenant_weights) {
    options.scheduler.tenant_weights[service::PartitionNumber(name)] = weight;
  }
  // Wishes to whatever worker runs the action, not properties that workers have.
  for (const char* wish : {"InputRootAbsolutePath", "persistentWorkerKey",
                           "persistentWorkerProtocol", "requires-worker-protocol"})
    options.scheduler.ignored_properties.emplace_back(wish);
  return options;
}

service::WorkerLinkOptions WorkerLinkOptionsOf(const Config& config) {
  service::WorkerLinkOptions options = config.worker_link;
  options.silence_max = config.scheduling.scheduler.worker_silence_max;
  return options;
}

service::ByteStreamOptions ByteStreamOptionsOf(const Config& config) {
  service::ByteStreamOptions options = config.byte_stream;
  options.blob_bytes_max = BlobBytesMaxOf(config);
  return options;
}

service::ActionCacheServiceOptions ActionCacheServiceOptionsOf(const Config& config) {
  service::ActionCacheServiceOptions options = config.action_cache;
  options.update = UpdatesOf(config);
  return options;
}

action_cache::StoredActionCacheOptions StoredActionCacheOptionsOf(const Config& config) {
  return {.result_bytes_max = config.action_cache.result_bytes_max,
          .digests_max = static_cast<uint64_t>(config.action_cache_blobs_max)};
}

service::CapabilitiesOptions CapabilitiesOptionsOf(const Config& config) {
  return {.exec_enabled = config.execution,
          .action_cache_update = UpdatesOf(config),
          .batch_total_size_bytes_max = config.cas_batch_announced_bytes,
          .cas_blob_size_bytes_max = BlobBytesMaxOf(config),
          .chunks = config.chunks};
}

service::UpdatePermission UpdatesOf(const Config& config) {
  return {.enabled = config.action_cache_updates,
          .instances = config.action_cache_update_instances};
}

service::AssetOptions AssetOptionsOf(const Config& config) {
  service::AssetOptions options;
  options.origin.hosts = config.asset_hosts;
  options.origin.size_bytes_max = config.asset_bytes_max;
  // Beside the store, where there is room; without one, wherever temporary files go.
  if (!config.data_dir.empty()) options.origin.spool_directory = config.data_dir + "/spool";
  options.push = UpdatesOf(config);
  options.keep = config.asset_keep;
  options.timeout_max = config.asset_timeout_max;
  options.timeout_default = std::min(config.asset_timeout_default, config.asset_timeout_max);
  options.fetches_waiting_max = static_cast<size_t>(config.asset_waiting_max);
  options.entries_max = static_cast<size_t>(config.asset_entries_max);
  options.uris_max = config.asset_uris_max;
  options.unpacked_bytes_max = config.asset_unpacked_bytes_max;
  options.fetches_max = config.asset_fetches_max;
  options.blob_bytes_max = static_cast<uint64_t>(BlobBytesMaxOf(config));
  return options;
}

service::PartitionRules PartitionRulesOf(const Config& config) {
  service::PartitionRules rules{.workers = config.partition_workers};
  for (const auto& [name, instance] : config.partition_instances) {
    rules.instances.emplace_back(instance, name);
  }
  for (const auto& [name, identity] : config.partition_identities) {
    rules.identities.emplace_back(identity, name);
  }
  return rules;
}

service::InputLeasesOptions InputLeasesOptionsOf(const Config& config) {
  // What was touched is kept at least for lease_min, however full the store is.
  const Duration shortest = std::min(config.store_lease, config.store_lease_min);
  return {.interval = std::max<Duration>(shortest / 3, std::chrono::seconds(1)),
          .directories_max = static_cast<size_t>(config.input_leases_directories_max)};
}

int64_t BlobBytesMaxOf(const Config& config) {
  const uint64_t all =
      config.data_dir.empty() ? config.memory_size_bytes_max : config.store_size_bytes_max;
  const uint64_t wanted = config.store_blob_bytes_max;
  return static_cast<int64_t>(wanted == 0 ? all : std::min(all, wanted));
}

rpc::ChannelOptions UpstreamChannelOf(const Config& config) {
  return {.tls_ca_path = config.upstream_tls_ca,
          .tls_certificate_path = config.upstream_tls_certificate,
          .tls_key_path = config.upstream_tls_key};
}

store::ReadThroughOptions ReadThroughOptionsOf(const Config& config) {
  return {.write_through = config.upstream_write_through,
          .down_pause = config.upstream_down_pause,
          .fetch_max = config.upstream_fetch_max,
          .blob_bytes_max = static_cast<uint64_t>(BlobBytesMaxOf(config))};
}

store::ExistenceCacheOptions ExistenceOptionsOf(const Config& config) {
  // What is promised from memory is a sixth less than what the upstream promises.
  return {.lease = config.upstream_lease,
          .promise = config.upstream_lease / 6 * 5,
          .entries_max = static_cast<size_t>(config.upstream_existence_entries_max)};
}

}  // namespace lre::server

// The schema: every key once, with how it is read, shown and explained.
#include "server/config_fields.h"
#include "service/asset_origin.h"

namespace lre::server {

std::string ExactSize(uint64_t bytes) {
  if (bytes == 0) return "0";
  for (auto [unit, shift] : {std::pair("TiB", 40), {"GiB", 30}, {"MiB", 20}, {"KiB", 10}}) {
    if (bytes % (uint64_t{1} << shift) == 0) {
      return fmt::format("{}{}", bytes >> shift, unit);
    }
  }
  return fmt::format("{}B", bytes);
}

std::string ExactDuration(Duration duration) {
  const int64_t nanos = duration.count();
  if (nanos == 0) return "0s";
  for (auto [unit, size] : {std::pair("h", 3'600'000'000'000),
                            {"m", 60'000'000'000},
                            {"s", 1'000'000'000},
                            {"ms", 1'000'000},
                            {"us", 1'000}}) {
    if (nanos % size == 0) return fmt::format("{}{}", nanos / size, unit);
  }
  return fmt::format("{}ns", nanos);
}

namespace {

ConfigKey PartitionAtRest() {
  ConfigKey key =
      Pairs("partitions.at_rest", "PARTITION=identity|zstd,...",
            "store.at_rest of partitions that differ from it.", &Config::partition_at_rest);
  key.set = [set = key.set](Config& config, std::string_view value) -> Status {
    if (!value.ends_with("=identity") && !value.ends_with("=zstd")) {
      return ErrorStatus(Code::kInvalidArgument, "\"{}\" is not PARTITION=identity or =zstd",
                         value);
    }
    return set(config, value);
  };
  return key;
}

ConfigKey AssetHosts() {
  ConfigKey key = Texts(
      "asset.hosts", "HOST,...",
      "Hosts that assets may be fetched from (Remote Asset API): \"example.org\", "
      "\"example.org:8080\", \"*.example.org\", or \"*\" for all of the public internet; empty: "
      "none.",
      &Config::asset_hosts);
  key.set = [set = key.set](Config& config, std::string_view value) -> Status {
    TRY(service::CheckHostRule(value));
    return set(config, value);
  };
  return key;
}

std::vector<ConfigKey> ServingKeys() {
  using C = Config;
  return {
      Text("data_dir", "PATH",
           "Where blobs and results are kept; empty keeps them in memory. Of `lre worker`: see "
           "worker.directory.",
           &C::data_dir),
      Texts("listen", "ADDRESS,...",
            "Addresses to serve on, \"host:port\" or \"unix:/path\"; port 0 lets the system "
            "choose. Every service answers on each.",
            &C::listen),
      Flag("insecure",
           "Listen beyond loopback without authentication: anyone who reaches the port "
           "can run programs here.",
           &C::insecure),
      Text(
          "instance_name", "NAME",
          "The instance name in the flags that are printed; every name is served. Of `lre worker`: "
          "what it says to the server.",
          &C::instance_name),
      Time("drain_max", "How long calls, and actions of `lre worker`, may go on after SIGTERM.",
           &C::drain_max),
      Choice("log_level", "debug|info|warning|error", "Log events below this are dropped.",
             &C::log_level),
      Count("loops", "Event loops; 0: one per core.", &C::loops),
      Count("io_threads", "Threads for work that waits for the disk.", &C::io_threads),
      Count("io_queue_max", "Requests that wait for one of them; more are refused.",
            &C::io_queue_max, 1),
      Time("freed_memory_interval",
           "Memory that is not in use goes back to the system so often; 0s: when the C library "
           "thinks fit.",
           &C::freed_memory_interval),
      Text("tls.certificate", "PATH",
           "PEM certificate chain; with tls.key it turns TLS on. `lre worker` shows it to a server "
           "that is grpcs://.",
           &C::tls_certificate),
      Text("tls.key", "PATH", "PEM private key.", &C::tls_key),
      Text(
          "tls.client_ca", "PATH",
          "PEM authorities: clients must show a certificate of theirs. Of `lre worker`: the server "
          "must; empty: the system's.",
          &C::tls_client_ca),
  };
}

std::vector<ConfigKey> LimitKeys() {
  using C = Config;
  return {
      Count("connections.max", "Beyond, new connections are refused.", &C::connections_max),
      Count("connections.streams_max", "Calls at once on one connection.", &C::streams_max),
      Time("connections.age_max",
           "Older connections are drained, so that clients spread anew; 0s: never.",
           &C::connection_age_max),
      Time("connections.age_grace", "How long their calls may still take.",
           &C::connection_age_grace),
      Time("connections.stall_max", "A call whose reader takes nothing for so long is reset.",
           &C::stream_stall_max),
      Time("connections.keepalive", "An idle connection is asked so often whether it is alive.",
           &C::keepalive_interval),
      Size("connections.headers_max", "Bytes of the headers of one call.", &C::header_bytes_max),
      Size("connections.assembling_max",
           "Memory for messages of one connection that are not whole.", &C::assembling_bytes_max),
      Flag("connections.gzip",
           "Compress answers of 1 to 64 KiB for gRPC clients that take gzip; costs far more time "
           "than compressed-blobs/zstd.",
           &C::gzip_answers),
      Size("http.body_max",
           "Of a request over plain HTTP, which is in memory until it is whole; larger blobs need "
           "gRPC.",
           &C::http_body_bytes_max),
      Size("http.bodies_max", "Memory for all requests over plain HTTP together.",
           &C::http_bodies_bytes_max),
      Size("http.raw_value_max", "Of one value under /raw/; at most 32MiB.",
           &C::http_raw_value_bytes_max),
  };
}

std::vector<ConfigKey> StoreKeys() {
  using C = Config;
  return {
      Size("store.size_max", "Bytes of blobs and results on disk; at least 1MiB.",
           &C::store_size_bytes_max),
      Time("store.lease",
           "What was found, read or written is kept at least that long; leases end in steps of 4 "
           "minutes.",
           &C::store_lease),
      Time("store.lease_min",
           "When leases fill the store they shrink, the oldest first, to no less.",
           &C::store_lease_min),
      Choice("store.lease_policy", "shrink|strict",
             "\"strict\" refuses writes where \"shrink\" would shorten leases.",
             &C::store_lease_policy),
      Percent("store.reserve", "Of the store, that leases may not fill before they shrink.",
              &C::store_reserve_percent),
      Percent("store.lease_share",
              "Of the store, that the leases of one client (by its TLS certificate) may hold; "
              "beyond, its writes are refused. 100: no such bound.",
              &C::store_lease_share_percent),
      Choice("store.at_rest", "identity|zstd",
             "How new blobs lie on the disk: as they are, or compressed where that saves an eighth "
             "or more.",
             &C::store_at_rest),
      Count("store.pins_max", "Names that keep blobs: pushed toolchains, assets.",
            &C::store_pins_max),
      Percent("store.pinned_share", "Of the store, that pins may hold together.",
              &C::store_pinned_percent_max),
      Count("store.pinned_blobs_max", "Blobs that pins may name together; 16 bytes of memory each.",
            &C::store_pinned_blobs_max),
      Size("store.blob_max",
           "Larger blobs are refused, and clients are told so; 0: as large as the store.",
           &C::store_blob_bytes_max),
      Flag("store.synced", "Acknowledge writes only when they are on the disk.", &C::store_synced),
      Time("store.sync_interval", "A power loss loses at most the writes of so long.",
           &C::store_sync_interval),
      Size("store.scrub_rate",
           "Bytes a second at which stored blobs are read again and checked in the background; 0: "
           "never.",
           &C::store_scrub_bytes_per_second),
      Time("store.scrub_interval", "How often everything is checked once.",
           &C::store_scrub_interval),
      Size("store.memory_size_max", "Bytes of blobs in memory, without data_dir.",
           &C::memory_size_bytes_max),
      Size("store.checkpoint_interval",
           "Of the journal, which is read when the server starts after a crash: so much of it at "
           "most.",
           &C::store_checkpoint_interval_bytes),
      Size("store.segment_size",
           "Of the files that blobs lie in; 0: a 256th of the store, between 1MiB and 512MiB.",
           &C::store_segment_bytes),
      Size("store.frame_cache", "Memory for compressed blobs that are read in pieces.",
           &C::store_frame_cache_bytes),
      Size("store.chunk_list_cache", "Memory for the lists of blobs that are kept as chunks.",
           &C::store_chunk_list_cache_bytes),
      Count("store.chunks_per_blob_max", "A blob of more chunks is kept whole.",
            &C::store_chunks_per_blob_max),
      Count("store.pinned_results_max", "Action results that pins may name together.",
            &C::store_pinned_results_max),
  };
}

std::vector<ConfigKey> PartitionKeys() {
  using C = Config;
  return {
      Pairs("partitions.instances", "PARTITION=INSTANCE,...",
            "Instance names whose blobs and results are kept apart from all others; those below "
            "(\"INSTANCE/...\") count as well. Empty: everything is in one partition.",
            &C::partition_instances),
      Pairs("partitions.identities", "PARTITION=IDENTITY,...",
            "Clients, by TLS certificate (its first URI, DNS name or e-mail, else its common "
            "name), that act in a partition whatever instance name they say; it is closed to "
            "everyone else.",
            &C::partition_identities),
      Texts("partitions.workers", "IDENTITY,...",
            "Clients, by TLS certificate, that work for every partition: workers. Needed where "
            "partitions.identities is set and workers run elsewhere.",
            &C::partition_workers),
      PartitionAtRest(),
  };
}

std::vector<ConfigKey> UpstreamKeys() {
  using C = Config;
  return {
      Text("upstream.address", "ADDRESS",
           "A server whose blobs and results are served as if they were here, and kept: "
           "\"grpcs://host:port\" or \"grpc://host:port\". While it is down, what is here is "
           "served.",
           &C::upstream),
      Text("upstream.instance_name", "NAME",
           "The instance name to say there; empty: for results the client's own.",
           &C::upstream_instance_name),
      Flag("upstream.write_through", "Whether what is written here is written there too.",
           &C::upstream_write_through),
      Time("upstream.lease", "How long it keeps what it says it has.", &C::upstream_lease),
      Time("upstream.down_pause", "How long it is left alone after it did not answer.",
           &C::upstream_down_pause),
      Time("upstream.call_timeout", "Of one question to it.", &C::upstream_call_timeout),
      Time("upstream.fetch_max", "How long others wait for a blob that one client has asked for.",
           &C::upstream_fetch_max),
      Count("upstream.existence_cache",
            "Of so many of its blobs it is remembered that they are there; 0: none.",
            &C::upstream_existence_entries_max),
      Text("upstream.tls_ca", "PATH",
           "PEM authorities that it is checked with; empty: the system's.", &C::upstream_tls_ca),
      Text("upstream.tls_certificate", "PATH", "PEM certificate to show it.",
           &C::upstream_tls_certificate),
      Text("upstream.tls_key", "PATH", "PEM private key of that.", &C::upstream_tls_key),
  };
}

std::vector<ConfigKey> AssetKeys() {
  using C = Config;
  return {
      AssetHosts(),
      Time("asset.keep", "How long what was fetched is kept, and answered when it has no checksum.",
           &C::asset_keep),
      Time("asset.timeout_max", "Of one fetch.", &C::asset_timeout_max),
      Time("asset.timeout_default", "Of one fetch whose client says nothing.",
           &C::asset_timeout_default),
      Size("asset.size_max", "Of one asset that is fetched.", &C::asset_bytes_max),
      Size("asset.unpacked_max", "Of one archive, unpacked.", &C::asset_unpacked_bytes_max),
      Count("asset.fetches_max", "Fetches at once.", &C::asset_fetches_max),
      Count("asset.waiting_max", "Fetches that wait for those; more are refused.",
            &C::asset_waiting_max, 1),
      Count("asset.entries_max", "Files and directories of one archive.", &C::asset_entries_max, 1),
      Count("asset.uris_max", "Of one request.", &C::asset_uris_max, 1),
  };
}

std::vector<ConfigKey> WorkerKeys() {
  using C = Config;
  return {
      Text("worker.server", "ADDRESS",
           "Of `lre worker`: the server it serves, \"host:port\" or "
           "\"grpcs://host:port\".",
           &C::worker_server),
      Text("worker.directory", "PATH", "The worker's caches and slots; empty: data_dir/worker.",
           &C::worker_directory),
      Text("worker.name", "NAME", "For people; empty: the host's name.", &C::worker_name),
      Text("worker.status_listen", "ADDRESS",
           "Of `lre worker`: where it answers /, /metrics and /healthz; empty: nowhere. The pages "
           "of `lre up` are the server's.",
           &C::worker_status_listen),
      Count("worker.slots", "Actions at once; 0: one per core.", &C::worker_slots),
      Size("worker.cache_size_max", "Bytes of input files that the worker keeps.",
           &C::worker_cache_bytes_max),
      Size("worker.directory_cache_max", "Bytes of Directory messages that it keeps in memory.",
           &C::worker_directory_cache_bytes_max),
      Size("worker.store_max",
           "Bytes of toolchain store paths that the worker fetches from the CAS and keeps; what "
           "`lre sync` made does not count.",
           &C::worker_store_bytes_max),
      Time(
          "worker.store_check_interval",
          "How often every toolchain store path is hashed again, besides before its first use and, "
          "when it was fetched, at the worker's start; 0s: only before its first use.",
          &C::worker_store_check_interval),
      Time("worker.server_away_max",
           "How long an action waits to fetch its inputs and to upload its outputs while the "
           "server is not there; then it fails, and runs again.",
           &C::worker_server_away_max),
      Pairs("worker.properties", "NAME=VALUE,...",
            "Platform properties that the worker offers; a name may come several times. Empty: its "
            "ISA and OSFamily, which the platforms of `lre generate` ask for.",
            &C::worker_properties),
  };
}

// What the worker allows an action.
std::vector<ConfigKey> WorkerActionKeys() {
  using C = Config;
  return {
      Choice("worker.sandbox", "namespaces|none",
             "\"none\" runs actions without isolation: they see this machine.", &C::worker_sandbox),
      Choice(
          "worker.network", "none|host",
          "\"host\" gives an action that asks for it by the property network=host the network of "
          "this machine; all others have a loopback only.",
          &C::worker_network),
      Text("worker.cgroup", "PATH",
           "Directory of a cgroup v2 without processes that is delegated to the worker; it bounds "
           "the "
           "memory and processes of actions there. Empty: by other means.",
           &C::worker_cgroup),
      Size("worker.stdout_max",
           "Bytes of stdout, and of stderr, of one action; the rest is dropped.",
           &C::worker_stdout_bytes_max),
      Size("worker.memory_files_max",
           "Bytes that an action may write to memory; one that writes more is run again with its "
           "files on disk.",
           &C::worker_memory_files_bytes_max),
      Size("worker.action_memory_max",
           "Bytes of memory, files in /tmp included, that ends an action which uses more; 0: no "
           "bound. An action for which the scheduler set aside more may use that.",
           &C::worker_action_memory_bytes_max),
      Count("worker.action_processes_max", "Processes and threads of one action; 0: no bound.",
            &C::worker_action_processes_max),
      Count("worker.persistent_max",
            "Persistent worker processes at once, of actions that ask for one "
            "(Bazel's --experimental_remote_mark_tool_inputs); 0: none.",
            &C::worker_persistent_max),
      Time("worker.persistent_idle", "How long a persistent process waits for its next action.",
           &C::worker_persistent_idle_max),
      Count("worker.persistent_requests", "Actions that one persistent process runs at most.",
            &C::worker_persistent_requests_max),
      Size("worker.persistent_memory_max",
           "Bytes of memory of one persistent process; one that uses more is ended.",
           &C::worker_persistent_memory_bytes_max),
      Text("worker.manifest", "PATH",
           "toolchain.json whose userland (/bin, /usr/bin, libc) every "
           "action sees; empty: that of the lre-cc that was synced last, or of another toolchain.",
           &C::worker_manifest),
  };
}

std::vector<ConfigKey> MakeSchema() {
  std::vector<ConfigKey> all;
  for (auto keys :
       {ServingKeys(), LimitKeys(), StoreKeys(), ActionCacheKeys(), TransferKeys(), PartitionKeys(),
        UpstreamKeys(), AssetKeys(), ExecutionKeys(), WorkerKeys(), WorkerActionKeys()}) {
    all.insert(all.end(), keys.begin(), keys.end());
  }
  return all;
}

}  // namespace

const std::vector<ConfigKey>& ConfigSchema() {
  static const std::vector<ConfigKey>* const schema = new std::vector<ConfigKey>(MakeSchema());
  return *schema;
}

}  // namespace lre::server

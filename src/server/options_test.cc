#include "server/options.h"

#include <gtest/gtest.h>

namespace lre::server {
namespace {

using namespace std::chrono_literals;  // NOLINT(build/namespaces)

Config Parsed(std::string_view text) {
  Config config;
  Status status = ApplyConfigText(text, "lre.conf", config);
  EXPECT_TRUE(status.ok()) << status.ToString();
  EXPECT_TRUE(CheckConfig(config).ok());
  return config;
}

TEST(Options, ReachTheStore) {
  const store::LogStoreOptions options = LogOptionsOf(Parsed(R"(
data_dir = "/data"
[store]
size_max = "2GiB"
lease = "2h"
lease_min = "5m"
lease_policy = "strict"
reserve = 20
lease_share = 25
at_rest = "zstd"
pins_max = 7
pinned_share = 30
pinned_blobs_max = 3000000
synced = true
sync_interval = "3s"
scrub_rate = "1MiB"
scrub_interval = "24h"
)"));
  EXPECT_EQ(options.directory, "/data/store");
  EXPECT_EQ(options.size_bytes_max, 2u << 30);
  EXPECT_EQ(options.lease, 2h);
  EXPECT_EQ(options.lease_min, 5min);
  EXPECT_EQ(options.lease_policy, store::LeasePolicy::kStrict);
  EXPECT_EQ(options.reserve_percent, 20);
  EXPECT_EQ(options.lease_share_percent, 25);
  EXPECT_EQ(options.at_rest, store::AtRest::kZstd);
  EXPECT_EQ(options.pins_max, 7u);
  EXPECT_EQ(options.pinned_percent_max, 30);
  EXPECT_EQ(options.pinned_blobs_max, 3'000'000u);
  EXPECT_EQ(options.durability, store::Durability::kSynced);
  EXPECT_EQ(options.sync_interval, 3s);
  EXPECT_EQ(options.scrub_bytes_per_second, 1u << 20);
  EXPECT_EQ(options.scrub_interval, 24h);
}

TEST(Options, OfTheStoreAreItsOwnDefaults) {
  const store::LogStoreOptions ours = LogOptionsOf(Config()), its;
  EXPECT_EQ(ours.size_bytes_max, its.size_bytes_max);
  EXPECT_EQ(ours.lease, its.lease);
  EXPECT_EQ(ours.lease_min, its.lease_min);
  EXPECT_EQ(ours.lease_policy, its.lease_policy);
  EXPECT_EQ(ours.reserve_percent, its.reserve_percent);
  EXPECT_EQ(ours.lease_share_percent, its.lease_share_percent);
  EXPECT_EQ(ours.at_rest, its.at_rest);
  EXPECT_EQ(ours.pins_max, its.pins_max);
  EXPECT_EQ(ours.pinned_percent_max, its.pinned_percent_max);
  EXPECT_EQ(ours.pinned_blobs_max, its.pinned_blobs_max);
  EXPECT_EQ(ours.sync_interval, its.sync_interval);
  EXPECT_EQ(ours.scrub_bytes_per_second, its.scrub_bytes_per_second);
  EXPECT_EQ(ours.scrub_interval, its.scrub_interval);
  // A short lease is no error: the least that it may shrink to is no longer.
  EXPECT_EQ(LogOptionsOf(Parsed("store.lease = \"1m\"")).lease_min, 1min);
}

TEST(Options, ReachTheLog) {
  EXPECT_EQ(LogLevelOf(Parsed("")), kInfo);
  EXPECT_EQ(LogLevelOf(Parsed("log_level = \"debug\"")), kDebug);
  EXPECT_EQ(LogLevelOf(Parsed("log_level = \"warning\"")), kWarning);
  EXPECT_EQ(LogLevelOf(Parsed("log_level = \"error\"")), kError);
}

TEST(Options, ReachTheTransport) {
  const rpc::ServerOptions options = RpcOptionsOf(Parsed(R"(
listen = ["127.0.0.1:0"]
loops = 3
[connections]
max = 12
streams_max = 34
age_max = "1h"
age_grace = "2m"
stall_max = "3m"
keepalive = "4m"
headers_max = "8KiB"
assembling_max = "1MiB"
gzip = true
[http]
body_max = "2MiB"
bodies_max = "3MiB"
)"));
  EXPECT_EQ(options.loops, 3);
  EXPECT_EQ(options.connections_max, 12u);
  EXPECT_EQ(options.streams_max, 34u);
  EXPECT_EQ(options.connection_age_max, 1h);
  EXPECT_EQ(options.connection_age_grace, 2min);
  EXPECT_EQ(options.stream_stall_max, 3min);
  EXPECT_EQ(options.keepalive_interval, 4min);
  EXPECT_EQ(options.header_bytes_max, 8u << 10);
  EXPECT_EQ(options.assembling_bytes_max, 1u << 20);
  EXPECT_TRUE(options.gzip_answers);
  EXPECT_EQ(options.http_body_bytes_max, 2u << 20);
  EXPECT_EQ(options.http_bodies_bytes_max, 3u << 20);
}

TEST(Options, OfTheTransportAreItsOwnDefaults) {
  const rpc::ServerOptions ours = RpcOptionsOf(Config()), its;
  EXPECT_EQ(ours.connections_max, its.connections_max);
  EXPECT_EQ(ours.streams_max, its.streams_max);
  EXPECT_EQ(ours.connection_age_max, its.connection_age_max);
  EXPECT_EQ(ours.connection_age_grace, its.connection_age_grace);
  EXPECT_EQ(ours.stream_stall_max, its.stream_stall_max);
  EXPECT_EQ(ours.keepalive_interval, its.keepalive_interval);
  EXPECT_EQ(ours.header_bytes_max, its.header_bytes_max);
  EXPECT_EQ(ours.assembling_bytes_max, its.assembling_bytes_max);
  EXPECT_EQ(ours.gzip_answers, its.gzip_answers);
  EXPECT_EQ(ours.http_bodies_bytes_max, its.http_bodies_bytes_max);
}

TEST(Options, ReachTheScheduler) {
  const Config config = Parsed(R"(
[execution]
client_grace = "1s"
worker_grace = "2s"
operation_retention = "3s"
timeout_default = "4s"
timeout_max = "5s"
staging_max = "6s"
timeout_slack = "7s"
minimum_properties = ["cores", "gpus"]
ignored_properties = ["container-image"]
[scheduler]
tenant_weights = ["red=2", "blue=0.5"]
user_weights = ["CN=ci=3"]
ageing_step = "8s"
pool_grace = "9s"
queued_actions_max = 10
clients_max = 11
mailbox_events_max = 12
property_sets_max = 13
properties_max = 14
finished_operations_max = 15
workers_max = 16
workers_retry = "17s"
slots_max = 18
pools_max = 19
attempts_max = 20
quarantine = "21s"
quarantined_actions_max = 22
worker_heartbeat = "23s"
worker_silence_max = "46s"
reconnect_grace = "25s"
adoption_grace = "26s"
cancel_grace = "27s"
worker_rest_max = "28s"
reserve_after = "29s"
locality_entries_max = 30
locality_load_max = 31
locality_lookahead = 32
learned_sizes_max = 33
memory_property = "ram"
cores_property = "cpus"
[partitions]
instances = ["red=r"]
identities = ["blue=b"]
)");
  const service::SchedulerThreadOptions thread = SchedulerOptionsOf(config);
  const scheduler::SchedulerOptions& options = thread.scheduler;
  EXPECT_EQ(options.client_grace, 1s);
  EXPECT_EQ(options.worker_grace, 2s);
  EXPECT_EQ(options.operation_retention, 3s);
  EXPECT_EQ(options.timeout_default, 4s);
  EXPECT_EQ(options.timeout_max, 5s);
  EXPECT_EQ(options.staging_max, 6s);
  EXPECT_EQ(options.timeout_slack, 7s);
  EXPECT_EQ(options.minimum_properties, (std::vector<std::string>{"cores", "gpus"}));
  EXPECT_EQ(options.ignored_properties.front(), "container-image");
  EXPECT_EQ(options.ignored_properties[1], "InputRootAbsolutePath");
  const std::map<uint32_t, double> weights = {{service::PartitionNumber("red"), 2},
                                              {service::PartitionNumber("blue"), 0.5}};
  EXPECT_EQ(options.tenant_weights, weights);
  EXPECT_EQ(options.user_weights.at("CN=ci"), 3);
  EXPECT_EQ(options.ageing_step, 8s);
  EXPECT_EQ(options.pool_grace, 9s);
  EXPECT_EQ(options.queued_actions_max, 10u);
  EXPECT_EQ(options.clients_max, 11u);
  EXPECT_EQ(thread.mailbox_events_max, 12u);
  EXPECT_EQ(options.property_sets_max, 13u);
  EXPECT_EQ(options.properties_max, 14u);
  EXPECT_EQ(options.finished_operations_max, 15u);
  EXPECT_EQ(options.workers_max, 16u);
  EXPECT_EQ(options.workers_retry, 17s);
  EXPECT_EQ(options.slots_max, 18);
  EXPECT_EQ(options.pools_max, 19u);
  EXPECT_EQ(options.attempts_max, 20);
  EXPECT_EQ(options.quarantine, 21s);
  EXPECT_EQ(options.quarantined_actions_max, 22u);
  EXPECT_EQ(WorkerLinkOptionsOf(config).heartbeat_interval, 23s);
  EXPECT_EQ(WorkerLinkOptionsOf(config).silence_max, 46s);
  EXPECT_EQ(options.worker_silence_max, 46s);
  EXPECT_EQ(options.reconnect_grace, 25s);
  EXPECT_EQ(options.adoption_grace, 26s);
  EXPECT_EQ(options.cancel_grace, 27s);
  EXPECT_EQ(options.worker_rest_max, 28s);
  EXPECT_EQ(options.reserve_after, 29s);
  EXPECT_EQ(options.locality_entries_max, 30u);
  EXPECT_EQ(options.locality_load_max, 31);
  EXPECT_EQ(options.locality_lookahead, 32);
  EXPECT_EQ(options.learned_sizes_max, 33u);
  EXPECT_EQ(options.memory_property, "ram");
  EXPECT_EQ(options.cores_property, "cpus");
}

TEST(Options, ReachWhatBoundsMessages) {
  const Config config = Parsed(R"(
[store]
lease = "9h"
lease_min = "3h"
[execution]
action_size_max = "1KiB"
command_size_max = "2KiB"
inline_max = "3KiB"
input_directories_max = 4
[operations]
page_max = 5
wait_max = "6s"
[worker_link]
message_max = "7KiB"
running_max = 8
properties_max = 9
)");
  EXPECT_EQ(config.execution_service.action_bytes_max, 1u << 10);
  EXPECT_EQ(config.execution_service.command_bytes_max, 2u << 10);
  EXPECT_EQ(config.execution_service.inline_bytes_max, 3u << 10);
  EXPECT_EQ(InputLeasesOptionsOf(config).directories_max, 4u);
  EXPECT_EQ(InputLeasesOptionsOf(config).interval, 1h);
  EXPECT_EQ(InputLeasesOptionsOf(Config()).directories_max,
            service::InputLeasesOptions().directories_max);
  EXPECT_EQ(config.operations.operations_page_max, 5u);
  EXPECT_EQ(config.operations.wait_max, 6s);
  EXPECT_EQ(WorkerLinkOptionsOf(config).message_bytes_max, 7u << 10);
  EXPECT_EQ(WorkerLinkOptionsOf(config).running_max, 8u);
  EXPECT_EQ(WorkerLinkOptionsOf(config).properties_max, 9u);
}

TEST(Options, ReachLogStreamsAndPools) {
  const Config config = Parsed(R"(
[scheduler]
pools = ["large:Pool=large;OSFamily=linux", "any:", "image:container-image=docker://a:1"]
pools_only = true
[log_streams]
stream_size_max = "1KiB"
size_max = "2KiB"
streams_max = 3
retention = "4s"
idle_max = "5s"
)");
  const service::LogStreamOptions streams = SchedulerOptionsOf(config).log_streams;
  EXPECT_EQ(streams.stream_bytes_max, 1u << 10);
  EXPECT_EQ(streams.bytes_max, 2u << 10);
  EXPECT_EQ(streams.streams_max, 3u);
  EXPECT_EQ(streams.retention, 4s);
  EXPECT_EQ(streams.idle_max, 5s);
  ASSERT_EQ(config.pools.size(), 3u);
  EXPECT_EQ(config.pools[0].name, "large");
  EXPECT_EQ(config.pools[0].properties,
            (scheduler::Properties{{"OSFamily", "linux"}, {"Pool", "large"}}));
  EXPECT_TRUE(config.pools[1].properties.empty());
  EXPECT_EQ(config.pools[2].properties,
            (scheduler::Properties{{"container-image", "docker://a:1"}}));
  EXPECT_TRUE(config.pools_only);
  // As they are shown they can be written.
  for (const ConfigKey& key : ConfigSchema()) {
    if (key.name != "scheduler.pools") continue;
    EXPECT_EQ(key.show(config),
              "large:OSFamily=linux;Pool=large,any:,image:container-image=docker://a:1");
  }
}

TEST(Options, ReachAssets) {
  const service::AssetOptions options = AssetOptionsOf(Parsed(R"(
data_dir = "/data"
[asset]
hosts = ["example.org", "*.example.org"]
keep = "1h"
timeout_max = "2m"
size_max = "3MiB"
unpacked_max = "4MiB"
fetches_max = 5
[action_cache]
update_instances = ["scratch"]
)"));
  EXPECT_EQ(options.origin.hosts, (std::vector<std::string>{"example.org", "*.example.org"}));
  EXPECT_EQ(options.origin.size_bytes_max, 3u << 20);
  EXPECT_EQ(options.origin.spool_directory, "/data/spool");
  EXPECT_EQ(options.keep, 1h);
  EXPECT_EQ(options.timeout_max, 2min);
  EXPECT_EQ(options.timeout_default, 2min);
  EXPECT_EQ(options.unpacked_bytes_max, 4u << 20);
  EXPECT_EQ(options.fetches_max, 5);
  EXPECT_TRUE(options.push.Allows("scratch"));
  EXPECT_FALSE(options.push.Allows("main"));
  Config config;
  EXPECT_FALSE(ApplyConfigText("[asset]\nhosts = [\"http://example.org\"]", "f", config).ok());
}

TEST(Options, ReachTheUpstream) {
  const Config config = Parsed(R"(
[upstream]
address = "grpcs://cache.example:443"
write_through = true
lease = "6h"
down_pause = "7s"
existence_cache = 8
tls_ca = "ca"
tls_certificate = "c"
tls_key = "k"
)");
  EXPECT_EQ(UpstreamChannelOf(config).tls_ca_path, "ca");
  EXPECT_EQ(UpstreamChannelOf(config).tls_certificate_path, "c");
  EXPECT_EQ(UpstreamChannelOf(config).tls_key_path, "k");
  EXPECT_TRUE(ReadThroughOptionsOf(config).write_through);
  EXPECT_EQ(ReadThroughOptionsOf(config).down_pause, 7s);
  EXPECT_EQ(ExistenceOptionsOf(config).lease, 6h);
  EXPECT_EQ(ExistenceOptionsOf(config).promise, 5h);
  EXPECT_EQ(ExistenceOptionsOf(config).entries_max, 8u);
}

TEST(Options, BoundABlobByTheStoreAndByTheOperator) {
  EXPECT_EQ(BlobBytesMaxOf(Parsed("store.memory_size_max = \"5MiB\"")), 5 << 20);
  EXPECT_EQ(BlobBytesMaxOf(Parsed("store.memory_size_max = \"5MiB\"\nstore.blob_max = \"1MiB\"")),
            1 << 20);
  EXPECT_EQ(BlobBytesMaxOf(Parsed("data_dir = \"/d\"\nstore.size_max = \"6MiB\"\n"
                                  "store.blob_max = \"1GiB\"")),
            6 << 20);
}

TEST(Options, AreRefusedWhereTheyMakeNoSense) {
  for (const char* bad :
       {"store.reserve = 101", "store.pinned_share = 200", "store.lease_policy = \"none\"",
        "connections.max = -1", "upstream.down_pause = \"soon\"", "scheduler.workers_max = 0",
        "scheduler.attempts_max = 0", "scheduler.slots_max = 0", "scheduler.user_weights = \"a\"",
        "scheduler.user_weights = \"a=0\"", "scheduler.user_weights = \"a=1001\"",
        "scheduler.pools = \"large\"", "scheduler.pools = \"large:Pool\""}) {
    Config config;
    EXPECT_FALSE(ApplyConfigText(bad, "f", config).ok()) << bad;
  }
  for (const char* bad :
       {"connections.max = 0", "connections.streams_max = 0", "asset.fetches_max = 0",
        "upstream.write_through = true", "upstream.address = \"http://x:1\"",
        "upstream.tls_key = \"k\"\nupstream.address = \"x:1\"",
        "scheduler.worker_heartbeat = \"20s\"", "scheduler.worker_heartbeat = \"0s\"",
        "scheduler.tenant_weights = \"red=2\"",
        "scheduler.pools_max = 0\nscheduler.pools = \"a:\""}) {
    Config config;
    ASSERT_TRUE(ApplyConfigText(bad, "f", config).ok()) << bad;
    EXPECT_FALSE(CheckConfig(config).ok()) << bad;
  }
}

}  // namespace
}  // namespace lre::server

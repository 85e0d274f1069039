// What the storage services are told: every key reaches the layer that it is about.
#include <gtest/gtest.h>

#include "server/options.h"
#include "service/http_cache.h"

namespace lre::server {
namespace {

using namespace std::chrono_literals;  // NOLINT(build/namespaces)

Config Parsed(std::string_view text) {
  Config config;
  Status status = ApplyConfigText(text, "lre.conf", config);
  EXPECT_TRUE(status.ok()) << status.ToString();
  status = CheckConfig(config);
  EXPECT_TRUE(status.ok()) << status.ToString();
  return config;
}
std::string Refused(std::string_view text) {
  Config config;
  Status status = ApplyConfigText(text, "lre.conf", config);
  if (status.ok()) status = CheckConfig(config);
  return std::string(status.message());
}

TEST(StorageOptions, ReachTheStoreAndItsPins) {
  const Config config = Parsed(R"(
[store]
checkpoint_interval = "1MiB"
segment_size = "2MiB"
frame_cache = "3MiB"
chunk_list_cache = "4MiB"
chunks_per_blob_max = 5
pinned_results_max = 6
blob_max = "7MiB"
)");
  const store::LogStoreOptions options = LogOptionsOf(config);
  EXPECT_EQ(options.checkpoint_interval_bytes, 1u << 20);
  EXPECT_EQ(options.segment_bytes, 2u << 20);
  EXPECT_EQ(options.frame_cache_bytes, 3u << 20);
  EXPECT_EQ(options.chunk_list_cache_bytes, 4u << 20);
  EXPECT_EQ(options.chunks_per_blob_max, 5u);
  EXPECT_EQ(config.store_pinned_results_max, 6);
  EXPECT_EQ(options.blob_bytes_max, 7u << 20);
  EXPECT_EQ(ByteStreamOptionsOf(config).blob_bytes_max, 7 << 20);
  EXPECT_EQ(AssetOptionsOf(config).blob_bytes_max, 7u << 20);
  EXPECT_EQ(ReadThroughOptionsOf(config).blob_bytes_max, 7u << 20);
  EXPECT_EQ(CapabilitiesOptionsOf(config).cas_blob_size_bytes_max, 7 << 20);
}

TEST(StorageOptions, ReachTheServices) {
  const Config config = Parsed(R"(
io_queue_max = 17
freed_memory_interval = "7s"
[action_cache]
result_max = "1KiB"
inline_max = "2KiB"
blobs_max = 3
seen_max = 9
[cas]
batch_max = "8MiB"
batch_announced = "1MiB"
answer_max = "5KiB"
tree_directories_max = 6
tree_page = "24KiB"
inline_hash_max = "25KiB"
[byte_stream]
message_max = "7KiB"
uploads_parked_max = 8
upload_idle_max = "9s"
inline_write_max = "26KiB"
zstd_cache = "10KiB"
[chunks]
fast_cdc_average = "64KiB"
rep_max_min = "12KiB"
rep_max_horizon = "96KiB"
per_blob_max = 14
[http]
raw_value_max = "15KiB"
[upstream]
call_timeout = "18s"
fetch_max = "19s"
[asset]
timeout_default = "20s"
waiting_max = 21
entries_max = 22
uris_max = 23
)");
  EXPECT_EQ(config.action_cache_seen_max, 9);
  EXPECT_EQ(config.io_queue_max, 17);
  EXPECT_EQ(config.freed_memory_interval, std::chrono::seconds(7));
  EXPECT_EQ(ActionCacheServiceOptionsOf(config).result_bytes_max, 1u << 10);
  EXPECT_EQ(ActionCacheServiceOptionsOf(config).inline_bytes_max, 2u << 10);
  EXPECT_EQ(StoredActionCacheOptionsOf(config).result_bytes_max, 1u << 10);
  EXPECT_EQ(StoredActionCacheOptionsOf(config).digests_max, 3u);
  EXPECT_EQ(config.cas.batch_bytes_max, 8u << 20);
  EXPECT_EQ(CapabilitiesOptionsOf(config).batch_total_size_bytes_max, 1 << 20);
  EXPECT_EQ(config.cas.answer_bytes_max, 5u << 10);
  EXPECT_EQ(config.cas.tree_directories_max, 6u);
  EXPECT_EQ(config.cas.tree_page_bytes, 24u << 10);
  EXPECT_EQ(config.cas.inline_hash_bytes_max, 25u << 10);
  EXPECT_EQ(ByteStreamOptionsOf(config).inline_write_bytes_max, 26u << 10);
  EXPECT_EQ(ByteStreamOptionsOf(config).write_message_bytes_max, 7u << 10);
  EXPECT_EQ(ByteStreamOptionsOf(config).uploads_parked_max, 8u);
  EXPECT_EQ(ByteStreamOptionsOf(config).upload_idle_max, 9s);
  EXPECT_EQ(ByteStreamOptionsOf(config).zstd_cache_bytes_max, 10u << 10);
  EXPECT_EQ(CapabilitiesOptionsOf(config).chunks.fast_cdc.average_bytes, 64u << 10);
  EXPECT_EQ(config.chunks.rep_max_cdc.bytes_min, 12u << 10);
  EXPECT_EQ(config.chunks.rep_max_cdc.horizon_bytes, 96u << 10);
  EXPECT_EQ(config.chunks.chunks_max, 14u);
  EXPECT_EQ(config.http_raw_value_bytes_max, 15u << 10);
  EXPECT_EQ(config.upstream_call_timeout, 18s);
  EXPECT_EQ(ReadThroughOptionsOf(config).fetch_max, 19s);
  EXPECT_EQ(AssetOptionsOf(config).timeout_default, 20s);
  EXPECT_EQ(AssetOptionsOf(config).fetches_waiting_max, 21u);
  EXPECT_EQ(AssetOptionsOf(config).entries_max, 22u);
  EXPECT_EQ(AssetOptionsOf(config).uris_max, 23);
}

TEST(StorageOptions, AreTheLayersOwnDefaults) {
  const store::LogStoreOptions ours = LogOptionsOf(Config()), its;
  EXPECT_EQ(ours.checkpoint_interval_bytes, its.checkpoint_interval_bytes);
  EXPECT_EQ(ours.segment_bytes, its.segment_bytes);
  EXPECT_EQ(ours.frame_cache_bytes, its.frame_cache_bytes);
  EXPECT_EQ(ours.chunk_list_cache_bytes, its.chunk_list_cache_bytes);
  EXPECT_EQ(ours.chunks_per_blob_max, its.chunks_per_blob_max);
  const service::AssetOptions assets = AssetOptionsOf(Config()), their;
  EXPECT_EQ(assets.timeout_default, their.timeout_default);
  EXPECT_EQ(assets.fetches_waiting_max, their.fetches_waiting_max);
  EXPECT_EQ(assets.entries_max, their.entries_max);
  EXPECT_EQ(assets.uris_max, their.uris_max);
  const auto results = StoredActionCacheOptionsOf(Config());
  EXPECT_EQ(results.result_bytes_max, action_cache::StoredActionCacheOptions().result_bytes_max);
  EXPECT_EQ(results.digests_max, action_cache::StoredActionCacheOptions().digests_max);
  EXPECT_EQ(ReadThroughOptionsOf(Config()).fetch_max, store::ReadThroughOptions().fetch_max);
  EXPECT_EQ(CapabilitiesOptionsOf(Config()).batch_total_size_bytes_max,
            service::CapabilitiesOptions().batch_total_size_bytes_max);
  EXPECT_EQ(Config().http_raw_value_bytes_max, service::HttpCacheOptions().raw_value_bytes_max);
  EXPECT_EQ(Config().store_pinned_results_max, 1000);
}

TEST(StorageOptions, RefuseWhatNoLayerCanDo) {
  EXPECT_NE(Refused("chunks.fast_cdc_average = \"48KiB\""), "");
  EXPECT_NE(Refused("chunks.fast_cdc_average = \"2MiB\""), "");
  EXPECT_NE(Refused("chunks.rep_max_min = \"63B\""), "");
  EXPECT_NE(Refused("chunks.rep_max_horizon = \"1KiB\""), "");
  EXPECT_NE(Refused("cas.batch_max = \"1MiB\""), "") << "less than is announced";
  EXPECT_NE(Refused("http.raw_value_max = \"33MiB\""), "");
  EXPECT_NE(Refused("store.segment_size = \"512KiB\""), "");
  EXPECT_NE(Refused("store.segment_size = \"2GiB\""), "") << "of a store of 10 GiB";
  EXPECT_NE(Refused("store.checkpoint_interval = \"1KiB\""), "");
  EXPECT_NE(Refused("io_threads = 0"), "");
  EXPECT_NE(Refused("asset.fetches_max = 0"), "");
}

TEST(StorageOptions, PartitionsAreNamesThatRulesGive) {
  const Config config = Parsed(R"(
[store]
lease_min = "9m"
[partitions]
instances = ["red=team/red", "blue=team/blue"]
identities = ["red=spiffe://ci?a=b"]
workers = ["spiffe://worker"]
at_rest = ["red=zstd", "blue=identity"]
)");
  const service::PartitionRules rules = PartitionRulesOf(config);
  EXPECT_EQ(rules.instances[1], std::pair(std::string("team/blue"), std::string("blue")));
  EXPECT_EQ(rules.identities[0], std::pair(std::string("spiffe://ci?a=b"), std::string("red")));
  EXPECT_EQ(rules.workers, (std::vector<std::string>{"spiffe://worker"}));
  const auto at_rest = LogOptionsOf(config).at_rest_partitions;
  EXPECT_EQ(at_rest.at(service::PartitionNumber("red")), store::AtRest::kZstd);
  EXPECT_EQ(at_rest.at(service::PartitionNumber("blue")), store::AtRest::kIdentity);
  EXPECT_EQ(InputLeasesOptionsOf(config).interval, 3min) << "a third of the shortest lease";

  EXPECT_NE(Refused("partitions.instances = [\"no rule\"]"), "");
  EXPECT_NE(Refused("partitions.instances = [\"a=x\", \"b=x\"]"), "");
  EXPECT_NE(Refused("partitions.at_rest = [\"a=lz4\"]"), "");
  EXPECT_NE(Refused("partitions.at_rest = [\"red=zstd\"]"), "") << "there is no such partition";
}

}  // namespace
}  // namespace lre::server

// What each layer is told of the configuration: one function per layer, nothing else decides. Free
// functions, thread-safe. REQUIRES of all: CheckConfig(config).
#pragma once

#include <string>

#include "action_cache/stored_action_cache.h"
#include "base/log.h"
#include "rpc/client.h"
#include "rpc/server.h"
#include "server/config.h"
#include "service/asset_service.h"
#include "service/capabilities_service.h"
#include "service/input_leases.h"
#include "service/partitions.h"
#include "service/scheduler_thread.h"
#include "service/update_permission.h"
#include "service/worker_link.h"
#include "store/existence_cache_store.h"
#include "store/log_store.h"
#include "store/read_through_store.h"

namespace lre::server {

LogLevel LogLevelOf(const Config& config);
rpc::ServerOptions RpcOptionsOf(const Config& config);
// Of the log in data_dir; without metrics.
store::LogStoreOptions LogOptionsOf(const Config& config);
service::SchedulerThreadOptions SchedulerOptionsOf(const Config& config);
service::WorkerLinkOptions WorkerLinkOptionsOf(const Config& config);
service::ByteStreamOptions ByteStreamOptionsOf(const Config& config);
service::ActionCacheServiceOptions ActionCacheServiceOptionsOf(const Config& config);
action_cache::StoredActionCacheOptions StoredActionCacheOptionsOf(const Config& config);
service::CapabilitiesOptions CapabilitiesOptionsOf(const Config& config);
// Who may write results, assets and raw values.
service::UpdatePermission UpdatesOf(const Config& config);
service::AssetOptions AssetOptionsOf(const Config& config);
// In which partition whose calls act.
service::PartitionRules PartitionRulesOf(const Config& config);
service::InputLeasesOptions InputLeasesOptionsOf(const Config& config);
// Of the largest blob that is taken: more than the store holds can never be stored.
int64_t BlobBytesMaxOf(const Config& config);

rpc::ChannelOptions UpstreamChannelOf(const Config& config);
store::ReadThroughOptions ReadThroughOptionsOf(const Config& config);
store::ExistenceCacheOptions ExistenceOptionsOf(const Config& config);

}  // namespace lre::server

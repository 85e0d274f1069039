// The keys of execution: of what the scheduler and the log streams are told. Their options are part
// of Config as they are, so a default stands in one place only.
#include <charconv>

#include "server/config_fields.h"

namespace lre::server {
namespace {

using Name = std::string_view;

#define LRE_SCHEDULER(name) LRE_FIELD(scheduling.scheduler.name)
#define LRE_LOG_STREAMS(name) LRE_FIELD(scheduling.log_streams.name)

// A list whose items `read` makes of text and `print` turns back.
template <typename Field, typename Read, typename Print>
ConfigKey List(const ConfigKey& about, Field field, Read read, Print print) {
  ConfigKey key = about;
  key.list = true;
  key.set = [field, read](Config& config, std::string_view value) -> Status {
    auto item = read(value);
    if (!item) return item.error();
    auto& list = field(config);
    list.insert(list.end(), std::move(*item));
    return Status();
  };
  key.show = [field, print](const Config& config) {
    std::string text;
    for (const auto& item : field(config)) text += (text.empty() ? "" : ",") + print(item);
    return text;
  };
  key.clear = [field](Config& config) { field(config).clear(); };
  return key;
}

template <typename Field>
ConfigKey Names(Name name, Name help, Field field) {
  return List(
      {.name = name, .unit = "NAME,...", .help = help}, field,
      [](std::string_view text) -> Result<std::string> { return std::string(text); },
      [](const std::string& text) { return text; });
}

Result<std::pair<std::string, std::string>> ReadPair(std::string_view text, size_t equals) {
  if (equals == 0 || equals == std::string_view::npos) {
    return Error(Code::kInvalidArgument, "\"{}\" is not NAME=VALUE", text);
  }
  return std::pair(std::string(text.substr(0, equals)), std::string(text.substr(equals + 1)));
}

template <typename Field>
ConfigKey Weights(Name name, Name help, Field field) {
  return List(
      {.name = name, .unit = "NAME=WEIGHT,...", .help = help}, field,
      [](std::string_view text) -> Result<std::pair<std::string, double>> {
        // A name may hold "=" itself.
        TRY_ASSIGN(auto pair, ReadPair(text, text.rfind('=')));
        const std::string& number = pair.second;
        double weight = 0;
        const char* last = number.data() + number.size();
        const auto [end, error] = std::from_chars(number.data(), last, weight);
        if (error != std::errc() || end != last || !(weight >= 0.001 && weight <= 1000)) {
          return Error(Code::kInvalidArgument,
                       "\"{}\": the weight is not a number from 0.001 to 1000", text);
        }
        return std::pair(pair.first, weight);
      },
      [](const auto& pair) { return fmt::format("{}={:g}", pair.first, pair.second); });
}

Result<scheduler::PoolDeclared> ReadPool(std::string_view text) {
  const size_t colon = text.find(':');
  if (colon == 0 || colon == std::string_view::npos) {
    return Error(Code::kInvalidArgument, "\"{}\" is not NAME:PROPERTY=VALUE;...", text);
  }
  scheduler::PoolDeclared pool{.name = std::string(text.substr(0, colon)), .properties = {}};
  for (size_t start = colon + 1; start < text.size();) {
    const size_t end = std::min(text.find(';', start), text.size());
    const std::string_view property = text.substr(start, end - start);
    TRY_ASSIGN(auto pair, ReadPair(property, property.find('=')));
    pool.properties.push_back(std::move(pair));
    start = end + 1;
  }
  std::sort(pool.properties.begin(), pool.properties.end());
  return pool;
}

std::string PrintPool(const scheduler::PoolDeclared& pool) {
  std::string text = pool.name + ":";
  for (const auto& [name, value] : pool.properties) {
    text += (text.ends_with(':') && text.size() == pool.name.size() + 1 ? "" : ";") + name + "=" +
            value;
  }
  return text;
}

std::vector<ConfigKey> ClientKeys() {
  return {
      Flag("execution.enabled", "Whether actions are executed, or only cached.",
           LRE_FIELD(execution)),
      Time("execution.client_grace",
           "How long an action goes on after its last client's connection "
           "was lost.",
           LRE_SCHEDULER(client_grace)),
      Time("execution.worker_grace", "How long an action that no worker can serve waits for one.",
           LRE_SCHEDULER(worker_grace)),
      Time("execution.operation_retention", "How long finished operations are kept.",
           LRE_SCHEDULER(operation_retention)),
      Time("execution.timeout_default", "Of actions that set none.",
           LRE_SCHEDULER(timeout_default)),
      Time("execution.timeout_max", "Longer timeouts are refused.", LRE_SCHEDULER(timeout_max)),
      Time("execution.staging_max",
           "How long fetching inputs and uploading outputs may take beside the command.",
           LRE_SCHEDULER(staging_max)),
      Time("execution.timeout_slack",
           "An attempt that is not reported for its timeout, staging_max and this runs elsewhere.",
           LRE_SCHEDULER(timeout_slack)),
      Names("execution.minimum_properties",
            "Platform properties of which a worker needs at least as much as the action says; "
            "others must be equal.",
            LRE_SCHEDULER(minimum_properties)),
      Names("execution.ignored_properties",
            "Platform properties of actions that say nothing about where they run.",
            LRE_SCHEDULER(ignored_properties)),
  };
}

// Of messages, and of what one call may ask for.
std::vector<ConfigKey> MessageKeys() {
  return {
      Size("execution.action_size_max", "Of one Action message.",
           LRE_FIELD(execution_service.action_bytes_max)),
      Size("execution.command_size_max", "Of one Command message.",
           LRE_FIELD(execution_service.command_bytes_max)),
      Size("execution.inline_max",
           "Of one stdout, stderr or file that a client wants in the answer of Execute.",
           LRE_FIELD(execution_service.inline_bytes_max)),
      Count("execution.input_directories_max",
            "Directories of the inputs of one action that are kept while it waits and runs; those "
            "of larger ones stay as long as any other blob.",
            &Config::input_leases_directories_max, 1),
      Count("operations.page_max", "Operations that one page of ListOperations looks at.",
            LRE_FIELD(operations.operations_page_max), 1),
      Time("operations.wait_max", "Of one WaitOperation; a longer wish, and none, are cut to it.",
           LRE_FIELD(operations.wait_max)),
      Size("worker_link.message_max", "Of one message of a worker.",
           LRE_FIELD(worker_link.message_bytes_max)),
      Count("worker_link.running_max", "Attempts that a worker may come back with.",
            LRE_FIELD(worker_link.running_max), 1),
      Count("worker_link.properties_max", "Platform properties of one worker.",
            LRE_FIELD(worker_link.properties_max), 1),
  };
}

std::vector<ConfigKey> FairnessKeys() {
  return {
      Weights("scheduler.tenant_weights",
              "Turns of a tenant, by the name of its partition; who is not named has 1, from 0.001 "
              "to 1000.",
              LRE_FIELD(tenant_weights)),
      Weights("scheduler.user_weights",
              "Turns of a user within the tenant, by the name in the TLS certificate.",
              LRE_SCHEDULER(user_weights)),
      Time("scheduler.ageing_step",
           "Waiting that long outweighs one step of priority, so that nothing starves.",
           LRE_SCHEDULER(ageing_step)),
      List({.name = "scheduler.pools",
            .unit = "NAME:PROPERTY=VALUE;...,...",
            .help = "Workers that may come, as an autoscaler starts them: an action that one of "
                    "these could serve waits for pool_grace instead of execution.worker_grace."},
           LRE_FIELD(pools), ReadPool, PrintPool),
      Flag("scheduler.pools_only",
           "No other workers than those of scheduler.pools will come: an action that none of them "
           "could serve fails at once.",
           LRE_FIELD(pools_only)),
      Time("scheduler.pool_grace", "How long such an action waits.", LRE_SCHEDULER(pool_grace)),
  };
}

std::vector<ConfigKey> BoundKeys() {
  return {
      Count("scheduler.queued_actions_max", "Beyond, new actions get RESOURCE_EXHAUSTED.",
            LRE_SCHEDULER(queued_actions_max), 1),
      Count("scheduler.clients_max", "Streams of clients that wait; beyond: RESOURCE_EXHAUSTED.",
            LRE_SCHEDULER(clients_max), 1),
      Count("scheduler.mailbox_events_max",
            "Events that wait for the scheduler's thread; beyond: RESOURCE_EXHAUSTED.",
            LRE_FIELD(scheduling.mailbox_events_max), 1),
      Count("scheduler.property_sets_max",
            "Different sets of platform properties asked for at once; beyond: RESOURCE_EXHAUSTED.",
            LRE_SCHEDULER(property_sets_max), 1),
      Count("scheduler.properties_max", "Platform properties of one action.",
            LRE_SCHEDULER(properties_max), 1),
      Count("scheduler.finished_operations_max", "Finished operations kept; the oldest go first.",
            LRE_SCHEDULER(finished_operations_max)),
      Count("scheduler.workers_max", "Beyond, a worker is told to come back later.",
            LRE_SCHEDULER(workers_max), 1),
      Time("scheduler.workers_retry", "How much later.", LRE_SCHEDULER(workers_retry)),
      Count("scheduler.slots_max", "Of one worker; more are not used.", LRE_SCHEDULER(slots_max),
            1),
      Count("scheduler.pools_max", "Pools declared; more are refused.", LRE_SCHEDULER(pools_max)),
      Count("scheduler.attempts_max",
            "How often an action is started when its workers fail or are lost.",
            LRE_SCHEDULER(attempts_max), 1),
      Time("scheduler.quarantine",
           "How long an action is refused that was lost together with its worker attempts_max "
           "times.",
           LRE_SCHEDULER(quarantine)),
      Count("scheduler.quarantined_actions_max", "Such actions remembered.",
            LRE_SCHEDULER(quarantined_actions_max)),
  };
}

std::vector<ConfigKey> LivenessKeys() {
  return {
      Time("scheduler.worker_heartbeat", "How often a worker says that it lives.",
           LRE_FIELD(worker_link.heartbeat_interval)),
      Time("scheduler.worker_silence_max", "A worker that says nothing for so long is lost.",
           LRE_SCHEDULER(worker_silence_max)),
      Time("scheduler.reconnect_grace",
           "How long a worker whose connection broke may come back with what it runs.",
           LRE_SCHEDULER(reconnect_grace)),
      Time("scheduler.adoption_grace",
           "How long after the start a client that asks for an unknown operation waits for the "
           "worker that runs it.",
           LRE_SCHEDULER(adoption_grace)),
      Time("scheduler.cancel_grace",
           "How long a cancelled attempt holds its slot when its worker does not say that it "
           "stopped.",
           LRE_SCHEDULER(cancel_grace)),
      Time("scheduler.worker_rest_max",
           "A worker that failed an action by its own fault gets nothing new for 1s, twice as long "
           "each time in a row, up to this.",
           LRE_SCHEDULER(worker_rest_max)),
  };
}

std::vector<ConfigKey> PlacementKeys() {
  return {
      Time("scheduler.reserve_after",
           "An action that waits so long for room on a worker gets one held free for it.",
           LRE_SCHEDULER(reserve_after)),
      Count("scheduler.locality_entries_max",
            "Inputs, targets and toolchains of which it is remembered who had them last; 16 bytes "
            "each, 0: none.",
            LRE_SCHEDULER(locality_entries_max)),
      Count("scheduler.locality_load_max",
            "A worker that has the inputs is preferred while it runs at most so many actions more "
            "than the least loaded one.",
            LRE_SCHEDULER(locality_load_max)),
      Count("scheduler.locality_lookahead",
            "A free worker may take one of the next so many actions of a build because it has its "
            "inputs; an action is passed over that often at most.",
            LRE_SCHEDULER(locality_lookahead)),
      Count("scheduler.learned_sizes_max",
            "Kinds of actions (mnemonic and target) whose memory and cores are remembered; 24 "
            "bytes each, 0: none.",
            LRE_SCHEDULER(learned_sizes_max)),
      Text("scheduler.memory_property", "NAME",
           "The one of execution.minimum_properties that is bytes of memory.",
           LRE_SCHEDULER(memory_property)),
      Text("scheduler.cores_property", "NAME",
           "The one of execution.minimum_properties that is processor cores.",
           LRE_SCHEDULER(cores_property)),
  };
}

std::vector<ConfigKey> LogStreamKeys() {
  return {
      Size("log_streams.stream_size_max", "Bytes kept of one stream, the latest.",
           LRE_LOG_STREAMS(stream_bytes_max)),
      Size("log_streams.size_max",
           "Bytes kept of all; beyond, a stream that grows keeps the latest 64 KiB.",
           LRE_LOG_STREAMS(bytes_max)),
      Count("log_streams.streams_max", "Streams at once; those that finished go first.",
            LRE_LOG_STREAMS(streams_max), 1),
      Time("log_streams.retention", "How long a finished stream is kept.",
           LRE_LOG_STREAMS(retention)),
      Time("log_streams.idle_max", "A stream without a new byte for so long counts as finished.",
           LRE_LOG_STREAMS(idle_max)),
  };
}

}  // namespace

std::vector<ConfigKey> ExecutionKeys() {
  std::vector<ConfigKey> all;
  for (const auto& keys : {ClientKeys(), MessageKeys(), FairnessKeys(), BoundKeys(), LivenessKeys(),
                           PlacementKeys(), LogStreamKeys()}) {
    all.insert(all.end(), keys.begin(), keys.end());
  }
  return all;
}

}  // namespace lre::server

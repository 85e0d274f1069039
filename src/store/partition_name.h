// How the partition of a call is written into its instance name, between a worker and its server:
// "main/partition-7". Pure functions, thread-safe.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "store/blob_store.h"

namespace lre::store {

// The instance name that says `partition`; unchanged for 0.
std::string InstanceWithPartition(std::string_view instance_name, Partition partition);
// The partition that its last part says; nullopt when that is no such word.
std::optional<Partition> PartitionIn(std::string_view instance_name);
// Without that word, if it is there.
std::string_view InstanceWithoutPartition(std::string_view instance_name);

}  // namespace lre::store

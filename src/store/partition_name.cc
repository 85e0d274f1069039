#include "store/partition_name.h"

#include <fmt/format.h>

#include <charconv>

namespace lre::store {
namespace {

constexpr std::string_view kWord = "partition-";

}  // namespace

std::string InstanceWithPartition(std::string_view instance_name, Partition partition) {
  if (partition == 0) return std::string(instance_name);
  return fmt::format("{}{}{}{}", instance_name, instance_name.empty() ? "" : "/", kWord, partition);
}

std::optional<Partition> PartitionIn(std::string_view instance_name) {
  const size_t slash = instance_name.rfind('/');
  if (slash != std::string_view::npos) instance_name.remove_prefix(slash + 1);
  if (!instance_name.starts_with(kWord)) return std::nullopt;
  instance_name.remove_prefix(kWord.size());
  Partition number = 0;
  const char* last = instance_name.data() + instance_name.size();
  const auto [end, error] = std::from_chars(instance_name.data(), last, number);
  if (error != std::errc() || end != last) return std::nullopt;
  return number;
}

std::string_view InstanceWithoutPartition(std::string_view instance_name) {
  if (!PartitionIn(instance_name)) return instance_name;
  const size_t slash = instance_name.rfind('/');
  return slash == std::string_view::npos ? std::string_view() : instance_name.substr(0, slash);
}

}  // namespace lre::store

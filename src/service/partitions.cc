#include "service/partitions.h"

#include <algorithm>
#include <cstring>

#include "reapi/resource_name.h"
#include "store/partition_name.h"

namespace lre::service {

store::Partition PartitionNumber(std::string_view name) {
  const Digest digest =
      ComputeDigest(DigestFunction::kSha256, "lre partition " + std::string(name));
  store::Partition number = 0;
  std::memcpy(&number, digest.hash.data(), sizeof number);
  return number == 0 ? 1 : number;
}

Status CheckPartitionName(std::string_view name) {
  const bool plain = std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.';
  });
  if (plain && !name.empty() && name.size() <= 64) return Status();
  return ErrorStatus(Code::kInvalidArgument,
                     "partition \"{:.100}\": 1 to 64 letters, digits, '-', '_' and '.'", name);
}

const Partitions& Partitions::None() {
  static const Partitions none;
  return none;
}

Result<Partitions> Partitions::Make(const PartitionRules& rules) {
  Partitions made;
  auto add = [&](const auto& pairs, auto* to, const char* what) -> Status {
    for (const auto& [key, name] : pairs) {
      TRY(CheckPartitionName(name));
      const store::Partition number = PartitionNumber(name);
      const auto [known, is_new] = made.numbers_.try_emplace(number, name);
      if (!is_new && known->second != name) {
        return ErrorStatus(Code::kInvalidArgument,
                           "partitions {} and {} have the same number; rename one", name,
                           known->second);
      }
      if (!to->try_emplace(key, number).second) {
        return ErrorStatus(Code::kInvalidArgument, "{} \"{:.200}\" has two partitions", what, key);
      }
    }
    return Status();
  };
  for (const auto& [instance_name, name] : rules.instances) {
    TRY(reapi::CheckInstanceName(instance_name));
  }
  TRY(add(rules.instances, &made.instances_, "instance name"));
  TRY(add(rules.identities, &made.identities_, "identity"));
  std::set<store::Partition> closed;
  for (const auto& [identity, number] : made.identities_) closed.insert(number);
  made.closed_ = std::make_shared<const std::set<store::Partition>>(std::move(closed));
  made.workers_.insert(rules.workers.begin(), rules.workers.end());
  return made;
}

Result<store::Partition> Partitions::Admit(const rpc::CallInfo& call,
                                           std::string_view instance_name) const {
  TRY(reapi::CheckInstanceName(instance_name));
  return Of(call.identity, instance_name);
}

std::optional<store::Partition> Partitions::OfIdentity(std::string_view identity) const {
  auto own = identity.empty() ? identities_.end() : identities_.find(identity);
  if (own == identities_.end()) return std::nullopt;
  return own->second;
}

scheduler::Scope Partitions::ScopeOf(std::string_view identity) const {
  if (const auto own = OfIdentity(identity)) return {.only = *own};
  return {.except = closed_};
}

Result<store::Partition> Partitions::Find(std::string_view identity,
                                          std::string_view instance_name) const {
  if (auto own = OfIdentity(identity)) return *own;
  auto denied = [&] {
    return Error(Code::kPermissionDenied, "instance \"{:.200}\" is in a partition of others",
                 instance_name);
  };
  if (auto number = store::PartitionIn(instance_name)) {
    const bool known = *number == 0 || numbers_.contains(*number);
    if (known && (identities_.empty() || workers_.contains(identity))) return *number;
    return denied();
  }
  for (std::string_view name = instance_name;;) {
    if (auto found = instances_.find(name); found != instances_.end()) {
      if (closed_->contains(found->second)) return denied();
      return found->second;
    }
    const size_t slash = name.rfind('/');
    if (slash == std::string_view::npos) return store::Partition{0};
    name = name.substr(0, slash);
  }
}

void ForWorkersOnly(std::vector<rpc::Method>& methods, const Partitions& partitions) {
  for (rpc::Method& method : methods) {
    method.start = [start = std::move(method.start), &partitions](
                       std::shared_ptr<rpc::ServerCall> call) -> std::unique_ptr<rpc::CallHandler> {
      if (partitions.MayWork(call->info().identity)) return start(std::move(call));
      call->Finish(ErrorStatus(Code::kPermissionDenied, "\"{}\" is no worker (partitions.workers)",
                               call->info().identity));
      return nullptr;
    };
  }
}

}  // namespace lre::service

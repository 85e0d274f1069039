// LeaseHolder: on whose behalf this thread writes, finds and reads until the scope ends. A store
// that gives each identity a share of its leases (LogStoreOptions::lease_share_percent) counts by
// it. It is a scope and not a parameter because every call of a store would have to carry it, for
// one store and one option; whoever starts no scope acts for the empty identity, which all who have
// none share. Confined to its thread. `identity` must outlive the scope.
#pragma once

#include <string_view>

namespace lre::store {

class LeaseHolder {
 public:
  explicit LeaseHolder(std::string_view identity);
  LeaseHolder(const LeaseHolder&) = delete;
  LeaseHolder& operator=(const LeaseHolder&) = delete;
  ~LeaseHolder();
  static std::string_view Current();

 private:
  const std::string_view before_;
};

}  // namespace lre::store

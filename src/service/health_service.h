// grpc.health.v1.Health over what the server says of itself. HealthState is thread-safe and must
// outlive the calls. Check answers NOT_FOUND for a service that is not served; Watch answers
// SERVICE_UNKNOWN and stays. Specification:
// https://github.com/grpc/grpc/blob/master/doc/health-checking.md
#pragma once

#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/guarded.h"
#include "rpc/call.h"

namespace lre::service {

class HealthState {
 public:
  // `services`: full names, "google.bytestream.ByteStream"; the empty name is always known.
  explicit HealthState(std::set<std::string> services);

  bool serving() const;
  // Tells every watcher.
  void SetServing(bool serving);
  // NOT_SERVING for good: watchers are told, and their calls end.
  void Shutdown();

 private:
  friend std::vector<rpc::Method> HealthMethods(HealthState& state);
  struct State {
    bool serving = true;
    struct Watch {
      std::weak_ptr<rpc::ServerCall> call;
      bool known = false;  // of a service that is served: hears of changes
    };
    std::vector<Watch> watchers;
  };
  bool Knows(std::string_view service) const;

  const std::set<std::string> services_;
  Guarded<State> state_;
};

std::vector<rpc::Method> HealthMethods(HealthState& state);

// The services that `methods` belong to.
std::set<std::string> ServicesOf(const std::vector<rpc::Method>& methods);

}  // namespace lre::service

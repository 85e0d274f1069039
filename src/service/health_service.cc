#include "service/health_service.h"

#include <algorithm>

#include "grpc/health/v1/health.pb.h"

namespace lre::service {
namespace {

using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;

constexpr size_t kWatchersMax = 10000;

std::string Answer(HealthCheckResponse::ServingStatus status) {
  HealthCheckResponse response;
  response.set_status(status);
  return response.SerializeAsString();
}

std::string ServingAnswer(bool serving) {
  return Answer(serving ? HealthCheckResponse::SERVING : HealthCheckResponse::NOT_SERVING);
}

// Keeps the call alive while the client watches.
class Watcher : public rpc::CallHandler {
 public:
  explicit Watcher(std::shared_ptr<rpc::ServerCall> call) : call_(std::move(call)) {}
  void OnMessage(Bytes) override {}

 private:
  std::shared_ptr<rpc::ServerCall> call_;
};

Result<std::string> ParseService(const Bytes& bytes) {
  HealthCheckRequest request;
  if (!request.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return Error(Code::kInvalidArgument, "the request is no HealthCheckRequest message");
  }
  return request.service();
}

}  // namespace

HealthState::HealthState(std::set<std::string> services) : services_(std::move(services)) {}

bool HealthState::serving() const {
  return state_.With([](const State& state) { return state.serving; });
}

bool HealthState::Knows(std::string_view service) const {
  return service.empty() || services_.contains(std::string(service));
}

void HealthState::SetServing(bool serving) {
  std::vector<std::shared_ptr<rpc::ServerCall>> told;
  state_.With([&](State& state) {
    if (state.serving == serving) return;
    state.serving = serving;
    for (const auto& watch : state.watchers) {
      if (!watch.known) continue;
      if (auto call = watch.call.lock()) told.push_back(std::move(call));
    }
  });
  for (const auto& call : told) call->Send({Bytes(ServingAnswer(serving))});
}

void HealthState::Shutdown() {
  SetServing(false);
  std::vector<State::Watch> watchers;
  state_.With([&](State& state) { watchers.swap(state.watchers); });
  for (const auto& watch : watchers) {
    if (auto call = watch.call.lock()) call->Finish(Status(Code::kUnavailable, "the server ends"));
  }
}

std::vector<rpc::Method> HealthMethods(HealthState& health) {
  std::vector<rpc::Method> methods;
  methods.push_back(rpc::UnaryMethod("/grpc.health.v1.Health/Check",
                                     [&health](std::shared_ptr<rpc::ServerCall> call, Bytes bytes) {
                                       Result<std::string> service = ParseService(bytes);
                                       if (!service) return call->Finish(service.error());
                                       if (!health.Knows(*service)) {
                                         return call->Finish(ErrorStatus(
                                             Code::kNotFound, "service \"{}\"", *service));
                                       }
                                       call->Respond(ServingAnswer(health.serving()));
                                     }));
  methods.push_back(rpc::ServerStreamMethod(
      "/grpc.health.v1.Health/Watch",
      [&health](std::shared_ptr<rpc::ServerCall> call,
                Bytes bytes) -> std::unique_ptr<rpc::CallHandler> {
        Result<std::string> service = ParseService(bytes);
        if (!service) {
          call->Finish(service.error());
          return nullptr;
        }
        const bool known = health.Knows(*service);
        bool serving = false;
        const bool added = health.state_.With([&](HealthState::State& state) {
          std::erase_if(state.watchers, [](const auto& watch) { return watch.call.expired(); });
          if (state.watchers.size() >= kWatchersMax) return false;
          serving = state.serving;
          state.watchers.push_back({call, known});
          return true;
        });
        if (!added) {
          call->Finish(
              ErrorStatus(Code::kResourceExhausted, "{} calls watch already", kWatchersMax));
          return nullptr;
        }
        call->Send(
            {Bytes(known ? ServingAnswer(serving) : Answer(HealthCheckResponse::SERVICE_UNKNOWN))});
        return std::make_unique<Watcher>(std::move(call));
      }));
  return methods;
}

std::set<std::string> ServicesOf(const std::vector<rpc::Method>& methods) {
  std::set<std::string> services;
  for (const rpc::Method& method : methods) {
    services.insert(method.path.substr(1, method.path.rfind('/') - 1));
  }
  return services;
}

}  // namespace lre::service

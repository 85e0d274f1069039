#include "service/pin_service.h"

#include "reapi/digest_proto.h"
#include "reapi/resource_name.h"
#include "service/blocking.h"

namespace lre::service {
namespace {

namespace v1 = admin::v1;
using action_cache::PinTable;

Result<v1::Pin> Set(PinTable& pins, const v1::SetPinRequest& request) {
  std::vector<Digest> actions;
  for (const reapi::pb::Digest& message : request.action_digests()) {
    TRY_ASSIGN(Digest action, reapi::FromProto(message));
    actions.push_back(action);
  }
  return pins.Set(request.instance_name(), request.name(), actions);
}

Result<v1::ListPinsResponse> List(PinTable& pins, const v1::ListPinsRequest& request) {
  v1::ListPinsResponse response;
  for (v1::Pin& pin : pins.List(request.instance_name())) *response.add_pins() = std::move(pin);
  return response;
}

Result<v1::RetirePinResponse> Retire(PinTable& pins, const v1::RetirePinRequest& request) {
  TRY(pins.Retire(request.instance_name(), request.name()));
  return v1::RetirePinResponse();
}

}  // namespace

std::vector<rpc::Method> PinMethods(PinTable& pins, ThreadPool& io, PinServiceOptions options) {
  std::vector<rpc::Method> methods;
  auto add = [&]<typename Request, typename Response>(
                 const char* name, bool changes,
                 Result<Response> (*answer)(PinTable&, const Request&)) {
    auto handle = [&pins, &io, answer, refused = changes && !options.update_enabled](
                      std::shared_ptr<rpc::ServerCall> call, Bytes bytes) {
      if (refused)
        return call->Finish(
            Status(Code::kPermissionDenied, "this server takes no action results from clients"));
      Request request;
      if (!request.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
        return call->Finish(Status(Code::kInvalidArgument, "the request does not parse"));
      if (Status named = reapi::CheckInstanceName(request.instance_name()); !named.ok())
        return call->Finish(std::move(named));
      RunBlocking(io, call, [&pins, answer, call, request = std::move(request)] {
        Result<Response> response = answer(pins, request);
        if (!response) return call->Finish(response.error());
        call->Respond(response->SerializeAsString());
      });
    };
    methods.push_back(
        rpc::UnaryMethod(std::string("/lre.admin.v1.Pins/") + name, std::move(handle)));
  };
  add("SetPin", true, Set);
  add("ListPins", false, List);
  add("RetirePin", true, Retire);
  return methods;
}

}  // namespace lre::service

#include "service/pin_service.h"

#include "reapi/digest_proto.h"
#include "service/blocking.h"

namespace lre::service {
namespace {

namespace v1 = admin::v1;
using action_cache::PinSpace;
using action_cache::PinTable;

Result<v1::Pin> Set(PinTable& pins, PinSpace space, const v1::SetPinRequest& request) {
  std::vector<Digest> actions;
  for (const reapi::pb::Digest& message : request.action_digests()) {
    TRY_ASSIGN(Digest action, reapi::FromProto(message));
    actions.push_back(action);
  }
  return pins.Set(space, request.name(), actions);
}

Result<v1::ListPinsResponse> List(PinTable& pins, PinSpace space, const v1::ListPinsRequest&) {
  v1::ListPinsResponse response;
  for (v1::Pin& pin : pins.List(space)) *response.add_pins() = std::move(pin);
  return response;
}

Result<v1::RetirePinResponse> Retire(PinTable& pins, PinSpace space,
                                     const v1::RetirePinRequest& request) {
  TRY(pins.Retire(space, request.name()));
  return v1::RetirePinResponse();
}

}  // namespace

std::vector<rpc::Method> PinMethods(PinParts parts, PinServiceOptions options) {
  std::vector<rpc::Method> methods;
  auto add = [&]<typename Request, typename Response>(
                 const char* name, bool changes,
                 Result<Response> (*answer)(PinTable&, PinSpace, const Request&)) {
    auto handle = [parts, answer, changes, update = options.update](
                      std::shared_ptr<rpc::ServerCall> call, Bytes bytes) {
      Request request;
      if (!request.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
        return call->Finish(Status(Code::kInvalidArgument, "the request does not parse"));
      const auto partition = parts.partitions.Admit(call->info(), request.instance_name());
      if (!partition) return call->Finish(partition.error());
      if (changes && !update.Allows(request.instance_name()))
        return call->Finish(ErrorStatus(Code::kPermissionDenied,
                                        "instance \"{}\" takes no action results from clients",
                                        request.instance_name()));
      RunBlocking(
          parts.io, call,
          [&pins = parts.pins, in = *partition, answer, call, request = std::move(request)] {
            Result<Response> response = answer(pins, {request.instance_name(), in}, request);
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

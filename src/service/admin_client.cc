#include "service/admin_client.h"

#include "lre/admin/v1/admin.pb.h"
#include "reapi/digest_proto.h"

namespace lre::service {

namespace admin = ::lre::admin::v1;

Status AdminClient::Call(const char* method, const google::protobuf::MessageLite& request,
                         google::protobuf::MessageLite* response, Duration timeout) {
  auto bytes = channel_.Unary(std::string("/lre.admin.v1.Cache/") + method,
                              {Bytes(request.SerializeAsString())}, {.timeout = timeout});
  if (!bytes && bytes.error().code() == Code::kUnimplemented) {
    return Status(Code::kUnimplemented,
                  "this server cannot do that: it is no lre with a data directory, and the Remote "
                  "Execution API has no such call");
  }
  TRY(bytes);
  if (response->ParseFromArray(bytes->data(), static_cast<int>(bytes->size()))) return Status();
  return ErrorStatus(Code::kInternal, "{}: the answer does not parse", method);
}

Result<CacheStat> AdminClient::Stat() {
  admin::StatResponse response;
  TRY(Call("Stat", admin::StatRequest(), &response));
  return CacheStat{.entries = static_cast<uint64_t>(response.entries()),
                   .used_bytes = static_cast<uint64_t>(response.used_bytes()),
                   .size_bytes_max = static_cast<uint64_t>(response.size_bytes_max()),
                   .damaged = static_cast<uint64_t>(response.damaged()),
                   .pins = static_cast<uint64_t>(response.pins()),
                   .pinned_bytes = static_cast<uint64_t>(response.pinned_bytes())};
}

Result<uint64_t> AdminClient::Evict(const std::vector<Digest>& digests,
                                    const std::string& partition) {
  uint64_t evicted = 0;
  // One by one: a request has one digest function.
  for (const Digest& digest : digests) {
    admin::EvictRequest request;
    request.set_digest_function(reapi::ToProto(digest.function));
    *request.add_digests() = reapi::ToProto(digest);
    request.set_partition(partition);
    admin::EvictResponse response;
    TRY(Call("Evict", request, &response));
    evicted += static_cast<uint64_t>(response.evicted());
  }
  return evicted;
}

Result<uint64_t> AdminClient::Verify() {
  admin::VerifyResponse response;
  TRY(Call("Verify", admin::VerifyRequest(), &response, std::chrono::hours(24)));
  return static_cast<uint64_t>(response.damaged());
}

Status AdminClient::DropActionResult(const std::string& instance_name, const Digest& action,
                                     const std::string& partition) {
  admin::DropActionResultRequest request;
  request.set_instance_name(instance_name);
  request.set_digest_function(reapi::ToProto(action.function));
  *request.mutable_action_digest() = reapi::ToProto(action);
  request.set_partition(partition);
  admin::DropActionResultResponse response;
  return Call("DropActionResult", request, &response);
}

}  // namespace lre::service

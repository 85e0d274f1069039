#include "cli/remote_server.h"

#include "build/bazel/remote/execution/v2/remote_execution.pb.h"
#include "lre/admin/v1/admin.pb.h"
#include "reapi/digest_proto.h"
#include "store/remote_store.h"

namespace lre::cli {
namespace {

constexpr char kActionCache[] = "/build.bazel.remote.execution.v2.ActionCache/";
// Pinning copies nothing but may read a large tree.
constexpr Duration kCallTimeout = std::chrono::minutes(2);
constexpr Duration kAnswerTimeout = std::chrono::seconds(5);

}  // namespace

void ServerFlags::Add(CLI::App& command, ServerFlags& flags) {
  command.add_option("--server", flags.address, "The server [127.0.0.1:50051]")
      ->type_name("HOST:PORT");
  command.add_option("--instance-name", flags.instance_name, "Its instance [main]")
      ->type_name("NAME");
  command.add_option("--tls-ca", flags.tls_ca, "Certificates that the server's must be signed by")
      ->type_name("FILE");
  command.add_option("--tls-certificate", flags.tls_certificate, "What the server is shown")
      ->type_name("FILE");
  command.add_option("--tls-key", flags.tls_key, "The key of --tls-certificate")->type_name("FILE");
}

Result<std::unique_ptr<RemoteServer>> RemoteServer::Connect(const ServerFlags& flags) {
  std::string address = flags.address;
  if (address.find("://") == address.npos && !address.starts_with("unix:") &&
      !(flags.tls_ca.empty() && flags.tls_certificate.empty()))
    address = "grpcs://" + address;
  // Two, so that a large blob does not stand before many small ones.
  TRY_ASSIGN(auto channel,
             rpc::Channel::Create(address, {.connections = 2,
                                            .tls_ca_path = flags.tls_ca,
                                            .tls_certificate_path = flags.tls_certificate,
                                            .tls_key_path = flags.tls_key}));
  return std::make_unique<RemoteServer>(std::move(channel), flags.instance_name);
}

Result<std::unique_ptr<RemoteServer>> RemoteServer::Reach(const ServerFlags& flags) {
  TRY_ASSIGN(auto server, Connect(flags));
  const Status answers = server->CheckAnswers();
  // One that is only slow to answer may still do what is asked of it.
  if (answers.code() != Code::kUnavailable) return server;
  return Error(answers.code(), "{}; `lre up` starts a server, --server names another",
               answers.message());
}

RemoteServer::RemoteServer(std::shared_ptr<rpc::Channel> channel, std::string instance_name)
    : channel_(std::move(channel)),
      instance_name_(std::move(instance_name)),
      cas_(store::NewRemoteStore(channel_, {.instance_name = instance_name_})) {}

template <typename Response>
Result<Response> RemoteServer::Call(const char* method,
                                    const google::protobuf::MessageLite& request) {
  TRY_ASSIGN(Bytes bytes, channel_->Unary(method, {Bytes(request.SerializeAsString())},
                                          {.timeout = kCallTimeout}));
  Response response;
  if (!response.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
    return Error(Code::kInternal, "{}: the answer does not parse", method);
  return response;
}

Status RemoteServer::CheckAnswers() {
  reapi::pb::GetCapabilitiesRequest request;
  request.set_instance_name(instance_name_);
  return ToStatus(channel_->Unary("/build.bazel.remote.execution.v2.Capabilities/GetCapabilities",
                                  {Bytes(request.SerializeAsString())},
                                  {.timeout = kAnswerTimeout}));
}

Result<Bytes> RemoteServer::GetResult(const Digest& action) {
  reapi::pb::GetActionResultRequest request;
  request.set_instance_name(instance_name_);
  reapi::ToProto(action, request.mutable_action_digest());
  request.set_digest_function(reapi::ToProto(action.function));
  return channel_->Unary(std::string(kActionCache) + "GetActionResult",
                         {Bytes(request.SerializeAsString())}, {.timeout = kCallTimeout});
}

Status RemoteServer::PutResult(const Digest& action, std::string_view result) {
  reapi::pb::UpdateActionResultRequest request;
  request.set_instance_name(instance_name_);
  reapi::ToProto(action, request.mutable_action_digest());
  request.set_digest_function(reapi::ToProto(action.function));
  if (!request.mutable_action_result()->ParseFromArray(result.data(),
                                                       static_cast<int>(result.size())))
    return Status(Code::kInvalidArgument, "the result does not parse");
  return ToStatus(channel_->Unary(std::string(kActionCache) + "UpdateActionResult",
                                  {Bytes(request.SerializeAsString())}, {.timeout = kCallTimeout}));
}

Result<admin::v1::Pin> RemoteServer::SetPin(const std::string& name,
                                            const std::vector<Digest>& actions) {
  admin::v1::SetPinRequest request;
  request.set_instance_name(instance_name_);
  request.set_name(name);
  for (const Digest& action : actions) reapi::ToProto(action, request.add_action_digests());
  return Call<admin::v1::Pin>("/lre.admin.v1.Pins/SetPin", request);
}

Result<std::vector<admin::v1::Pin>> RemoteServer::ListPins() {
  admin::v1::ListPinsRequest request;
  request.set_instance_name(instance_name_);
  TRY_ASSIGN(auto response,
             Call<admin::v1::ListPinsResponse>("/lre.admin.v1.Pins/ListPins", request));
  return std::vector<admin::v1::Pin>(response.pins().begin(), response.pins().end());
}

Status RemoteServer::RetirePin(const std::string& name) {
  admin::v1::RetirePinRequest request;
  request.set_instance_name(instance_name_);
  request.set_name(name);
  return ToStatus(Call<admin::v1::RetirePinResponse>("/lre.admin.v1.Pins/RetirePin", request));
}

Result<std::vector<explain::v1::SeenAction>> RemoteServer::FindActions(
    explain::v1::FindActionsRequest query) {
  query.set_instance_name(instance_name_);
  TRY_ASSIGN(auto response,
             Call<explain::v1::FindActionsResponse>("/lre.explain.v1.Explain/FindActions", query));
  return std::vector<explain::v1::SeenAction>(response.actions().begin(), response.actions().end());
}

Result<uint64_t> RemoteServer::FindResults(const std::vector<std::string>& texts, bool drop) {
  admin::v1::ListActionResultsRequest request;
  request.set_all_instances(true);
  for (const std::string& text : texts) request.add_mentions_texts(text);
  request.set_drop(drop);
  uint64_t found = 0;
  for (;;) {
    TRY_ASSIGN(auto response, Call<admin::v1::ListActionResultsResponse>(
                                  "/lre.admin.v1.Cache/ListActionResults", request));
    found += static_cast<uint64_t>(response.entries_size());
    // What was dropped does not come again; what was only listed would.
    if (!drop || !response.truncated() || response.entries().empty()) return found;
  }
}

}  // namespace lre::cli

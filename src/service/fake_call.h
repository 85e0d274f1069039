// FakeCall: for tests that need a call of someone in particular without a connection. Keeps what it
// is answered. Thread-safe; Wait is bounded, so that a test fails instead of hanging.
#pragma once

#include <google/protobuf/message_lite.h>

#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rpc/call.h"

namespace lre::service {

class FakeCall final : public rpc::ServerCall {
 public:
  explicit FakeCall(std::string identity, std::string peer = "127.0.0.1:1") {
    info_.identity = std::move(identity);
    info_.peer = std::move(peer);
  }
  const rpc::CallInfo& info() const override { return info_; }
  bool cancelled() const override { return false; }
  void Send(BytesList) override {}
  void Finish(Status status, rpc::Metadata) override {
    answer_.set_value(std::unexpected(std::move(status)));
  }
  void Respond(BytesList message) override { answer_.set_value(Flatten(message)); }
  size_t queued_bytes() const override { return 0; }
  void Consumed(size_t) override {}
  void Post(std::function<void()> work) override { work(); }

  // The answer of a unary call; once.
  Result<std::string> Wait() {
    auto answer = answer_.get_future();
    if (answer.wait_for(std::chrono::seconds(20)) != std::future_status::ready) {
      return Error(Code::kDeadlineExceeded, "no answer");
    }
    return answer.get();
  }

 private:
  rpc::CallInfo info_;
  std::promise<Result<std::string>> answer_;
};

// Calls a unary method of `methods` as `identity`, without a connection.
template <typename Response>
Result<Response> CallAs(const std::string& identity, const std::vector<rpc::Method>& methods,
                        std::string_view name, const google::protobuf::MessageLite& request) {
  for (const rpc::Method& method : methods) {
    if (!method.path.ends_with(name)) continue;
    auto call = std::make_shared<FakeCall>(identity);
    auto handler = method.start(call);
    handler->OnMessage(Bytes(request.SerializeAsString()));
    handler->OnHalfClose();
    TRY_ASSIGN(std::string bytes, call->Wait());
    Response response;
    if (response.ParseFromString(bytes)) return response;
    return Error(Code::kInternal, "the answer does not parse");
  }
  return Error(Code::kUnimplemented, "no method {}", name);
}

}  // namespace lre::service

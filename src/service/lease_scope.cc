#include "service/lease_scope.h"

#include "store/lease_holder.h"

namespace lre::service {
namespace {

class Handler final : public rpc::CallHandler {
 public:
  Handler(std::shared_ptr<rpc::ServerCall> call, std::unique_ptr<rpc::CallHandler> handler)
      : call_(std::move(call)), handler_(std::move(handler)) {}

  void OnMessage(Bytes message) override {
    store::LeaseHolder scope(call_->info().identity);
    handler_->OnMessage(std::move(message));
  }
  void OnHalfClose() override {
    store::LeaseHolder scope(call_->info().identity);
    handler_->OnHalfClose();
  }
  void OnWritable() override {
    store::LeaseHolder scope(call_->info().identity);
    handler_->OnWritable();
  }
  void OnCancel() override { handler_->OnCancel(); }

 private:
  const std::shared_ptr<rpc::ServerCall> call_;
  const std::unique_ptr<rpc::CallHandler> handler_;
};

}  // namespace

void ActForCallers(std::vector<rpc::Method>& methods) {
  for (rpc::Method& method : methods) {
    method.start = [start = std::move(method.start)](
                       std::shared_ptr<rpc::ServerCall> call) -> std::unique_ptr<rpc::CallHandler> {
      store::LeaseHolder scope(call->info().identity);
      auto handler = start(call);
      if (handler == nullptr) return nullptr;
      return std::make_unique<Handler>(std::move(call), std::move(handler));
    };
  }
}

}  // namespace lre::service

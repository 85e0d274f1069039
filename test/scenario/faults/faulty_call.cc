#include <map>
#include <memory>
#include <mutex>

#include "fault.h"

namespace lre::scenario {
namespace {

std::string Joined(const BytesList& pieces) {
  std::string all;
  for (const Bytes& piece : pieces) all += piece.view();
  return all;
}

// Hooks of one fault, for all its calls.
class Seed {
 public:
  explicit Seed(FaultHooks hooks) : hooks_(std::move(hooks)) {}
  void Request(std::string& bytes) {
    std::lock_guard lock(mutex_);
    if (hooks_.request) hooks_.request(bytes);
  }
  bool Reply(std::string& bytes) {
    std::lock_guard lock(mutex_);
    return !hooks_.reply || hooks_.reply(bytes);
  }
  // True when an answer is to be sent before the status.
  bool End(Status& status, std::string& answer) {
    std::lock_guard lock(mutex_);
    const bool failed = !status.ok();
    if (hooks_.status) hooks_.status(status, &answer);
    return failed && status.ok();
  }

 private:
  std::mutex mutex_;
  const FaultHooks hooks_;
};

// The call as the right service sees it.
class FaultyCall : public rpc::ServerCall {
 public:
  FaultyCall(std::shared_ptr<rpc::ServerCall> call, std::shared_ptr<Seed> seed)
      : call_(std::move(call)), seed_(std::move(seed)) {}

  const rpc::CallInfo& info() const override { return call_->info(); }
  bool cancelled() const override { return call_->cancelled(); }
  void Send(BytesList message) override {
    std::string bytes = Joined(message);
    if (seed_->Reply(bytes)) call_->Send({Bytes(std::move(bytes))});
  }
  void Finish(Status status, rpc::Metadata trailers) override {
    std::string answer;
    const bool healed = seed_->End(status, answer);
    if (healed) call_->Send({Bytes(std::move(answer))});
    call_->Finish(std::move(status), std::move(trailers));
  }
  void Respond(BytesList message) override {
    Send(std::move(message));
    Finish(Status(), {});
  }
  size_t queued_bytes() const override { return call_->queued_bytes(); }
  void Consumed(size_t bytes) override { call_->Consumed(bytes); }
  void Post(std::function<void()> work) override { call_->Post(std::move(work)); }

 private:
  const std::shared_ptr<rpc::ServerCall> call_;
  const std::shared_ptr<Seed> seed_;
};

class FaultyHandler : public rpc::CallHandler {
 public:
  FaultyHandler(std::unique_ptr<rpc::CallHandler> handler, std::shared_ptr<Seed> seed)
      : handler_(std::move(handler)), seed_(std::move(seed)) {}

  void OnMessage(Bytes message) override {
    std::string bytes(message.view());
    seed_->Request(bytes);
    handler_->OnMessage(Bytes(std::move(bytes)));
  }
  void OnHalfClose() override { handler_->OnHalfClose(); }
  void OnWritable() override { handler_->OnWritable(); }
  void OnCancel() override { handler_->OnCancel(); }

 private:
  const std::unique_ptr<rpc::CallHandler> handler_;
  const std::shared_ptr<Seed> seed_;
};

}  // namespace

std::vector<rpc::Method> WithFault(std::vector<rpc::Method> methods, const Fault& fault) {
  for (rpc::Method& method : methods) {
    if (method.path != fault.method) continue;
    // Requests may change their size: the window is given back by the transport.
    method.manual_flow = false;
    method.start = [start = std::move(method.start), seed = std::make_shared<Seed>(fault.hooks)](
                       std::shared_ptr<rpc::ServerCall> call) -> std::unique_ptr<rpc::CallHandler> {
      auto handler = start(std::make_shared<FaultyCall>(std::move(call), seed));
      if (!handler) return nullptr;
      return std::make_unique<FaultyHandler>(std::move(handler), seed);
    };
  }
  return methods;
}

}  // namespace lre::scenario

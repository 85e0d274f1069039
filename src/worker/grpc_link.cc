#include "worker/grpc_link.h"

#include <mutex>

namespace lre::worker {
namespace {

// Outlives its link while the channel still holds it; a link that is gone is told nothing.
class Receiver final : public rpc::ClientHandler {
 public:
  explicit Receiver(LinkCallbacks callbacks) : callbacks_(std::move(callbacks)) {}

  void OnMessage(Bytes message) override {
    v1::ToWorker parsed;
    bool ok = parsed.ParseFromArray(message.data(), static_cast<int>(message.size()));
    std::lock_guard lock(mutex_);
    if (dropped_) return;
    if (ok) {
      callbacks_.receive(parsed);
    } else {
      dropped_ = true;
      callbacks_.closed(Status(Code::kInternal, "the server sent a message that does not parse"));
    }
  }
  void OnEnd(Status status, rpc::Metadata) override {
    std::lock_guard lock(mutex_);
    if (dropped_) return;
    dropped_ = true;
    if (status.ok()) status = Status(Code::kUnavailable, "the server closed the link");
    callbacks_.closed(std::move(status));
  }
  // Waits for a callback that is running.
  void Drop() {
    std::lock_guard lock(mutex_);
    dropped_ = true;
  }

 private:
  const LinkCallbacks callbacks_;
  std::mutex mutex_;  // held during callbacks, which only push to a mailbox
  bool dropped_ = false;
};

class GrpcLink final : public Link {
 public:
  GrpcLink(rpc::Channel& channel, LinkCallbacks callbacks)
      : receiver_(std::make_shared<Receiver>(std::move(callbacks))),
        call_(channel.Start("/lre.worker.v1.WorkerLink/Connect", {}, receiver_)) {}
  ~GrpcLink() override {
    receiver_->Drop();
    call_->Cancel();
  }
  void Send(const v1::FromWorker& message) override {
    call_->Send({Bytes(message.SerializeAsString())});
  }

 private:
  const std::shared_ptr<Receiver> receiver_;
  const std::shared_ptr<rpc::ClientCall> call_;
};

class GrpcConnector final : public LinkConnector {
 public:
  explicit GrpcConnector(std::shared_ptr<rpc::Channel> channel) : channel_(std::move(channel)) {}
  std::unique_ptr<Link> Connect(LinkCallbacks callbacks) override {
    return std::make_unique<GrpcLink>(*channel_, std::move(callbacks));
  }

 private:
  const std::shared_ptr<rpc::Channel> channel_;
};

}  // namespace

std::unique_ptr<LinkConnector> NewGrpcLinkConnector(std::shared_ptr<rpc::Channel> channel) {
  return std::make_unique<GrpcConnector>(std::move(channel));
}

}  // namespace lre::worker

#include "worker/fake_link.h"

namespace lre::worker {

class FakeServer::FakeLink final : public Link {
 public:
  FakeLink(FakeServer& server, uint64_t number) : server_(server), number_(number) {}
  ~FakeLink() override {
    std::lock_guard lock(server_.mutex_);
    if (server_.number_ == number_) server_.callbacks_.reset();
  }
  void Send(const v1::FromWorker& message) override { server_.messages_.Push(message); }

 private:
  FakeServer& server_;
  const uint64_t number_;
};

std::unique_ptr<Link> FakeServer::Connect(LinkCallbacks callbacks) {
  std::lock_guard lock(mutex_);
  callbacks_ = std::move(callbacks);
  return std::make_unique<FakeLink>(*this, ++number_);
}

std::optional<v1::FromWorker> FakeServer::Next() {
  return messages_.Pop({}, SystemClock().Now() + std::chrono::seconds(30));
}

std::optional<v1::FromWorker> FakeServer::NextOf(v1::FromWorker::MessageCase kind) {
  // Heartbeats go on for ever.
  const Instant end = SystemClock().Now() + std::chrono::minutes(2);
  for (;;) {
    std::optional<v1::FromWorker> message = messages_.Pop({}, end);
    if (!message || message->message_case() == kind) return message;
  }
}

void FakeServer::Send(const v1::ToWorker& message) {
  std::lock_guard lock(mutex_);
  if (callbacks_) callbacks_->receive(message);
}

void FakeServer::Break(Status status) {
  std::lock_guard lock(mutex_);
  if (callbacks_) callbacks_->closed(std::move(status));
}

int FakeServer::connects() const {
  std::lock_guard lock(mutex_);
  return static_cast<int>(number_);
}

}  // namespace lre::worker

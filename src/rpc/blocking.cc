// The helpers for threads that may wait: Channel::Unary and BlockingStream.
#include <condition_variable>
#include <deque>
#include <mutex>
#include <utility>

#include "rpc/client.h"

namespace lre::rpc {
namespace {

class UnaryWaiter final : public ClientHandler {
 public:
  void OnMessage(Bytes message) override {
    std::lock_guard lock(mutex_);
    ++messages_;
    message_ = std::move(message);
  }
  void OnEnd(Status status, Metadata) override {
    std::lock_guard lock(mutex_);
    status_ = std::move(status);
    ended_ = true;
    changed_.notify_all();
  }
  Result<Bytes> Wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return ended_; });
    if (!status_.ok()) return std::unexpected(status_);
    if (messages_ != 1) {
      return Error(Code::kInternal, "unary call answered with {} messages", messages_);
    }
    return std::move(message_);
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  Bytes message_;
  int messages_ = 0;
  Status status_;
  bool ended_ = false;
};

}  // namespace

Result<Bytes> Channel::Unary(std::string method, BytesList request, CallOptions options) {
  auto waiter = std::make_shared<UnaryWaiter>();
  auto call = Start(std::move(method), std::move(options), waiter);
  call->Send(std::move(request));
  call->HalfClose();
  return waiter->Wait();
}

struct BlockingStream::State : ClientHandler {
  void OnMessage(Bytes message) override {
    std::lock_guard lock(mutex);
    messages.push_back(std::move(message));
    changed.notify_all();
  }
  void OnWritable() override {
    std::lock_guard lock(mutex);
    changed.notify_all();
  }
  void OnEnd(Status end_status, Metadata) override {
    std::lock_guard lock(mutex);
    status = std::move(end_status);
    ended = true;
    changed.notify_all();
  }

  std::mutex mutex;
  std::condition_variable changed;
  std::deque<Bytes> messages;
  Status status;
  bool ended = false;
};

BlockingStream::BlockingStream(Channel& channel, std::string method, CallOptions options)
    : state_(std::make_shared<State>()) {
  options.manual_flow = true;  // what is not read must not pile up here
  call_ = channel.Start(std::move(method), std::move(options), state_);
}

BlockingStream::~BlockingStream() { call_->Cancel(); }

bool BlockingStream::Write(BytesList message, size_t queued_bytes_max) {
  {
    std::unique_lock lock(state_->mutex);
    // OnWritable comes at kWritableLowWaterBytes, so waiting for less could wait for ever.
    size_t limit = std::max(queued_bytes_max, kWritableLowWaterBytes);
    state_->changed.wait(lock, [&] { return state_->ended || call_->queued_bytes() <= limit; });
    if (state_->ended) return false;
  }
  call_->Send(std::move(message));
  return true;
}

void BlockingStream::HalfClose() { call_->HalfClose(); }

std::optional<Bytes> BlockingStream::Read(std::optional<Instant> deadline) {
  std::optional<Bytes> message;
  {
    std::unique_lock lock(state_->mutex);
    auto ready = [&] { return !state_->messages.empty() || state_->ended; };
    if (deadline) {
      state_->changed.wait_until(lock, *deadline, ready);
    } else {
      state_->changed.wait(lock, ready);
    }
    if (state_->messages.empty()) return std::nullopt;
    message = std::move(state_->messages.front());
    state_->messages.pop_front();
  }
  call_->Consumed(message->size());
  return message;
}

void BlockingStream::Cancel() { call_->Cancel(); }

Status BlockingStream::Finish() {
  std::unique_lock lock(state_->mutex);
  while (!state_->ended) {
    // Unread messages would keep the server waiting for window, and us for the server.
    size_t unread = 0;
    for (const Bytes& message : state_->messages) unread += message.size();
    state_->messages.clear();
    if (unread > 0) {
      lock.unlock();
      call_->Consumed(unread);
      lock.lock();
      continue;
    }
    state_->changed.wait(lock, [&] { return state_->ended || !state_->messages.empty(); });
  }
  return state_->status;
}

}  // namespace lre::rpc

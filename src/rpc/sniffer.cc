#include "rpc/sniffer.h"

#include <sys/epoll.h>

#include <algorithm>
#include <utility>

#include "rpc/http1_connection.h"
#include "rpc/server_connection.h"

namespace lre::rpc {

// No method of HTTP/1 begins like HTTP/2's preface.
constexpr std::string_view kPreface = "PRI * HTTP/2.0";

Sniffer::Sniffer(std::shared_ptr<Loop> loop, std::unique_ptr<Socket> socket,
                 const ServerContext& context, ServedSet& set)
    : loop_(std::move(loop)),
      socket_(std::move(socket)),
      context_(context),
      set_(set),
      timer_([this] { Drop(); }) {}

void Sniffer::Start() {
  loop_->Watch(socket_->fd(), EPOLLIN, *this);
  timer_.Set(*loop_, loop_->now() + context_.options.handshake_max);
}

void Sniffer::OnEvents(uint32_t) {
  if (socket_ == nullptr) return;
  IoResult read = socket_->Read(loop_->read_buffer(), Loop::kTurnBytes);
  if (read.kind == IoResult::kEnd || read.kind == IoResult::kError) return Drop();
  if (read.kind == IoResult::kAgain) {
    uint32_t events = EPOLLIN | (socket_->wants_write() ? EPOLLOUT : 0u);
    return loop_->Change(socket_->fd(), events, *this);
  }
  seen_.append(loop_->read_buffer(), read.bytes);
  size_t n = std::min(seen_.size(), kPreface.size());
  if (seen_.compare(0, n, kPreface, 0, n) != 0) return Become(false);
  if (n == kPreface.size()) Become(true);
}

void Sniffer::Become(bool http2) {
  auto self = shared_from_this();
  timer_.Cancel();
  loop_->Unwatch(socket_->fd());
  loop_->Dispose(self);
  if (http2) {
    auto connection = std::make_shared<ServerConnection>(loop_, std::move(socket_), context_, set_);
    set_.Replace(*this, connection);
    connection->Start(seen_);
  } else {
    auto connection = std::make_shared<Http1Connection>(loop_, std::move(socket_), context_, set_);
    set_.Replace(*this, connection);
    connection->Start(seen_);
  }
}

void Sniffer::BeginDrain() {
  if (socket_ == nullptr) return;
  timer_.Set(*loop_, loop_->now() +
                         std::min(context_.options.handshake_max, context_.options.drain_idle_max));
}

void Sniffer::Drop() {
  if (socket_ == nullptr) return;
  auto self = shared_from_this();
  timer_.Cancel();
  loop_->Unwatch(socket_->fd());
  socket_.reset();
  loop_->Dispose(self);
  set_.Remove(*this);
}

}  // namespace lre::rpc

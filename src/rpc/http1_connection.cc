#include "rpc/http1_connection.h"

#include <sys/epoll.h>

#include <utility>

namespace lre::rpc {
namespace {

constexpr Duration kLinger = std::chrono::seconds(2);

}  // namespace

Http1Connection::Http1Connection(std::shared_ptr<Loop> loop, std::unique_ptr<Socket> socket,
                                 const ServerContext& context, ServedSet& set)
    : loop_(std::move(loop)),
      socket_(std::move(socket)),
      context_(context),
      set_(set),
      peer_(PeerName(socket_->fd())),
      identity_(socket_->identity()),
      parser_({.header_bytes_max = context.options.header_bytes_max,
               .body_bytes_max = context.options.http_body_bytes_max}),
      held_(context.http_bodies_bytes, context.options.http_bodies_bytes_max),
      timer_([this] { OnTimer(); }) {}

void Http1Connection::Start(std::string_view already_read) {
  watched_ = EPOLLIN;
  loop_->Watch(socket_->fd(), watched_, *this);
  input_ = already_read;
  ArmTimer();
  Parse();
}

void Http1Connection::OnEvents(uint32_t events) {
  if (closed_) return;
  if (events & (EPOLLHUP | EPOLLERR)) return Close();
  if (events & EPOLLIN) ReadTurn();
  if (!closed_ && events & EPOLLOUT) RequestFlush();
}

void Http1Connection::ReadTurn() {
  IoResult read = socket_->Read(loop_->read_buffer(), Loop::kTurnBytes);
  switch (read.kind) {
    case IoResult::kDone:
      if (state_ == State::kReading) {
        input_.append(loop_->read_buffer(), read.bytes);
        Parse();
      }
      break;
    case IoResult::kAgain:
      break;
    case IoResult::kEnd:
    case IoResult::kError:
      return Close();
  }
  if (!closed_) RequestFlush();
}

void Http1Connection::Parse() {
  std::string_view left = input_;
  Http1Parser::State state = parser_.Feed(left);
  input_.erase(0, input_.size() - left.size());
  if (state == Http1Parser::State::kError) {
    keep_alive_ = false;
    state_ = State::kHandling;
    Respond({.status = parser_.error_status()});
  } else if (!held_.Set(parser_.body_bytes())) {
    parser_.Take();
    keep_alive_ = false;
    state_ = State::kHandling;
    Respond({.status = 503});
  } else if (state == Http1Parser::State::kComplete) {
    Handle();
  } else {
    if (state == Http1Parser::State::kBody && parser_.TakeContinue()) {
      output_.Append("HTTP/1.1 100 Continue\r\n\r\n");
    }
    ArmTimer();
  }
  RequestFlush();
}

void Http1Connection::Handle() {
  state_ = State::kHandling;
  timer_.Cancel();
  keep_alive_ = parser_.keep_alive() && !draining_;
  HttpRequest request = parser_.Take();
  request.peer = peer_;
  request.identity = identity_;
  head_ = request.method == "HEAD";
  if (!context_.http) return Respond({.status = 404});
  auto respond = [weak = weak_from_this(), loop = loop_,
                  number = ++request_number_](HttpResponse response) {
    auto answer = [weak, number, response = std::move(response)]() mutable {
      auto self = weak.lock();
      if (self && self->request_number_ == number) self->Respond(std::move(response));
    };
    loop->RunInLoop(std::move(answer));
  };
  context_.http(std::move(request), std::move(respond));
}

void Http1Connection::Respond(HttpResponse response) {
  if (closed_ || state_ != State::kHandling) return;
  ++request_number_;
  held_.Clear();
  bool bodiless = response.status == 204 || response.status == 304;
  std::string head =
      fmt::format("HTTP/1.1 {} {}\r\n", response.status, HttpReason(response.status));
  bool has_length = false;
  for (const auto& [name, value] : response.headers) {
    head += fmt::format("{}: {}\r\n", name, value);
    has_length = has_length || name == "content-length";
  }
  if (!has_length && !bodiless) {
    head += fmt::format("content-length: {}\r\n", TotalSize(response.body));
  }
  if (!keep_alive_) head += "connection: close\r\n";
  head += "\r\n";
  output_.Append(head);
  if (!head_ && !bodiless) {
    for (const Bytes& piece : response.body) output_.Append(piece);
  }
  head_ = false;
  state_ = State::kReading;
  ArmTimer();
  RequestFlush();
}

void Http1Connection::OnIterationEnd() {
  if (closed_) return;
  size_t before = output_.size();
  if (!output_.empty()) {
    IoResult written = output_.WriteTo(*socket_, loop_->TurnBytes());
    loop_->CountTurn(written.bytes, !output_.empty());
    if (written.kind == IoResult::kError || written.kind == IoResult::kEnd) return Close();
    if (output_.size() != before) ArmTimer();
  }
  if (!output_.empty()) return WatchFor(socket_->wants_read() ? EPOLLIN : EPOLLOUT);
  if (state_ == State::kHandling) return WatchFor(0);
  if (state_ == State::kReading && !keep_alive_) return Linger();
  if (state_ == State::kReading && draining_ && !parser_.started() && input_.empty()) {
    return Linger();
  }
  WatchFor(EPOLLIN | (socket_->wants_write() ? EPOLLOUT : 0u));
  if (state_ == State::kReading && !input_.empty() &&
      parser_.state() == Http1Parser::State::kHead && !parser_.started()) {
    return Parse();  // a pipelined request
  }
  if (socket_->has_pending()) ReadTurn();
}

void Http1Connection::WatchFor(uint32_t events) {
  if (events == watched_) return;
  watched_ = events;
  loop_->Change(socket_->fd(), events, *this);
}

// A request must arrive within handshake_max of its last progress; an idle connection may stay for
// keepalive_interval; an answer must be taken within stream_stall_max.
void Http1Connection::ArmTimer() {
  const ServerOptions& options = context_.options;
  Duration wait = options.keepalive_interval;
  if (!output_.empty()) {
    wait = options.stream_stall_max;
  } else if (state_ == State::kHandling) {
    return timer_.Cancel();
  } else if (parser_.started()) {
    // The head has one limit from its first byte; a body moves it with each part.
    bool head = parser_.state() == Http1Parser::State::kHead;
    if (std::exchange(head_timed_, head) && head) return;
    wait = options.handshake_max;
  } else {
    head_timed_ = false;
  }
  if (wait > Duration(0)) timer_.Set(*loop_, loop_->now() + wait);
}

void Http1Connection::OnTimer() { Close(); }

void Http1Connection::Linger() {
  if (state_ == State::kLingering) return;
  state_ = State::kLingering;
  socket_->ShutdownWrite();
  WatchFor(EPOLLIN);
  timer_.Set(*loop_, loop_->now() + kLinger);
}

void Http1Connection::BeginDrain() {
  draining_ = true;
  if (state_ == State::kHandling) keep_alive_ = false;
  RequestFlush();
}

void Http1Connection::EndCalls() {
  BeginDrain();
  if (state_ == State::kHandling) {
    keep_alive_ = false;
    Respond({.status = 503});
  }
  keep_alive_ = false;
}

void Http1Connection::Close() {
  if (closed_) return;
  closed_ = true;
  auto self = shared_from_this();
  loop_->Unwatch(socket_->fd());
  timer_.Cancel();
  socket_.reset();
  set_.Remove(*this);
  loop_->Dispose(std::move(self));
}

}  // namespace lre::rpc

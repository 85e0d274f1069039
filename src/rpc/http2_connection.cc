#include "rpc/http2_connection.h"

#include <sys/epoll.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "rpc/text.h"

namespace lre::rpc {

// nghttp2's callbacks, as plain functions.
struct Http2Connection::Callbacks {
  static Http2Connection& Self(void* data) { return *static_cast<Http2Connection*>(data); }

  static int BeginHeaders(nghttp2_session*, const nghttp2_frame* frame, void* data) {
    Self(data).OnHeadersBegin(*frame);
    return 0;
  }
  static int Header(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name,
                    size_t name_size, const uint8_t* value, size_t value_size, uint8_t,
                    void* data) {
    Self(data).OnHeaderField(*frame, {reinterpret_cast<const char*>(name), name_size},
                             {reinterpret_cast<const char*>(value), value_size});
    return 0;
  }
  static int FrameReceived(nghttp2_session*, const nghttp2_frame* frame, void* data) {
    Http2Connection& self = Self(data);
    if (frame->hd.type == NGHTTP2_HEADERS) {
      self.OnHeadersEnd(*frame);
    } else if (frame->hd.type == NGHTTP2_DATA) {
      if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) {
        if (Stream* stream = self.Find(frame->hd.stream_id)) stream->OnRemoteEnd();
      }
    } else {
      if (frame->hd.type == NGHTTP2_PING && frame->hd.flags & NGHTTP2_FLAG_ACK) {
        self.ping_open_ = false;
      }
      self.OnControlFrame(*frame);
    }
    return 0;
  }
  static int DataChunk(nghttp2_session* session, uint8_t, int32_t id, const uint8_t* bytes,
                       size_t size, void* data) {
    Stream* stream = Self(data).Find(id);
    if (stream == nullptr) {
      nghttp2_session_consume(session, id, size);
      return 0;
    }
    stream->unconsumed_ += size;
    stream->OnData({reinterpret_cast<const char*>(bytes), size});
    return 0;
  }
  static int StreamClosed(nghttp2_session*, int32_t id, uint32_t error, void* data) {
    Http2Connection& self = Self(data);
    self.OnStreamClosed(error);
    if (Stream* stream = self.Find(id)) {
      auto held = stream->shared_from_this();
      nghttp2_session_set_stream_user_data(self.session_, id, nullptr);
      self.Forget(*stream);
      held->OnClosed(error, nullptr);
    }
    return 0;
  }
  static int SendData(nghttp2_session*, nghttp2_frame*, const uint8_t* frame_header, size_t length,
                      nghttp2_data_source* source, void* data) {
    Http2Connection& self = Self(data);
    if (self.output_.size() >= self.turn_bytes_) {
      self.more_ = true;
      return NGHTTP2_ERR_WOULDBLOCK;
    }
    self.output_.Append({reinterpret_cast<const char*>(frame_header), 9});
    static_cast<Stream*>(source->ptr)->MoveTo(self.output_, length);
    return 0;
  }
  static int FrameSent(nghttp2_session*, const nghttp2_frame* frame, void* data) {
    Http2Connection& self = Self(data);
    if (frame->hd.type == NGHTTP2_HEADERS) {
      // Called before the frame (or its last CONTINUATION) is appended to the output.
      if (Stream* stream = self.Find(frame->hd.stream_id)) {
        stream->headers_at_ = self.written_bytes_ + self.output_.size();
      }
    }
    self.OnFrameSent(*frame);
    return 0;
  }
  static int FrameNotSent(nghttp2_session*, const nghttp2_frame* frame, int, void* data) {
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
      Self(data).OnRequestNotSent(frame->hd.stream_id);
    }
    return 0;
  }
  static ssize_t ReadLength(nghttp2_session*, uint8_t, int32_t id, int32_t session_window,
                            int32_t stream_window, uint32_t remote_frame_max, void* data) {
    Http2Connection& self = Self(data);
    // nghttp2 grows its frame buffer to this length even when nothing is copied into it.
    size_t wanted = 16384;
    if (Stream* stream = self.Find(id)) wanted = std::max(wanted, stream->pending_);
    wanted = std::min<size_t>(wanted, self.options_.frame_bytes_max);
    wanted = std::min<size_t>(wanted, remote_frame_max);
    wanted = std::min(wanted, self.turn_bytes_);
    int32_t window = std::min(session_window, stream_window);
    return std::min<ssize_t>(static_cast<ssize_t>(wanted), window);
  }

  static nghttp2_session_callbacks* Table() {
    nghttp2_session_callbacks* table;
    CHECK(nghttp2_session_callbacks_new(&table) == 0, "out of memory");
    nghttp2_session_callbacks_set_on_begin_headers_callback(table, BeginHeaders);
    nghttp2_session_callbacks_set_on_header_callback(table, Header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(table, FrameReceived);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(table, DataChunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(table, StreamClosed);
    nghttp2_session_callbacks_set_send_data_callback(table, SendData);
    nghttp2_session_callbacks_set_on_frame_send_callback(table, FrameSent);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(table, FrameNotSent);
    nghttp2_session_callbacks_set_data_source_read_length_callback(table, ReadLength);
    return table;
  }
};

Http2Connection::Http2Connection(Loop& loop, std::unique_ptr<Socket> socket,
                                 const Http2Options& options)
    : options_(options), loop_(loop), socket_(std::move(socket)), timer_([this] { Tick(); }) {
  static nghttp2_session_callbacks* const table = Callbacks::Table();
  nghttp2_option* option;
  CHECK(nghttp2_option_new(&option) == 0, "out of memory");
  nghttp2_option_set_no_auto_window_update(option, 1);
  nghttp2_option_set_peer_max_concurrent_streams(option, 100);
  // Rapid resets are counted by ServerConnection, which tells honest cancellation from abuse.
  nghttp2_option_set_stream_reset_rate_limit(option, 1'000'000, 1'000'000);
  int made = options.server ? nghttp2_session_server_new2(&session_, table, this, option)
                            : nghttp2_session_client_new2(&session_, table, this, option);
  nghttp2_option_del(option);
  CHECK(made == 0, "out of memory");
}

Http2Connection::~Http2Connection() { nghttp2_session_del(session_); }

void Http2Connection::Start(std::string_view already_read) {
  std::vector<nghttp2_settings_entry> settings = {
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, options_.stream_window_bytes},
      {NGHTTP2_SETTINGS_MAX_FRAME_SIZE, options_.frame_bytes_max},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<uint32_t>(options_.header_bytes_max)}};
  if (options_.server) {
    settings.push_back({NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, options_.streams_max});
  } else {
    settings.push_back({NGHTTP2_SETTINGS_ENABLE_PUSH, 0});
  }
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings.data(), settings.size());
  nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0,
                                        static_cast<int32_t>(options_.connection_window_bytes));
  last_received_ = last_written_ = loop_.now();
  loop_.Watch(socket_->fd(), EPOLLIN, *this);
  for (Duration interval : {options_.keepalive_interval, options_.stream_stall_max}) {
    if (interval > Duration(0)) TickBy(loop_.now() + interval);
  }
  RequestFlush();
  if (!already_read.empty()) Feed(already_read);
}

void Http2Connection::OnEvents(uint32_t events) {
  if (closed_) return;
  if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) ReadTurn();
  if (!closed_ && events & EPOLLOUT) RequestFlush();
}

void Http2Connection::ReadTurn() {
  const size_t turn = loop_.TurnBytes();
  IoResult read = socket_->Read(loop_.read_buffer(), turn);
  if (read.kind == IoResult::kDone) loop_.CountTurn(read.bytes, read.bytes == turn);
  switch (read.kind) {
    case IoResult::kDone:
      last_received_ = loop_.now();
      if (state_ == State::kOpen) Feed({loop_.read_buffer(), read.bytes});
      break;
    case IoResult::kAgain:
      if (socket_->wants_write()) WatchOutput(true);
      // What was read went into the handshake that the output waits for.
      if (!output_.empty() && socket_->wants_read()) RequestFlush();
      return;
    case IoResult::kEnd:
      return Close(Status(Code::kUnavailable, "the peer closed the connection"));
    case IoResult::kError:
      return Close(ErrorStatus(Code::kUnavailable, "connection broke: {}", read.error));
  }
  if (!closed_ && socket_->has_pending()) RequestFlush();
}

void Http2Connection::Feed(std::string_view bytes) {
  ssize_t n = nghttp2_session_mem_recv(session_, reinterpret_cast<const uint8_t*>(bytes.data()),
                                       bytes.size());
  if (n == NGHTTP2_ERR_BAD_CLIENT_MAGIC) {
    return Close(Status(Code::kUnavailable, "the peer does not speak HTTP/2"));
  }
  if (n < 0) {
    Fail(n == NGHTTP2_ERR_FLOODED ? NGHTTP2_ENHANCE_YOUR_CALM : NGHTTP2_INTERNAL_ERROR,
         ErrorStatus(Code::kUnavailable, "HTTP/2: {}", nghttp2_strerror(static_cast<int>(n))));
  }
  RequestFlush();
}

void Http2Connection::RequestFlush() {
  if (closed_ || flush_requested_) return;
  flush_requested_ = true;
  loop_.Defer(shared_from_this());
}

bool Http2Connection::FillOutput() {
  more_ = false;
  while (output_.size() < turn_bytes_) {
    const uint8_t* bytes;
    ssize_t n = nghttp2_session_mem_send(session_, &bytes);
    if (n < 0) {
      Close(ErrorStatus(Code::kUnavailable, "HTTP/2: {}", nghttp2_strerror(static_cast<int>(n))));
      return false;
    }
    if (n == 0) return true;
    output_.Append({reinterpret_cast<const char*>(bytes), static_cast<size_t>(n)});
  }
  more_ = true;
  return true;
}

void Http2Connection::DeliverWritable() {
  std::vector<std::shared_ptr<Stream>> writable;
  writable.swap(writable_);
  for (auto& stream : writable) {
    if (stream->connection_ != nullptr) stream->OnWritable();
  }
}

void Http2Connection::OnIterationEnd() {
  flush_requested_ = false;
  if (closed_) return;
  if (state_ == State::kOpen && socket_->has_pending()) ReadTurn();
  if (closed_) return;
  turn_bytes_ = loop_.TurnBytes();
  if (!FillOutput()) return;
  if (!writable_.empty()) {
    DeliverWritable();
    if (closed_ || !FillOutput()) return;
  }
  if (!output_.empty()) {
    IoResult written = output_.WriteTo(*socket_);
    if (written.bytes > 0) last_written_ = loop_.now();
    written_bytes_ += written.bytes;
    loop_.CountTurn(written.bytes, more_ || !output_.empty());
    if (written.kind == IoResult::kError || written.kind == IoResult::kEnd) {
      return Close(ErrorStatus(Code::kUnavailable, "connection broke: {}", written.error));
    }
  } else {
    last_written_ = loop_.now();
  }
  bool blocked = !output_.empty();
  // A handshake that waits for the peer would find the socket writable for ever.
  WatchOutput((blocked && !socket_->wants_read()) || socket_->wants_write());
  if (blocked) return;
  if (more_ || !writable_.empty() || socket_->has_pending()) return RequestFlush();
  if (state_ == State::kOpen && !nghttp2_session_want_read(session_) &&
      !nghttp2_session_want_write(session_)) {
    Linger();
  }
}

void Http2Connection::WatchOutput(bool on) {
  if (on == watching_output_) return;
  watching_output_ = on;
  loop_.Change(socket_->fd(), on ? EPOLLIN | EPOLLOUT : EPOLLIN, *this);
}

// Closing at once would let the kernel answer bytes we have not read with RST, and the peer would
// lose what it has not read of ours.
void Http2Connection::Linger() {
  state_ = State::kLingering;
  socket_->ShutdownWrite();
  linger_until_ = loop_.now() + options_.linger;
  TickBy(linger_until_);
}

void Http2Connection::Fail(uint32_t error, Status why) {
  if (failure_.ok()) failure_ = std::move(why);
  nghttp2_session_terminate_session(session_, error);
  RequestFlush();
}

void Http2Connection::Close(const Status& why) {
  if (closed_) return;
  closed_ = true;
  auto self = shared_from_this();
  loop_.Unwatch(socket_->fd());
  timer_.Cancel();
  const Status& reason = failure_.ok() ? why : failure_;
  while (streams_ != nullptr) {
    auto stream = streams_->shared_from_this();
    nghttp2_session_set_stream_user_data(session_, stream->id_, nullptr);
    Forget(*stream);
    bool unsent = !options_.server && stream->headers_at_ >= written_bytes_;
    stream->OnClosed(unsent ? NGHTTP2_REFUSED_STREAM : NGHTTP2_CANCEL, &reason);
  }
  writable_.clear();
  output_.Clear();
  OnClosed(reason);
  socket_.reset();
  loop_.Dispose(std::move(self));
}

void Http2Connection::Attach(std::shared_ptr<Stream> stream, int32_t id) {
  Stream& s = *stream;
  s.connection_ = this;
  s.headers_at_ = UINT64_MAX;
  s.id_ = id;
  s.next_ = streams_;
  if (streams_ != nullptr) streams_->previous_ = &s;
  streams_ = &s;
  ++open_streams_;
  nghttp2_session_set_stream_user_data(session_, id, &s);
  s.self_ = std::move(stream);
}

void Http2Connection::Forget(Stream& stream) {
  if (stream.unconsumed_ > 0) {
    // The stream is gone, but the connection's window is shared by all.
    nghttp2_session_consume_connection(session_, std::exchange(stream.unconsumed_, 0));
    RequestFlush();
  }
  early_bytes_ -= std::exchange(stream.early_, 0);
  (stream.previous_ != nullptr ? stream.previous_->next_ : streams_) = stream.next_;
  if (stream.next_ != nullptr) stream.next_->previous_ = stream.previous_;
  stream.previous_ = stream.next_ = nullptr;
  stream.connection_ = nullptr;
  stream.queued_.fetch_sub(stream.pending_, std::memory_order_relaxed);
  stream.pieces_.clear();
  stream.head_ = stream.pending_ = stream.packed_ = 0;
  stream.deferred_ = stream.above_ = false;
  --open_streams_;
  stream.self_.reset();  // the caller holds it
}

nghttp2_data_provider Http2Connection::Provider(Stream& stream) {
  return {.source = {.ptr = &stream}, .read_callback = Stream::Pack};
}

void Http2Connection::TickBy(Instant when) {
  if (when >= next_tick_ && timer_.armed()) return;
  next_tick_ = when;
  if (when != Instant::max()) timer_.Set(loop_, when);
}

void Http2Connection::Tick() {
  Instant now = loop_.now();
  if (state_ == State::kLingering) {
    if (now >= linger_until_) return Close(Status(Code::kUnavailable, "connection ended"));
    next_tick_ = Instant::max();
    return TickBy(linger_until_);
  }
  Instant keepalive = CheckKeepalive(now);
  if (closed_) return;
  Instant stalls = CheckStalls(now);
  if (closed_) return;
  Instant own = OnTick(now);
  if (closed_ || state_ == State::kLingering) return;
  next_tick_ = Instant::max();
  TickBy(std::min({keepalive, stalls, own}));
}

Instant Http2Connection::CheckKeepalive(Instant now) {
  if (options_.keepalive_interval <= Duration(0)) return Instant::max();
  if (ping_open_ && last_received_ <= ping_sent_) {
    Instant due = ping_sent_ + options_.keepalive_timeout;
    if (now < due) return due;
    Close(Status(Code::kUnavailable, "keep-alive ping was not answered"));
    return Instant::max();
  }
  Instant due = last_received_ + options_.keepalive_interval;
  if (!wants_keepalive()) return now + options_.keepalive_interval;
  if (now < due) return due;
  ping_sent_ = now;
  ping_open_ = true;
  nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, nullptr);
  RequestFlush();
  return now + options_.keepalive_timeout;
}

Instant Http2Connection::CheckStalls(Instant now) {
  if (options_.stream_stall_max <= Duration(0)) return Instant::max();
  if (!output_.empty() && now - last_written_ >= options_.stream_stall_max) {
    // Not even a reset could be sent.
    Close(Status(Code::kUnavailable, "the peer takes no bytes"));
    return Instant::max();
  }
  Instant next = now + options_.stream_stall_max;
  if (!output_.empty()) next = std::min(next, last_written_ + options_.stream_stall_max);
  ForEachStream([&](Stream& stream) {
    if (stream.pending_ == 0) return;
    Instant due = stream.progress_ + options_.stream_stall_max;
    if (due <= now) {
      stream.Reset(NGHTTP2_CANCEL);
    } else {
      next = std::min(next, due);
    }
  });
  return next;
}

}  // namespace lre::rpc

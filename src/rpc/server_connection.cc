#include "rpc/server_connection.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/log.h"
#include "rpc/server_stream.h"
#include "rpc/text.h"

namespace lre::rpc {
namespace {

constexpr uint8_t kDrainPing[8] = {'l', 'r', 'e', 'd', 'r', 'a', 'i', 'n'};
// RFC 9113 6.5.2: what a header field counts beyond its bytes.
constexpr size_t kFieldOverhead = 32;

}  // namespace

bool RateLimit::Allow(Instant now) {
  if (last_ != Instant{}) {
    left_ += per_second_ * std::chrono::duration<double>(now - last_).count();
    left_ = std::min(left_, burst_);
  }
  last_ = now;
  left_ -= 1;
  return left_ >= 0;
}

ServerConnection::ServerConnection(std::shared_ptr<Loop> loop, std::unique_ptr<Socket> socket,
                                   const ServerContext& context, ServedSet& set)
    : Http2Connection(*loop, std::move(socket), context.http2),
      shared_loop_(std::move(loop)),
      context_(context),
      set_(set),
      peer_(PeerName(this->socket().fd())),
      identity_(this->socket().identity()),
      opened_(loop_.now()),
      resets_(context.options.resets_burst_max, context.options.resets_per_second_max),
      settings_(context.options.settings_burst_max, context.options.settings_per_second_max) {
  TickBy(opened_ + context.options.handshake_max);
  if (context.options.connection_age_max > Duration(0)) {
    TickBy(opened_ + context.options.connection_age_max);
  }
}

void ServerConnection::OnHeadersBegin(const nghttp2_frame& frame) {
  if (frame.headers.cat != NGHTTP2_HCAT_REQUEST) return;
  Request& r = request_;
  r.stream = frame.hd.stream_id;
  r.method.clear();
  r.path.clear();
  r.authority.clear();
  r.content_type.clear();
  r.encoding.clear();
  r.timeout.clear();
  r.accept_encoding.clear();
  r.metadata.clear();
  r.bytes = 0;
  r.takes_gzip = false;
  if (!(frame.hd.flags & NGHTTP2_FLAG_END_HEADERS)) {
    headers_since_ = loop_.now();
    TickBy(headers_since_ + context_.options.handshake_max);
  }
}

void ServerConnection::OnHeaderField(const nghttp2_frame& frame, std::string_view name,
                                     std::string_view value) {
  Request& r = request_;
  if (frame.headers.cat != NGHTTP2_HCAT_REQUEST || frame.hd.stream_id != r.stream) return;
  r.bytes += name.size() + value.size() + kFieldOverhead;
  if (r.bytes > context_.options.header_bytes_max) return;  // said in StartCall
  if (name[0] == ':') {
    if (name == ":path") {
      r.path = value;
    } else if (name == ":method") {
      r.method = value;
    } else if (name == ":authority") {
      r.authority = value;
    }
  } else if (name == "content-type") {
    r.content_type = value;
  } else if (name == "grpc-timeout") {
    r.timeout = value;
  } else if (name == "grpc-encoding") {
    r.encoding = value;
  } else if (name == "accept-encoding") {
    r.accept_encoding = value;
  } else if (name == "grpc-accept-encoding") {
    r.takes_gzip = ListHas(value, "gzip");
  } else if (name != "te") {
    TakeMetadata(name, value, r.metadata);
  }
}

void ServerConnection::OnHeadersEnd(const nghttp2_frame& frame) {
  headers_since_ = Instant::max();
  if (frame.headers.cat == NGHTTP2_HCAT_REQUEST) {
    if (IsGrpcContentType(request_.content_type)) {
      StartCall();
    } else {
      StartHttp();
    }
  }
  if (frame.hd.flags & NGHTTP2_FLAG_END_STREAM) {
    if (Stream* stream = Find(frame.hd.stream_id)) stream->OnRemoteEnd();
  }
}

void ServerConnection::StartCall() {
  Request& r = request_;
  CallInfo info{.method = std::move(r.path),
                .metadata = std::move(r.metadata),
                .deadline = std::nullopt,
                .peer = peer_,
                .identity = identity_};
  bool bad_timeout = false;
  if (!r.timeout.empty()) {
    if (auto timeout = ParseTimeout(r.timeout)) {
      info.deadline = loop_.now() + *timeout;
    } else {
      bad_timeout = true;
    }
  }
  auto stream = std::make_shared<ServerStream>(shared_loop_, context_, std::move(info));
  ServerStream& call = *stream;
  Attach(std::move(stream), r.stream);
  if (r.bytes > context_.options.header_bytes_max) {
    return call.Refuse(ErrorStatus(Code::kResourceExhausted,
                                   "headers of {} bytes are larger than the {} allowed", r.bytes,
                                   context_.options.header_bytes_max));
  }
  if (r.method != "POST") {
    return call.Refuse(ErrorStatus(Code::kInternal, "gRPC calls are POST, not {}", r.method));
  }
  const ServedMethod* method = context_.Find(call.info().method);
  if (method == nullptr) {
    context_.unknown_method_total.Add();
    return call.Refuse(
        ErrorStatus(Code::kUnimplemented, "method {} is not served here", call.info().method));
  }
  if (bad_timeout) {
    return call.Refuse(
        ErrorStatus(Code::kInvalidArgument, "grpc-timeout \"{}\" is not a timeout", r.timeout));
  }
  Encoding encoding = Encoding::kIdentity;
  if (r.encoding == "gzip" || r.encoding == "deflate") {
    encoding = Encoding::kGzip;
  } else if (!r.encoding.empty() && r.encoding != "identity") {
    return call.Refuse(
        ErrorStatus(Code::kUnimplemented, "grpc-encoding \"{}\" is not known here", r.encoding));
  }
  call.Start(*method, encoding, r.takes_gzip && context_.options.gzip_answers);
}

void ServerConnection::StartHttp() {
  Request& r = request_;
  HttpRequest request{.method = r.method,
                      .path = {},
                      .query = {},
                      .body = {},
                      .peer = peer_,
                      .identity = identity_,
                      .headers = std::move(r.metadata)};
  size_t question = r.path.find('?');
  request.path = r.path.substr(0, question);
  if (question != std::string::npos) request.query = r.path.substr(question + 1);
  if (!r.content_type.empty()) request.headers.emplace_back("content-type", r.content_type);
  if (!r.accept_encoding.empty()) {
    request.headers.emplace_back("accept-encoding", r.accept_encoding);
  }
  if (!r.authority.empty()) request.headers.emplace_back("host", r.authority);
  auto stream = std::make_shared<HttpStream>(shared_loop_, context_, std::move(request));
  HttpStream& http = *stream;
  Attach(std::move(stream), r.stream);
  if (r.bytes > context_.options.header_bytes_max) http.Respond({.status = 431});
}

void ServerConnection::OnControlFrame(const nghttp2_frame& frame) {
  switch (frame.hd.type) {
    case NGHTTP2_SETTINGS:
      if (frame.hd.flags & NGHTTP2_FLAG_ACK) break;
      settings_seen_ = true;
      if (!settings_.Allow(loop_.now())) Calm("settings_flood");
      break;
    case NGHTTP2_PING:
      if (frame.hd.flags & NGHTTP2_FLAG_ACK) {
        if (std::memcmp(frame.ping.opaque_data, kDrainPing, 8) == 0) FinalGoaway();
      } else {
        CountPing();
      }
      break;
    default:
      break;
  }
}

void ServerConnection::CountPing() {
  Instant now = loop_.now();
  bool abuse = !sent_since_ping_ && now - last_ping_ < context_.options.ping_interval_min;
  if (!abuse) {
    ping_strikes_ = 0;
  } else if (++ping_strikes_ > context_.options.ping_strikes_max) {
    Calm("too_many_pings");
  }
  sent_since_ping_ = false;
  last_ping_ = now;
}

void ServerConnection::Calm(const char* what) {
  context_.abuse_total.Add();
  Log(kInfo, "rpc_abuse", {{"peer", peer_}, {"what", what}});
  // The text is what gRPC clients look for.
  nghttp2_submit_goaway(
      session(), NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(session()),
      NGHTTP2_ENHANCE_YOUR_CALM, reinterpret_cast<const uint8_t*>(what), std::strlen(what));
  Fail(NGHTTP2_ENHANCE_YOUR_CALM, Status(Code::kResourceExhausted, what));
}

void ServerConnection::OnFrameSent(const nghttp2_frame& frame) {
  if (frame.hd.type == NGHTTP2_DATA || frame.hd.type == NGHTTP2_HEADERS) {
    sent_since_ping_ = true;
  } else {
    if (frame.hd.type == NGHTTP2_GOAWAY && draining_ && !goaway_sent_) {
      // Every request sent before the client knew is in front of the answer to this. Not submitted
      // with the notice, because nghttp2 lets a PING overtake a GOAWAY.
      nghttp2_submit_ping(session(), NGHTTP2_FLAG_NONE, kDrainPing);
    }
    return;
  }
  if (!(frame.hd.flags & NGHTTP2_FLAG_END_STREAM)) return;
  // The answer is complete: a client that is still sending is told that nobody listens (RFC
  // 9113 8.1).
  int32_t id = frame.hd.stream_id;
  if (nghttp2_session_get_stream_remote_close(session(), id) == 0) {
    nghttp2_submit_rst_stream(session(), NGHTTP2_FLAG_NONE, id, NGHTTP2_NO_ERROR);
  }
}

void ServerConnection::OnStreamClosed(uint32_t error) {
  if (error != NGHTTP2_NO_ERROR && !closed() && !resets_.Allow(loop_.now())) Calm("rapid_reset");
}

void ServerConnection::OnClosed(const Status&) { set_.Remove(*this); }

Instant ServerConnection::OnTick(Instant now) {
  const ServerOptions& options = context_.options;
  Instant next = Instant::max();
  if (!settings_seen_ || headers_since_ != Instant::max()) {
    Instant since = settings_seen_ ? headers_since_ : opened_;
    if (now - since >= options.handshake_max) {
      Close(Status(Code::kUnavailable, "headers or preface came too slowly"));
      return next;
    }
    next = since + options.handshake_max;
  }
  if (options.connection_age_max > Duration(0) && !draining_) {
    Instant due = opened_ + options.connection_age_max;
    if (now >= due) {
      BeginDrain();
    } else {
      next = std::min(next, due);
    }
  }
  if (draining_) {
    // A peer that does not answer the PING must not keep the connection open for ever.
    Instant due = drain_since_ + (open_streams() > 0 ? options.keepalive_timeout : IdleDrainMax());
    if (!goaway_sent_ && now >= due) FinalGoaway();
    if (!goaway_sent_) next = std::min(next, due);
    Instant grace = drain_since_ + options.connection_age_grace;
    if (now >= grace) {
      EndCalls();
    } else {
      next = std::min(next, grace);
    }
  }
  return next;
}

Duration ServerConnection::IdleDrainMax() const {
  return std::min(context_.options.keepalive_timeout, context_.options.drain_idle_max);
}

void ServerConnection::BeginDrain() {
  if (draining_ || closed()) return;
  draining_ = true;
  drain_since_ = loop_.now();
  nghttp2_submit_shutdown_notice(session());
  TickBy(drain_since_ + std::min(IdleDrainMax(), context_.options.connection_age_grace));
  RequestFlush();
}

void ServerConnection::FinalGoaway() {
  if (goaway_sent_) return;
  goaway_sent_ = true;
  nghttp2_submit_goaway(session(), NGHTTP2_FLAG_NONE,
                        nghttp2_session_get_last_proc_stream_id(session()), NGHTTP2_NO_ERROR,
                        nullptr, 0);
  RequestFlush();
}

void ServerConnection::EndCalls() {
  if (closed()) return;
  draining_ = true;
  if (drain_since_ == Instant::max()) drain_since_ = loop_.now();
  FinalGoaway();
  ForEachStream([](Stream& stream) {
    if (auto* call = dynamic_cast<ServerStream*>(&stream)) {
      call->Abort(Status(Code::kUnavailable, "the server is shutting down"));
    }
  });
}

}  // namespace lre::rpc

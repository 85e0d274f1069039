#include "rpc/server_stream.h"

#include <algorithm>
#include <utility>

#include "base/mapped_copy.h"
#include "rpc/text.h"

namespace lre::rpc {
namespace {

// Clients bound the headers they take (grpc++: 8 KiB); a status must never be lost for its length.
constexpr size_t kMessageBytesMax = 2 << 10;
constexpr size_t kDetailsBytesMax = 3 << 10;

}  // namespace

ServerStream::ServerStream(std::shared_ptr<Loop> loop, const ServerContext& context, CallInfo info)
    : loop_(std::move(loop)),
      context_(context),
      info_(std::move(info)),
      deadline_([this] { Abort(Status(Code::kDeadlineExceeded, "deadline exceeded")); }) {}

void ServerStream::Start(const ServedMethod& method, Encoding encoding, bool gzip) {
  method_ = &method;
  started_ = loop_->now();
  gzip_bytes_min_ = context_.options.gzip_bytes_min;
  gzip_bytes_max_ = gzip ? context_.options.gzip_bytes_max : 0;
  Configure({.message_bytes_max = method.method.request_bytes_max,
             .encoding = encoding,
             .manual_flow = method.method.manual_flow,
             .stream_window_bytes = context_.options.stream_window_bytes});
  if (info_.deadline) deadline_.Set(*loop_, *info_.deadline);
  handler_ = method.method.start(Self());
}

ServerStream::Outgoing ServerStream::Encode(BytesList message) const {
  if (gzip_bytes_max_ == 0) return {std::move(message)};
  const size_t size = TotalSize(message);
  if (size < gzip_bytes_min_ || size > gzip_bytes_max_) return {std::move(message)};
  std::string gathered(size, '\0');
  size_t at = 0;
  for (const Bytes& piece : message) {
    // What cannot be read is for the socket to find out.
    if (!MappedCopy(gathered.data() + at, piece.data(), piece.size())) return {std::move(message)};
    at += piece.size();
  }
  std::string compressed = Gzip(gathered);
  if (compressed.empty() || compressed.size() >= size) return {std::move(message)};
  return {BytesList{Bytes(std::move(compressed))}, true};
}

void ServerStream::Send(BytesList plain) {
  Outgoing message = Encode(std::move(plain));
  queued_.fetch_add(TotalSize(message.bytes) + 5, std::memory_order_relaxed);
  if (loop_->InLoopThread()) return DoSend(std::move(message));
  loop_->Post([self = Self(), message = std::move(message)]() mutable {
    self->DoSend(std::move(message));
  });
}

void ServerStream::Finish(Status status, Metadata trailers) {
  if (loop_->InLoopThread()) return DoFinish(std::move(status), std::move(trailers));
  loop_->Post(
      [self = Self(), status = std::move(status), trailers = std::move(trailers)]() mutable {
        self->DoFinish(std::move(status), std::move(trailers));
      });
}

void ServerStream::Respond(BytesList plain) {
  Outgoing message = Encode(std::move(plain));
  queued_.fetch_add(TotalSize(message.bytes) + 5, std::memory_order_relaxed);
  auto answer = [](ServerStream& self, Outgoing outgoing) {
    self.DoSend(std::move(outgoing));
    self.DoFinish(Status(), {});
  };
  if (loop_->InLoopThread()) return answer(*this, std::move(message));
  loop_->Post([self = Self(), answer, message = std::move(message)]() mutable {
    answer(*self, std::move(message));
  });
}

void ServerStream::Consumed(size_t bytes) {
  if (loop_->InLoopThread()) return GiveBack(bytes);
  loop_->Post([self = Self(), bytes] { self->GiveBack(bytes); });
}

void ServerStream::DoSend(Outgoing message) {
  if (ended_ || connection_ == nullptr) {
    queued_.fetch_sub(TotalSize(message.bytes) + 5, std::memory_order_relaxed);
    return;
  }
  if (TotalSize(message.bytes) > UINT32_MAX) {
    return DoFinish(Status(Code::kInternal, "message is longer than gRPC can say (4 GiB)"), {});
  }
  Queue(std::move(message.bytes), message.compressed ? Framing::kGzip : Framing::kPlain,
        /*counted=*/true);
  if (!headers_sent_) SubmitHeaders();
  Resume();
}

void ServerStream::SubmitHeaders() {
  headers_sent_ = true;
  static const nghttp2_nv kHeaders[] = {StaticHeader(":status", "200"),
                                        StaticHeader("content-type", "application/grpc"),
                                        StaticHeader("grpc-encoding", "gzip")};
  nghttp2_data_provider provider = connection_->Provider(*this);
  // The last is for calls whose messages may be compressed.
  const size_t count = std::size(kHeaders) - (gzip_bytes_max_ > 0 ? 0 : 1);
  nghttp2_submit_response(connection_->session(), id(), kHeaders, count, &provider);
}

void ServerStream::DoFinish(Status status, Metadata trailers) {
  if (ended_ || connection_ == nullptr) return;
  status_ = std::move(status);
  trailers_ = std::move(trailers);
  End(status_.code());
  if (!headers_sent_) {
    SubmitTrailersOnly();
  } else {
    QueueEnd();
  }
  Resume();
}

void ServerStream::End(Code code) {
  ended_ = true;
  deadline_.Cancel();
  if (method_ == nullptr) return;
  method_->ended[static_cast<size_t>(code)]->Add();
  const std::chrono::duration<double> lasted = context_.clock.Now() - started_;
  method_->seconds->Observe(lasted.count());
}

void ServerStream::Abort(Status status) {
  if (ended_ || connection_ == nullptr) return;
  auto self = Self();
  cancelled_.store(true, std::memory_order_relaxed);
  if (handler_) handler_->OnCancel();
  if (ended_ || connection_ == nullptr) return;  // the handler finished it in its own words
  if (DropQueue()) {
    DoFinish(std::move(status), {});
  } else {
    // A message was cut: no trailers can follow it.
    End(status.code());
    Reset(NGHTTP2_CANCEL);
  }
}

void ServerStream::AppendStatus(std::vector<nghttp2_nv>& headers,
                                std::vector<std::string>& storage) const {
  static constexpr std::string_view kCodes[] = {"0", "1",  "2",  "3",  "4",  "5",  "6",  "7", "8",
                                                "9", "10", "11", "12", "13", "14", "15", "16"};
  storage.reserve(2 + trailers_.size());
  headers.push_back(StaticHeader("grpc-status", kCodes[static_cast<size_t>(status_.code())]));
  if (!status_.message().empty()) {
    storage.push_back(
        PercentEncode(std::string_view(status_.message()).substr(0, kMessageBytesMax)));
    headers.push_back(UnindexedHeader("grpc-message", storage.back()));
  }
  if (!status_.details().empty() && status_.details().size() <= kDetailsBytesMax) {
    storage.push_back(Base64Encode(status_.details()));
    headers.push_back(UnindexedHeader("grpc-status-details-bin", storage.back()));
  }
  AppendMetadata(trailers_, headers, storage);
}

void ServerStream::SubmitTrailersOnly() {
  headers_sent_ = true;
  std::vector<nghttp2_nv> headers = {StaticHeader(":status", "200"),
                                     StaticHeader("content-type", "application/grpc")};
  std::vector<std::string> storage;
  if (status_.code() == Code::kUnimplemented) {
    headers.push_back(StaticHeader("grpc-accept-encoding", "identity,gzip"));
  }
  AppendStatus(headers, storage);
  nghttp2_submit_response(connection_->session(), id(), headers.data(), headers.size(), nullptr);
}

bool ServerStream::SubmitTrailers() {
  if (status_.ok() && trailers_.empty()) {
    static const nghttp2_nv kOk[] = {StaticHeader("grpc-status", "0")};
    nghttp2_submit_trailer(connection_->session(), id(), kOk, 1);
    return true;
  }
  std::vector<nghttp2_nv> headers;
  std::vector<std::string> storage;
  AppendStatus(headers, storage);
  nghttp2_submit_trailer(connection_->session(), id(), headers.data(), headers.size());
  return true;
}

void ServerStream::OnData(std::string_view chunk) {
  auto self = Self();  // a handler may drop the last other reference
  while (!chunk.empty() && !ended_) {
    Bytes message;
    Result<bool> complete = Take(chunk, message);
    if (!complete) {
      Abort(std::move(complete).error());
    } else if (*complete) {
      if (handler_) handler_->OnMessage(std::move(message));
      Delivered();
    }
  }
  if (ended_) ConsumeAll();  // what comes after the end is nobody's
}

void ServerStream::OnRemoteEnd() {
  remote_ended_ = true;
  if (ended_) return;
  auto self = Self();
  if (!at_message_boundary()) {
    return Abort(Status(Code::kInternal, "the request ended inside a message"));
  }
  if (handler_) handler_->OnHalfClose();
}

void ServerStream::OnWritable() {
  if (handler_ && !ended_) handler_->OnWritable();
}

void ServerStream::OnClosed(uint32_t, const Status*) {
  auto self = Self();
  auto handler = std::move(handler_);
  if (!ended_) {
    cancelled_.store(true, std::memory_order_relaxed);
    End(Code::kCancelled);
    if (handler) handler->OnCancel();
  }
}

HttpStream::HttpStream(std::shared_ptr<Loop> loop, const ServerContext& context,
                       HttpRequest request)
    : loop_(std::move(loop)),
      context_(context),
      request_(std::move(request)),
      held_(context.http_bodies_bytes, context.options.http_bodies_bytes_max),
      head_(request_.method == "HEAD") {}

void HttpStream::OnData(std::string_view chunk) {
  if (responded_) return Consume(chunk.size());
  if (!ConsumeEarly(chunk.size())) {
    request_.body = {};
    ReleaseEarly();
    return Respond({.status = 503});
  }
  if (request_.body.size() + chunk.size() > context_.options.http_body_bytes_max) {
    request_.body = {};
    return Respond({.status = 413});
  }
  if (!held_.Set(request_.body.size() + chunk.size())) {
    request_.body = {};
    ReleaseEarly();
    return Respond({.status = 503});
  }
  request_.body.append(chunk);
}

void HttpStream::OnRemoteEnd() {
  remote_ended_ = true;
  if (responded_) return;
  if (!context_.http) return Respond({.status = 404});
  auto self = std::static_pointer_cast<HttpStream>(shared_from_this());
  context_.http(std::move(request_), [self](HttpResponse response) {
    if (self->loop_->InLoopThread()) return self->Respond(std::move(response));
    self->loop_->Post(
        [self, response = std::move(response)]() mutable { self->Respond(std::move(response)); });
  });
}

void HttpStream::Respond(HttpResponse response) {
  if (responded_ || connection_ == nullptr) return;
  responded_ = true;
  held_.Clear();
  std::string status = std::to_string(response.status);
  std::string length = std::to_string(TotalSize(response.body));
  std::vector<nghttp2_nv> headers = {CopiedHeader(":status", status)};
  bool has_length = false;
  for (const auto& [name, value] : response.headers) {
    headers.push_back(CopiedHeader(name, value));
    has_length = has_length || name == "content-length";
  }
  if (!has_length && response.status != 204 && response.status != 304) {
    headers.push_back(UnindexedHeader("content-length", length));
  }
  if (!head_) Queue(std::move(response.body), Framing::kNone);
  QueueEnd();
  nghttp2_data_provider provider = connection_->Provider(*this);
  nghttp2_submit_response(connection_->session(), id(), headers.data(), headers.size(),
                          pending_bytes() > 0 ? &provider : nullptr);
  Resume();
}

}  // namespace lre::rpc

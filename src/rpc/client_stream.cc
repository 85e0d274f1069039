#include "rpc/client_stream.h"

#include <charconv>
#include <utility>

#include "rpc/text.h"

namespace lre::rpc {
namespace {

constexpr size_t kReplayBytesMax = 256 << 10;
constexpr int kRetriesMax = 3;
constexpr size_t kHeaderBytesMax = 64 << 10;

Status StatusOfReset(uint32_t error) {
  Code code = Code::kInternal;
  switch (error) {
    case NGHTTP2_REFUSED_STREAM:
      code = Code::kUnavailable;
      break;
    case NGHTTP2_CANCEL:
      code = Code::kCancelled;
      break;
    case NGHTTP2_ENHANCE_YOUR_CALM:
      code = Code::kResourceExhausted;
      break;
    case NGHTTP2_INADEQUATE_SECURITY:
      code = Code::kPermissionDenied;
      break;
    default:
      break;
  }
  return ErrorStatus(code, "the server reset the call: {}", nghttp2_http2_strerror(error));
}

}  // namespace

ClientStream::ClientStream(std::shared_ptr<Loop> loop, Start start)
    : loop_(std::move(loop)), start_(std::move(start)), deadline_([this] {
        auto self = Self();
        Reset(NGHTTP2_CANCEL);
        End(Status(Code::kDeadlineExceeded, "deadline exceeded"));
      }) {}

void ClientStream::Arm() {
  if (!start_.options.timeout) return;
  deadline_at_ = loop_->now() + *start_.options.timeout;
  deadline_.Set(*loop_, *deadline_at_);
}

std::optional<Duration> ClientStream::time_left() const {
  if (!deadline_at_) return std::nullopt;
  return *deadline_at_ - loop_->now();
}

void ClientStream::Send(BytesList message) {
  queued_.fetch_add(TotalSize(message) + 5, std::memory_order_relaxed);
  if (loop_->InLoopThread()) return DoSend(std::move(message));
  loop_->Post([self = Self(), message = std::move(message)]() mutable {
    self->DoSend(std::move(message));
  });
}

void ClientStream::DoSend(BytesList message) {
  size_t size = TotalSize(message);
  if (ended_ || half_closed_ || size > UINT32_MAX) {
    queued_.fetch_sub(size + 5, std::memory_order_relaxed);
    if (ended_ || half_closed_) return;
    Reset(NGHTTP2_CANCEL);
    return End(Status(Code::kInternal, "message is longer than gRPC can say (4 GiB)"));
  }
  if (replayable_) {
    replay_bytes_ += size;
    replay_.push_back(message);
    if (replay_bytes_ > kReplayBytesMax) {
      replayable_ = false;
      replay_.clear();
    }
  }
  Queue(std::move(message), Framing::kPlain, /*counted=*/true);
  Resume();
}

void ClientStream::HalfClose() {
  loop_->RunInLoop([self = Self()] {
    if (self->ended_ || std::exchange(self->half_closed_, true)) return;
    self->QueueEnd();
    self->Resume();
  });
}

void ClientStream::Cancel() {
  // Posted even from the loop: OnEnd must not run inside a callback of the same call.
  loop_->Post([self = Self()] {
    if (self->ended_) return;
    self->Reset(NGHTTP2_CANCEL);
    self->End(Status(Code::kCancelled, "the call was cancelled"));
  });
}

void ClientStream::Consumed(size_t bytes) {
  loop_->RunInLoop([self = Self(), bytes] { self->GiveBack(bytes); });
}

void ClientStream::End(Status status, Metadata trailers) {
  if (std::exchange(ended_, true)) return;
  deadline_.Cancel();
  replay_.clear();
  DropQueue();
  auto handler = std::move(start_.handler);
  start_.retry = nullptr;
  if (handler) handler->OnEnd(std::move(status), std::move(trailers));
}

void ClientStream::OnHeader(std::string_view name, std::string_view value) {
  if (ended_) return;
  header_bytes_ += name.size() + value.size() + 32;
  if (header_bytes_ > kHeaderBytesMax) {
    Reset(NGHTTP2_CANCEL);
    return End(ErrorStatus(Code::kResourceExhausted,
                           "the answer's headers are larger than {} bytes", kHeaderBytesMax));
  }
  if (name == ":status") {
    http_status_ = 0;
    std::from_chars(value.data(), value.data() + value.size(), http_status_);
  } else if (name == "content-type") {
    content_type_ = value;
  } else if (name == "grpc-encoding") {
    encoding_ = value;
  } else if (name == "grpc-status") {
    code_ = ParseGrpcStatus(value);
  } else if (name == "grpc-message") {
    message_ = PercentDecode(value);
  } else if (name == "grpc-status-details-bin") {
    if (auto details = Base64Decode(value)) details_ = std::move(*details);
  } else if (name != "grpc-accept-encoding") {
    TakeMetadata(name, value, received_);
  }
}

void ClientStream::OnHeadersEnd() {
  if (ended_ || response_seen_ || (http_status_ >= 100 && http_status_ < 200)) return;
  response_seen_ = true;
  replayable_ = false;
  replay_.clear();
  if (http_status_ != 200 || !IsGrpcContentType(content_type_)) return;  // judged at the end
  if (!encoding_.empty() && encoding_ != "identity" && encoding_ != "gzip" &&
      encoding_ != "deflate") {
    Reset(NGHTTP2_CANCEL);
    return End(ErrorStatus(Code::kInternal, "answer in unknown encoding \"{}\"", encoding_));
  }
  Configure({.message_bytes_max = start_.response_bytes_max,
             .encoding = encoding_.empty() || encoding_ == "identity" ? Encoding::kIdentity
                                                                      : Encoding::kGzip,
             .manual_flow = start_.options.manual_flow,
             .stream_window_bytes = start_.stream_window_bytes});
}

void ClientStream::OnData(std::string_view chunk) {
  auto self = Self();
  bool is_grpc = http_status_ == 200 && IsGrpcContentType(content_type_);
  while (!chunk.empty() && !ended_ && is_grpc) {
    Bytes message;
    Result<bool> complete = Take(chunk, message);
    if (!complete) {
      Reset(NGHTTP2_CANCEL);
      End(std::move(complete).error());
    } else if (*complete) {
      start_.handler->OnMessage(std::move(message));
      Delivered();
    }
  }
  if (ended_ || !is_grpc) ConsumeAll();
}

void ClientStream::FinishFromTrailers() {
  if (!code_) {
    if (http_status_ != 200) {
      return End(
          ErrorStatus(CodeOfHttpStatus(http_status_), "the server answered HTTP {}", http_status_));
    }
    if (!IsGrpcContentType(content_type_)) {
      return End(ErrorStatus(Code::kUnknown, "the answer is \"{}\", not gRPC", content_type_));
    }
    return End(Status(Code::kInternal, "the server ended the call without a status"));
  }
  if (*code_ == Code::kOk && !at_message_boundary()) {
    return End(Status(Code::kInternal, "the answer ended inside a message"));
  }
  Status status(*code_, *code_ == Code::kOk ? std::string() : std::move(message_));
  End(std::move(status).WithDetails(std::move(details_)), std::move(received_));
}

void ClientStream::OnRemoteEnd() {
  if (ended_) return;
  auto self = Self();
  // The server has said all; what we have not sent is of no use to it.
  if (!half_closed_ || pending_bytes() > 0) Reset(NGHTTP2_NO_ERROR);
  FinishFromTrailers();
}

void ClientStream::OnWritable() {
  if (!ended_) start_.handler->OnWritable();
}

bool ClientStream::Retry() {
  if (ended_ || response_seen_ || !replayable_ || retries_ >= kRetriesMax || !start_.retry) {
    return false;
  }
  ++retries_;
  for (const BytesList& message : replay_) Queue(message, Framing::kPlain);
  return start_.retry(Self());
}

void ClientStream::OnNotSent() {
  if (!Retry()) End(Status(Code::kUnavailable, "the connection took no more calls"));
}

void ClientStream::OnClosed(uint32_t error, const Status* lost) {
  if (ended_) return;
  auto self = Self();
  // REFUSED_STREAM: the server promises that it has not looked at the call, or cannot have.
  if (error == NGHTTP2_REFUSED_STREAM && Retry()) return;
  if (lost != nullptr) return End(*lost);
  End(StatusOfReset(error));
}

}  // namespace lre::rpc

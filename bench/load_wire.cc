#include "load_wire.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "base/check.h"

namespace lre::bench {
namespace {

constexpr size_t kCopiedBytesMax = 256 << 10;
constexpr size_t kGatheredBytesMax = 1 << 20;
constexpr size_t kPiecesMax = 512;
constexpr size_t kFrameBytesMax = 16384;  // what gRPC clients send, and what they announce

std::string_view View(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

}  // namespace

void Body::Reset(std::string_view head, const Pieces* middle, std::string_view tail) {
  head_ = head;
  middle_ = middle;
  tail_ = tail;
  index_ = offset_ = 0;
  left_ = head.size() + tail.size();
  if (middle != nullptr)
    for (std::string_view piece : *middle) left_ += piece.size();
}

std::string_view Body::Piece(size_t index) const {
  if (index == 0) return head_;
  size_t middle = middle_ == nullptr ? 0 : middle_->size();
  return index <= middle ? (*middle_)[index - 1] : tail_;
}

std::string_view Body::Take(size_t size) {
  std::string_view piece = Piece(index_);
  while (offset_ == piece.size()) {
    piece = Piece(++index_);
    offset_ = 0;
  }
  std::string_view taken = piece.substr(offset_, size);
  offset_ += taken.size();
  left_ -= taken.size();
  return taken;
}

Wire::Wire(UniqueFd fd, Side side, Options options) : fd_(std::move(fd)), side_(side) {
  copied_.reserve(kCopiedBytesMax);
  in_.resize(256 << 10);
  MakeSession(side, options);
}

Wire::~Wire() { nghttp2_session_del(session_); }

void Wire::MakeSession(Side side, Options options) {
  nghttp2_session_callbacks* callbacks = nullptr;
  nghttp2_session_callbacks_new(&callbacks);
  nghttp2_session_callbacks_set_send_data_callback(callbacks, SendData);
  nghttp2_session_callbacks_set_on_header_callback(
      callbacks,
      [](nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name, size_t name_size,
         const uint8_t* value, size_t value_size, uint8_t, void* self) {
        static_cast<Wire*>(self)->OnHeader(frame->hd.stream_id, View(name, name_size),
                                           View(value, value_size));
        return 0;
      });
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(
      callbacks,
      [](nghttp2_session*, uint8_t, int32_t stream, const uint8_t* data, size_t size, void* self) {
        static_cast<Wire*>(self)->OnData(stream, View(data, size));
        return 0;
      });
  nghttp2_session_callbacks_set_on_stream_close_callback(
      callbacks, [](nghttp2_session*, int32_t stream, uint32_t error, void* self) {
        static_cast<Wire*>(self)->OnClose(stream, error);
        return 0;
      });
  nghttp2_session_callbacks_set_on_frame_recv_callback(
      callbacks, [](nghttp2_session*, const nghttp2_frame* frame, void* self) {
        bool last = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
        if (last && (frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS))
          static_cast<Wire*>(self)->OnRequestEnd(frame->hd.stream_id);
        return 0;
      });
  CHECK((side == Side::kClient ? nghttp2_session_client_new : nghttp2_session_server_new)(
            &session_, callbacks, this) == 0);
  nghttp2_session_callbacks_del(callbacks);
  nghttp2_settings_entry settings[] = {
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, options.stream_window_bytes},
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, options.streams_max}};
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings, std::size(settings));
  nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0,
                                        static_cast<int32_t>(options.stream_window_bytes * 16));
}

nghttp2_data_provider Wire::Provider(Body* body) {
  nghttp2_data_provider provider{};
  provider.source.ptr = body;
  provider.read_callback = ReadBody;
  return provider;
}

ssize_t Wire::ReadBody(nghttp2_session*, int32_t stream, uint8_t*, size_t length, uint32_t* flags,
                       nghttp2_data_source* source, void* self) {
  auto* body = static_cast<Body*>(source->ptr);
  auto* wire = static_cast<Wire*>(self);
  size_t size = std::min(length, body->left());
  *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
  if (size == body->left()) {
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (wire->side_ == Side::kServer) {
      *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
      wire->OnBodySent(stream);
    }
  }
  return static_cast<ssize_t>(size);
}

bool Wire::HasRoom(size_t bytes) const {
  return copied_.size() + bytes <= kCopiedBytesMax && gathered_ < kGatheredBytesMax &&
         pieces_.size() < kPiecesMax;
}

int Wire::SendData(nghttp2_session*, nghttp2_frame*, const uint8_t* header, size_t length,
                   nghttp2_data_source* source, void* self) {
  auto* body = static_cast<Body*>(source->ptr);
  auto* wire = static_cast<Wire*>(self);
  if (!wire->HasRoom(9 + length)) return NGHTTP2_ERR_WOULDBLOCK;
  wire->Append(View(header, 9));
  while (length > 0) {
    std::string_view piece = body->Take(length);
    length -= piece.size();
    wire->gathered_ += piece.size();
    if (piece.size() < kCopyBytesMax) {
      wire->Append(piece);
    } else {
      wire->pieces_.push_back({const_cast<char*>(piece.data()), piece.size()});
    }
  }
  return 0;
}

void Wire::Append(std::string_view bytes) {
  CHECK(copied_.size() + bytes.size() <= copied_.capacity());
  const char* at = copied_.data() + copied_.size();
  copied_.append(bytes);
  bool extends = !pieces_.empty() &&
                 static_cast<const char*>(pieces_.back().iov_base) + pieces_.back().iov_len == at;
  if (extends) {
    pieces_.back().iov_len += bytes.size();
  } else {
    pieces_.push_back({const_cast<char*>(at), bytes.size()});
  }
}

void Wire::Fill() {
  copied_.clear();
  pieces_.clear();
  first_ = gathered_ = 0;
  while (HasRoom(2 * kFrameBytesMax)) {
    const uint8_t* data = nullptr;
    ssize_t size = nghttp2_session_mem_send(session_, &data);
    if (size <= 0) return;
    Append(View(data, static_cast<size_t>(size)));
  }
}

bool Wire::Flush() {
  while (true) {
    if (!blocked()) Fill();
    if (pieces_.empty()) return true;
    ssize_t sent = writev(fd(), &pieces_[first_], static_cast<int>(pieces_.size() - first_));
    if (sent < 0) return errno == EAGAIN || errno == EINTR;
    for (auto left = static_cast<size_t>(sent); left > 0;) {
      iovec& piece = pieces_[first_];
      size_t taken = std::min(left, piece.iov_len);
      left -= taken;
      piece.iov_base = static_cast<char*>(piece.iov_base) + taken;
      piece.iov_len -= taken;
      if (piece.iov_len == 0) ++first_;
    }
    if (blocked()) return true;
  }
}

bool Wire::Receive() {
  ssize_t size = recv(fd(), in_.data(), in_.size(), 0);
  if (size < 0) return errno == EAGAIN || errno == EINTR;
  if (size == 0) return false;
  return nghttp2_session_mem_recv(session_, reinterpret_cast<const uint8_t*>(in_.data()),
                                  static_cast<size_t>(size)) == size;
}

Result<UniqueFd> ConnectTcp(const std::string& target) {
  size_t colon = target.rfind(':');
  if (colon == std::string::npos)
    return Error(Code::kInvalidArgument, "target {}: write host:port", target);
  addrinfo hints{}, *found = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  int error = getaddrinfo(target.substr(0, colon).c_str(), target.substr(colon + 1).c_str(), &hints,
                          &found);
  if (error != 0) return Error(Code::kUnavailable, "{}: {}", target, gai_strerror(error));
  UniqueFd fd(socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  int connected = connect(fd.get(), found->ai_addr, found->ai_addrlen);
  freeaddrinfo(found);
  if (connected != 0) return ErrnoError(errno, "connect to " + target);
  int one = 1;
  setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  fcntl(fd.get(), F_SETFL, fcntl(fd.get(), F_GETFL) | O_NONBLOCK);
  return fd;
}

Result<UniqueFd> ListenLoopback(int* port) {
  UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      listen(fd.get(), 64) != 0 ||
      getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0)
    return ErrnoError(errno, "listen on loopback");
  *port = ntohs(address.sin_port);
  return fd;
}

}  // namespace lre::bench

#include "rpc/socket.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/mapped_copy.h"

namespace lre::rpc {
namespace {

class PlainSocket final : public Socket {
 public:
  explicit PlainSocket(UniqueFd fd) : fd_(std::move(fd)) {}

  IoResult Read(char* out, size_t size) override {
    ssize_t n;
    do {
      n = recv(fd_.get(), out, size, 0);
    } while (n < 0 && errno == EINTR);
    if (n > 0) return {.kind = IoResult::kDone, .bytes = static_cast<size_t>(n)};
    if (n == 0) return {.kind = IoResult::kEnd};
    if (errno == EAGAIN) return {.kind = IoResult::kAgain};
    return {.kind = IoResult::kError, .error = std::strerror(errno)};
  }

  IoResult Write(const iovec* pieces, int count) override {
    msghdr message{};
    message.msg_iov = const_cast<iovec*>(pieces);
    message.msg_iovlen = static_cast<size_t>(count);
    ssize_t n;
    do {
      n = sendmsg(fd_.get(), &message, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n >= 0) return {.kind = IoResult::kDone, .bytes = static_cast<size_t>(n)};
    if (errno == EAGAIN) return {.kind = IoResult::kAgain};
    return {.kind = IoResult::kError, .error = std::strerror(errno)};
  }

  int fd() const override { return fd_.get(); }
  void ShutdownWrite() override { shutdown(fd_.get(), SHUT_WR); }

 private:
  UniqueFd fd_;
};

// There a round trip takes as long as the scheduler wants.
bool IsLoopback(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return false;
  if (address.ss_family == AF_INET) {
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(&address);
    return ntohl(v4->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
  }
  const auto* v6 = reinterpret_cast<const sockaddr_in6*>(&address);
  return address.ss_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
}

}  // namespace

void TuneTcp(int fd) {
  const int on = 1;
  if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0) return;  // a unix socket
  if (!IsLoopback(fd)) {
    // As the handshake took it; 0: not known.
    tcp_info info{};
    socklen_t size = sizeof info;
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0 || info.tcpi_rtt == 0) return;
    if (std::chrono::microseconds(info.tcpi_rtt) > kNearRoundTrip) return;
  }
  setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &kNearSendBytes, sizeof kNearSendBytes);
}

std::unique_ptr<Socket> NewPlainSocket(UniqueFd fd) {
  TuneTcp(fd.get());
  return std::make_unique<PlainSocket>(std::move(fd));
}

void Output::Copy(std::string_view copied, bool mapped) {
  while (!copied.empty()) {
    if (block_ == nullptr || block_used_ == kBlockBytes) {
      block_ = std::make_shared_for_overwrite<char[]>(kBlockBytes);
      block_used_ = 0;
    }
    size_t n = std::min(copied.size(), kBlockBytes - block_used_);
    char* to = block_.get() + block_used_;
    if (!mapped) {
      std::memcpy(to, copied.data(), n);
    } else if (!MappedCopy(to, copied.data(), n)) {
      broken_ = true;
    }
    block_used_ += n;
    size_ += n;
    if (pieces_.size() > head_ && pieces_.back().data + pieces_.back().size == to) {
      pieces_.back().size += n;
    } else {
      pieces_.push_back({Bytes(block_, {}), to, n});
    }
    copied.remove_prefix(n);
  }
}

void Output::Append(const Bytes& bytes) {
  if (bytes.size() <= kCopyMax) return Copy(bytes.view(), /*mapped=*/true);
  pieces_.push_back({bytes, bytes.data(), bytes.size()});
  size_ += bytes.size();
}

IoResult Output::WriteTo(Socket& socket, size_t bytes_max) {
  IoResult total;
  if (broken_) {
    return {.kind = IoResult::kError, .error = "the disk did not give bytes that were promised"};
  }
  while (head_ < pieces_.size() && total.bytes < bytes_max) {
    iovec vectors[64];
    int count = 0;
    size_t left = bytes_max - total.bytes;
    for (size_t i = head_; i < pieces_.size() && count < 64 && left > 0; ++i, ++count) {
      const size_t size = std::min(left, pieces_[i].size);
      vectors[count] = {const_cast<char*>(pieces_[i].data), size};
      left -= size;
    }
    IoResult written = socket.Write(vectors, count);
    if (written.kind != IoResult::kDone) {
      written.bytes = total.bytes;
      return written;
    }
    total.bytes += written.bytes;
    Advance(written.bytes);
  }
  return total;
}

void Output::Advance(size_t written) {
  size_ -= written;
  while (written > 0) {
    Piece& piece = pieces_[head_];
    size_t n = std::min(written, piece.size);
    piece.data += n;
    piece.size -= n;
    written -= n;
    if (piece.size > 0) return;
    piece.owner = Bytes();
    ++head_;
  }
  if (head_ == pieces_.size()) {
    pieces_.clear();
    head_ = 0;
    block_used_ = 0;  // no piece refers to the block any more
  } else if (head_ > 64) {
    pieces_.erase(pieces_.begin(), pieces_.begin() + static_cast<ptrdiff_t>(head_));
    head_ = 0;
  }
}

void Output::Clear() {
  pieces_.clear();
  head_ = size_ = block_used_ = 0;
}

std::string PeerName(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return "unknown";
  char text[INET6_ADDRSTRLEN] = "";
  if (address.ss_family == AF_INET) {
    auto* v4 = reinterpret_cast<sockaddr_in*>(&address);
    inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text);
    return fmt::format("{}:{}", text, ntohs(v4->sin_port));
  }
  if (address.ss_family == AF_INET6) {
    auto* v6 = reinterpret_cast<sockaddr_in6*>(&address);
    inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof text);
    return fmt::format("[{}]:{}", text, ntohs(v6->sin6_port));
  }
  auto* local = reinterpret_cast<sockaddr_un*>(&address);
  size_t length =
      size > offsetof(sockaddr_un, sun_path) ? size - offsetof(sockaddr_un, sun_path) : 0;
  return "unix:" + std::string(local->sun_path, strnlen(local->sun_path, length));
}

}  // namespace lre::rpc

#include "rpc/fake_peer.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/check.h"
#include "rpc/address.h"

namespace lre::rpc {
namespace {

uint32_t Big32(std::string_view bytes) {
  uint32_t value = 0;
  for (unsigned char c : bytes.substr(0, 4)) value = value << 8 | c;
  return value;
}

void PutLength(std::string& out, size_t size) {
  if (size < 127) {
    out.push_back(static_cast<char>(size));
    return;
  }
  out.push_back(127);
  size -= 127;
  for (; size >= 128; size >>= 7) out.push_back(static_cast<char>(128 | (size & 127)));
  out.push_back(static_cast<char>(size));
}

void SetPatience(int fd) {
  timeval patience{.tv_sec = 10, .tv_usec = 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

}  // namespace

uint32_t FakeFrame::error() const {
  return Big32(type == kFrameGoaway ? std::string_view(payload).substr(4) : payload);
}
uint32_t FakeFrame::goaway_last_stream() const { return Big32(payload) & 0x7fffffff; }

FakePeer::FakePeer(const std::string& address) {
  auto parsed = ParseAddress(address);
  CHECK(parsed.has_value());
  auto found = Resolve(*parsed);
  CHECK(found.has_value());
  SocketAddress& target = found->front();
  fd_ = UniqueFd(socket(target.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
  CHECK(connect(fd_.get(), reinterpret_cast<sockaddr*>(&target.storage), target.size) == 0);
  SetPatience(fd_.get());
}

FakePeer::FakePeer(UniqueFd accepted) : fd_(std::move(accepted)) { SetPatience(fd_.get()); }

void FakePeer::Greet() {
  char preface[24];
  CHECK(ReadExactly(preface, sizeof preface));
  SendFrame(kFrameSettings, 0, 0, {});
}

FakeListener::FakeListener() {
  auto fd = Listen("127.0.0.1:0", address_);
  CHECK(fd.has_value());
  fd_ = std::move(*fd);
  // Listen makes it non-blocking for loops.
  CHECK(fcntl(fd_.get(), F_SETFL, 0) == 0);
}

FakePeer FakeListener::Accept() {
  UniqueFd fd(accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  CHECK(bool(fd));
  return FakePeer(std::move(fd));
}

void FakePeer::Hello(const std::vector<std::pair<uint16_t, uint32_t>>& settings) {
  std::string payload;
  for (auto [id, value] : settings) {
    payload.push_back(static_cast<char>(id >> 8));
    payload.push_back(static_cast<char>(id));
    for (int shift = 24; shift >= 0; shift -= 8)
      payload.push_back(static_cast<char>(value >> shift));
  }
  SendRaw("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + Frame(kFrameSettings, 0, 0, payload));
}

bool FakePeer::SendRaw(std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t n = send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

std::string FakePeer::Frame(uint8_t type, uint8_t flags, uint32_t stream,
                            std::string_view payload) {
  std::string out;
  for (int shift = 16; shift >= 0; shift -= 8) {
    out.push_back(static_cast<char>(payload.size() >> shift));
  }
  out.push_back(static_cast<char>(type));
  out.push_back(static_cast<char>(flags));
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(stream >> shift));
  return out.append(payload);
}

std::string FakePeer::HeaderBlock(const Fields& fields) {
  std::string out;
  for (const auto& [name, value] : fields) {
    out.push_back(0);  // literal, not indexed, new name (RFC 7541 6.2.2)
    PutLength(out, name.size());
    out += name;
    PutLength(out, value.size());
    out += value;
  }
  return out;
}

bool FakePeer::SendFrame(uint8_t type, uint8_t flags, uint32_t stream, std::string_view payload) {
  return SendRaw(Frame(type, flags, stream, payload));
}

bool FakePeer::SendHeaders(uint32_t stream, const Fields& fields, uint8_t flags) {
  return SendFrame(kFrameHeaders, flags, stream, HeaderBlock(fields));
}

bool FakePeer::StartCall(uint32_t stream, const std::string& path, const Fields& more) {
  Fields fields = {{":method", "POST"}, {":scheme", "http"},
                   {":path", path},     {":authority", "test"},
                   {"te", "trailers"},  {"content-type", "application/grpc"}};
  fields.insert(fields.end(), more.begin(), more.end());
  return SendHeaders(stream, fields);
}

bool FakePeer::SendMessage(uint32_t stream, std::string_view message, bool end) {
  std::string payload(1, '\0');
  for (int shift = 24; shift >= 0; shift -= 8) {
    payload.push_back(static_cast<char>(message.size() >> shift));
  }
  payload.append(message);
  return SendFrame(kFrameData, end ? kFlagEndStream : 0, stream, payload);
}

bool FakePeer::ReadExactly(char* out, size_t size) {
  while (size > 0) {
    ssize_t n = recv(fd_.get(), out, size, 0);
    if (n <= 0) {
      ended_ = n == 0 || (errno != EAGAIN && errno != EINTR);
      return false;
    }
    out += n;
    size -= static_cast<size_t>(n);
  }
  return true;
}

std::optional<FakeFrame> FakePeer::Next() {
  for (;;) {
    char header[9];
    if (!ReadExactly(header, 9)) return std::nullopt;
    FakeFrame frame;
    size_t size = Big32(std::string("\0", 1) + std::string(header, 3));
    frame.type = static_cast<uint8_t>(header[3]);
    frame.flags = static_cast<uint8_t>(header[4]);
    frame.stream = Big32(std::string_view(header + 5, 4)) & 0x7fffffff;
    frame.payload.resize(size);
    if (!ReadExactly(frame.payload.data(), size)) return std::nullopt;
    if (frame.type == kFrameWindowUpdate) continue;
    if (frame.type != kFrameSettings) return frame;
    if (!(frame.flags & kFlagAck)) SendFrame(kFrameSettings, kFlagAck, 0, {});
  }
}

std::optional<FakeFrame> FakePeer::NextOf(uint8_t type) {
  for (;;) {
    auto frame = Next();
    if (!frame || frame->type == type) return frame;
  }
}

bool FakePeer::Closed() {
  char byte;
  while (ReadExactly(&byte, 1)) {
  }
  return ended_;
}

std::string FakePeer::ReadAll() {
  std::string all;
  char byte;
  while (ReadExactly(&byte, 1)) all.push_back(byte);
  return all;
}

bool FakePeer::ReadUntil(std::string_view text) {
  std::string seen;
  char byte;
  while (!seen.ends_with(text)) {
    if (!ReadExactly(&byte, 1)) return false;
    seen.push_back(byte);
  }
  return true;
}

void FakePeer::StopWriting() { shutdown(fd_.get(), SHUT_WR); }

}  // namespace lre::rpc

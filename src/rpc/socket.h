// Socket: a connected, non-blocking byte stream, plain or TLS. Output: the bytes that wait to be
// written to one, small ones copied together, large ones held where they are. Both are confined to
// one thread.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/status.h"

namespace lre::rpc {

struct IoResult {
  enum Kind { kDone, kAgain, kEnd, kError };
  Kind kind = kDone;
  size_t bytes = 0;   // kDone
  std::string error;  // kError
};

class Socket {
 public:
  virtual ~Socket() = default;
  virtual IoResult Read(char* out, size_t size) = 0;
  virtual IoResult Write(const iovec* pieces, int count) = 0;
  virtual int fd() const = 0;
  // Ends the sending direction.
  virtual void ShutdownWrite() = 0;
  // TLS: a read that needs the socket to be writable (a handshake in progress).
  virtual bool wants_write() const { return false; }
  // TLS: the last write needs bytes of the peer first (a handshake in progress), not room.
  virtual bool wants_read() const { return false; }
  // TLS: bytes already decrypted that epoll does not know of.
  virtual bool has_pending() const { return false; }
  // Who the peer's certificate says it is.
  virtual std::string identity() const { return {}; }
};

// No delay, and for peers at most kNearRoundTrip away a send buffer of kNearSendBytes (the kernel
// doubles it) instead of the 2.5 to 4 MB that Linux takes on fast links: that is enough for
// 10 Gbit/s over this distance, its memory stays in the processor's cache, so large answers cost
// about half, and a reader that stops holds less. Farther peers need what the kernel chooses.
// Without effect on unix sockets.
inline constexpr Duration kNearRoundTrip = std::chrono::microseconds(300);
inline constexpr int kNearSendBytes = 256 << 10;
void TuneTcp(int fd);

// A TCP or unix socket, tuned; takes over `fd`.
std::unique_ptr<Socket> NewPlainSocket(UniqueFd fd);

class Output {
 public:
  // Pieces up to this size are copied: cheaper than one more iovec and reference.
  static constexpr size_t kCopyMax = 1024;

  void Append(std::string_view copied) { Copy(copied, /*mapped=*/false); }
  // Held until written; copied when small.
  void Append(const Bytes& bytes);
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  // Writes until empty, `bytes_max` are written, the socket is full (kAgain) or an error; `bytes`
  // is what the socket took.
  IoResult WriteTo(Socket& socket, size_t bytes_max = SIZE_MAX);
  void Clear();

 private:
  static constexpr size_t kBlockBytes = 16 << 10;
  struct Piece {
    Bytes owner;
    const char* data;
    size_t size;
  };
  // Bytes that may be of a mapping can turn out not to be readable: then the connection is broken.
  void Copy(std::string_view copied, bool mapped);
  void Advance(size_t written);

  std::vector<Piece> pieces_;
  size_t head_ = 0;  // first piece not fully written
  size_t size_ = 0;
  std::shared_ptr<char[]> block_;  // where copied bytes go
  size_t block_used_ = 0;
  bool broken_ = false;
};

// Names of addresses: "127.0.0.1:80", "[::1]:80", "unix:/path"; "unix:" for an unnamed one.
std::string PeerName(int fd);

}  // namespace lre::rpc

// Wire: one end of an HTTP/2 connection on a non-blocking socket, as bare as nghttp2 allows: frames
// are gathered and sent with writev, bodies are sent from where they lie. Both the load generator
// and the canned server that is its floor are made of it; it shares no code with src/rpc, so that
// it can judge it. Confined to one thread. Body pieces of kCopyBytesMax and more must outlive the
// connection; smaller ones are copied when they are sent.
#pragma once

#include <nghttp2/nghttp2.h>
#include <sys/uio.h>

#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"

namespace lre::bench {

inline constexpr size_t kCopyBytesMax = 1024;

using Pieces = std::vector<std::string_view>;

// What is left to send of one message stream: head, then the pieces, then tail.
class Body {
 public:
  void Reset(std::string_view head, const Pieces* middle, std::string_view tail);
  size_t left() const { return left_; }
  // The next run of at most `size` bytes that lie together; takes it.
  std::string_view Take(size_t size);

 private:
  std::string_view Piece(size_t index) const;
  std::string_view head_, tail_;
  const Pieces* middle_ = nullptr;
  size_t index_ = 0, offset_ = 0, left_ = 0;
};

class Wire {
 public:
  enum class Side { kClient, kServer };
  // What is announced to the peer; the connection's own window is 16 times the stream's.
  struct Options {
    uint32_t stream_window_bytes = 4 << 20;
    uint32_t streams_max = 1000;
  };

  Wire(UniqueFd fd, Side side, Options options);
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;
  virtual ~Wire();

  int fd() const { return fd_.get(); }
  // Reads once and lets nghttp2 call back. False when the connection is over.
  bool Receive();
  // Sends what nghttp2 has to send. False when the connection is over.
  bool Flush();
  // The socket took less than there is: wait until it is writable.
  bool blocked() const { return first_ < pieces_.size(); }

 protected:
  nghttp2_session* session() { return session_; }
  // Sends the stream's `body`, from the stream that the provider is given to.
  static nghttp2_data_provider Provider(Body* body);

  virtual void OnRequestEnd(int32_t /*stream*/) {}  // server: END_STREAM came
  virtual void OnHeader(int32_t /*stream*/, std::string_view /*name*/, std::string_view /*value*/) {
  }
  virtual void OnData(int32_t /*stream*/, std::string_view /*bytes*/) {}
  virtual void OnBodySent(int32_t /*stream*/) {}  // server: the place for trailers
  virtual void OnClose(int32_t /*stream*/, uint32_t /*error*/) {}

 private:
  void MakeSession(Side side, Options options);
  void Fill();
  bool HasRoom(size_t bytes) const;
  void Append(std::string_view bytes);
  static ssize_t ReadBody(nghttp2_session*, int32_t, uint8_t*, size_t, uint32_t*,
                          nghttp2_data_source*, void*);
  static int SendData(nghttp2_session*, nghttp2_frame*, const uint8_t*, size_t,
                      nghttp2_data_source*, void*);

  const UniqueFd fd_;
  const Side side_;
  nghttp2_session* session_ = nullptr;
  std::string copied_;  // never reallocated: pieces_ point into it
  std::vector<iovec> pieces_;
  size_t first_ = 0, gathered_ = 0;
  std::string in_;
};

// A non-blocking TCP connection to host:port (numbers or "localhost"), TCP_NODELAY on.
Result<UniqueFd> ConnectTcp(const std::string& target);
// Listens on a free loopback port; `port` is set.
Result<UniqueFd> ListenLoopback(int* port);

}  // namespace lre::bench

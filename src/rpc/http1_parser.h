// Http1Parser: HTTP/1.1 requests out of bytes, one after the other, bodies by content-length or
// chunked, everything bounded. RFC 9112. Confined to one thread. Whatever two parsers could read
// differently (both lengths given, two lengths, folded lines, bare line feeds) is refused, because
// a proxy in front could see other requests than we do.
#pragma once

#include <string>
#include <string_view>

#include "rpc/server.h"

namespace lre::rpc {

class Http1Parser {
 public:
  struct Limits {
    size_t header_bytes_max = 32 << 10;
    size_t body_bytes_max = 64 << 20;
  };
  enum class State { kHead, kBody, kComplete, kError };

  explicit Http1Parser(Limits limits) : limits_(limits) {}
  // Takes bytes from the front of `bytes` until a request is complete (then take it with Take), the
  // bytes are used up, or an error is found, which ends the connection.
  State Feed(std::string_view& bytes);
  State state() const { return state_; }
  // True when part of a request has arrived.
  bool started() const { return state_ != State::kHead || !line_.empty() || head_bytes_ > 0; }
  // kError: the status to answer with: 400, 413, 431, 501 or 505.
  int error_status() const { return error_status_; }
  size_t body_bytes() const { return request_.body.size(); }
  // Valid from kBody on.
  bool keep_alive() const { return keep_alive_; }
  // The client waits for "100 Continue" before it sends the body. True once per request.
  bool TakeContinue() { return std::exchange(wants_continue_, false); }
  // The complete request; the parser is ready for the next.
  HttpRequest Take();

 private:
  enum class Part { kStart, kFields, kLength, kChunkSize, kChunk, kChunkEnd, kTrailers };
  State Fail(int status);
  bool TakeLine(std::string_view& bytes);
  State OnLine();
  State OnStart();
  State OnField();
  State OnHeadEnd();
  State OnChunkSize();
  State TakeBody(std::string_view& bytes);

  const Limits limits_;
  State state_ = State::kHead;
  Part part_ = Part::kStart;
  HttpRequest request_;
  std::string line_;  // the line being received
  size_t head_bytes_ = 0;
  size_t body_left_ = 0;
  bool has_length_ = false, chunked_ = false, keep_alive_ = true, wants_continue_ = false;
  bool old_version_ = false;
  int error_status_ = 0;
};

// "404 Not Found" without the number.
std::string_view HttpReason(int status);

}  // namespace lre::rpc

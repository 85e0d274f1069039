// MessageReader: cuts the DATA of one stream into gRPC messages (1 byte of flags, 4 bytes of
// length, the message) and decompresses gzip ones, both within a bound. Confined to one thread. A
// length above the bound is refused before a byte of it is stored; a gzip message is refused as
// soon as it grows past.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

#include "base/bytes.h"
#include "base/status.h"

namespace lre::rpc {

enum class Encoding { kIdentity, kGzip };

class MessageReader {
 public:
  void Configure(size_t message_bytes_max, Encoding encoding) {
    bytes_max_ = message_bytes_max;
    encoding_ = encoding;
  }

  struct Message {
    Bytes bytes;
    size_t wire_bytes = 0;  // without the prefix
    bool compressed = false;
  };
  // Takes bytes from the front of `chunk` until a message is complete or the chunk is used up. True
  // when `message` was filled. kResourceExhausted, kInternal or kUnimplemented when the stream is
  // broken.
  Result<bool> Next(std::string_view& chunk, Message& message);
  // True between messages: where a stream may end.
  bool at_boundary() const { return prefix_have_ == 0; }
  // Length of the message being received; 0 between messages.
  size_t pending_length() const { return prefix_have_ == kPrefix ? length_ : 0; }

 private:
  static constexpr size_t kPrefix = 5;
  Status TakePrefix();

  size_t bytes_max_ = 4 << 20;
  Encoding encoding_ = Encoding::kIdentity;
  unsigned char prefix_[kPrefix];
  size_t prefix_have_ = 0;
  size_t length_ = 0;
  size_t have_ = 0;
  std::shared_ptr<char[]> body_;
};

// The gzip or zlib stream in `bytes`; kResourceExhausted beyond `bytes_max`.
Result<Bytes> Gunzip(std::string_view bytes, size_t bytes_max);
// Empty when there is no memory for it.
std::string Gzip(std::string_view bytes);

}  // namespace lre::rpc

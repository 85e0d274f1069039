// MessageWriter: makes the bytes of a protobuf message as pieces: small fields are copied into one
// buffer, large values are passed on without a copy. Confined to one thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "digest/digest.h"

namespace lre::reapi::wire {

size_t VarintSize(uint64_t value);

class MessageWriter {
 public:
  // Values of at least this many bytes become pieces of their own.
  static constexpr size_t kPieceBytesMin = 4096;

  explicit MessageWriter(size_t buffer_bytes = 64) { buffer_.reserve(buffer_bytes); }

  // Nothing is written for zero and for empty text, as proto3 has it.
  void Varint(uint32_t field, uint64_t value);
  void Text(uint32_t field, std::string_view value);
  // The tag and length of a field of `size` bytes, whose content is written next.
  void Open(uint32_t field, size_t size);
  // A bytes field made of pieces.
  void Pieces(uint32_t field, const BytesList& pieces);
  // A Digest message as a field.
  void DigestField(uint32_t field, const Digest& digest);
  // Bytes as they are, without tag.
  void Raw(std::string_view bytes) { buffer_ += bytes; }

  size_t size() const { return finished_bytes_ + buffer_.size(); }
  BytesList Finish();

 private:
  void AppendVarint(uint64_t value);
  void Flush();

  BytesList list_;
  size_t finished_bytes_ = 0;
  std::string buffer_;
};

// The size of a Digest message without its tag and length.
size_t DigestMessageSize(const Digest& digest);

}  // namespace lre::reapi::wire

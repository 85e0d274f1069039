#include "reapi/wire/message_writer.h"

#include <bit>

#include "base/hex.h"

namespace lre::reapi::wire {

size_t VarintSize(uint64_t value) {
  return (static_cast<size_t>(std::bit_width(value | 1)) + 6) / 7;
}

size_t DigestMessageSize(const Digest& digest) {
  const size_t hex = 2 * HashSize(digest.function);
  size_t size = 1 + VarintSize(hex) + hex;
  if (digest.size_bytes != 0) size += 1 + VarintSize(static_cast<uint64_t>(digest.size_bytes));
  return size;
}

void MessageWriter::AppendVarint(uint64_t value) {
  if (value < 0x80) {
    buffer_.push_back(static_cast<char>(value));
    return;
  }
  char bytes[10];
  size_t size = 0;
  while (value >= 0x80) {
    bytes[size++] = static_cast<char>(value | 0x80);
    value >>= 7;
  }
  bytes[size++] = static_cast<char>(value);
  buffer_.append(bytes, size);
}

void MessageWriter::Varint(uint32_t field, uint64_t value) {
  if (value == 0) return;
  AppendVarint(field << 3);
  AppendVarint(value);
}

void MessageWriter::Text(uint32_t field, std::string_view value) {
  if (value.empty()) return;
  Open(field, value.size());
  buffer_ += value;
}

void MessageWriter::Open(uint32_t field, size_t size) {
  AppendVarint(field << 3 | 2);
  AppendVarint(size);
}

void MessageWriter::Pieces(uint32_t field, const BytesList& pieces) {
  const size_t size = TotalSize(pieces);
  if (size == 0) return;
  Open(field, size);
  for (const Bytes& piece : pieces) {
    if (piece.size() < kPieceBytesMin) {
      buffer_ += piece.view();
    } else {
      Flush();
      finished_bytes_ += piece.size();
      list_.push_back(piece);
    }
  }
}

void MessageWriter::DigestField(uint32_t field, const Digest& digest) {
  Open(field, DigestMessageSize(digest));
  const std::string_view hash = digest.hash_view();
  Open(1, 2 * hash.size());
  const size_t at = buffer_.size();
  buffer_.resize(at + 2 * hash.size());
  HexEncodeTo(hash, buffer_.data() + at);
  Varint(2, static_cast<uint64_t>(digest.size_bytes));
}

void MessageWriter::Flush() {
  if (buffer_.empty()) return;
  finished_bytes_ += buffer_.size();
  list_.push_back(Bytes(std::move(buffer_)));
  buffer_.clear();
}

BytesList MessageWriter::Finish() {
  Flush();
  return std::move(list_);
}

}  // namespace lre::reapi::wire

// FieldReader: walks the fields of one protobuf message in place; nothing is copied or allocated.
// Confined to one thread; views borrow from the message. Accepts what protobuf accepts: fields in
// any order, unknown fields and groups, overlong varints; see
// https://protobuf.dev/programming-guides/encoding/.
//
//   FieldReader fields(bytes);
//   while (fields.Next()) {
//     if (fields.Is(2, WireType::kBytes)) Use(fields.bytes());
//   }
//   if (!fields.ok()) ...
#pragma once

#include <cstdint>
#include <string_view>

namespace lre::reapi::wire {

enum class WireType : uint8_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kGroup = 3, kFixed32 = 5 };

class FieldReader {
 public:
  explicit FieldReader(std::string_view message)
      : position_(message.data()), end_(message.data() + message.size()) {}

  // Moves to the next field; false at the end and when the message is malformed (then !ok()).
  bool Next() {
    // What nearly every field is: bytes, with tag and length in one byte each.
    if (end_ - position_ >= 2 && ok_) {
      const auto tag = static_cast<unsigned char>(position_[0]);
      const auto size = static_cast<unsigned char>(position_[1]);
      if ((tag & 0x87) == 2 && tag > 7 && size < 0x80 && size <= end_ - position_ - 2) {
        number_ = tag >> 3;
        type_ = WireType::kBytes;
        bytes_ = {position_ + 2, size};
        position_ += 2 + size;
        return true;
      }
    }
    return NextOfAnyKind();
  }
  bool ok() const { return ok_; }
  uint32_t number() const { return number_; }
  WireType type() const { return type_; }
  bool Is(uint32_t number, WireType type) const { return number_ == number && type_ == type; }
  // The value of a kVarint field.
  uint64_t varint() const { return varint_; }
  int32_t enumeration() const { return static_cast<int32_t>(varint_); }
  // The value of a kBytes field.
  std::string_view bytes() const { return bytes_; }

 private:
  bool Fail() {
    ok_ = false;
    return false;
  }
  bool ReadVarint(uint64_t* value) {
    if (position_ != end_ && static_cast<unsigned char>(*position_) < 0x80) {
      *value = static_cast<unsigned char>(*position_++);
      return true;
    }
    return ReadLongVarint(value);
  }
  bool NextOfAnyKind();
  bool ReadLongVarint(uint64_t* value);
  bool ReadTag(uint64_t* tag);
  bool ReadValue(uint32_t wire_type);
  bool SkipGroup(uint32_t number);

  const char* position_;
  const char* end_;
  uint64_t varint_ = 0;
  std::string_view bytes_;
  uint32_t number_ = 0;
  WireType type_ = WireType::kVarint;
  bool ok_ = true;
};

// Whether `text` may stand in a field of type string.
bool IsUtf8(std::string_view text);

}  // namespace lre::reapi::wire

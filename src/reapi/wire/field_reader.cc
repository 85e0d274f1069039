#include "reapi/wire/field_reader.h"

#include <cstddef>
#include <cstring>

namespace lre::reapi::wire {
namespace {
constexpr int kGroupDepthMax = 100;  // protobuf's own recursion limit
}

bool FieldReader::ReadLongVarint(uint64_t* value) {
  uint64_t result = 0;
  for (int shift = 0; shift < 70; shift += 7) {
    if (position_ == end_) return false;
    const auto byte = static_cast<unsigned char>(*position_++);
    // Bits beyond the 64th are dropped, as protobuf does.
    if (shift < 64) result |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) {
      *value = result;
      return true;
    }
  }
  return false;
}

// A tag has 32 bits, in at most five bytes; bits beyond are dropped, as protobuf does.
bool FieldReader::ReadTag(uint64_t* tag) {
  const char* start = position_;
  if (!ReadVarint(tag) || position_ - start > 5) return false;
  *tag &= UINT32_MAX;
  return (*tag >> 3) != 0;
}

bool FieldReader::ReadValue(uint32_t wire_type) {
  switch (wire_type) {
    case 0:
      return ReadVarint(&varint_);
    case 1:
    case 5: {
      const std::ptrdiff_t size = wire_type == 1 ? 8 : 4;
      if (end_ - position_ < size) return false;
      bytes_ = {position_, static_cast<size_t>(size)};
      position_ += size;
      return true;
    }
    case 2: {
      uint64_t size = 0;
      if (!ReadVarint(&size) || size > static_cast<uint64_t>(end_ - position_)) return false;
      bytes_ = {position_, size};
      position_ += size;
      return true;
    }
    default:
      return false;
  }
}

bool FieldReader::SkipGroup(uint32_t number) {
  uint32_t open[kGroupDepthMax];
  int depth = 0;
  open[depth++] = number;
  while (depth > 0) {
    uint64_t tag = 0;
    if (!ReadTag(&tag)) return false;
    const auto inner = static_cast<uint32_t>(tag >> 3);
    const uint32_t wire_type = tag & 7;
    if (wire_type == 3) {
      if (depth == kGroupDepthMax) return false;
      open[depth++] = inner;
    } else if (wire_type == 4) {
      if (open[--depth] != inner) return false;
    } else if (!ReadValue(wire_type)) {
      return false;
    }
  }
  return true;
}

bool FieldReader::NextOfAnyKind() {
  if (position_ == end_ || !ok_) return false;
  uint64_t tag = 0;
  if (!ReadTag(&tag)) return Fail();
  number_ = static_cast<uint32_t>(tag >> 3);
  const uint32_t wire_type = tag & 7;
  type_ = static_cast<WireType>(wire_type);
  if (wire_type == 3) return SkipGroup(number_) || Fail();
  return ReadValue(wire_type) || Fail();
}

bool IsUtf8(std::string_view text) {
  const auto* p = reinterpret_cast<const unsigned char*>(text.data());
  const auto* end = p + text.size();
  while (p != end) {
    // Nearly all text is ASCII: eight bytes at once while that lasts.
    uint64_t eight;
    while (end - p >= 8) {
      std::memcpy(&eight, p, sizeof eight);
      if ((eight & 0x8080808080808080) != 0) break;
      p += 8;
    }
    if (p == end) break;
    const unsigned char lead = *p++;
    if (lead < 0x80) continue;
    int more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
    if (lead < 0xc2 || lead > 0xf4 || end - p < more) return false;
    // The second byte excludes overlong forms, surrogates and what is beyond U+10FFFF.
    const unsigned char low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    const unsigned char high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    if (*p < low || *p > high) return false;
    for (p++; --more > 0; p++) {
      if (*p < 0x80 || *p > 0xbf) return false;
    }
  }
  return true;
}

}  // namespace lre::reapi::wire

#include "base/hex.h"

#include <array>
#include <cstdint>

namespace lre {
namespace {
constexpr char kDigits[] = "0123456789abcdef";
constexpr std::array<int8_t, 256> kValues = [] {
  std::array<int8_t, 256> values{};
  values.fill(-1);
  for (int i = 0; i < 16; ++i)
    values[static_cast<unsigned char>(kDigits[i])] = static_cast<int8_t>(i);
  return values;
}();
}  // namespace

void HexEncodeTo(std::string_view bytes, char* out) {
  for (unsigned char c : bytes) {
    *out++ = kDigits[c >> 4];
    *out++ = kDigits[c & 15];
  }
}

std::string HexEncode(std::string_view bytes) {
  std::string hex(bytes.size() * 2, '\0');
  HexEncodeTo(bytes, hex.data());
  return hex;
}

bool HexDecodeTo(std::string_view hex, char* out) {
  if (hex.size() % 2 != 0) return false;
  int bad = 0;
  for (size_t i = 0; i < hex.size(); i += 2) {
    int high = kValues[static_cast<unsigned char>(hex[i])];
    int low = kValues[static_cast<unsigned char>(hex[i + 1])];
    bad |= high | low;
    *out++ = static_cast<char>(high << 4 | (low & 15));
  }
  return bad >= 0;
}

}  // namespace lre

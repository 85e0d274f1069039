#include "base/hex.h"

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>

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

static_assert(std::endian::native == std::endian::little);
// Sixteen digits at once, as vectors that the compiler knows on every machine: digests are most of
// what the hot path parses.
using Chars = uint8_t __attribute__((vector_size(16)));
using Pairs = uint16_t __attribute__((vector_size(16)));
using Octets = uint8_t __attribute__((vector_size(8)));

// Decodes 16 digits to 8 bytes; adds to `bad` where there was none.
void Decode16(const char* hex, char* out, Chars& bad) {
  Chars text;
  std::memcpy(&text, hex, sizeof text);
  const Chars number = text - '0', letter = text - 'a';
  const auto is_number = reinterpret_cast<Chars>(number < 10);
  const auto is_letter = reinterpret_cast<Chars>(letter < 6);
  bad |= ~(is_number | is_letter);
  const Chars value = (number & is_number) | ((letter + 10) & is_letter);
  // In each pair the first digit, which is the higher, is the lower byte.
  const auto pairs = reinterpret_cast<Pairs>(value);
  const auto octets = __builtin_convertvector((pairs << 4 | pairs >> 8) & 0xff, Octets);
  std::memcpy(out, &octets, sizeof octets);
}
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
  size_t done = 0;
  Chars wrong{};
  for (; done + sizeof(Chars) <= hex.size(); done += sizeof(Chars), out += sizeof(Octets)) {
    Decode16(hex.data() + done, out, wrong);
  }
  uint64_t halves[2];
  std::memcpy(halves, &wrong, sizeof wrong);
  int bad = (halves[0] | halves[1]) != 0 ? -1 : 0;
  for (size_t i = done; i < hex.size(); i += 2) {
    int high = kValues[static_cast<unsigned char>(hex[i])];
    int low = kValues[static_cast<unsigned char>(hex[i + 1])];
    bad |= high | low;
    *out++ = static_cast<char>(high << 4 | (low & 15));
  }
  return bad >= 0;
}

}  // namespace lre

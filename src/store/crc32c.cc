// The instruction takes 8 bytes a cycle but three cycles to answer, so long inputs go as three
// streams at once, joined by a table that says what a stream's length of zeros does to a checksum
// (a linear map, hence four lookups by byte).
#include "store/crc32c.h"

#include <array>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace lre::store {
namespace {

constexpr uint32_t kPolynomial = 0x82F63B78;  // reflected

constexpr std::array<uint32_t, 256> kByteTable = [] {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? kPolynomial : 0);
    table[i] = crc;
  }
  return table;
}();

uint32_t Portable(uint32_t crc, const char* at, size_t size) {
  for (size_t i = 0; i < size; ++i)
    crc = (crc >> 8) ^ kByteTable[(crc ^ static_cast<uint8_t>(at[i])) & 0xFF];
  return crc;
}

#if defined(__x86_64__)
constexpr size_t kStream = 1360;  // bytes of each of the three; three of them are about 4 KiB

struct ZerosTable {
  uint32_t by_byte[4][256];
  ZerosTable() {
    uint32_t bit[32];
    for (int i = 0; i < 32; ++i) {
      uint32_t crc = 1u << i;
      for (size_t n = 0; n < kStream; ++n) crc = (crc >> 8) ^ kByteTable[crc & 0xFF];
      bit[i] = crc;
    }
    for (int place = 0; place < 4; ++place) {
      for (uint32_t value = 0; value < 256; ++value) {
        uint32_t crc = 0;
        for (int i = 0; i < 8; ++i)
          if ((value >> i & 1) != 0) crc ^= bit[place * 8 + i];
        by_byte[place][value] = crc;
      }
    }
  }
  uint32_t Shift(uint32_t crc) const {
    return by_byte[0][crc & 0xFF] ^ by_byte[1][crc >> 8 & 0xFF] ^ by_byte[2][crc >> 16 & 0xFF] ^
           by_byte[3][crc >> 24];
  }
};

[[gnu::target("sse4.2")]] uint32_t Hardware(uint32_t start, const char* at, size_t size) {
  static const ZerosTable zeros;
  auto load = [](const char* from) {
    uint64_t word;
    std::memcpy(&word, from, sizeof word);
    return word;
  };
  uint64_t crc = start;
  while (size >= 3 * kStream) {
    uint64_t second = 0, third = 0;
    for (size_t i = 0; i < kStream; i += 8) {
      crc = _mm_crc32_u64(crc, load(at + i));
      second = _mm_crc32_u64(second, load(at + kStream + i));
      third = _mm_crc32_u64(third, load(at + 2 * kStream + i));
    }
    crc = zeros.Shift(static_cast<uint32_t>(crc)) ^ second;
    crc = zeros.Shift(static_cast<uint32_t>(crc)) ^ third;
    at += 3 * kStream;
    size -= 3 * kStream;
  }
  for (; size >= 8; at += 8, size -= 8) crc = _mm_crc32_u64(crc, load(at));
  auto narrow = static_cast<uint32_t>(crc);
  for (; size > 0; ++at, --size) narrow = _mm_crc32_u8(narrow, static_cast<uint8_t>(*at));
  return narrow;
}
#endif

}  // namespace

uint32_t Crc32c(std::string_view bytes, uint32_t crc) {
#if defined(__x86_64__)
  static const bool has_instruction = __builtin_cpu_supports("sse4.2");
  if (has_instruction) [[likely]]
    return ~Hardware(~crc, bytes.data(), bytes.size());
#endif
  return ~Portable(~crc, bytes.data(), bytes.size());
}

}  // namespace lre::store

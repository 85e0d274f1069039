// A hash rolls over the bytes, forgetting each after 64 of them; a chunk ends where the bits of a
// mask are all zero. Below the average length the mask has more bits than would give that average,
// above it fewer, which draws lengths towards it (normalisation). Nothing is looked at below the
// least length. Two bytes are taken per step with one shift for both (the 2020 paper's change): the
// first is hashed one bit further left, under a mask that is too.
#include "service/fast_cdc.h"

#include <algorithm>
#include <bit>
#include <string>

#include "base/check.h"
#include "digest/digest.h"

namespace lre::service {
namespace {

constexpr int kNormalisation = 2;
constexpr int kMaskBitsMin = 8;
// By the number of bits: spread so that each depends on a different stretch of bytes. From the
// reference implementation and, at both ends, those that followed it.
constexpr uint64_t kMasks[] = {0x0000001800035300, 0x0000019000353000, 0x0000590003530000,
                               0x0000d90003530000, 0x0000d90103530000, 0x0000d90303530000,
                               0x0000d90313530000, 0x0000d90f03530000, 0x0000d90303537000,
                               0x0000d90703537000, 0x0000d90707537000, 0x0000d91707537000,
                               0x0000d91747537000, 0x0000d91767537000, 0x0000d93767537000};

}  // namespace

const std::array<uint64_t, 256>& GearTable() {
  static const std::array<uint64_t, 256> table = [] {
    std::array<uint64_t, 256> gear{};
    for (size_t byte = 0; byte < gear.size(); byte++) {
      const Digest digest =
          ComputeDigest(DigestFunction::kMd5, std::string(64, static_cast<char>(byte)));
      for (int i = 0; i < 8; i++) {
        gear[byte] = gear[byte] << 8 | static_cast<uint8_t>(digest.hash[static_cast<size_t>(i)]);
      }
    }
    return gear;
  }();
  return table;
}

size_t FastCdcCut(std::string_view bytes, const FastCdcOptions& options) {
  CHECK(std::has_single_bit(options.average_bytes) && options.average_bytes >= 1 << 10 &&
            options.average_bytes <= 1 << 20,
        "the average is a power of two from 1 KiB to 1 MiB");
  if (bytes.size() <= options.bytes_min()) return bytes.size();
  const std::array<uint64_t, 256>& gear = GearTable();
  const int bits = std::countr_zero(options.average_bytes) - kMaskBitsMin;
  const size_t length = std::min(bytes.size(), options.bytes_max());
  const size_t ends[] = {std::min(length, options.average_bytes) & ~size_t{1}, length & ~size_t{1}};
  const uint64_t masks[] = {kMasks[bits + kNormalisation], kMasks[bits - kNormalisation]};
  const uint64_t seed = options.seed;

  uint64_t hash = 0;
  size_t at = options.bytes_min();
  for (int stage = 0; stage < 2; stage++) {
    const uint64_t mask = masks[stage];
    for (; at < ends[stage]; at += 2) {
      const auto first = static_cast<uint8_t>(bytes[at]);
      const auto second = static_cast<uint8_t>(bytes[at + 1]);
      hash = (hash << 2) + ((gear[first] ^ seed) << 1);
      if ((hash & (mask << 1)) == 0) return at;
      hash += gear[second] ^ seed;
      if ((hash & mask) == 0) return at + 1;
    }
  }
  return length;
}

}  // namespace lre::service

// CRC-32C (Castagnoli), the checksum of everything the log store writes. Pure functions. Uses the
// machine's instruction where there is one.
#pragma once

#include <cstdint>
#include <string_view>

namespace lre::store {

// The checksum of what `crc` covered followed by `bytes`; start with 0.
uint32_t Crc32c(std::string_view bytes, uint32_t crc = 0);

}  // namespace lre::store

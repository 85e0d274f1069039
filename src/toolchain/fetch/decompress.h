// Decompresses whole files in memory: the indices of archives. Thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"

namespace lre::toolchain {

// gzip, bzip2, xz, lzma, zstd, lz4 or nothing, told by the bytes. kDataLoss: they are broken;
// kOutOfRange: more than `size_bytes_max` come out.
Result<std::string> Decompress(std::string_view bytes, uint64_t size_bytes_max);

}  // namespace lre::toolchain

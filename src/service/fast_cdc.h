// FastCDC 2020: where content-defined chunks end, so that an insertion changes only the chunks
// around it. Free functions, thread-safe. As REAPI clients compute it (ChunkingFunction
// FAST_CDC_2020): normalisation 2, chunks from a quarter of the average to four times it. Source:
// Xia et al., "The Design of Fast Content-Defined Chunking for Data Deduplication Based Storage
// Systems", IEEE TPDS 31 (2020), with the masks of its reference implementation.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace lre::service {

struct FastCdcOptions {
  size_t average_bytes = 512 << 10;  // a power of two from 1 KiB to 1 MiB
  uint32_t seed = 0;
  size_t bytes_min() const { return average_bytes / 4; }
  size_t bytes_max() const { return average_bytes * 4; }
};

// The length of the chunk at the start of `bytes`, which are either all that remain of the blob or
// at least bytes_max(). 0 only for no bytes.
size_t FastCdcCut(std::string_view bytes, const FastCdcOptions& options);

// What each byte adds to the rolling hash: of the MD5 of the byte 64 times, the first 8 bytes.
const std::array<uint64_t, 256>& GearTable();

}  // namespace lre::service

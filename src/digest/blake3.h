// Blake3: the hash function BLAKE3 (plain mode, 32 bytes of output), as
// https://github.com/BLAKE3-team/BLAKE3-specs/blob/master/blake3.pdf defines it. Debian has no C
// library of it, so this is our own. A plain value: one thread at a time, copies continue from
// where the original was. Inputs up to 2^64 - 1 bytes.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace lre {

class Blake3 {
 public:
  static constexpr size_t kHashSize = 32;

  Blake3() { Reset(); }
  void Reset();
  void Update(std::string_view bytes);
  // Writes the hash of all bytes since the last Reset; more may follow.
  void Finish(char out[kHashSize]) const;

 private:
  using ChainingValue = std::array<uint32_t, 8>;
  static constexpr size_t kBlockSize = 64;
  static constexpr size_t kChunkSize = 1024;
  // Subtrees waiting for their right sibling: one per level of a tree of 2^54 chunks.
  static constexpr int kDepthMax = 54;

  void AppendToChunk(std::string_view& bytes);
  void PushSubtree(ChainingValue value, uint64_t chunks);

  ChainingValue chunk_value_;
  uint64_t chunks_done_;
  uint8_t block_[kBlockSize];
  uint32_t block_size_;
  uint32_t blocks_done_;
  int depth_;
  ChainingValue stack_[kDepthMax];
};

}  // namespace lre

// BLAKE3 cuts its input into chunks of 1 KiB, chains the 64-byte blocks of each chunk, and joins
// the chunks' values pairwise into a binary tree whose left subtrees are always complete. So the
// only state is the chunk being filled and a stack of complete subtrees, one for every bit set in
// the number of finished chunks.
//
// Long inputs are hashed several chunks at a time, one chunk per vector lane (16 with AVX-512, 8
// with AVX2), chosen when the process starts to hash. GCC's vector types make one template serve
// every width; the template must be inlined into a function that has the target's instructions.
#include "digest/blake3.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace lre {
namespace {

constexpr uint32_t kIv[8] = {0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A,
                             0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19};
// The message word that each round uses at each place: the permutation of the paper, applied
// again for each round.
constexpr uint8_t kSchedule[7][16] = {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
                                      {2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8},
                                      {3, 4, 10, 12, 13, 2, 7, 14, 6, 5, 9, 0, 11, 15, 8, 1},
                                      {10, 7, 12, 9, 14, 3, 13, 15, 4, 0, 11, 2, 5, 8, 1, 6},
                                      {12, 13, 9, 11, 15, 10, 14, 8, 7, 2, 5, 3, 0, 1, 6, 4},
                                      {9, 14, 11, 5, 8, 12, 15, 1, 13, 3, 0, 10, 2, 6, 4, 7},
                                      {11, 15, 5, 0, 1, 9, 8, 6, 14, 10, 2, 12, 3, 4, 7, 13}};
constexpr uint32_t kChunkStart = 1, kChunkEnd = 2, kParent = 4, kRoot = 8;

// `Word` is uint32_t or a vector of them. References, because a vector that the caller's target
// does not know must not be passed by value.
template <typename Word>
[[gnu::always_inline]] inline void Mix(Word& a, Word& b, Word& c, Word& d, const Word& x,
                                       const Word& y) {
  a = a + b + x;
  d ^= a;
  d = (d >> 16) | (d << 16);
  c += d;
  b ^= c;
  b = (b >> 12) | (b << 20);
  a = a + b + y;
  d ^= a;
  d = (d >> 8) | (d << 24);
  c += d;
  b ^= c;
  b = (b >> 7) | (b << 25);
}

template <typename Word>
[[gnu::always_inline]] inline void Rounds(Word v[16], const Word m[16]) {
#pragma GCC unroll 7
  for (int round = 0; round < 7; ++round) {
    const uint8_t* s = kSchedule[round];
    Mix(v[0], v[4], v[8], v[12], m[s[0]], m[s[1]]);
    Mix(v[1], v[5], v[9], v[13], m[s[2]], m[s[3]]);
    Mix(v[2], v[6], v[10], v[14], m[s[4]], m[s[5]]);
    Mix(v[3], v[7], v[11], v[15], m[s[6]], m[s[7]]);
    Mix(v[0], v[5], v[10], v[15], m[s[8]], m[s[9]]);
    Mix(v[1], v[6], v[11], v[12], m[s[10]], m[s[11]]);
    Mix(v[2], v[7], v[8], v[13], m[s[12]], m[s[13]]);
    Mix(v[3], v[4], v[9], v[14], m[s[14]], m[s[15]]);
  }
}

struct Node {
  uint64_t counter = 0;
  uint32_t size = 64;
  uint32_t flags = 0;
};

// `value` becomes the chaining value after `block`.
void Compress(std::array<uint32_t, 8>& value, const uint8_t block[64], const Node& node) {
  uint32_t m[16];
  std::memcpy(m, block, sizeof m);
  uint32_t v[16] = {value[0],
                    value[1],
                    value[2],
                    value[3],
                    value[4],
                    value[5],
                    value[6],
                    value[7],
                    kIv[0],
                    kIv[1],
                    kIv[2],
                    kIv[3],
                    static_cast<uint32_t>(node.counter),
                    static_cast<uint32_t>(node.counter >> 32),
                    node.size,
                    node.flags};
  Rounds(v, m);
  for (int i = 0; i < 8; ++i) value[i] = v[i] ^ v[i + 8];
}
static_assert(std::endian::native == std::endian::little, "words are loaded as they lie");

std::array<uint32_t, 8> ParentValue(const std::array<uint32_t, 8>& left,
                                    const std::array<uint32_t, 8>& right, uint32_t flags) {
  uint8_t block[64];
  std::memcpy(block, left.data(), 32);
  std::memcpy(block + 32, right.data(), 32);
  std::array<uint32_t, 8> value;
  std::copy(std::begin(kIv), std::end(kIv), value.begin());
  Compress(value, block, {.flags = kParent | flags});
  return value;
}

// How kLanes inputs of `blocks` blocks each, `stride` bytes apart, are hashed together.
struct Lanes {
  size_t stride;
  int blocks;
  uint64_t counter;  // of the first lane
  uint32_t step;     // what each lane adds: 1 for chunks, 0 for parents
  uint32_t flags;    // of every block
  uint32_t first;    // of the first block also
  uint32_t last;     // of the last block also
};

template <typename Word, size_t kLanes>
[[gnu::always_inline]] inline void HashLanes(const uint8_t* input, const Lanes& lanes,
                                             std::array<uint32_t, 8>* out) {
  Word value[8], low, high;
  for (int i = 0; i < 8; ++i) value[i] = Word{} + kIv[i];
  for (size_t lane = 0; lane < kLanes; ++lane) {
    uint64_t counter = lanes.counter + lane * lanes.step;
    low[lane] = static_cast<uint32_t>(counter);
    high[lane] = static_cast<uint32_t>(counter >> 32);
  }
  for (int b = 0; b < lanes.blocks; ++b) {
    alignas(64) uint32_t words[16][kLanes];
    for (size_t lane = 0; lane < kLanes; ++lane) {
      uint32_t block[16];
      std::memcpy(block, input + lane * lanes.stride + static_cast<size_t>(b) * 64, 64);
      for (int w = 0; w < 16; ++w) words[w][lane] = block[w];
    }
    Word m[16];
    std::memcpy(m, words, sizeof m);
    uint32_t flags =
        lanes.flags | (b == 0 ? lanes.first : 0) | (b == lanes.blocks - 1 ? lanes.last : 0);
    Word v[16] = {
        value[0], value[1], value[2],        value[3],        value[4],        value[5],
        value[6], value[7], Word{} + kIv[0], Word{} + kIv[1], Word{} + kIv[2], Word{} + kIv[3],
        low,      high,     Word{} + 64u,    Word{} + flags};
    Rounds(v, m);
    for (int i = 0; i < 8; ++i) value[i] = v[i] ^ v[i + 8];
  }
  for (size_t lane = 0; lane < kLanes; ++lane)
    for (int i = 0; i < 8; ++i) out[lane][i] = value[i][lane];
}

#if defined(__x86_64__)
typedef uint32_t Vector8 __attribute__((vector_size(32)));
typedef uint32_t Vector16 __attribute__((vector_size(64)));
[[gnu::target("avx2")]] void HashLanes8(const uint8_t* input, const Lanes& lanes,
                                        std::array<uint32_t, 8>* out) {
  HashLanes<Vector8, 8>(input, lanes, out);
}
[[gnu::target("avx512f,avx512vl")]] void HashLanes16(const uint8_t* input, const Lanes& lanes,
                                                     std::array<uint32_t, 8>* out) {
  HashLanes<Vector16, 16>(input, lanes, out);
}
#endif
typedef uint32_t Vector4 __attribute__((vector_size(16)));
void HashLanes4(const uint8_t* input, const Lanes& lanes, std::array<uint32_t, 8>* out) {
  HashLanes<Vector4, 4>(input, lanes, out);
}

struct Kernel {
  size_t lanes;
  void (*hash)(const uint8_t*, const Lanes&, std::array<uint32_t, 8>*);
};

Kernel KernelFor(size_t lanes_max) {
#if defined(__x86_64__)
  if (lanes_max >= 16 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl"))
    return {16, HashLanes16};
  if (lanes_max >= 8 && __builtin_cpu_supports("avx2")) return {8, HashLanes8};
#endif
  return {4, HashLanes4};
}

constexpr size_t kLanesMax = 16;

// The value of the complete subtree over kernel.lanes chunks at `input`.
std::array<uint32_t, 8> SubtreeValue(const Kernel& kernel, const uint8_t* input, uint64_t counter) {
  std::array<uint32_t, 8> values[kLanesMax];
  kernel.hash(input,
              {.stride = 1024,
               .blocks = 16,
               .counter = counter,
               .step = 1,
               .flags = 0,
               .first = kChunkStart,
               .last = kChunkEnd},
              values);
  for (size_t count = kernel.lanes; count > 1; count /= 2) {
    for (size_t i = 0; i < count / 2; ++i)
      values[i] = ParentValue(values[2 * i], values[2 * i + 1], 0);
  }
  return values[0];
}

}  // namespace

void Blake3::Reset() {
  std::copy(std::begin(kIv), std::end(kIv), chunk_value_.begin());
  chunks_done_ = 0;
  block_size_ = 0;
  blocks_done_ = 0;
  depth_ = 0;
}

// Joins the finished subtree of `chunks` chunks (a power of two, aligned to it) with those that
// wait for it.
void Blake3::PushSubtree(ChainingValue value, uint64_t chunks) {
  chunks_done_ += chunks;
  for (uint64_t rest = chunks_done_ / chunks; (rest & 1) == 0; rest >>= 1)
    value = ParentValue(stack_[--depth_], value, 0);
  stack_[depth_++] = value;
}

// Takes up to the end of the current chunk. A full last block stays uncompressed until more bytes
// come, because the last block of all is compressed differently.
void Blake3::AppendToChunk(std::string_view& bytes) {
  while (!bytes.empty()) {
    if (block_size_ == kBlockSize) {
      bool chunk_full = blocks_done_ == kChunkSize / kBlockSize - 1;
      uint32_t flags = (blocks_done_ == 0 ? kChunkStart : 0) | (chunk_full ? kChunkEnd : 0);
      Compress(chunk_value_, block_, {.counter = chunks_done_, .flags = flags});
      block_size_ = 0;
      ++blocks_done_;
      if (chunk_full) {
        PushSubtree(chunk_value_, 1);
        std::copy(std::begin(kIv), std::end(kIv), chunk_value_.begin());
        blocks_done_ = 0;
        return;
      }
    }
    size_t n = std::min(bytes.size(), kBlockSize - block_size_);
    std::memcpy(block_ + block_size_, bytes.data(), n);
    block_size_ += static_cast<uint32_t>(n);
    bytes.remove_prefix(n);
  }
}

void Blake3::Update(std::string_view bytes) {
  static const Kernel kernel = KernelFor(kLanesMax);
  while (!bytes.empty()) {
    // Strictly more than the lanes hold: the last chunk of all may be the root and stays behind.
    if (block_size_ == 0 && blocks_done_ == 0 && chunks_done_ % kernel.lanes == 0 &&
        bytes.size() > kernel.lanes * kChunkSize) {
      const auto* input = reinterpret_cast<const uint8_t*>(bytes.data());
      PushSubtree(SubtreeValue(kernel, input, chunks_done_), kernel.lanes);
      bytes.remove_prefix(kernel.lanes * kChunkSize);
      continue;
    }
    AppendToChunk(bytes);
  }
}

void Blake3::Finish(char out[kHashSize]) const {
  uint8_t block[kBlockSize] = {};
  std::memcpy(block, block_, block_size_);
  ChainingValue value = chunk_value_;
  uint32_t flags = (blocks_done_ == 0 ? kChunkStart : 0) | kChunkEnd | (depth_ == 0 ? kRoot : 0);
  // The root is always compressed with counter 0; a lone chunk's counter is 0 anyway.
  Compress(value, block, {.counter = chunks_done_, .size = block_size_, .flags = flags});
  for (int i = depth_ - 1; i >= 0; --i) value = ParentValue(stack_[i], value, i == 0 ? kRoot : 0);
  std::memcpy(out, value.data(), kHashSize);
}

}  // namespace lre

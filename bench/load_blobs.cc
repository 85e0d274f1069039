#include "load_blobs.h"

#include <zstd.h>

#include <array>
#include <cstring>

#include "base/check.h"
#include "base/random.h"

namespace lre::bench {
namespace {

constexpr size_t kBodyBytes = 64 << 20;

// Words of a dictionary among random ones: zstd makes about 40 % of it.
std::string MakeBody() {
  Random random(42);
  std::array<uint64_t, 4096> words;
  for (uint64_t& word : words) word = random.Below(UINT64_MAX);
  std::string body(kBodyBytes, '\0');
  for (size_t at = 0; at < body.size(); at += 8) {
    uint64_t dice = random.Below(UINT64_MAX);
    uint64_t word = dice % 4 == 0 ? dice : words[(dice >> 2) % words.size()];
    std::memcpy(&body[at], &word, 8);
  }
  return body;
}

}  // namespace

BlobSet::BlobSet(size_t size, uint64_t nonce)
    : nonce_(nonce), prefix_([size] {
        static const std::string body = MakeBody();
        CHECK(size >= kOwnBytes && size <= body.size());
        return std::string_view(body).substr(0, size - kOwnBytes);
      }()) {
  hashed_.reset(EVP_MD_CTX_new());
  scratch_.reset(EVP_MD_CTX_new());
  CHECK(EVP_DigestInit_ex(hashed_.get(), EVP_sha256(), nullptr) == 1);
  CHECK(EVP_DigestUpdate(hashed_.get(), prefix_.data(), prefix_.size()) == 1);
}

std::string BlobSet::Own(uint64_t i) const {
  std::string own(kOwnBytes, '\0');
  std::memcpy(own.data(), &nonce_, 8);
  std::memcpy(own.data() + 8, &i, 8);
  return own;
}

Digest BlobSet::DigestOf(uint64_t i) const {
  std::string own = Own(i);
  Digest digest{.function = DigestFunction::kSha256, .size_bytes = static_cast<int64_t>(size())};
  CHECK(EVP_MD_CTX_copy_ex(scratch_.get(), hashed_.get()) == 1);
  CHECK(EVP_DigestUpdate(scratch_.get(), own.data(), own.size()) == 1);
  CHECK(EVP_DigestFinal_ex(scratch_.get(), reinterpret_cast<unsigned char*>(digest.hash.data()),
                           nullptr) == 1);
  return digest;
}

// The prefix as complete blocks of a frame that is not ended.
std::string_view BlobSet::zstd_prefix() const {
  if (!zstd_prefix_.empty()) return zstd_prefix_;
  ZSTD_CCtx* context = ZSTD_createCCtx();
  zstd_prefix_.resize(ZSTD_compressBound(prefix_.size()) + 1024);
  ZSTD_inBuffer in{prefix_.data(), prefix_.size(), 0};
  ZSTD_outBuffer out{zstd_prefix_.data(), zstd_prefix_.size(), 0};
  CHECK(ZSTD_compressStream2(context, &out, &in, ZSTD_e_flush) == 0);
  zstd_prefix_.resize(out.pos);
  ZSTD_freeCCtx(context);
  return zstd_prefix_;
}

// A last block of type raw (RFC 8878, 3.1.1.2): bit 0 last, bits 1-2 type 0, then the size.
std::string BlobSet::ZstdOwn(uint64_t i) const {
  uint32_t header = 1 | kOwnBytes << 3;
  std::string block(reinterpret_cast<const char*>(&header), 3);
  return block + Own(i);
}

}  // namespace lre::bench

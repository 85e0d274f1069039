// BlobSet: any number of different blobs of one size, made without storing or hashing them whole. A
// blob is a prefix of one shared body and then 16 bytes of its own (a nonce and a number), so its
// SHA-256 costs one block after the shared prefix was hashed once. The body compresses about as
// object files do. Constant after construction; the body lives as long as the program.
#pragma once

#include <openssl/evp.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "digest/digest.h"

namespace lre::bench {

inline constexpr size_t kOwnBytes = 16;

class BlobSet {
 public:
  // REQUIRES: kOwnBytes <= size <= 64 MiB.
  BlobSet(size_t size, uint64_t nonce);

  size_t size() const { return prefix_.size() + kOwnBytes; }
  std::string_view prefix() const { return prefix_; }
  std::string Own(uint64_t i) const;
  Digest DigestOf(uint64_t i) const;
  // A zstd frame of every blob is zstd_prefix() + ZstdOwn(i). Made on first use.
  std::string_view zstd_prefix() const;
  std::string ZstdOwn(uint64_t i) const;

 private:
  struct Free {
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  };
  const uint64_t nonce_;
  const std::string_view prefix_;
  std::unique_ptr<EVP_MD_CTX, Free> hashed_, scratch_;
  mutable std::string zstd_prefix_;
};

}  // namespace lre::bench

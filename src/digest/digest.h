// Digest: the name of a blob, its hash and its size, as the REAPI has it
// (build.bazel.remote.execution.v2.Digest), with the hash as bytes and the function that made it.
// A plain value. Text is lower-case hex: anything else is refused at the border.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace lre {

// Numbers are those of build.bazel.remote.execution.v2.DigestFunction.Value.
enum class DigestFunction : uint8_t {
  kUnknown = 0,
  kSha256 = 1,
  kSha1 = 2,
  kMd5 = 3,
  kSha384 = 5,
  kSha512 = 6,
  kBlake3 = 9,
};

// The functions LRE serves, in the order in which it announces them.
inline constexpr DigestFunction kDigestFunctions[] = {
    DigestFunction::kSha256, DigestFunction::kSha1,   DigestFunction::kSha384,
    DigestFunction::kSha512, DigestFunction::kBlake3, DigestFunction::kMd5};

// Bytes of a hash: 32 for kSha256; 0 for kUnknown.
size_t HashSize(DigestFunction function);
// "sha256", "blake3", ...: as resource names spell it (lower case). Empty for kUnknown.
std::string_view DigestFunctionName(DigestFunction function);
// By that name; kUnknown when it is none that LRE serves.
DigestFunction DigestFunctionByName(std::string_view name);
// The function that a request means that names none: by the length of the hash in hex digits, for
// the functions that the REAPI allows to be inferred (MD5, SHA1, SHA256, SHA384, SHA512); else
// kUnknown.
DigestFunction InferDigestFunction(size_t hex_length);

struct Digest {
  static constexpr size_t kHashSizeMax = 64;

  DigestFunction function = DigestFunction::kUnknown;
  std::array<char, kHashSizeMax> hash{};  // the first HashSize(function) bytes, the rest zero
  int64_t size_bytes = 0;

  std::string_view hash_view() const { return {hash.data(), HashSize(function)}; }
  std::string Hex() const;
  // "<hex>/<size>", as messages and logs name a blob.
  std::string ToString() const;

  friend bool operator==(const Digest& a, const Digest& b) {
    return a.size_bytes == b.size_bytes && a.function == b.function && a.hash == b.hash;
  }
  friend auto operator<=>(const Digest& a, const Digest& b) = default;
};

// kInvalidArgument when `hex` is not the lower-case hex of a hash of `function`, or the size
// negative.
Result<Digest> MakeDigest(DigestFunction function, std::string_view hex, int64_t size_bytes);
// The digest of `bytes`. REQUIRES: function is not kUnknown.
Digest ComputeDigest(DigestFunction function, std::string_view bytes);
// The digest of no bytes.
Digest EmptyDigest(DigestFunction function);

// Hashes are uniform already: the first eight bytes serve every hash table.
struct DigestHash {
  size_t operator()(const Digest& digest) const {
    uint64_t value;
    std::memcpy(&value, digest.hash.data(), sizeof value);
    return value ^ static_cast<uint64_t>(digest.size_bytes);
  }
};

}  // namespace lre

template <>
struct std::hash<lre::Digest> : lre::DigestHash {};
template <>
struct fmt::formatter<lre::Digest> : fmt::formatter<std::string> {
  auto format(const lre::Digest& digest, fmt::format_context& context) const {
    return fmt::formatter<std::string>::format(digest.ToString(), context);
  }
};

#include "digest/digest.h"

#include "base/hex.h"

namespace lre {

size_t HashSize(DigestFunction function) {
  switch (function) {
    case DigestFunction::kSha256:
    case DigestFunction::kBlake3:
      return 32;
    case DigestFunction::kSha1:
      return 20;
    case DigestFunction::kMd5:
      return 16;
    case DigestFunction::kSha384:
      return 48;
    case DigestFunction::kSha512:
      return 64;
    case DigestFunction::kUnknown:
      break;
  }
  return 0;
}

std::string_view DigestFunctionName(DigestFunction function) {
  switch (function) {
    case DigestFunction::kSha256:
      return "sha256";
    case DigestFunction::kSha1:
      return "sha1";
    case DigestFunction::kMd5:
      return "md5";
    case DigestFunction::kSha384:
      return "sha384";
    case DigestFunction::kSha512:
      return "sha512";
    case DigestFunction::kBlake3:
      return "blake3";
    case DigestFunction::kUnknown:
      break;
  }
  return {};
}

DigestFunction DigestFunctionByName(std::string_view name) {
  for (DigestFunction function : kDigestFunctions)
    if (DigestFunctionName(function) == name) return function;
  return DigestFunction::kUnknown;
}

DigestFunction InferDigestFunction(size_t hex_length) {
  for (DigestFunction function : kDigestFunctions) {
    // BLAKE3 hashes are as long as those of SHA256, which the REAPI says such a length means.
    if (function != DigestFunction::kBlake3 && HashSize(function) * 2 == hex_length)
      return function;
  }
  return DigestFunction::kUnknown;
}

std::string Digest::Hex() const { return HexEncode(hash_view()); }

std::string Digest::ToString() const {
  std::string text(HashSize(function) * 2, '\0');
  HexEncodeTo(hash_view(), text.data());
  return text.append("/").append(std::to_string(size_bytes));
}

Result<Digest> MakeDigest(DigestFunction function, std::string_view hex, int64_t size_bytes) {
  size_t expected = HashSize(function) * 2;
  if (expected == 0)
    return Error(Code::kInvalidArgument, "hash {:.140}: unknown digest function", hex);
  if (hex.size() != expected) {
    return Error(Code::kInvalidArgument, "hash {:.140}: {} characters where {} has {}", hex,
                 hex.size(), DigestFunctionName(function), expected);
  }
  Digest digest{.function = function, .size_bytes = size_bytes};
  if (!HexDecodeTo(hex, digest.hash.data()))
    return Error(Code::kInvalidArgument, "hash {}: not lower-case hexadecimal", hex);
  if (size_bytes < 0)
    return Error(Code::kInvalidArgument, "digest {}/{}: negative size", hex, size_bytes);
  return digest;
}

}  // namespace lre

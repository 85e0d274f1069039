#include "toolchain/nix/store_name.h"

#include <algorithm>

#include "base/hex.h"

namespace lre::toolchain {
namespace {

constexpr std::string_view kAlphabet = "0123456789abcdfghijklmnpqrsvwxyz";
constexpr size_t kSha256Bytes = 32;

bool IsDigit32(char c) { return kAlphabet.find(c) != kAlphabet.npos; }

bool IsNameCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("+-._").find(c) != std::string_view::npos;
}

size_t LengthIn32(size_t size) { return size == 0 ? 0 : (size * 8 - 1) / 5 + 1; }

}  // namespace

size_t NixNameLength(std::string_view text) {
  if (text.size() < kNixHashLength + 2 || text[kNixHashLength] != '-') return 0;
  if (!std::all_of(text.begin(), text.begin() + kNixHashLength, IsDigit32)) return 0;
  size_t end = kNixHashLength + 1;
  const size_t bound = std::min(text.size(), end + kNixNameMax);
  if (text[end] == '.') return 0;
  while (end < bound && IsNameCharacter(text[end])) ++end;
  while (text[end - 1] == '.' || text[end - 1] == '-') --end;
  return end > kNixHashLength + 1 ? end : 0;
}

bool IsNixName(std::string_view name) {
  return !name.empty() && NixNameLength(name) == name.size();
}

bool IsNixPath(std::string_view path) {
  return path.size() > kNixStorePrefix.size() && path.starts_with(kNixStorePrefix) &&
         path[kNixStorePrefix.size()] == '/' && IsNixName(NixBaseName(path));
}

std::string_view NixBaseName(std::string_view path) {
  return path.substr(std::min(path.size(), kNixStorePrefix.size() + 1));
}

// The bytes are one little-endian number, written from its highest digit on.
std::string NixBase32(std::string_view bytes) {
  std::string text;
  for (size_t n = LengthIn32(bytes.size()); n-- > 0;) {
    const size_t bit = n * 5, at = bit / 8, shift = bit % 8;
    unsigned digit = static_cast<unsigned char>(bytes[at]) >> shift;
    if (at + 1 < bytes.size())
      digit |= static_cast<unsigned>(static_cast<unsigned char>(bytes[at + 1])) << (8 - shift);
    text += kAlphabet[digit & 31];
  }
  return text;
}

std::optional<std::string> DecodeNixBase32(std::string_view text, size_t size) {
  if (text.size() != LengthIn32(size)) return std::nullopt;
  std::string bytes(size, '\0');
  for (size_t n = 0; n < text.size(); ++n) {
    const size_t digit = kAlphabet.find(text[text.size() - n - 1]);
    if (digit == kAlphabet.npos) return std::nullopt;
    const size_t bit = n * 5, at = bit / 8, shift = bit % 8;
    bytes[at] = static_cast<char>(static_cast<unsigned char>(bytes[at]) | digit << shift);
    const size_t carry = digit >> (8 - shift);
    if (at + 1 < size)
      bytes[at + 1] = static_cast<char>(static_cast<unsigned char>(bytes[at + 1]) | carry);
    else if (carry != 0)
      return std::nullopt;
  }
  return bytes;
}

Result<std::string> ParseNixSha256(std::string_view text) {
  constexpr std::string_view kName = "sha256:";
  if (text.starts_with(kName)) {
    const std::string_view digits = text.substr(kName.size());
    const bool hex =
        digits.size() == kSha256Bytes * 2 && std::all_of(digits.begin(), digits.end(), [](char c) {
          return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
        });
    if (hex) return std::string(digits);
    if (const auto bytes = DecodeNixBase32(digits, kSha256Bytes)) return HexEncode(*bytes);
  }
  return Error(Code::kInvalidArgument, "'{}' is not a SHA-256 as Nix writes it", text);
}

std::string PrintNixSha256(std::string_view hex) {
  std::string bytes(hex.size() / 2, '\0');
  if (!HexDecodeTo(hex, bytes.data())) return {};
  return "sha256:" + NixBase32(bytes);
}

}  // namespace lre::toolchain

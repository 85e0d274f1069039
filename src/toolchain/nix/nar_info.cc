#include "toolchain/nix/nar_info.h"

#include <openssl/evp.h>

#include <algorithm>
#include <charconv>
#include <memory>
#include <optional>

#include "toolchain/nix/store_name.h"

namespace lre::toolchain {
namespace {

constexpr size_t kKeyBytes = 32, kSignatureBytes = 64;
constexpr size_t kReferencesMax = 10000;

std::optional<std::string> DecodeBase64(std::string_view text) {
  if (text.empty() || text.size() % 4 != 0 || text.size() > 4096) return std::nullopt;
  std::string bytes(text.size() / 4 * 3, '\0');
  const int length = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(bytes.data()),
                                     reinterpret_cast<const unsigned char*>(text.data()),
                                     static_cast<int>(text.size()));
  if (length < 0) return std::nullopt;
  size_t padding = 0;
  while (padding < 2 && text[text.size() - 1 - padding] == '=') ++padding;
  bytes.resize(static_cast<size_t>(length) - padding);
  return bytes;
}

struct NamedBytes {
  std::string_view name;
  std::string bytes;
};
std::optional<NamedBytes> ParseNamed(std::string_view text, size_t size) {
  const size_t colon = text.find(':');
  if (colon == text.npos || colon == 0) return std::nullopt;
  auto bytes = DecodeBase64(text.substr(colon + 1));
  if (!bytes || bytes->size() != size) return std::nullopt;
  return NamedBytes{text.substr(0, colon), std::move(*bytes)};
}

const unsigned char* Unsigned(std::string_view bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}

bool Verifies(std::string_view key, std::string_view signature, std::string_view message) {
  const std::unique_ptr<EVP_PKEY, void (*)(EVP_PKEY*)> public_key(
      EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, Unsigned(key), key.size()),
      EVP_PKEY_free);
  const std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context(EVP_MD_CTX_new(),
                                                                   EVP_MD_CTX_free);
  return public_key && context &&
         EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, public_key.get()) == 1 &&
         EVP_DigestVerify(context.get(), Unsigned(signature), signature.size(), Unsigned(message),
                          message.size()) == 1;
}

// Base names, sorted; the path itself is noted apart.
Status ParseReferences(std::string_view value, NarInfo* info) {
  while (!value.empty()) {
    const size_t end = std::min(value.find(' '), value.size());
    const std::string_view name = value.substr(0, end);
    value.remove_prefix(std::min(end + 1, value.size()));
    if (name.empty()) continue;
    if (!IsNixName(name))
      return ErrorStatus(Code::kInvalidArgument, "References: '{}' is no store path", name);
    info->references.emplace_back(name);
    if (info->references.size() > kReferencesMax)
      return ErrorStatus(Code::kInvalidArgument, "more than {} references", kReferencesMax);
  }
  std::sort(info->references.begin(), info->references.end());
  return {};
}

Status ParseField(std::string_view key, std::string_view value, NarInfo* info) {
  if (key == "StorePath") info->store_path = value;
  if (key == "URL") info->url = value;
  if (key == "Compression") info->compression = value;
  if (key == "Sig") info->signatures.emplace_back(value);
  if (key == "References") return ParseReferences(value, info);
  if (key == "NarHash") {
    TRY_ASSIGN(info->nar_sha256, ParseNixSha256(value));
  }
  if (key == "FileHash") {
    TRY_ASSIGN(info->file_sha256, ParseNixSha256(value));
  }
  if (key == "NarSize") {
    const char* const end = value.data() + value.size();
    const auto [at, error] = std::from_chars(value.data(), end, info->nar_size);
    if (error != std::errc() || at != end)
      return ErrorStatus(Code::kInvalidArgument, "NarSize: '{}' is no number", value);
  }
  return {};
}

}  // namespace

Result<NarInfo> ParseNarInfo(std::string_view text) {
  NarInfo info{.compression = "bzip2"};
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const size_t colon = line.find(':');
    if (colon == line.npos) continue;
    std::string_view value = line.substr(colon + 1);
    while (value.starts_with(' ')) value.remove_prefix(1);
    TRY(ParseField(line.substr(0, colon), value, &info));
  }
  if (!IsNixPath(info.store_path))
    return Error(Code::kInvalidArgument, "StorePath: '{}' is no store path", info.store_path);
  if (info.url.empty() || info.nar_sha256.empty() || info.nar_size == 0)
    return Error(Code::kInvalidArgument, "URL, NarHash or NarSize is missing");
  const std::string self(NixBaseName(info.store_path));
  info.references_self = std::erase(info.references, self) > 0;
  return info;
}

std::string NarFingerprint(const NarInfo& info) {
  std::vector<std::string> references = info.references;
  if (info.references_self) references.emplace_back(NixBaseName(info.store_path));
  std::sort(references.begin(), references.end());
  std::string text =
      fmt::format("1;{};{};{};", info.store_path, PrintNixSha256(info.nar_sha256), info.nar_size);
  for (size_t i = 0; i < references.size(); ++i)
    text += fmt::format("{}{}/{}", i == 0 ? "" : ",", kNixStorePrefix, references[i]);
  return text;
}

Status CheckNixKey(std::string_view key) {
  if (ParseNamed(key, kKeyBytes)) return {};
  return ErrorStatus(Code::kInvalidArgument, "'{}' is no public key (\"name:base64\")", key);
}

Status CheckNarSignature(const NarInfo& info, const std::vector<std::string>& keys) {
  const std::string message = NarFingerprint(info);
  for (const std::string& text : keys) {
    TRY(CheckNixKey(text));
    const NamedBytes key = *ParseNamed(text, kKeyBytes);
    for (const std::string& signed_by : info.signatures) {
      const auto signature = ParseNamed(signed_by, kSignatureBytes);
      if (signature && signature->name == key.name &&
          Verifies(key.bytes, signature->bytes, message))
        return {};
    }
  }
  return ErrorStatus(Code::kPermissionDenied, "{} is not signed by any of the keys given",
                     info.store_path);
}

}  // namespace lre::toolchain

#include "service/asset_qualifiers.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <set>

#include "reapi/action.h"
#include "reapi/error_details.h"

namespace lre::service {
namespace {

constexpr size_t kQualifiersMax = 256;
constexpr size_t kQualifierBytesMax = 64 << 10;
constexpr std::string_view kHeader = "http_header:";
constexpr std::string_view kUrlHeader = "http_header_url:";

// Media types of what asset_archive.h unpacks; it tells formats by their bytes, so these only have
// to be no others.
constexpr std::string_view kArchiveTypes[] = {
    "application/octet-stream",
    "application/x-tar",
    "application/tar+gzip",
    "application/gzip",
    "application/x-gzip",
    "application/x-gtar",
    "application/x-bzip2",
    "application/x-xz",
    "application/zstd",
    "application/zip",
    "application/x-compressed-tar",
};

bool IsHeader(std::string_view name) {
  return name.starts_with(kHeader) || name.starts_with(kUrlHeader);
}

// RFC 9110, 5.6.2 and 5.5: what would end a header line early is refused.
bool IsHeaderLine(std::string_view name, std::string_view value) {
  auto is_token = [](unsigned char c) {
    return std::isalnum(c) != 0 ||
           std::string_view("!#$%&'*+-.^_`|~").find(static_cast<char>(c)) != std::string_view::npos;
  };
  return !name.empty() && std::all_of(name.begin(), name.end(), is_token) &&
         value.find_first_of(std::string_view("\r\n\0", 3)) == std::string_view::npos;
}

Result<std::string> DecodeBase64(std::string_view text) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  while (text.ends_with('=')) text.remove_suffix(1);
  std::string bytes;
  uint32_t bits = 0;
  int count = 0;
  for (char c : text) {
    const size_t digit = kDigits.find(c);
    if (digit == std::string_view::npos) {
      return Error(Code::kInvalidArgument, "\"{}\" is not base64", text);
    }
    bits = bits << 6 | static_cast<uint32_t>(digit);
    if (count += 6; count >= 8) bytes.push_back(static_cast<char>(bits >> (count -= 8) & 0xff));
  }
  return bytes;
}

// Which of two functions W3C's algorithm prefers.
int Strength(DigestFunction function) {
  switch (function) {
    case DigestFunction::kSha512:
      return 5;
    case DigestFunction::kSha384:
      return 4;
    case DigestFunction::kBlake3:
    case DigestFunction::kSha256:
      return 3;
    case DigestFunction::kSha1:
      return 2;
    default:
      return 1;
  }
}

Status Unsupported(std::vector<std::string> names) {
  std::vector<reapi::FieldViolation> violations;
  for (const std::string& name : names) {
    violations.push_back({"qualifiers.name", fmt::format("\"{:.200}\" not supported", name)});
  }
  return reapi::BadRequestStatus(violations);
}

Status AddHeader(const asset_pb::Qualifier& qualifier, FetchQualifiers* parsed) {
  std::string_view rest = qualifier.name();
  auto* headers = &parsed->headers;
  if (rest.starts_with(kUrlHeader)) {
    rest.remove_prefix(kUrlHeader.size());
    size_t index = 0;
    auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), index);
    const auto length = static_cast<size_t>(end - rest.data());
    if (error != std::errc() || length == rest.size() || *end != ':' ||
        index >= parsed->url_headers.size()) {
      return ErrorStatus(Code::kInvalidArgument, "qualifier {:.200}: no such URI",
                         qualifier.name());
    }
    rest.remove_prefix(length + 1);
    headers = &parsed->url_headers[index];
  } else {
    rest.remove_prefix(kHeader.size());
  }
  if (!IsHeaderLine(rest, qualifier.value())) {
    return ErrorStatus(Code::kInvalidArgument, "qualifier {:.200}: not an HTTP header",
                       qualifier.name());
  }
  headers->emplace_back(rest, qualifier.value());
  return Status();
}

}  // namespace

Result<std::vector<Integrity>> ParseIntegrity(std::string_view text) {
  std::vector<Integrity> all;
  for (size_t at = 0; at < text.size();) {
    const size_t start = text.find_first_not_of(" \t", at);
    if (start == std::string_view::npos) break;
    at = std::min(text.find_first_of(" \t", start), text.size());
    std::string_view item = text.substr(start, at - start);
    item = item.substr(0, item.find('?'));  // options are reserved and mean nothing yet
    const size_t dash = item.find('-');
    Integrity integrity{.function = DigestFunctionByName(item.substr(0, dash))};
    if (dash == std::string_view::npos || integrity.function == DigestFunction::kUnknown) {
      return Error(Code::kInvalidArgument, "checksum.sri: \"{:.200}\" is no known checksum", item);
    }
    TRY_ASSIGN(integrity.hash, DecodeBase64(item.substr(dash + 1)));
    if (integrity.hash.size() != HashSize(integrity.function)) {
      return Error(Code::kInvalidArgument, "checksum.sri: \"{:.200}\" has {} bytes, not {}", item,
                   integrity.hash.size(), HashSize(integrity.function));
    }
    all.push_back(std::move(integrity));
  }
  if (all.empty()) return Error(Code::kInvalidArgument, "checksum.sri: no checksum");
  int strongest = 0;
  for (const Integrity& integrity : all) {
    strongest = std::max(strongest, Strength(integrity.function));
  }
  std::erase_if(
      all, [&](const Integrity& integrity) { return Strength(integrity.function) < strongest; });
  return all;
}

Status CheckQualifiers(const QualifierList& qualifiers) {
  if (static_cast<size_t>(qualifiers.size()) > kQualifiersMax) {
    return ErrorStatus(Code::kInvalidArgument, "{} qualifiers; at most {} are taken",
                       qualifiers.size(), kQualifiersMax);
  }
  std::set<std::string_view> names;
  for (const asset_pb::Qualifier& qualifier : qualifiers) {
    if (qualifier.name().empty()) {
      return Status(Code::kInvalidArgument, "a qualifier without a name");
    }
    if (qualifier.name().size() + qualifier.value().size() > kQualifierBytesMax) {
      return ErrorStatus(Code::kInvalidArgument, "qualifier {:.200}: more than {} bytes",
                         qualifier.name(), kQualifierBytesMax);
    }
    if (!names.insert(qualifier.name()).second) {
      return ErrorStatus(Code::kInvalidArgument, "qualifier {:.200} comes twice", qualifier.name());
    }
  }
  return Status();
}

Result<FetchQualifiers> ParseFetchQualifiers(const QualifierList& qualifiers, AssetKind kind,
                                             size_t uris) {
  FetchQualifiers parsed;
  parsed.url_headers.resize(uris);
  std::vector<std::string> unsupported;
  for (const asset_pb::Qualifier& qualifier : qualifiers) {
    const std::string& name = qualifier.name();
    if (name == "checksum.sri") {
      TRY_ASSIGN(parsed.checksums, ParseIntegrity(qualifier.value()));
    } else if (IsHeader(name)) {
      TRY(AddHeader(qualifier, &parsed));
    } else if (name == "resource_type" && kind == AssetKind::kDirectory) {
      if (std::find(std::begin(kArchiveTypes), std::end(kArchiveTypes), qualifier.value()) ==
          std::end(kArchiveTypes)) {
        return Error(Code::kInvalidArgument,
                     "resource_type \"{:.200}\" is not an archive that is unpacked here",
                     qualifier.value());
      }
    } else if (name == "directory" && kind == AssetKind::kDirectory) {
      parsed.directory = qualifier.value();
      while (parsed.directory.ends_with('/')) parsed.directory.pop_back();
      if (!parsed.directory.empty()) TRY(reapi::CheckRelativePath(parsed.directory, "directory"));
    } else if (name != "bazel.canonical_id") {
      unsupported.push_back(name);
    }
  }
  if (!unsupported.empty()) return std::unexpected(Unsupported(std::move(unsupported)));
  return parsed;
}

std::vector<std::string> FetchQualifiers::HeadersFor(size_t uri_index) const {
  std::vector<std::string> lines;
  std::set<std::string> named;
  auto lower = [](std::string text) {
    std::transform(text.begin(), text.end(), text.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return text;
  };
  for (const auto* list : {&url_headers[uri_index], &headers}) {
    for (const auto& [name, value] : *list) {
      if (named.insert(lower(name)).second) lines.push_back(name + ": " + value);
    }
  }
  return lines;
}

std::string AssetKeyText(AssetKind kind, std::string_view uri, const QualifierList& qualifiers) {
  const bool verified = std::any_of(
      qualifiers.begin(), qualifiers.end(),
      [](const asset_pb::Qualifier& qualifier) { return qualifier.name() == "checksum.sri"; });
  std::vector<std::pair<std::string_view, std::string_view>> sorted;
  for (const asset_pb::Qualifier& qualifier : qualifiers) {
    if (verified && IsHeader(qualifier.name())) continue;
    sorted.emplace_back(qualifier.name(), qualifier.value());
  }
  std::sort(sorted.begin(), sorted.end());
  // Lengths come first, so that no two lists read alike.
  std::string text = fmt::format("asset 1 {} {}:{}",
                                 kind == AssetKind::kBlob ? "blob" : "directory", uri.size(), uri);
  for (const auto& [name, value] : sorted) {
    text += fmt::format("{}:{}{}:{}", name.size(), name, value.size(), value);
  }
  return text;
}

}  // namespace lre::service

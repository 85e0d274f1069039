// Qualifiers of a Remote Asset request: what they ask for, and how they name an asset.
//
//   checksum.sri                 the bytes fetched have this checksum (W3C Subresource Integrity)
//   resource_type                FetchDirectory: the media type of an archive
//   directory                    FetchDirectory: this directory of the archive
//   bazel.canonical_id           part of the name, means nothing here
//   http_header:NAME             sent to every origin
//   http_header_url:INDEX:NAME   sent to the origin of uris[INDEX]; wins over the former
//
// Others name assets that were pushed; nothing can be fetched with them. Plain values, functions
// thread-safe. Errors: kInvalidArgument, with a violation for each qualifier that is not supported.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "build/bazel/remote/asset/v1/remote_asset.pb.h"
#include "digest/digest.h"

namespace lre::service {

namespace asset_pb = ::build::bazel::remote::asset::v1;
using QualifierList = google::protobuf::RepeatedPtrField<asset_pb::Qualifier>;

// One hash of checksum.sri, as bytes.
struct Integrity {
  DigestFunction function = DigestFunction::kUnknown;
  std::string hash;
};

struct FetchQualifiers {
  // Those of the strongest function that is named; any of them will do. Empty: not checked.
  std::vector<Integrity> checksums;
  std::string directory;  // relative and plain; empty: all
  std::vector<std::pair<std::string, std::string>> headers;
  std::vector<std::vector<std::pair<std::string, std::string>>> url_headers;  // by index of uris

  // Header lines for one origin.
  std::vector<std::string> HeadersFor(size_t uri_index) const;
};

enum class AssetKind { kBlob, kDirectory };

// What can be fetched by these.
Result<FetchQualifiers> ParseFetchQualifiers(const QualifierList& qualifiers, AssetKind kind,
                                             size_t uris);
// kInvalidArgument when a name comes twice, is empty, or there are too many.
Status CheckQualifiers(const QualifierList& qualifiers);
// The same text for the same asset, in whatever order its qualifiers come. With a checksum, headers
// are no part of it: who knows what the bytes are may have them.
std::string AssetKeyText(AssetKind kind, std::string_view uri, const QualifierList& qualifiers);

// The hashes of "sha256-BASE64 sha384-BASE64?options ...".
Result<std::vector<Integrity>> ParseIntegrity(std::string_view text);

}  // namespace lre::service

// Images of the Open Container Initiative as files by SHA-256: which manifest of an index is meant,
// which layers it has, and where those are: in a folder with an OCI image layout, in an archive of
// one ("oci-archive", a tar), or in a registry (registry.h). Docker's schema 2 is the same but for
// its media types. Blocking; thread-safe. Errors: kNotFound, kDataLoss (bytes that have another
// digest, JSON that is no manifest), kInvalidArgument. Source: the OCI Image Format Specification.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "http_client/http_client.h"

namespace lre::toolchain {

inline constexpr uint64_t kImageManifestBytesMax = 4 << 20;
inline constexpr int kImageIndexDepthMax = 4;  // manifests and indices, one below the other

struct ImageLayer {
  std::string sha256;  // lower-case hex
  uint64_t size_bytes = 0;
};

// One manifest or index.
struct ImageManifest {
  std::vector<ImageLayer> layers;  // lowest first; of a manifest
  std::string chosen;              // of an index: the manifest for the system
};
// kDataLoss: neither; kNotFound: an index without `architecture` ("amd64").
Result<ImageManifest> ParseImageManifest(std::string_view json, std::string_view architecture);

// Follows indices from `sha256` to the manifest for `system`; `read` gives the JSON of each. Errors
// of `read`; kDataLoss: below kImageIndexDepthMax there is still an index.
Result<ImageManifest> FindImageManifest(
    std::string sha256, std::string_view system,
    const std::function<Result<std::string>(const std::string& sha256)>& read);

// "oci://HOST[:PORT]/NAME@sha256:HEX"; the other is without TLS.
inline constexpr std::string_view kImageScheme = "oci://", kPlainImageScheme = "oci+http://";
bool IsImageReference(std::string_view from);
// Its hex. kInvalidArgument: not of that form; a tag says nothing of what one gets.
Result<std::string> ImageReferenceSha256(std::string_view from);

// The digest of the manifest or index in a layout or archive at `path`, lower-case hex. `wanted`,
// unless empty, says which; kInvalidArgument lists them when there are several.
Result<std::string> LocalImageSha256(const std::string& path, const std::string& wanted);

struct ImageFetch {
  std::string from;                  // a reference, or the path of a layout or an archive
  std::string sha256;                // of the manifest or index
  std::string system;                // "x86_64-linux": which image of an index
  std::string cache;                 // a folder; files become <cache>/<sha256>.extra
  uint64_t bytes_max = 16ull << 30;  // of one layer, or an archive
};
// Adds every file that unpacking needs to `files`, verified: the index, the manifest, the layers.
Status FetchImage(HttpClient& http, const ImageFetch& fetch,
                  std::map<std::string, std::string>* files);

}  // namespace lre::toolchain

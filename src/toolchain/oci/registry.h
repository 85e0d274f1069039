// A client of image registries: manifests and blobs by digest, with the anonymous bearer tokens
// that public registries hand out. Confined to one thread. Errors: those of HttpClient;
// kPermissionDenied for what asks for a password. Source: the OCI Distribution Specification;
// "Token Authentication" of the Distribution project.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"
#include "http_client/http_client.h"

namespace lre::toolchain {

class Registry {
 public:
  // `reference` as IsImageReference has it. `http` must outlive this.
  static Result<Registry> Of(HttpClient& http, std::string_view reference);

  // Makes the file `to`, whose bytes have this SHA-256.
  Status FetchManifest(const std::string& sha256, const std::string& to);
  Status FetchBlob(const std::string& sha256, uint64_t bytes_max, const std::string& to);

 private:
  explicit Registry(HttpClient& http) : http_(&http) {}
  Status Fetch(HttpRequest request, const std::string& sha256, const std::string& to);
  Status Authenticate(const std::string& url);

  HttpClient* http_;
  std::string base_;   // "https://host/v2/name"
  std::string token_;  // empty: none yet
};

// The value of `key` in a WWW-Authenticate header: Bearer realm="...",service="...". Empty: none.
std::string ChallengeValue(std::string_view header, std::string_view key);

}  // namespace lre::toolchain

#include "toolchain/oci/registry.h"

#include <nlohmann/json.hpp>

#include "toolchain/oci/image.h"

namespace lre::toolchain {
namespace {

constexpr uint64_t kTokenBytesMax = 1 << 20;

std::string EscapeQuery(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       std::string_view("-._~").find(c) != std::string_view::npos;
    escaped += plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return escaped;
}

}  // namespace

std::string ChallengeValue(std::string_view header, std::string_view key) {
  const std::string start = std::string(key) + "=\"";
  size_t at = header.find(start);
  // Not the end of another key's name.
  while (at != header.npos && at > 0 && header[at - 1] != ' ' && header[at - 1] != ',')
    at = header.find(start, at + 1);
  if (at == header.npos) return {};
  at += start.size();
  const size_t end = header.find('"', at);
  return end == header.npos ? std::string() : std::string(header.substr(at, end - at));
}

Result<Registry> Registry::Of(HttpClient& http, std::string_view reference) {
  TRY(ToStatus(ImageReferenceSha256(reference)));
  const bool plain = reference.starts_with(kPlainImageScheme);
  std::string_view rest = reference.substr(plain ? kPlainImageScheme.size() : kImageScheme.size());
  rest = rest.substr(0, rest.rfind('@'));
  const size_t slash = rest.find('/');
  Registry registry(http);
  registry.base_ = fmt::format("{}://{}/v2/{}", plain ? "http" : "https", rest.substr(0, slash),
                               rest.substr(slash + 1));
  return registry;
}

Status Registry::FetchManifest(const std::string& sha256, const std::string& to) {
  HttpRequest request{.url = base_ + "/manifests/sha256:" + sha256,
                      .body_bytes_max = kImageManifestBytesMax};
  for (const char* type :
       {"application/vnd.oci.image.index.v1+json", "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json"})
    request.headers.push_back(std::string("Accept: ") + type);
  return Fetch(std::move(request), sha256, to);
}

Status Registry::FetchBlob(const std::string& sha256, uint64_t bytes_max, const std::string& to) {
  return Fetch({.url = base_ + "/blobs/sha256:" + sha256, .body_bytes_max = bytes_max}, sha256, to);
}

Status Registry::Fetch(HttpRequest request, const std::string& sha256, const std::string& to) {
  const std::vector<std::string> headers = request.headers;
  for (bool again = false;; again = true) {
    request.headers = headers;
    if (!token_.empty()) request.headers.push_back("Authorization: Bearer " + token_);
    Status status = http_->Download(request, to, {.sha256 = sha256});
    // A token lasts some minutes, and is for one repository: the first request asks for one.
    if (status.code() != Code::kPermissionDenied || again) return status;
    TRY(Authenticate(request.url));
  }
}

Status Registry::Authenticate(const std::string& url) {
  TRY_ASSIGN(const HttpResponse refused,
             http_->Send({.url = url, .method = "HEAD", .body_bytes_max = kTokenBytesMax}));
  const auto found = refused.headers.find("www-authenticate");
  const std::string challenge = found == refused.headers.end() ? "" : found->second;
  const std::string realm = ChallengeValue(challenge, "realm");
  const bool bearer = challenge.starts_with("Bearer ") || challenge.starts_with("bearer ");
  if (!bearer || realm.empty())
    return ErrorStatus(Code::kPermissionDenied,
                       "{} is not public: images are only fetched without a password", url);
  // Who speaks TLS must not be made to speak without.
  if (!realm.starts_with("https://") && !(realm.starts_with("http://") && url.starts_with("http:")))
    return ErrorStatus(Code::kPermissionDenied, "{} names '{}' for its tokens", url, realm);
  std::string token_url = realm;
  char separator = realm.find('?') == realm.npos ? '?' : '&';
  for (const char* key : {"service", "scope"}) {
    const std::string value = ChallengeValue(challenge, key);
    if (value.empty()) continue;
    token_url += fmt::format("{}{}={}", separator, key, EscapeQuery(value));
    separator = '&';
  }
  TRY_ASSIGN(const std::string body,
             http_->Get({.url = token_url, .body_bytes_max = kTokenBytesMax}));
  const auto json = nlohmann::json::parse(body, nullptr, /*allow_exceptions=*/false);
  for (const char* key : {"token", "access_token"}) {
    if (!json.is_object() || !json.contains(key) || !json[key].is_string()) continue;
    token_ = json[key].get<std::string>();
    const bool clean = token_.find_first_of("\r\n") == token_.npos && !token_.empty();
    if (clean) return {};
  }
  return ErrorStatus(Code::kPermissionDenied, "{} gave no token", realm);
}

}  // namespace lre::toolchain

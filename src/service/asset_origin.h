// AssetOrigin: gets assets from where their URIs say, http and https, for clients who are strangers
// to those hosts. Deny is the default: only hosts that the operator named are asked, on every hop
// of a redirect. Thread-safe; blocks. Errors, as the status of a fetch has them: kNotFound,
// kPermissionDenied (by the origin, or a host that is not allowed), kDeadlineExceeded, kAborted (a
// wrong checksum, an answer that is no file), kResourceExhausted (too large), kUnavailable.
#pragma once

#include <array>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "base/metrics.h"
#include "http_client/http_client.h"
#include "service/asset_qualifiers.h"
#include "service/spool_file.h"

namespace lre::service {

struct AssetOriginOptions {
  // "example.org", "example.org:8080", "*.example.org" (below it, not itself), "*": every address
  // of the public internet. Without a port: the scheme's own. Empty: nothing is fetched.
  std::vector<std::string> hosts;
  uint64_t size_bytes_max = 2ull << 30;  // of one asset
  std::string spool_directory;
  HttpClientOptions http;
};

class AssetOrigin {
 public:
  // `metrics` must outlive it.
  AssetOrigin(AssetOriginOptions options, Metrics& metrics);

  // Whether a URI is one that could be fetched at all: http or https.
  static bool IsFetchable(std::string_view uri);

  struct Request {
    std::string uri;
    std::vector<std::string> headers;
    std::vector<Integrity> checksums;  // any of them; empty: not checked
    DigestFunction function = DigestFunction::kSha256;
    uint64_t size_bytes_max = UINT64_MAX;  // beside that of the options
    Instant deadline{};
    std::stop_token stop;
  };
  struct Fetched {
    std::unique_ptr<SpoolFile> file;
    Digest digest;
  };
  Result<Fetched> Fetch(const Request& request);

 private:
  enum class Rule { kNo, kPublic, kNamed };
  Rule RuleOf(const UrlParts& url) const;
  Status Check(HttpRequest& hop) const;

  void CountAnswer(int http_status);

  const AssetOriginOptions options_;
  HttpClient client_;
  Counter& fetched_bytes_;
  Counter& refused_hosts_;
  Counter& unanswered_;
  std::array<Counter*, 4> answers_{};  // HTTP 2xx to 5xx
};

// kInvalidArgument when `text` is none of the forms of AssetOriginOptions::hosts.
Status CheckHostRule(std::string_view text);

}  // namespace lre::service

// HttpClient: HTTP and HTTPS downloads on libcurl: redirects, byte ranges, bounded retries, stall
// detection, size limits, bodies verified by SHA-256 while they stream. file:// URLs work too, so
// that an archive may be a directory.
//
// Thread-safe: calls block the calling thread and may run on many threads at once; each borrows a
// connection handle, and handles (with their open connections) are kept for the next call. Proxies
// come from the options, else from the usual environment variables (http_proxy, https_proxy,
// no_proxy). Errors name the URL without its user information; codes: kNotFound (404, 410),
// kPermissionDenied (401, 403), kUnavailable (no answer, 408, 429, 5xx: after the last attempt),
// kDataLoss (the bytes are not those expected), kOutOfRange (a body beyond its limit),
// kFailedPrecondition (other 4xx, too many redirects, certificates), kInvalidArgument (not a URL),
// kCancelled (stop requested), kDeadlineExceeded (the request's own deadline).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/status.h"

namespace lre {

struct HttpClientOptions {
  Duration connect_timeout = std::chrono::seconds(15);
  // A transfer is given up when fewer than `stall_bytes_min` arrive in this time.
  Duration stall_timeout = std::chrono::seconds(30);
  uint32_t stall_bytes_min = 1024;
  Duration attempt_timeout = std::chrono::hours(1);
  int attempts_max = 4;                                     // of one call, first included
  Duration backoff_first = std::chrono::milliseconds(200);  // doubled with each attempt
  Duration backoff_max = std::chrono::seconds(5);           // also bounds what Retry-After may ask
  int redirects_max = 10;
  size_t idle_handles_max = 16;
  size_t header_bytes_max = 256 << 10;
  std::string http_proxy;   // for http:// URLs; empty: from the environment; "DIRECT": none
  std::string https_proxy;  // for https:// URLs
  std::string ca_file;      // PEM; empty: the system's, or $CURL_CA_BUNDLE, $SSL_CERT_FILE
  std::string user_agent = "lre";
};

struct HttpRequest {
  std::string url;
  std::string method = "GET";
  std::vector<std::string> headers;  // "Name: value"
  std::string body;                  // sent when not empty, or when the method is PUT or POST
  uint64_t offset = 0;          // GET: from this byte on ("Range"), refused if the server cannot
  std::optional<uint64_t> end;  // GET: up to this byte, exclusive
  uint64_t body_bytes_max = 1ull << 30;  // of the answer
  // Called with bytes so far and, when known, the total; from the calling thread, a few times a
  // second.
  std::function<void(uint64_t done, std::optional<uint64_t> total)> progress;
  std::stop_token stop;
  std::optional<Instant> deadline;  // of the whole call: attempts and the pauses between them
  // Called before each request of a chain of redirects, the first included; it may refuse that
  // request, or change it (public_addresses_only). Headers are then sent to the first host only.
  std::function<Status(HttpRequest& hop)> check_hop;
  // Connects to addresses of the public internet only (kPermissionDenied for others). With a proxy
  // it is the proxy's address that would be looked at, so then nothing is.
  bool public_addresses_only = false;
};

struct HttpResponse {
  int status = 0;                              // 200, 206, ...; 200 for file://
  std::map<std::string, std::string> headers;  // of the last answer; names in lower case
  std::string body;
  std::string url;  // after redirects
};

// What the bytes must be.
struct HttpExpectation {
  std::string sha256;                  // lower-case hex; empty: not checked
  std::optional<uint64_t> size_bytes;  // also the limit of the body
};

// Receives the body of an answer below 300 as it comes; other bodies are dropped. Called on the
// calling thread.
class BodySink {
 public:
  virtual ~BodySink() = default;
  // Before the first byte, and once for an empty body, with the status and headers; again when an
  // attempt is repeated, and then what came before is void.
  virtual Status Begin(const HttpResponse& head) = 0;
  virtual Status Write(std::string_view bytes) = 0;
};

class HttpClient {
 public:
  explicit HttpClient(HttpClientOptions options = {});
  ~HttpClient();

  // The answer in memory, whatever its status (StatusOf tells whether it is a good one). Attempts
  // that got no answer, or 408, 429 or 5xx, are repeated when the method is not POST.
  Result<HttpResponse> Send(const HttpRequest& request);
  // The same with the body going to `sink`.
  Result<HttpResponse> Stream(const HttpRequest& request, BodySink& sink);
  // GET into memory, verified.
  Result<std::string> Get(const HttpRequest& request, const HttpExpectation& expected = {});
  // GET into the file `path`, which appears only when complete and verified (fsync, rename). What
  // an interrupted call left in `<path>.partial` is continued; bytes that do not match are never
  // kept.
  Status Download(const HttpRequest& request, const std::string& path,
                  const HttpExpectation& expected = {});

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// OK for 2xx and 3xx; else the code that the header of this file names, with the URL.
Status StatusOf(const HttpResponse& response);

// `url` without user name and password, for messages.
std::string RedactUrl(std::string_view url);

// A URL taken apart as the transfer will read it: no second parser that could disagree.
struct UrlParts {
  std::string scheme;  // lower case
  std::string host;    // lower case, an IPv6 address without its brackets
  std::string port;    // the scheme's when the URL names none
  friend bool operator==(const UrlParts&, const UrlParts&) = default;
};
// kInvalidArgument when it is no URL with a host.
Result<UrlParts> ParseUrl(const std::string& url);

}  // namespace lre

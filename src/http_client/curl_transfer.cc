#include "http_client/curl_transfer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <mutex>

#include "http_client/public_address.h"

namespace lre {
namespace {

constexpr Duration kProgressInterval = std::chrono::milliseconds(200);

// What the callbacks of one transfer share.
struct Transfer {
  const HttpClientOptions& options;
  const HttpRequest& request;
  BodySink& sink;
  CURL* handle;
  HttpResponse response;
  size_t header_bytes = 0;
  bool begun = false;
  uint64_t received = 0;
  Instant last_progress{};
  Status failure;  // of a callback: libcurl only learns that there was one
  bool refused_address = false;

  void ReadStatus() {
    long status = 0;
    Curl().easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &status);
    // file:// has none.
    response.status =
        status == 0 ? (request.offset > 0 || request.end ? 206 : 200) : static_cast<int>(status);
  }
  Status Begin() {
    if (begun) return {};
    begun = true;
    ReadStatus();
    if (response.status >= 300) return {};
    return sink.Begin(response);
  }
};

size_t OnBody(char* data, size_t, size_t size, void* context) {
  auto& transfer = *static_cast<Transfer*>(context);
  transfer.failure = transfer.Begin();
  if (transfer.failure.ok() && transfer.response.status < 300) {
    transfer.received += size;
    if (transfer.received > transfer.request.body_bytes_max) {
      transfer.failure =
          ErrorStatus(Code::kOutOfRange, "{}: body is longer than {} bytes",
                      RedactUrl(transfer.request.url), transfer.request.body_bytes_max);
    } else {
      transfer.failure = transfer.sink.Write({data, size});
    }
  }
  return transfer.failure.ok() ? size : 0;
}

size_t OnHeader(char* data, size_t, size_t size, void* context) {
  auto& transfer = *static_cast<Transfer*>(context);
  std::string_view line(data, size);
  while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.remove_suffix(1);
  if (line.starts_with("HTTP/")) {  // of the next answer: a redirect or an interim one came before
    transfer.response.headers.clear();
    transfer.header_bytes = 0;
  }
  transfer.header_bytes += size;
  if (transfer.header_bytes > transfer.options.header_bytes_max) {
    transfer.failure =
        ErrorStatus(Code::kOutOfRange, "{}: headers are longer than {} bytes",
                    RedactUrl(transfer.request.url), transfer.options.header_bytes_max);
    return 0;
  }
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos) return size;
  std::string name(line.substr(0, colon));
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  std::string_view value = line.substr(colon + 1);
  while (!value.empty() && value.front() == ' ') value.remove_prefix(1);
  std::string& stored = transfer.response.headers[name];
  if (!stored.empty()) stored += ", ";
  stored += value;
  return size;
}

int OnProgress(void* context, curl_off_t total, curl_off_t done, curl_off_t, curl_off_t) {
  auto& transfer = *static_cast<Transfer*>(context);
  if (transfer.request.stop.stop_requested()) return 1;
  const Instant now = SystemClock().Now();
  if (transfer.request.progress && now - transfer.last_progress >= kProgressInterval) {
    transfer.last_progress = now;
    const auto known = total > 0 ? std::optional<uint64_t>(total) : std::nullopt;
    transfer.request.progress(done, known);
  }
  return 0;
}

curl_socket_t OnOpenSocket(void* context, curlsocktype, curl_sockaddr* address) {
  auto& transfer = *static_cast<Transfer*>(context);
  if (!IsPublicAddress(&address->addr)) {
    transfer.refused_address = true;
    return CURL_SOCKET_BAD;
  }
  return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

// libcurl's settings are varargs; this keeps their types right.
void Set(CURL* handle, CURLoption option, long value) { Curl().easy_setopt(handle, option, value); }
void Set(CURL* handle, CURLoption option, const std::string& value) {
  Curl().easy_setopt(handle, option, value.c_str());
}

long Milliseconds(Duration duration) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
}

bool HasProxy(const HttpClientOptions& options, bool secure) {
  const std::string& proxy = secure ? options.https_proxy : options.http_proxy;
  if (!proxy.empty()) return proxy != "DIRECT";
  for (const char* variable :
       {"http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"}) {
    const char* value = std::getenv(variable);
    if (value != nullptr && *value != '\0') return true;
  }
  return false;
}

// What is left for one attempt; at least a millisecond, because 0 means no bound to libcurl.
Duration AttemptTimeout(const HttpClientOptions& options, const HttpRequest& request) {
  if (!request.deadline) return options.attempt_timeout;
  const Duration left = *request.deadline - SystemClock().Now();
  return std::clamp<Duration>(left, std::chrono::milliseconds(1), options.attempt_timeout);
}

void SetConnection(CURL* handle, const HttpClientOptions& options, const HttpRequest& request) {
  const std::string& url = request.url;
  Set(handle, CURLOPT_NOSIGNAL, 1);  // there are other threads
  Set(handle, CURLOPT_PROTOCOLS_STR, std::string("http,https,file"));
  const bool secure = url.starts_with("https:");
  Set(handle, CURLOPT_REDIR_PROTOCOLS_STR, std::string(secure ? "https" : "http,https"));
  Set(handle, CURLOPT_FOLLOWLOCATION, options.redirects_max > 0 && !request.check_hop ? 1 : 0);
  Set(handle, CURLOPT_MAXREDIRS, options.redirects_max);
  Set(handle, CURLOPT_CONNECTTIMEOUT_MS, Milliseconds(options.connect_timeout));
  Set(handle, CURLOPT_TIMEOUT_MS, Milliseconds(AttemptTimeout(options, request)));
  const long stall_seconds = std::max(1L, Milliseconds(options.stall_timeout) / 1000);
  Set(handle, CURLOPT_LOW_SPEED_TIME, stall_seconds);
  Set(handle, CURLOPT_LOW_SPEED_LIMIT,
      std::max(1L, static_cast<long>(options.stall_bytes_min) / stall_seconds));
  Set(handle, CURLOPT_USERAGENT, options.user_agent);
  Set(handle, CURLOPT_TCP_KEEPALIVE, 1);
  if (const std::string& proxy = secure ? options.https_proxy : options.http_proxy;
      !proxy.empty()) {
    Set(handle, CURLOPT_PROXY, proxy == "DIRECT" ? std::string() : proxy);
  }
  std::string ca_file = options.ca_file;
  for (const char* variable : {"CURL_CA_BUNDLE", "SSL_CERT_FILE"}) {
    const char* value = std::getenv(variable);
    if (ca_file.empty() && value != nullptr) ca_file = value;
  }
  if (!ca_file.empty()) Set(handle, CURLOPT_CAINFO, ca_file);
}

void SetRequest(CURL* handle, const HttpRequest& request, curl_slist* headers) {
  Set(handle, CURLOPT_URL, request.url);
  if (headers != nullptr) Curl().easy_setopt(handle, CURLOPT_HTTPHEADER, headers);
  if (request.method == "HEAD") {
    Set(handle, CURLOPT_NOBODY, 1);
  } else if (!request.body.empty() || request.method == "PUT" || request.method == "POST") {
    Curl().easy_setopt(handle, CURLOPT_POSTFIELDSIZE_LARGE,
                       static_cast<curl_off_t>(request.body.size()));
    Curl().easy_setopt(handle, CURLOPT_POSTFIELDS, request.body.data());
    Set(handle, CURLOPT_CUSTOMREQUEST, request.method);
  } else if (request.method != "GET") {
    Set(handle, CURLOPT_CUSTOMREQUEST, request.method);
  }
  if (request.offset > 0 || request.end) {
    Set(handle, CURLOPT_RANGE,
        fmt::format("{}-{}", request.offset,
                    request.end ? std::to_string(*request.end - 1) : std::string()));
  }
}

void SetCallbacks(CURL* handle, Transfer* transfer) {
  Curl().easy_setopt(handle, CURLOPT_WRITEFUNCTION, OnBody);
  Curl().easy_setopt(handle, CURLOPT_WRITEDATA, transfer);
  Curl().easy_setopt(handle, CURLOPT_HEADERFUNCTION, OnHeader);
  Curl().easy_setopt(handle, CURLOPT_HEADERDATA, transfer);
  Curl().easy_setopt(handle, CURLOPT_XFERINFOFUNCTION, OnProgress);
  Curl().easy_setopt(handle, CURLOPT_XFERINFODATA, transfer);
  Set(handle, CURLOPT_NOPROGRESS, 0);
}

struct CodeOfCurl {
  Code code;
  bool retryable;
};

CodeOfCurl Classify(CURLcode code) {
  switch (code) {
    case CURLE_OK:
      return {Code::kOk, false};
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
      return {Code::kInvalidArgument, false};
    case CURLE_FILE_COULDNT_READ_FILE:
      return {Code::kNotFound, false};
    case CURLE_ABORTED_BY_CALLBACK:
      return {Code::kCancelled, false};
    case CURLE_TOO_MANY_REDIRECTS:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
      return {Code::kFailedPrecondition, false};
    default:  // no name, no connection, cut off, stalled, ...
      return {Code::kUnavailable, true};
  }
}

Duration RetryAfter(const HttpResponse& response) {
  const auto found = response.headers.find("retry-after");
  if (found == response.headers.end()) return {};
  uint32_t seconds = 0;  // the form with a date is not worth it
  const std::string& text = found->second;
  std::from_chars(text.data(), text.data() + text.size(), seconds);
  return std::chrono::seconds(seconds);
}

bool IsRetryableStatus(int status) {
  return status == 408 || status == 429 || (status >= 500 && status != 501 && status != 505);
}

}  // namespace

CurlHandles::~CurlHandles() {
  idle_.With([](std::vector<CURL*>& idle) {
    for (CURL* handle : idle) Curl().easy_cleanup(handle);
  });
}

CURL* CurlHandles::Take() {
  CURL* handle = idle_.With([](std::vector<CURL*>& idle) -> CURL* {
    if (idle.empty()) return nullptr;
    CURL* last = idle.back();
    idle.pop_back();
    return last;
  });
  return handle != nullptr ? handle : Curl().easy_init();
}

void CurlHandles::Give(CURL* handle) {
  Curl().easy_reset(handle);  // keeps connections
  const bool kept = idle_.With([&](std::vector<CURL*>& idle) {
    if (idle.size() >= idle_max_) return false;
    idle.push_back(handle);
    return true;
  });
  if (!kept) Curl().easy_cleanup(handle);
}

namespace {

// One request and its answer; `redirect` is where it sends us, when redirects are checked.
TransferOutcome RunHop(CurlHandles& handles, const HttpClientOptions& options,
                       const HttpRequest& request, BodySink& sink, std::string* redirect) {
  const std::string shown = RedactUrl(request.url);
  if (Status loaded = LoadCurl(); !loaded.ok()) return {std::move(loaded)};
  CURL* handle = handles.Take();
  if (handle == nullptr) return {ErrorStatus(Code::kInternal, "{}: no curl handle", shown)};
  Transfer transfer{.options = options, .request = request, .sink = sink, .handle = handle};
  curl_slist* headers = nullptr;
  for (const std::string& header : request.headers) {
    headers = Curl().slist_append(headers, header.c_str());
  }
  char reason[CURL_ERROR_SIZE] = "";
  SetConnection(handle, options, request);
  SetRequest(handle, request, headers);
  SetCallbacks(handle, &transfer);
  Curl().easy_setopt(handle, CURLOPT_ERRORBUFFER, reason);
  if (request.public_addresses_only && !HasProxy(options, request.url.starts_with("https:"))) {
    Curl().easy_setopt(handle, CURLOPT_OPENSOCKETFUNCTION, OnOpenSocket);
    Curl().easy_setopt(handle, CURLOPT_OPENSOCKETDATA, &transfer);
  }

  const CURLcode code = Curl().easy_perform(handle);
  if (code == CURLE_OK && transfer.failure.ok()) transfer.failure = transfer.Begin();
  const char* effective = nullptr;
  Curl().easy_getinfo(handle, CURLINFO_EFFECTIVE_URL, &effective);
  transfer.response.url = effective != nullptr ? effective : request.url;
  const char* next = nullptr;
  Curl().easy_getinfo(handle, CURLINFO_REDIRECT_URL, &next);
  *redirect = request.check_hop && next != nullptr ? next : "";
  handles.Give(handle);
  Curl().slist_free_all(headers);

  TransferOutcome outcome{.response = std::move(transfer.response)};
  const auto [status_code, retryable] = Classify(code);
  if (!transfer.failure.ok()) {
    outcome.status = std::move(transfer.failure);
  } else if (code != CURLE_OK && transfer.refused_address) {
    outcome.status =
        ErrorStatus(Code::kPermissionDenied, "{}: not an address of the public internet", shown);
  } else if (code == CURLE_OPERATION_TIMEDOUT && request.deadline &&
             SystemClock().Now() >= *request.deadline) {
    outcome.status = ErrorStatus(Code::kDeadlineExceeded, "{}: no answer in time", shown);
  } else if (code != CURLE_OK) {
    outcome.status = ErrorStatus(status_code, "{}: {}", shown,
                                 reason[0] != '\0' ? reason : Curl().easy_strerror(code));
    outcome.retryable = retryable;
  } else if (IsRetryableStatus(outcome.response.status)) {
    outcome.retryable = true;
    outcome.retry_after = RetryAfter(outcome.response);
  }
  return outcome;
}

}  // namespace

TransferOutcome RunTransfer(CurlHandles& handles, const HttpClientOptions& options,
                            const HttpRequest& request, BodySink& sink) {
  std::string redirect;
  if (!request.check_hop) return RunHop(handles, options, request, sink, &redirect);
  HttpRequest hop = request;
  for (int redirects = 0;; ++redirects) {
    if (Status allowed = request.check_hop(hop); !allowed.ok()) return {std::move(allowed)};
    TransferOutcome outcome = RunHop(handles, options, hop, sink, &redirect);
    if (!outcome.status.ok() || redirect.empty()) return outcome;
    const std::string shown = RedactUrl(request.url);
    if (redirects >= options.redirects_max) {
      return {ErrorStatus(Code::kFailedPrecondition, "{}: more than {} redirects", shown,
                          options.redirects_max)};
    }
    const auto from = ParseUrl(hop.url), to = ParseUrl(redirect);
    if (!from || !to || (from->scheme == "https" && to->scheme != "https")) {
      return {ErrorStatus(Code::kFailedPrecondition, "{}: redirected to {}", shown,
                          RedactUrl(redirect))};
    }
    // Credentials are for the host that they were given for.
    if (*from != *to) hop.headers.clear();
    hop.url = redirect;
  }
}

Result<UrlParts> ParseUrl(const std::string& url) {
  TRY(LoadCurl());
  const std::unique_ptr<CURLU, decltype(CurlLibrary::url_cleanup)> parsed(Curl().url(),
                                                                          Curl().url_cleanup);
  auto part = [&](CURLUPart which, unsigned flags) {
    char* text = nullptr;
    std::string value;
    if (Curl().url_get(parsed.get(), which, &text, flags) == CURLUE_OK) value = text;
    Curl().free(text);
    std::transform(value.begin(), value.end(), value.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return value;
  };
  UrlParts parts;
  if (parsed != nullptr && Curl().url_set(parsed.get(), CURLUPART_URL, url.c_str(),
                                          CURLU_NON_SUPPORT_SCHEME) == CURLUE_OK) {
    parts = {.scheme = part(CURLUPART_SCHEME, 0),
             .host = part(CURLUPART_HOST, CURLU_URLDECODE),
             .port = part(CURLUPART_PORT, CURLU_DEFAULT_PORT)};
  }
  if (parts.host.starts_with('[') && parts.host.ends_with(']')) {
    parts.host = parts.host.substr(1, parts.host.size() - 2);
  }
  if (parts.host.empty()) {
    return Error(Code::kInvalidArgument, "\"{}\" is not a URL with a host", RedactUrl(url));
  }
  return parts;
}

}  // namespace lre

#include "http_client/http_client.h"

#include <algorithm>
#include <charconv>
#include <condition_variable>
#include <mutex>

#include "http_client/curl_transfer.h"
#include "http_client/partial_file.h"

namespace lre {
namespace {

class MemorySink : public BodySink {
 public:
  Status Begin(const HttpResponse&) override {
    body.clear();
    return {};
  }
  Status Write(std::string_view bytes) override {
    body += bytes;
    return {};
  }
  std::string body;
};

// First byte of "Content-Range: bytes 10-19/20".
std::optional<uint64_t> RangeStart(const HttpResponse& head) {
  const auto found = head.headers.find("content-range");
  if (found == head.headers.end()) return std::nullopt;
  std::string_view text = found->second;
  if (!text.starts_with("bytes ")) return std::nullopt;
  text.remove_prefix(6);
  uint64_t start = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), start);
  if (error != std::errc()) return std::nullopt;
  return start;
}

class PartialFileSink : public BodySink {
 public:
  explicit PartialFileSink(PartialFile& file) : file_(file) {}
  // A server that does not continue starts over, and so do we.
  Status Begin(const HttpResponse& head) override {
    const bool continues =
        head.status == 206 && RangeStart(head).value_or(file_.size_bytes()) == file_.size_bytes();
    if (continues || (head.status == 200 && file_.size_bytes() == 0)) return {};
    if (head.status == 200) return file_.Restart();
    TRY(file_.Restart());
    return ErrorStatus(Code::kUnavailable, "{}: the server continued at the wrong place",
                       RedactUrl(head.url));
  }
  Status Write(std::string_view bytes) override { return file_.Append(bytes); }

 private:
  PartialFile& file_;
};

Status Mismatch(const std::string& url, std::string_view what, std::string_view expected,
                std::string_view found) {
  return ErrorStatus(Code::kDataLoss, "{}: {} is {}, expected {}", RedactUrl(url), what, found,
                     expected);
}

Status CheckSize(const std::string& url, const HttpExpectation& expected, uint64_t size_bytes) {
  if (!expected.size_bytes || *expected.size_bytes == size_bytes) return {};
  return Mismatch(url, "size", fmt::format("{}", *expected.size_bytes),
                  fmt::format("{}", size_bytes));
}

Status CheckHash(const std::string& url, const HttpExpectation& expected, const std::string& hash) {
  if (expected.sha256.empty() || expected.sha256 == hash) return {};
  return Mismatch(url, "sha256", expected.sha256, hash);
}

// A body beyond the expected size is a mismatch like a shorter one, found earlier.
HttpRequest Limited(HttpRequest request, const HttpExpectation& expected) {
  if (expected.size_bytes) {
    request.body_bytes_max = std::min(request.body_bytes_max, *expected.size_bytes);
  }
  return request;
}

// What Limited() made of it: the body is not the expected one.
Status AsMismatch(Status status, const HttpExpectation& expected) {
  if (status.code() != Code::kOutOfRange || !expected.size_bytes) return status;
  return Status(Code::kDataLoss, status.message());
}

}  // namespace

struct HttpClient::Impl {
  explicit Impl(HttpClientOptions given)
      : options(std::move(given)), handles(options.idle_handles_max) {}

  // Runs `attempt` until it is good, cannot get better, or was repeated often enough.
  TransferOutcome Repeat(const HttpRequest& request,
                         const std::function<TransferOutcome()>& attempt);
  // False when `stop` was requested while waiting.
  bool Wait(Duration duration, const std::stop_token& stop);
  Status DownloadInto(PartialFile& file, const HttpRequest& request,
                      const HttpExpectation& expected);

  const HttpClientOptions options;
  CurlHandles handles;
};

bool HttpClient::Impl::Wait(Duration duration, const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any changed;
  std::unique_lock lock(mutex);
  changed.wait_for(lock, stop, duration, [] { return false; });
  return !stop.stop_requested();
}

TransferOutcome HttpClient::Impl::Repeat(const HttpRequest& request,
                                         const std::function<TransferOutcome()>& attempt) {
  Duration backoff = options.backoff_first;
  for (int count = 1;; ++count) {
    TransferOutcome outcome = attempt();
    if (!outcome.retryable || request.method == "POST" || count >= options.attempts_max) {
      return outcome;
    }
    const Duration pause = std::min(std::max(backoff, outcome.retry_after), options.backoff_max);
    if (request.deadline && SystemClock().Now() + pause >= *request.deadline) {
      return {
          ErrorStatus(Code::kDeadlineExceeded, "{}: no answer in time", RedactUrl(request.url))};
    }
    if (!Wait(pause, request.stop)) {
      return {ErrorStatus(Code::kCancelled, "{}: stopped", RedactUrl(request.url))};
    }
    backoff = std::min(backoff * 2, options.backoff_max);
  }
}

HttpClient::HttpClient(HttpClientOptions options)
    : impl_(std::make_unique<Impl>(std::move(options))) {}
HttpClient::~HttpClient() = default;

Result<HttpResponse> HttpClient::Send(const HttpRequest& request) {
  if (request.end && *request.end <= request.offset) {
    return Error(Code::kInvalidArgument, "{}: empty range {}-{}", RedactUrl(request.url),
                 request.offset, *request.end);
  }
  MemorySink sink;
  TRY_ASSIGN(HttpResponse response, Stream(request, sink));
  response.body = std::move(sink.body);
  return response;
}

Result<HttpResponse> HttpClient::Stream(const HttpRequest& request, BodySink& sink) {
  TransferOutcome outcome = impl_->Repeat(
      request, [&] { return RunTransfer(impl_->handles, impl_->options, request, sink); });
  TRY(outcome.status);
  return std::move(outcome.response);
}

Result<std::string> HttpClient::Get(const HttpRequest& request, const HttpExpectation& expected) {
  Result<HttpResponse> sent = Send(Limited(request, expected));
  if (!sent) return std::unexpected(AsMismatch(sent.error(), expected));
  HttpResponse& response = *sent;
  TRY(StatusOf(response));
  if ((request.offset > 0 || request.end) && response.status != 206) {
    return Error(Code::kFailedPrecondition, "{}: the server does not send ranges",
                 RedactUrl(request.url));
  }
  TRY(CheckSize(request.url, expected, response.body.size()));
  if (!expected.sha256.empty()) {
    const Digest digest = ComputeDigest(DigestFunction::kSha256, response.body);
    TRY(CheckHash(request.url, expected, digest.Hex()));
  }
  return std::move(response.body);
}

Status HttpClient::Impl::DownloadInto(PartialFile& file, const HttpRequest& request,
                                      const HttpExpectation& expected) {
  if (expected.size_bytes && file.size_bytes() >= *expected.size_bytes && file.size_bytes() > 0) {
    return {};  // complete, or wrong: the caller looks at it
  }
  PartialFileSink sink(file);
  const TransferOutcome outcome = Repeat(request, [&] {
    if (expected.sha256.empty() && file.size_bytes() > 0) {
      // Without a hash nothing would tell that two attempts got parts of two different files.
      if (Status restarted = file.Restart(); !restarted.ok()) return TransferOutcome{restarted};
    }
    HttpRequest part = request;
    part.offset = file.size_bytes();
    part.end = std::nullopt;
    part.body_bytes_max -= std::min(part.body_bytes_max, part.offset);
    TransferOutcome part_outcome = RunTransfer(handles, options, part, sink);
    if (part_outcome.status.ok() && part_outcome.response.status == 416 && part.offset > 0) {
      part_outcome.status = file.Restart();
      part_outcome.retryable = part_outcome.status.ok();
    }
    return part_outcome;
  });
  TRY(outcome.status);
  return StatusOf(outcome.response);
}

Status HttpClient::Download(const HttpRequest& request, const std::string& path,
                            const HttpExpectation& expected) {
  TRY_ASSIGN(auto file, PartialFile::Open(path, !expected.sha256.empty()));
  const HttpRequest limited = Limited(request, expected);
  // Bytes that an earlier call left may be the wrong ones: then once more without them.
  for (bool resumed = file->size_bytes() > 0;; resumed = false) {
    Status status = impl_->DownloadInto(*file, limited, expected);
    if (status.ok()) status = CheckSize(request.url, expected, file->size_bytes());
    if (status.ok()) status = CheckHash(request.url, expected, file->Sha256());
    if (status.ok()) return file->Commit();
    status = AsMismatch(std::move(status), expected);
    const bool wrong = status.code() == Code::kDataLoss || status.code() == Code::kOutOfRange;
    if (!wrong) return status;
    if (!resumed) {
      file->Discard();
      return status;
    }
    TRY(file->Restart());
  }
}

Status StatusOf(const HttpResponse& response) {
  const int status = response.status;
  if (status < 400) return {};
  const auto code = [&] {
    if (status == 404 || status == 410) return Code::kNotFound;
    if (status == 401 || status == 403) return Code::kPermissionDenied;
    if (status == 408 || status == 429 || status >= 500) return Code::kUnavailable;
    if (status == 416) return Code::kOutOfRange;
    return Code::kFailedPrecondition;
  }();
  return ErrorStatus(code, "{}: HTTP status {}", RedactUrl(response.url), status);
}

std::string RedactUrl(std::string_view url) {
  const size_t scheme = url.find("://");
  if (scheme == std::string_view::npos) return std::string(url);
  const size_t authority = scheme + 3;
  const size_t end = std::min(url.find_first_of("/?#", authority), url.size());
  const size_t at = url.substr(authority, end - authority).rfind('@');
  if (at == std::string_view::npos) return std::string(url);
  return std::string(url.substr(0, authority)) + std::string(url.substr(authority + at + 1));
}

}  // namespace lre

#include "service/asset_origin.h"

#include <algorithm>
#include <optional>

namespace lre::service {
namespace {

// Hashes for the checksums while the bytes go by.
class Sink final : public BodySink {
 public:
  Sink(SpoolFile& file, const std::vector<Integrity>& checksums)
      : file_(file), checksums_(checksums) {}

  Status Begin(const HttpResponse&) override {
    hashers_.clear();
    for (const Integrity& checksum : checksums_) {
      const bool known = std::any_of(hashers_.begin(), hashers_.end(), [&](const auto& hasher) {
        return hasher.first == checksum.function;
      });
      if (!known) hashers_.emplace_back(checksum.function, Hasher(checksum.function));
    }
    return file_.size_bytes() == 0 ? Status() : file_.Restart();
  }
  Status Write(std::string_view bytes) override {
    for (auto& [function, hasher] : hashers_) hasher.Update(bytes);
    return file_.Append(bytes);
  }
  // Call once, last.
  Status CheckIntegrity(const std::string& uri) {
    if (checksums_.empty()) return Status();
    std::string found;
    for (auto& [function, hasher] : hashers_) {
      const Digest digest = hasher.Finish();
      for (const Integrity& checksum : checksums_) {
        if (checksum.function == function && checksum.hash == digest.hash_view()) return Status();
      }
      found += fmt::format(" {}:{}", DigestFunctionName(function), digest.Hex());
    }
    return ErrorStatus(Code::kAborted, "{}: the bytes have another checksum:{}", RedactUrl(uri),
                       found);
  }

 private:
  SpoolFile& file_;
  const std::vector<Integrity>& checksums_;
  std::vector<std::pair<DigestFunction, Hasher>> hashers_;
};

// The codes of a fetch that clients expect; the transport has finer ones.
Status AsFetchError(Status status) {
  switch (status.code()) {
    case Code::kOutOfRange:
      return Status(Code::kResourceExhausted, status.message());
    case Code::kFailedPrecondition:
    case Code::kDataLoss:
      return Status(Code::kAborted, status.message());
    case Code::kCancelled:
      return Status(Code::kUnavailable, "the server ends");
    default:
      return status;
  }
}

std::string_view DefaultPort(std::string_view scheme) {
  return scheme == "http" ? "80" : scheme == "https" ? "443" : "";
}

}  // namespace

Status CheckHostRule(std::string_view text) {
  if (text == "*") return Status();
  std::string_view host = text.starts_with("*.") ? text.substr(2) : text;
  const bool plain = !host.empty() && std::all_of(host.begin(), host.end(), [](unsigned char c) {
    return std::islower(c) != 0 || std::isdigit(c) != 0 ||
           std::string_view("-._:[]").find(static_cast<char>(c)) != std::string_view::npos;
  });
  if (plain) return Status();
  return ErrorStatus(Code::kInvalidArgument,
                     "\"{}\" is no host: example.org, example.org:8080, *.example.org or *", text);
}

AssetOrigin::AssetOrigin(AssetOriginOptions options, Metrics& metrics)
    : options_(std::move(options)),
      client_(options_.http),
      fetched_bytes_(metrics.AddCounter("lre_asset_fetched_bytes_total",
                                        "Bytes of assets that came from their origins")),
      refused_hosts_(metrics.AddCounter("lre_asset_refused_hosts_total",
                                        "Requests to hosts that asset.hosts does not name")),
      unanswered_(metrics.AddCounter("lre_asset_origin_unanswered_total",
                                     "Requests that no origin answered")) {
  for (size_t i = 0; i < answers_.size(); i++) {
    answers_[i] = &metrics.AddCounter("lre_asset_origin_answers_total", "Answers of origins",
                                      fmt::format("status=\"{}xx\"", i + 2));
  }
}

void AssetOrigin::CountAnswer(int http_status) {
  const int of = std::clamp(http_status / 100, 2, 5) - 2;
  answers_[static_cast<size_t>(of)]->Add();
}

bool AssetOrigin::IsFetchable(std::string_view uri) {
  return uri.starts_with("http://") || uri.starts_with("https://");
}

AssetOrigin::Rule AssetOrigin::RuleOf(const UrlParts& url) const {
  Rule rule = Rule::kNo;
  const std::string host = url.host.contains(':') ? "[" + url.host + "]" : url.host;
  for (std::string_view allowed : options_.hosts) {
    if (allowed == "*") {
      // The usual ports only: what listens elsewhere was hardly meant for everyone.
      if (url.port == DefaultPort(url.scheme)) rule = Rule::kPublic;
      continue;
    }
    const std::string with_port = host + ":" + url.port;
    const bool names_port = allowed.rfind(':') != std::string_view::npos && !allowed.ends_with(']');
    if (!names_port && url.port != DefaultPort(url.scheme)) continue;
    const std::string& subject = names_port ? with_port : host;
    if (allowed.starts_with("*.") ? subject.ends_with(allowed.substr(1)) : subject == allowed) {
      return Rule::kNamed;
    }
  }
  return rule;
}

Status AssetOrigin::Check(HttpRequest& hop) const {
  const std::string& url = hop.url;
  auto parts = ParseUrl(url);
  if (!parts) return Status(Code::kNotFound, parts.error().message());
  if (parts->scheme != "http" && parts->scheme != "https") {
    return ErrorStatus(Code::kPermissionDenied, "{}: only http and https are fetched",
                       RedactUrl(url));
  }
  const Rule rule = RuleOf(*parts);
  hop.public_addresses_only = rule == Rule::kPublic;
  if (rule != Rule::kNo) return Status();
  return ErrorStatus(Code::kPermissionDenied,
                     "{}: host {}:{} is not among those this server may fetch from (asset.hosts)",
                     RedactUrl(url), parts->host, parts->port);
}

Result<AssetOrigin::Fetched> AssetOrigin::Fetch(const Request& request) {
  Fetched fetched;
  TRY_ASSIGN(fetched.file, SpoolFile::Create(options_.spool_directory, request.function));
  Sink sink(*fetched.file, request.checksums);
  HttpRequest http{.url = request.uri,
                   .headers = request.headers,
                   .body_bytes_max = std::min(options_.size_bytes_max, request.size_bytes_max),
                   .stop = request.stop,
                   .deadline = request.deadline};
  bool refused = false;
  http.check_hop = [this, &refused](HttpRequest& hop) {
    Status status = Check(hop);
    if (status.ok()) return status;
    refused = true;
    refused_hosts_.Add();
    return status;
  };
  auto response = client_.Stream(http, sink);
  fetched_bytes_.Add(fetched.file->size_bytes());
  if (!response) {
    // One that sends too much has answered.
    if (!refused && response.error().code() != Code::kOutOfRange) unanswered_.Add();
    return std::unexpected(AsFetchError(response.error()));
  }
  CountAnswer(response->status);
  if (Status status = StatusOf(*response); !status.ok()) {
    return std::unexpected(AsFetchError(std::move(status)));
  }
  if (response->status != 200) {
    return Error(Code::kAborted, "{}: HTTP status {}", RedactUrl(request.uri), response->status);
  }
  TRY(sink.CheckIntegrity(request.uri));
  fetched.digest = fetched.file->Finish();
  return fetched;
}

}  // namespace lre::service

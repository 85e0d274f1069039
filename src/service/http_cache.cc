#include "service/http_cache.h"

#include <charconv>
#include <memory>

#include "reapi/digest_proto.h"
#include "reapi/resource_name.h"
#include "store/lease_holder.h"

namespace lre::service {
namespace {

namespace pb = reapi::pb;
using rpc::HttpRequest;
using rpc::HttpResponse;

constexpr auto kSha256 = DigestFunction::kSha256;
constexpr size_t kHashHexLength = 64;
constexpr char kBytesType[] = "application/octet-stream";

enum class Space { kCas, kAc, kRaw };

// What a path names. Borrows from it.
struct Target {
  Space space;
  std::string_view instance_name;  // of kCas and kAc
  std::string_view key;            // the hash; for kRaw all after "/raw/"
  store::Partition partition = 0;
};

std::optional<Target> TargetOf(std::string_view path) {
  if (path.starts_with("/raw/")) return Target{Space::kRaw, {}, path.substr(5)};
  const size_t last = path.rfind('/');
  if (last == std::string_view::npos) return std::nullopt;
  const std::string_view before = path.substr(0, last);
  for (auto [word, space] :
       {std::pair(std::string_view("/cas"), Space::kCas), {std::string_view("/ac"), Space::kAc}}) {
    if (!before.ends_with(word)) continue;
    std::string_view instance = before.substr(0, before.size() - word.size());
    if (!instance.empty()) instance.remove_prefix(1);
    return Target{space, instance, path.substr(last + 1)};
  }
  return std::nullopt;
}

HttpResponse Answer(int status, std::string text = {}) {
  HttpResponse response{.status = status};
  if (text.empty()) return response;
  response.headers = {{"content-type", "text/plain; charset=utf-8"}};
  response.body = {Bytes(std::move(text) + "\n")};
  return response;
}

HttpResponse AnswerBytes(BytesList bytes) {
  return {.status = 200,
          .headers = {{"content-type", kBytesType}, {"x-content-type-options", "nosniff"}},
          .body = std::move(bytes)};
}

HttpResponse AnswerStatus(const Status& status) {
  switch (status.code()) {
    case Code::kOk:
      return Answer(200);
    case Code::kNotFound:
      return Answer(404, "not found");
    case Code::kInvalidArgument:
      return Answer(400, std::string(status.message()));
    case Code::kPermissionDenied:
      return Answer(403, std::string(status.message()));
    case Code::kFailedPrecondition:
      return Answer(409, std::string(status.message()));
    case Code::kResourceExhausted:
      return Answer(507, std::string(status.message()));
    case Code::kUnavailable:
      return Answer(503, std::string(status.message()));
    default:
      return Answer(500, std::string(status.message()));
  }
}

// The digest that a URL says, with a size that it does not.
Result<Digest> DigestOfKey(std::string_view hex, int64_t size_bytes) {
  if (hex.size() != kHashHexLength) {
    return Error(Code::kInvalidArgument, "\"{}\" is not the SHA-256 of a blob", hex);
  }
  return MakeDigest(kSha256, hex, size_bytes);
}

// The key of a value: `kind` is "size" or "raw".
std::string ValueKey(store::Partition partition, std::string_view kind, std::string_view name) {
  if (partition == 0) return fmt::format("http/{}/{}", kind, name);
  return fmt::format("http/{}/{}/{}", partition, kind, name);
}

// Raw values are those of an instance "raw/NAME".
std::string RawInstance(const Target& target) {
  return "raw/" + std::string(target.key.substr(0, target.key.find('/')));
}

class HttpCache : public std::enable_shared_from_this<HttpCache> {
 public:
  HttpCache(HttpCacheParts parts, HttpCacheOptions options) : parts_(parts), options_(options) {}

  void Handle(HttpRequest request, std::function<void(HttpResponse)> respond) {
    auto moved = std::make_shared<HttpRequest>(std::move(request));
    // Everything here may read a disk, and hashing a body takes time.
    auto work = [self = shared_from_this(), moved, respond] { respond(self->Serve(*moved)); };
    if (!parts_.io.TryRun(std::move(work))) respond(Answer(503, "busy; try again"));
  }

 private:
  HttpResponse Serve(HttpRequest& request);
  HttpResponse GetBlob(const Target& target);
  HttpResponse PutBlob(const Target& target, std::string body);
  HttpResponse GetResult(const Target& target);
  HttpResponse PutResult(const Target& target, std::string body);
  HttpResponse Raw(const HttpRequest& request, const Target& target);
  HttpResponse Properties(const HttpRequest& request, const Target& target);

  Result<Digest> FindBySize(const Target& target);
  void RememberSize(store::Partition partition, const pb::Digest& digest);

  const HttpCacheParts parts_;
  const HttpCacheOptions options_;
};

HttpResponse HttpCache::Serve(HttpRequest& request) {
  const store::LeaseHolder holder(request.identity);
  for (const char* header : {"origin", "sec-fetch-site"}) {
    if (!rpc::FindMetadata(request.headers, header).empty()) {
      return Answer(403, "the cache is not for browsers");
    }
  }
  Target target = *TargetOf(request.path);
  const bool is_raw = target.space == Space::kRaw;
  if (Status name = reapi::CheckInstanceName(target.instance_name); !is_raw && !name.ok()) {
    return AnswerStatus(name);
  }
  const auto partition = parts_.partitions.Of(
      request.identity, is_raw ? RawInstance(target) : std::string(target.instance_name));
  if (!partition) return AnswerStatus(partition.error());
  target.partition = *partition;
  if (is_raw) return Raw(request, target);
  const bool is_blob = target.space == Space::kCas;
  if (request.method == "GET" || request.method == "HEAD") {
    return is_blob ? GetBlob(target) : GetResult(target);
  }
  if (request.method == "PUT") {
    return is_blob ? PutBlob(target, std::move(request.body))
                   : PutResult(target, std::move(request.body));
  }
  return Answer(405, "GET, HEAD and PUT are served here");
}

// --- /cas/ ---

Result<Digest> HttpCache::FindBySize(const Target& target) {
  TRY_ASSIGN(Digest digest, DigestOfKey(target.key, 0));
  if (digest == EmptyDigest(kSha256)) return digest;
  TRY_ASSIGN(Bytes size, parts_.values.GetValue(ValueKey(target.partition, "size", target.key)));
  std::from_chars(size.data(), size.data() + size.size(), digest.size_bytes);
  return digest;
}

void HttpCache::RememberSize(store::Partition partition, const pb::Digest& digest) {
  if (digest.hash().size() != kHashHexLength || digest.size_bytes() <= 0) return;
  const std::string key = ValueKey(partition, "size", digest.hash());
  if (parts_.values.GetValue(key)) return;
  // One that is lost costs a miss.
  if (Status status = parts_.values.PutValue(key, std::to_string(digest.size_bytes()));
      !status.ok()) {
    return;
  }
}

HttpResponse HttpCache::GetBlob(const Target& target) {
  Result<Digest> digest = FindBySize(target);
  if (!digest) return AnswerStatus(digest.error());
  Result<BytesList> bytes = parts_.cas.Read({*digest, target.partition}, {});
  if (!bytes) return AnswerStatus(bytes.error());
  return AnswerBytes(std::move(*bytes));
}

HttpResponse HttpCache::PutBlob(const Target& target, std::string body) {
  const auto size = static_cast<int64_t>(body.size());
  Result<Digest> digest = DigestOfKey(target.key, size);
  if (!digest) return AnswerStatus(digest.error());
  if (size > options_.blob_bytes_max) {
    return Answer(413, fmt::format("a blob has at most {} bytes", options_.blob_bytes_max));
  }
  Status status = store::Put(parts_.cas, {*digest, target.partition}, Bytes(std::move(body)));
  if (status.ok() && size > 0) {
    status = parts_.values.PutValue(ValueKey(target.partition, "size", target.key),
                                    std::to_string(size));
  }
  return AnswerStatus(status);
}

// --- /ac/ ---

HttpResponse HttpCache::GetResult(const Target& target) {
  Result<Digest> action = DigestOfKey(target.key, 0);
  if (!action) return AnswerStatus(action.error());
  Result<Bytes> bytes = parts_.action_cache.Get({*action, target.instance_name, target.partition});
  if (!bytes) return AnswerStatus(bytes.error());
  pb::ActionResult result;
  if (result.ParseFromArray(bytes->data(), static_cast<int>(bytes->size()))) {
    for (const auto& file : result.output_files()) RememberSize(target.partition, file.digest());
    for (const auto& tree : result.output_directories())
      RememberSize(target.partition, tree.tree_digest());
    RememberSize(target.partition, result.stdout_digest());
    RememberSize(target.partition, result.stderr_digest());
  }
  return AnswerBytes({std::move(*bytes)});
}

HttpResponse HttpCache::PutResult(const Target& target, std::string body) {
  if (!options_.update.Allows(target.instance_name)) {
    return Answer(403, "action results may not be written here");
  }
  Result<Digest> action = DigestOfKey(target.key, 0);
  if (!action) return AnswerStatus(action.error());
  return AnswerStatus(parts_.action_cache.Put({*action, target.instance_name, target.partition},
                                              Bytes(std::move(body))));
}

// --- /raw/ ---

std::string EscapeXml(std::string_view text) {
  std::string escaped;
  for (char c : text) {
    if (c == '&') {
      escaped += "&amp;";
    } else if (c == '<') {
      escaped += "&lt;";
    } else if (c == '>') {
      escaped += "&gt;";
    } else {
      escaped += c;
    }
  }
  return escaped;
}

HttpResponse HttpCache::Raw(const HttpRequest& request, const Target& target) {
  const bool reads =
      request.method == "GET" || request.method == "HEAD" || request.method == "PROPFIND";
  if (!reads && !options_.update.Allows(RawInstance(target))) {
    return Answer(403, "values may not be written here");
  }
  // Collections are there as soon as someone asks: only their members are kept.
  const bool is_collection = target.key.ends_with('/') || !target.key.contains('/');
  if (request.method == "MKCOL") return Answer(201);
  if (request.method == "PROPFIND") return Properties(request, target);
  if (is_collection) return Answer(404, "no value: /raw/NAME/KEY");
  const std::string key = ValueKey(target.partition, "raw", target.key);
  if (reads) {
    Result<Bytes> value = parts_.values.GetValue(key);
    if (!value) return AnswerStatus(value.error());
    return AnswerBytes({std::move(*value)});
  }
  if (request.method == "PUT") {
    if (request.body.size() > options_.raw_value_bytes_max) {
      return Answer(413, fmt::format("a value has at most {} bytes", options_.raw_value_bytes_max));
    }
    Status status = parts_.values.PutValue(key, request.body);
    return status.ok() ? Answer(201) : AnswerStatus(status);
  }
  if (request.method == "DELETE") {
    Status status = parts_.values.RemoveValue(key);
    return status.ok() ? Answer(204) : AnswerStatus(status);
  }
  return Answer(405, "GET, HEAD, PUT, DELETE, PROPFIND and MKCOL are served here");
}

// RFC 4918, 9.1, as far as clients need it that only ask whether something is there: the thing
// itself, never its members (Depth is taken as 0), and always the same time.
HttpResponse HttpCache::Properties(const HttpRequest& request, const Target& target) {
  const bool is_collection = target.key.ends_with('/') || !target.key.contains('/');
  std::string properties = "<D:resourcetype><D:collection/></D:resourcetype>";
  if (!is_collection) {
    Result<Bytes> value = parts_.values.GetValue(ValueKey(target.partition, "raw", target.key));
    if (!value) return AnswerStatus(value.error());
    properties = fmt::format(
        "<D:resourcetype/><D:getcontentlength>{}</D:getcontentlength>"
        "<D:getcontenttype>{}</D:getcontenttype>",
        value->size(), kBytesType);
  }
  HttpResponse response{.status = 207,
                        .headers = {{"content-type", "application/xml; charset=utf-8"}}};
  response.body = {Bytes(fmt::format(
      "<?xml version=\"1.0\" encoding=\"utf-8\"?><D:multistatus xmlns:D=\"DAV:\"><D:response>"
      "<D:href>{}</D:href><D:propstat><D:prop>{}"
      "<D:getlastmodified>Thu, 01 Jan 1970 00:00:00 GMT</D:getlastmodified></D:prop>"
      "<D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response></D:multistatus>",
      EscapeXml(request.path), properties))};
  return response;
}

}  // namespace

rpc::HttpHandler NewHttpCache(HttpCacheParts parts, HttpCacheOptions options,
                              rpc::HttpHandler otherwise) {
  auto cache = std::make_shared<HttpCache>(parts, options);
  return [cache, otherwise = std::move(otherwise)](HttpRequest request,
                                                   std::function<void(HttpResponse)> respond) {
    if (!TargetOf(request.path)) return otherwise(std::move(request), std::move(respond));
    cache->Handle(std::move(request), std::move(respond));
  };
}

}  // namespace lre::service

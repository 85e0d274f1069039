#include "reapi/resource_name.h"

#include <charconv>
#include <iterator>

namespace lre::reapi {
namespace {

constexpr size_t kNameBytesMax = 4096;
constexpr size_t kInstanceNameBytesMax = 1024;
constexpr std::string_view kReserved[] = {"blobs",           "uploads",    "actions",
                                          "actionResults",   "operations", "capabilities",
                                          "compressed-blobs"};

bool IsReserved(std::string_view segment) {
  for (std::string_view word : kReserved) {
    if (segment == word) return true;
  }
  return false;
}

// The segments of a name, one after the other.
class Segments {
 public:
  explicit Segments(std::string_view text) : text_(text) {}
  bool done() const { return position_ > text_.size(); }
  size_t position() const { return position_; }
  std::string_view Peek() const {
    if (done()) return {};
    return text_.substr(position_, text_.find('/', position_) - position_);
  }
  std::string_view Next() {
    std::string_view segment = Peek();
    position_ += segment.size() + 1;
    return segment;
  }

 private:
  std::string_view text_;
  size_t position_ = 0;
};

std::unexpected<Status> Bad(std::string_view text, std::string_view why) {
  return Error(Code::kInvalidArgument, "resource name \"{}\": {}", text.substr(0, 256), why);
}

Result<Digest> ParseDigestSegments(std::string_view text, Segments& segments) {
  DigestFunction function = DigestFunctionByName(segments.Peek());
  if (function != DigestFunction::kUnknown) segments.Next();
  std::string_view hex = segments.Next();
  if (function == DigestFunction::kUnknown) {
    function = InferDigestFunction(hex.size());
    if (function == DigestFunction::kUnknown) {
      return Bad(text, "neither a digest function that is served nor a hash of a known length");
    }
  }
  if (segments.done()) return Bad(text, "the size is missing");
  std::string_view size_text = segments.Next();
  int64_t size = 0;
  const char* end = size_text.data() + size_text.size();
  auto [stop, error] = std::from_chars(size_text.data(), end, size);
  if (error != std::errc() || stop != end || size_text.empty() || size < 0) {
    return Bad(text, "the size is not a number from 0 to 2^63-1");
  }
  Result<Digest> digest = MakeDigest(function, hex, size);
  if (!digest) return Bad(text, digest.error().message());
  return digest;
}

Result<Compressor> ParseCompressor(std::string_view text, std::string_view word) {
  for (Compressor c : {Compressor::kZstd, Compressor::kDeflate, Compressor::kBrotli}) {
    if (word == CompressorName(c)) return c;
  }
  return Bad(text, "unknown compressor");
}

// Parses everything from the first reserved word on.
Result<ResourceName> Parse(std::string_view text, bool write) {
  if (text.size() > kNameBytesMax) {
    return Error(Code::kInvalidArgument, "resource name of {} bytes; at most {} are taken",
                 text.size(), kNameBytesMax);
  }
  Segments segments(text);
  while (!segments.done() && !IsReserved(segments.Peek())) segments.Next();
  if (segments.done()) return Bad(text, write ? "no segment \"uploads\"" : "no segment \"blobs\"");
  ResourceName name;
  if (segments.position() > 0) name.instance_name = text.substr(0, segments.position() - 1);
  if (segments.position() == 1) return Bad(text, "starts with a slash");
  if (write) {
    if (segments.Next() != "uploads") return Bad(text, "a write is named {instance}/uploads/...");
    name.upload_id = segments.Next();
    if (name.upload_id.empty()) return Bad(text, "the upload's uuid is empty");
  }
  std::string_view kind = segments.Next();
  if (kind == "compressed-blobs") {
    TRY_ASSIGN(name.compressor, ParseCompressor(text, segments.Next()));
  } else if (kind != "blobs") {
    return Bad(text, "\"blobs\" or \"compressed-blobs\" is missing");
  }
  TRY_ASSIGN(name.digest, ParseDigestSegments(text, segments));
  // A write may end in metadata of the client's own; a read may not.
  if (!write && !segments.done()) return Bad(text, "something follows the size");
  TRY(CheckInstanceName(name.instance_name));
  return name;
}

}  // namespace

std::string_view CompressorName(Compressor compressor) {
  switch (compressor) {
    case Compressor::kIdentity:
      return "identity";
    case Compressor::kZstd:
      return "zstd";
    case Compressor::kDeflate:
      return "deflate";
    case Compressor::kBrotli:
      return "brotli";
  }
  return "";
}

Result<ResourceName> ParseReadName(std::string_view text) { return Parse(text, false); }
Result<ResourceName> ParseWriteName(std::string_view text) { return Parse(text, true); }

std::string PrintResourceName(const ResourceName& name) {
  std::string text;
  auto add = [&](std::string_view segment) {
    if (!text.empty()) text += '/';
    text += segment;
  };
  if (!name.instance_name.empty()) add(name.instance_name);
  if (!name.upload_id.empty()) {
    add("uploads");
    add(name.upload_id);
  }
  add(name.compressor == Compressor::kIdentity ? "blobs" : "compressed-blobs");
  if (name.compressor != Compressor::kIdentity) add(CompressorName(name.compressor));
  // Written only where the length of the hash would say another function: older servers know no
  // such segment.
  const DigestFunction function = name.digest.function;
  if (InferDigestFunction(2 * HashSize(function)) != function) add(DigestFunctionName(function));
  add(name.digest.Hex());
  add(std::to_string(name.digest.size_bytes));
  return text;
}

Status CheckInstanceName(std::string_view name) {
  if (name.empty()) return Status();
  if (name.size() > kInstanceNameBytesMax) {
    return ErrorStatus(Code::kInvalidArgument, "instance name of {} bytes; at most {} are taken",
                       name.size(), kInstanceNameBytesMax);
  }
  for (Segments segments(name); !segments.done();) {
    std::string_view segment = segments.Next();
    if (segment.empty() || IsReserved(segment)) {
      return ErrorStatus(Code::kInvalidArgument,
                         "instance name \"{}\": the segment \"{}\" is not allowed", name, segment);
    }
  }
  return Status();
}

}  // namespace lre::reapi

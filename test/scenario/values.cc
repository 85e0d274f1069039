// Blobs and texts of a scenario: what `let` makes and what ${...} stands for.
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <google/protobuf/text_format.h>
#include <zstd.h>

#include "digest/digest.h"
#include "runner.h"

namespace lre::scenario {

namespace pb = google::protobuf;

namespace {

std::string CEscape(std::string_view bytes) {
  std::string text;
  for (unsigned char c : bytes) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (plain) {
      text += static_cast<char>(c);
    } else {
      text += fmt::format("\\{:03o}", c);
    }
  }
  return text;
}

std::string Compress(std::string_view plain) {
  std::string out(ZSTD_compressBound(plain.size()), '\0');
  const size_t size = ZSTD_compress(out.data(), out.size(), plain.data(), plain.size(), 1);
  out.resize(ZSTD_isError(size) ? 0 : size);
  return out;
}

}  // namespace

Result<std::string> Runner::Blob(const std::string& name) const {
  auto found = blobs_.find(name);
  if (found == blobs_.end()) return Error(Code::kInvalidArgument, "no blob \"{}\"", name);
  return found->second;
}

// let NAME = bytes N | letters N | zeros N | text "..." | slice OTHER FROM TO | join A B |
// flip OTHER | zstd OTHER | message TYPE
Status Runner::Let(const Step& step) {
  const auto& words = step.arguments;
  if (words.size() < 3 || words[1] != "=") {
    return Status(Code::kInvalidArgument, "let NAME = KIND ...");
  }
  std::string& blob = blobs_[words[0]];
  auto word = [&](size_t i) { return i < words.size() ? words[i] : std::string(); };
  if (words[2] == "bytes") {
    TRY_ASSIGN(int64_t size, Number(word(3)));
    blob = random_.NextBytes(static_cast<size_t>(size));
  } else if (words[2] == "letters") {
    TRY_ASSIGN(int64_t size, Number(word(3)));
    blob = random_.NextBytes(static_cast<size_t>(size));
    for (char& c : blob) c = static_cast<char>('a' + static_cast<unsigned char>(c) % 26);
  } else if (words[2] == "zeros") {
    TRY_ASSIGN(int64_t size, Number(word(3)));
    blob = std::string(static_cast<size_t>(size), '\0');
  } else if (words[2] == "zstd") {
    TRY_ASSIGN(std::string other, Blob(word(3)));
    blob = Compress(other);
  } else if (words[2] == "text") {
    TRY_ASSIGN(blob, Substitute(word(3).size() < 2 ? "" : word(3).substr(1, word(3).size() - 2)));
  } else if (words[2] == "slice") {
    TRY_ASSIGN(std::string other, Blob(word(3)));
    TRY_ASSIGN(int64_t from, Number(word(4)));
    TRY_ASSIGN(std::string end, Substitute(word(5)));
    TRY_ASSIGN(int64_t to, Number(end));
    if (from < 0 || from > to || to > static_cast<int64_t>(other.size())) {
      return ErrorStatus(Code::kInvalidArgument, "no slice {} to {} of {} bytes", from, to,
                         other.size());
    }
    blob = other.substr(static_cast<size_t>(from), static_cast<size_t>(to - from));
  } else if (words[2] == "join") {
    TRY_ASSIGN(std::string first, Blob(word(3)));
    TRY_ASSIGN(std::string second, Blob(word(4)));
    blob = first + second;
  } else if (words[2] == "flip") {
    TRY_ASSIGN(blob, Blob(word(3)));
    blob.back() = static_cast<char>(blob.back() ^ 1);
  } else if (words[2] == "message") {
    TRY_ASSIGN(auto message, ParseText(word(3), step.block));
    blob = message->SerializeAsString();
  } else {
    return ErrorStatus(Code::kInvalidArgument, "unknown kind of blob \"{}\"", words[2]);
  }
  return Status();
}

Result<std::unique_ptr<pb::Message>> Runner::ParseText(const std::string& type,
                                                       std::string_view text) const {
  const pb::Descriptor* descriptor =
      pb::DescriptorPool::generated_pool()->FindMessageTypeByName(type);
  if (!descriptor) return Error(Code::kInvalidArgument, "no message {}", type);
  TRY_ASSIGN(std::string substituted, Substitute(text));
  std::unique_ptr<pb::Message> message(
      pb::MessageFactory::generated_factory()->GetPrototype(descriptor)->New());
  if (!pb::TextFormat::ParseFromString(substituted, message.get())) {
    return Error(Code::kInvalidArgument, "no text of a {}: {}", type, substituted.substr(0, 300));
  }
  return message;
}

// N digests of blobs that nobody has, as the list of a FindMissingBlobsRequest.
std::string Runner::AbsentDigests(size_t count) const {
  std::string text;
  for (size_t i = 0; i < count; i++) {
    const Digest digest = ComputeDigest(DigestFunction::kSha256, fmt::format("{} {}", uuid_, i));
    text += fmt::format("blob_digests {{ hash: \"{}\" size_bytes: 40 }}\n", digest.Hex());
  }
  return text;
}

Result<std::string> Runner::Substitute(std::string_view text) const {
  std::string result;
  for (;;) {
    const size_t start = text.find("${");
    if (start == std::string_view::npos) return result + std::string(text);
    const size_t end = text.find('}', start);
    if (end == std::string_view::npos) return Error(Code::kInvalidArgument, "a ${{ without }}");
    result += text.substr(0, start);
    TRY_ASSIGN(std::string value, Value(text.substr(start + 2, end - start - 2)));
    result += value;
    text.remove_prefix(end + 1);
  }
}

// instance, instance/ (with its slash), uuid, BLOB.hash[:FUNCTION], BLOB.size[+N|-N], BLOB.bytes,
// BLOB.digest[:FUNCTION]
Result<std::string> Runner::Value(std::string_view expression) const {
  if (expression == "instance") return options_.instance_name;
  if (expression == "instance/") {
    return options_.instance_name.empty() ? "" : options_.instance_name + "/";
  }
  if (expression == "uuid") return uuid_;
  if (expression.starts_with("absent:")) {
    TRY_ASSIGN(int64_t count, Number(std::string(expression.substr(7))));
    return AbsentDigests(static_cast<size_t>(count));
  }
  const size_t dot = expression.find('.');
  if (dot == std::string_view::npos) {
    return Error(Code::kInvalidArgument, "unknown name ${{{}}}", expression);
  }
  TRY_ASSIGN(std::string blob, Blob(std::string(expression.substr(0, dot))));
  std::string_view property = expression.substr(dot + 1);
  DigestFunction function = DigestFunction::kSha256;
  if (const size_t colon = property.find(':'); colon != std::string_view::npos) {
    function = DigestFunctionByName(property.substr(colon + 1));
    property = property.substr(0, colon);
    if (function == DigestFunction::kUnknown) {
      return Error(Code::kInvalidArgument, "unknown digest function in ${{{}}}", expression);
    }
  }
  if (property == "bytes") return CEscape(blob);
  if (property == "text") return blob;
  if (property == "hash") return ComputeDigest(function, blob).Hex();
  if (property == "digest") {
    return fmt::format("hash: \"{}\" size_bytes: {}", ComputeDigest(function, blob).Hex(),
                       blob.size());
  }
  if (property.starts_with("size")) {
    property.remove_prefix(4);
    if (property.starts_with("+")) property.remove_prefix(1);
    int64_t more = 0;
    if (!property.empty()) {
      TRY_ASSIGN(more, Number(std::string(property)));
    }
    return std::to_string(static_cast<int64_t>(blob.size()) + more);
  }
  return Error(Code::kInvalidArgument, "unknown property in ${{{}}}", expression);
}

}  // namespace lre::scenario

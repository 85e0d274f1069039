#include "worker/work_protocol.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/util/json_util.h>

#include <algorithm>

namespace lre::worker {
namespace {

using blaze::worker::WorkRequest;
using blaze::worker::WorkResponse;

constexpr size_t kShownBytesMax = 200;

// What was printed instead of a response, for people.
std::string Shown(std::string_view bytes) {
  std::string shown;
  for (char c : bytes.substr(0, kShownBytesMax))
    shown += (c >= ' ' && c <= '~') || c == '\n' ? c : '?';
  return shown;
}

Status NoResponse(std::string_view bytes) {
  return ErrorStatus(Code::kInternal,
                     "the process printed what is no WorkResponse (a persistent worker must print "
                     "nothing else to stdout): {}",
                     Shown(bytes));
}

// Whether a response can begin so: with one of its few fields (and some of later versions), a
// number or a text. Else a printed line would pass as the size and the beginning of a long
// response.
bool IsFirstByte(char byte) {
  auto tag = static_cast<uint8_t>(byte);
  return tag >= (1 << 3) && tag < (9 << 3) && ((tag & 7) == 0 || (tag & 7) == 2);
}

// Where the JSON object at the start of `text` ends; npos: not yet.
size_t ObjectEnd(std::string_view text) {
  int depth = 0;
  bool in_string = false;
  for (size_t at = 0; at < text.size(); ++at) {
    char c = text[at];
    if (in_string) {
      if (c == '\\') ++at;
      in_string = c != '"';
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      ++depth;
    } else if ((c == '}' || c == ']') && --depth == 0) {
      return at + 1;
    }
  }
  return text.npos;
}

}  // namespace

std::string EncodeWorkRequest(WorkProtocol protocol, const WorkRequest& request) {
  std::string bytes;
  if (protocol == WorkProtocol::kJson) {
    google::protobuf::util::JsonPrintOptions options;
    (void)google::protobuf::util::MessageToJsonString(request, &bytes, options);
    return bytes + "\n";
  }
  uint8_t size[10];
  uint8_t* end =
      google::protobuf::io::CodedOutputStream::WriteVarint64ToArray(request.ByteSizeLong(), size);
  bytes.assign(size, end);
  request.AppendToString(&bytes);
  return bytes;
}

Result<std::optional<WorkResponse>> ResponseReader::Next() {
  return protocol_ == WorkProtocol::kJson ? NextJson() : NextProto();
}

Result<std::optional<WorkResponse>> ResponseReader::NextProto() {
  uint64_t size = 0;
  size_t at = 0;
  for (int shift = 0;; shift += 7) {
    if (at == bytes_.size()) return std::optional<WorkResponse>();
    auto byte = static_cast<uint8_t>(bytes_[at++]);
    if (shift > 63) return std::unexpected(NoResponse(bytes_));
    size |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) break;
  }
  if (size > response_bytes_max_) return std::unexpected(NoResponse(bytes_));
  if (size > 0 && at < bytes_.size() && !IsFirstByte(bytes_[at]))
    return std::unexpected(NoResponse(bytes_));
  if (bytes_.size() - at < size) return std::optional<WorkResponse>();
  WorkResponse response;
  if (!response.ParseFromArray(bytes_.data() + at, static_cast<int>(size)))
    return std::unexpected(NoResponse(bytes_));
  bytes_.erase(0, at + size);
  return response;
}

Result<std::optional<WorkResponse>> ResponseReader::NextJson() {
  bytes_.erase(0, std::min(bytes_.find_first_not_of(" \t\r\n"), bytes_.size()));
  if (bytes_.empty()) return std::optional<WorkResponse>();
  size_t end = bytes_[0] == '{' ? ObjectEnd(bytes_) : 0;
  if (end == 0 || (end == bytes_.npos && bytes_.size() > response_bytes_max_))
    return std::unexpected(NoResponse(bytes_));
  if (end == bytes_.npos) return std::optional<WorkResponse>();
  WorkResponse response;
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = true;
  if (!google::protobuf::util::JsonStringToMessage(bytes_.substr(0, end), &response, options).ok())
    return std::unexpected(NoResponse(bytes_));
  bytes_.erase(0, end);
  return response;
}

}  // namespace lre::worker

#include "rpc/http1_parser.h"

#include <algorithm>
#include <charconv>
#include <utility>

namespace lre::rpc {
namespace {

// RFC 9110 5.6.2.
bool IsToken(std::string_view text) {
  constexpr std::string_view kOthers = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::ranges::all_of(text, [&](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           kOthers.find(c) != std::string_view::npos;
  });
}

std::string Lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

bool ParseNumber(std::string_view text, int base, size_t& value) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  return !text.empty() && error == std::errc() && end == text.data() + text.size();
}

}  // namespace

Http1Parser::State Http1Parser::Fail(int status) {
  error_status_ = status;
  return state_ = State::kError;
}

HttpRequest Http1Parser::Take() {
  HttpRequest request = std::exchange(request_, {});
  state_ = State::kHead;
  part_ = Part::kStart;
  head_bytes_ = body_left_ = 0;
  has_length_ = chunked_ = wants_continue_ = old_version_ = false;
  keep_alive_ = true;
  return request;
}

Http1Parser::State Http1Parser::Feed(std::string_view& bytes) {
  while (state_ != State::kComplete && state_ != State::kError) {
    if (part_ == Part::kLength || part_ == Part::kChunk) {
      if (body_left_ > 0 && bytes.empty()) return state_;
      if (TakeBody(bytes) == State::kError) return state_;
      continue;
    }
    if (bytes.empty()) return state_;
    if (!TakeLine(bytes)) return state_;
    OnLine();
    line_.clear();
  }
  return state_;
}

// True when line_ holds a whole line, without its end.
bool Http1Parser::TakeLine(std::string_view& bytes) {
  size_t end = bytes.find('\n');
  std::string_view part = bytes.substr(0, end == std::string_view::npos ? end : end + 1);
  head_bytes_ += part.size();
  if (head_bytes_ > limits_.header_bytes_max) {
    Fail(431);
    return false;
  }
  line_ += part;
  bytes.remove_prefix(part.size());
  if (end == std::string_view::npos) return false;
  line_.pop_back();
  if (line_.empty() || line_.back() != '\r') {
    Fail(400);
    return false;
  }
  line_.pop_back();
  if (line_.find('\r') != std::string::npos || line_.find('\0') != std::string::npos) {
    Fail(400);
    return false;
  }
  return true;
}

Http1Parser::State Http1Parser::OnLine() {
  switch (part_) {
    case Part::kStart:
      return OnStart();
    case Part::kFields:
      return line_.empty() ? OnHeadEnd() : OnField();
    case Part::kChunkSize:
      return OnChunkSize();
    case Part::kChunkEnd:
      if (!line_.empty()) return Fail(400);
      part_ = Part::kChunkSize;
      return state_;
    case Part::kTrailers:  // read and dropped
      if (line_.empty()) state_ = State::kComplete;
      return state_;
    default:
      return state_;
  }
}

Http1Parser::State Http1Parser::OnStart() {
  if (line_.empty()) return state_;  // RFC 9112 2.2: empty lines before a request are skipped
  std::string_view line = line_;
  size_t first = line.find(' '), last = line.rfind(' ');
  if (first == std::string_view::npos || first == last) return Fail(400);
  std::string_view method = line.substr(0, first),
                   target = line.substr(first + 1, last - first - 1),
                   version = line.substr(last + 1);
  if (!IsToken(method) || target.empty() || target.find(' ') != std::string_view::npos) {
    return Fail(400);
  }
  if (version != "HTTP/1.1" && version != "HTTP/1.0") {
    return Fail(version.starts_with("HTTP/") ? 505 : 400);
  }
  old_version_ = version == "HTTP/1.0";
  keep_alive_ = !old_version_;
  // A client that takes us for a proxy names the host too.
  if (size_t scheme = target.find("://"); target[0] != '/' && scheme != std::string_view::npos) {
    size_t slash = target.find('/', scheme + 3);
    target = slash == std::string_view::npos ? "/" : target.substr(slash);
  }
  if (target[0] != '/' && target != "*") return Fail(400);
  size_t question = target.find('?');
  request_.method = method;
  request_.path = target.substr(0, question);
  if (question != std::string_view::npos) request_.query = target.substr(question + 1);
  part_ = Part::kFields;
  return state_;
}

Http1Parser::State Http1Parser::OnField() {
  std::string_view line = line_;
  size_t colon = line.find(':');
  if (colon == std::string_view::npos || !IsToken(line.substr(0, colon))) return Fail(400);
  std::string name = Lower(line.substr(0, colon));
  std::string_view value = Trim(line.substr(colon + 1));
  if (name == "content-length") {
    if (has_length_ || !ParseNumber(value, 10, body_left_)) return Fail(400);
    has_length_ = true;
  } else if (name == "transfer-encoding") {
    if (chunked_ || old_version_) return Fail(400);
    if (Lower(value) != "chunked") return Fail(501);
    chunked_ = true;
  } else if (name == "connection") {
    std::string options = Lower(value);
    if (options.find("close") != std::string::npos) keep_alive_ = false;
    if (old_version_ && options.find("keep-alive") != std::string::npos) keep_alive_ = true;
  } else if (name == "expect") {
    if (Lower(value) == "100-continue") wants_continue_ = true;
  }
  request_.headers.emplace_back(std::move(name), value);
  return state_;
}

Http1Parser::State Http1Parser::OnHeadEnd() {
  if (has_length_ && chunked_) return Fail(400);
  if (body_left_ > limits_.body_bytes_max) return Fail(413);
  if (chunked_) {
    part_ = Part::kChunkSize;
    head_bytes_ = 0;
    return state_ = State::kBody;
  }
  if (body_left_ == 0) return state_ = State::kComplete;
  part_ = Part::kLength;
  return state_ = State::kBody;
}

Http1Parser::State Http1Parser::OnChunkSize() {
  std::string_view size = Trim(std::string_view(line_).substr(0, line_.find(';')));
  if (!ParseNumber(size, 16, body_left_)) return Fail(400);
  if (body_left_ > limits_.body_bytes_max - request_.body.size()) return Fail(413);
  head_bytes_ = 0;
  part_ = body_left_ == 0 ? Part::kTrailers : Part::kChunk;
  return state_;
}

Http1Parser::State Http1Parser::TakeBody(std::string_view& bytes) {
  size_t n = std::min(body_left_, bytes.size());
  request_.body.append(bytes.substr(0, n));
  bytes.remove_prefix(n);
  body_left_ -= n;
  if (body_left_ > 0) return state_;
  if (part_ == Part::kLength) return state_ = State::kComplete;
  part_ = Part::kChunkEnd;
  return state_;
}

std::string_view HttpReason(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 204:
      return "No Content";
    case 206:
      return "Partial Content";
    case 207:
      return "Multi-Status";
    case 301:
      return "Moved Permanently";
    case 302:
      return "Found";
    case 304:
      return "Not Modified";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 409:
      return "Conflict";
    case 413:
      return "Content Too Large";
    case 416:
      return "Range Not Satisfiable";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    case 505:
      return "HTTP Version Not Supported";
    case 507:
      return "Insufficient Storage";
    default:
      return "Status";
  }
}

}  // namespace lre::rpc

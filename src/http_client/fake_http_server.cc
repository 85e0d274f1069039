#include "http_client/fake_http_server.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "base/check.h"

namespace lre {
namespace {

bool SendAll(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

// Reads one request; `buffer` keeps what follows it. False at the end of the connection.
bool ReadRequest(int fd, std::string* buffer, FakeHttpRequest* request) {
  const auto more = [&] {
    char bytes[16384];
    const ssize_t got = recv(fd, bytes, sizeof bytes, 0);
    if (got > 0) buffer->append(bytes, static_cast<size_t>(got));
    return got > 0;
  };
  size_t end;
  while ((end = buffer->find("\r\n\r\n")) == std::string::npos) {
    if (!more()) return false;
  }
  std::string head = buffer->substr(0, end + 2);
  buffer->erase(0, end + 4);
  size_t line_end = head.find("\r\n");
  const std::string first = head.substr(0, line_end);
  request->method = first.substr(0, first.find(' '));
  const size_t path = request->method.size() + 1;
  request->path = first.substr(path, first.find(' ', path) - path);
  for (size_t at = line_end + 2; at < head.size(); at = line_end + 2) {
    line_end = head.find("\r\n", at);
    const size_t colon = head.find(':', at);
    std::string name = head.substr(at, colon - at);
    std::transform(name.begin(), name.end(), name.begin(), ::tolower);
    request->headers[name] = head.substr(colon + 2, line_end - colon - 2);
  }
  const auto length = request->headers.find("content-length");
  const size_t body = length == request->headers.end() ? 0 : std::stoul(length->second);
  while (buffer->size() < body) {
    if (!more()) return false;
  }
  request->body = buffer->substr(0, body);
  buffer->erase(0, body);
  return true;
}

}  // namespace

FakeHttpServer::FakeHttpServer(Handler handler) : handler_(std::move(handler)) {
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{.sin_family = AF_INET};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  CHECK(bind(listener_, reinterpret_cast<sockaddr*>(&address), size) == 0);
  CHECK(listen(listener_, 64) == 0);
  CHECK(getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  port_ = ntohs(address.sin_port);
  accepting_ = std::thread([this] { Accept(); });
}

FakeHttpServer::~FakeHttpServer() {
  stopping_ = true;
  shutdown(listener_, SHUT_RDWR);
  accepting_.join();
  {
    std::lock_guard lock(mutex_);
    for (const int fd : open_) shutdown(fd, SHUT_RDWR);
  }
  for (std::thread& thread : threads_) thread.join();
  close(listener_);
}

std::string FakeHttpServer::Url(std::string_view path) const {
  return fmt::format("http://127.0.0.1:{}{}", port_, path);
}

void FakeHttpServer::Accept() {
  while (!stopping_) {
    const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) continue;
    ++connections_;
    std::lock_guard lock(mutex_);
    open_.insert(fd);
    threads_.emplace_back([this, fd] { Serve(fd); });
  }
}

void FakeHttpServer::Serve(int fd) {
  std::string buffer;
  FakeHttpRequest request;
  while (!stopping_ && ReadRequest(fd, &buffer, &request)) {
    ++requests_;
    if (!Answer(fd, handler_(request), request.method == "HEAD")) break;
    request = {};
  }
  std::lock_guard lock(mutex_);
  open_.erase(fd);
  close(fd);
}

bool FakeHttpServer::Answer(int fd, const FakeHttpAnswer& answer, bool head) {
  if (answer.hang) {
    pollfd wait{.fd = fd, .events = POLLIN};  // until the client or the server gives up
    poll(&wait, 1, -1);
    return false;
  }
  std::string text =
      fmt::format("HTTP/1.1 {} X\r\nContent-Length: {}\r\n", answer.status, answer.body.size());
  for (const std::string& header : answer.headers) text += header + "\r\n";
  text += "\r\n";
  if (!head) text += answer.body.substr(0, answer.cut_after.value_or(answer.body.size()));
  // In one piece: two would wait for each other's acknowledgement.
  if (!SendAll(fd, text)) return false;
  if (answer.cut_after) shutdown(fd, SHUT_RDWR);
  return !answer.cut_after;
}

FakeHttpAnswer AnswerBytes(const FakeHttpRequest& request, const std::string& bytes) {
  const auto range = request.headers.find("range");
  if (range == request.headers.end() || !range->second.starts_with("bytes=")) {
    return {.body = bytes};
  }
  char* end = nullptr;
  const size_t first = std::strtoul(range->second.c_str() + 6, &end, 10);
  if (first >= bytes.size()) return {.status = 416};
  const size_t last =
      end[1] == '\0' ? bytes.size() - 1 : std::min(bytes.size() - 1, std::stoul(end + 1));
  return {.status = 206,
          .headers = {fmt::format("Content-Range: bytes {}-{}/{}", first, last, bytes.size())},
          .body = bytes.substr(first, last - first + 1)};
}

}  // namespace lre

#include "http_client/fake_http_server.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "base/check.h"

namespace lre {
namespace {

// One connection, with or without TLS.
class Connection {
 public:
  Connection(int fd, SSL_CTX* tls) : fd_(fd) {
    if (tls == nullptr) return;
    ssl_.reset(SSL_new(tls), SSL_free);
    SSL_set_fd(ssl_.get(), fd);
    usable_ = SSL_accept(ssl_.get()) == 1;
  }
  bool usable() const { return usable_; }
  int fd() const { return fd_; }

  bool SendAll(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ssl_
                               ? SSL_write(ssl_.get(), bytes.data(), static_cast<int>(bytes.size()))
                               : send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }
  bool Receive(std::string* buffer) {
    char bytes[16384];
    const ssize_t got =
        ssl_ ? SSL_read(ssl_.get(), bytes, sizeof bytes) : recv(fd_, bytes, sizeof bytes, 0);
    if (got > 0) buffer->append(bytes, static_cast<size_t>(got));
    return got > 0;
  }

 private:
  const int fd_;
  std::shared_ptr<SSL> ssl_;
  bool usable_ = true;
};

bool Answer(Connection& connection, const FakeHttpAnswer& answer, bool head) {
  if (answer.hang) {
    pollfd wait{.fd = connection.fd(),
                .events = POLLIN};  // until the client or the server gives up
    poll(&wait, 1, -1);
    return false;
  }
  std::string text =
      fmt::format("HTTP/1.1 {} X\r\nContent-Length: {}\r\n", answer.status, answer.body.size());
  for (const std::string& header : answer.headers) text += header + "\r\n";
  text += "\r\n";
  if (!head) text += answer.body.substr(0, answer.cut_after.value_or(answer.body.size()));
  // In one piece: two would wait for each other's acknowledgement.
  if (!connection.SendAll(text)) return false;
  if (answer.cut_after) shutdown(connection.fd(), SHUT_RDWR);
  return !answer.cut_after;
}

// Reads one request; `buffer` keeps what follows it. False at the end of the connection.
bool ReadRequest(Connection& connection, std::string* buffer, FakeHttpRequest* request) {
  const auto more = [&] { return connection.Receive(buffer); };
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

FakeHttpServer::FakeHttpServer(Handler handler, bool tls) : handler_(std::move(handler)) {
  if (tls) MakeCertificate();
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
  return fmt::format("{}://127.0.0.1:{}{}", tls_ ? "https" : "http", port_, path);
}

void FakeHttpServer::MakeCertificate() {
  const std::shared_ptr<EVP_PKEY> key(EVP_EC_gen("P-256"), EVP_PKEY_free);
  const std::shared_ptr<X509> certificate(X509_new(), X509_free);
  X509_set_version(certificate.get(), 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 3600);
  X509_set_pubkey(certificate.get(), key.get());
  X509_NAME* name = X509_get_subject_name(certificate.get());
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const uint8_t*>("test"), -1,
                             -1, 0);
  X509_set_issuer_name(certificate.get(), name);
  const std::shared_ptr<X509_EXTENSION> address(
      X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, "IP:127.0.0.1"),
      X509_EXTENSION_free);
  X509_add_ext(certificate.get(), address.get(), -1);
  CHECK(X509_sign(certificate.get(), key.get(), EVP_sha256()) > 0);

  const std::shared_ptr<BIO> memory(BIO_new(BIO_s_mem()), BIO_free);
  PEM_write_bio_X509(memory.get(), certificate.get());
  char* text = nullptr;
  const long size = BIO_get_mem_data(memory.get(), &text);
  certificate_.assign(text, static_cast<size_t>(size));
  tls_.reset(SSL_CTX_new(TLS_server_method()), SSL_CTX_free);
  CHECK(SSL_CTX_use_certificate(tls_.get(), certificate.get()) == 1);
  CHECK(SSL_CTX_use_PrivateKey(tls_.get(), key.get()) == 1);
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
  {
    Connection connection(fd, tls_.get());
    std::string buffer;
    FakeHttpRequest request;
    while (!stopping_ && connection.usable() && ReadRequest(connection, &buffer, &request)) {
      ++requests_;
      if (!Answer(connection, handler_(request), request.method == "HEAD")) break;
      request = {};
    }
  }
  std::lock_guard lock(mutex_);
  open_.erase(fd);
  close(fd);
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

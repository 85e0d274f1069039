// FakeHttpServer: an HTTP/1.1 server on a loopback port of the kernel's choosing, for tests. Every
// request is answered by the handler, called on a thread of its connection; connections are kept
// open.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

struct ssl_ctx_st;

namespace lre {

struct FakeHttpRequest {
  std::string method, path;
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
};

struct FakeHttpAnswer {
  int status = 200;
  std::vector<std::string> headers;  // "Name: value"
  std::string body;
  std::optional<size_t> cut_after;  // sends so many bytes of the body, then closes the connection
  bool hang = false;                // sends nothing until the server stops
};

class FakeHttpServer {
 public:
  using Handler = std::function<FakeHttpAnswer(const FakeHttpRequest&)>;
  // With `tls` it speaks HTTPS, with a certificate of its own for 127.0.0.1.
  explicit FakeHttpServer(Handler handler, bool tls = false);
  ~FakeHttpServer();

  std::string Url(std::string_view path) const;  // "http[s]://127.0.0.1:<port>" + path
  const std::string& certificate() const { return certificate_; }  // PEM
  int requests() const { return requests_; }
  int connections() const { return connections_; }

 private:
  void Accept();
  void Serve(int fd);
  void MakeCertificate();

  const Handler handler_;
  std::string certificate_;
  std::shared_ptr<ssl_ctx_st> tls_;
  int listener_ = -1;
  int port_ = 0;
  std::atomic<int> requests_ = 0, connections_ = 0;
  std::atomic<bool> stopping_ = false;
  std::mutex mutex_;
  std::set<int> open_;
  std::vector<std::thread> threads_;  // of connections; only the accepting thread adds
  std::thread accepting_;
};

// 200 with the bytes, or 206 with the part that a Range header asks for.
FakeHttpAnswer AnswerBytes(const FakeHttpRequest& request, const std::string& bytes);

}  // namespace lre

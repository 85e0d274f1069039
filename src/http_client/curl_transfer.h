// One HTTP exchange on one libcurl handle: no retries, no files. The borders to libcurl's callbacks
// are all here. A CurlHandles is thread-safe; a transfer runs on the calling thread.
#pragma once

#include <curl/curl.h>

#include <memory>
#include <vector>

#include "base/guarded.h"
#include "http_client/http_client.h"

namespace lre {

// Idle handles with their open connections, for the next transfer.
class CurlHandles {
 public:
  explicit CurlHandles(size_t idle_max) : idle_max_(idle_max) {}
  ~CurlHandles();
  CURL* Take();
  void Give(CURL* handle);

 private:
  const size_t idle_max_;
  Guarded<std::vector<CURL*>> idle_;
};

// Receives the body of an answer below 300; other bodies are dropped.
class BodySink {
 public:
  virtual ~BodySink() = default;
  // Before the first byte, and once for an empty body, with the status and headers.
  virtual Status Begin(const HttpResponse& head) = 0;
  virtual Status Write(std::string_view bytes) = 0;
};

struct TransferOutcome {
  Status status;           // of the exchange: OK whenever there was an answer, whatever it says
  bool retryable = false;  // another attempt may go better
  Duration retry_after{};  // what the server asked for
  HttpResponse response;   // without its body
};

TransferOutcome RunTransfer(CurlHandles& handles, const HttpClientOptions& options,
                            const HttpRequest& request, BodySink& sink);

}  // namespace lre

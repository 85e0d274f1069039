// One HTTP exchange on one libcurl handle: no retries, no files. The borders to libcurl's callbacks
// are all here. A CurlHandles is thread-safe; a transfer runs on the calling thread.
#pragma once

#include <memory>
#include <vector>

#include "base/guarded.h"
#include "http_client/curl_library.h"
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

struct TransferOutcome {
  Status status;           // of the exchange: OK whenever there was an answer, whatever it says
  bool retryable = false;  // another attempt may go better
  Duration retry_after{};  // what the server asked for
  HttpResponse response;   // without its body
};

// With the redirects that it leads to.
TransferOutcome RunTransfer(CurlHandles& handles, const HttpClientOptions& options,
                            const HttpRequest& request, BodySink& sink);

}  // namespace lre

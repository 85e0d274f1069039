// Test services for the transport: google.bytestream.ByteStream with behaviour chosen by the
// resource name (so that grpc++'s generated stubs can call it), and a few raw methods. Thread-safe.
//
//   QueryWriteStatus  "echo"          committed_size = length of the name
//                     "status:5:text" ends with that code, message, details and a trailer
//                     "hang"          never answers; counts its cancellation
//                     "metadata"      fails with the value of the client's metadata "x-echo-bin"
//                     "later"         answers from another thread
//   Read              "n:3:1000"      that many messages of that many data bytes, pausing above low
//   water
//                     "hang"          one message, then nothing
//   Write             counts bytes until half close; "early" answers at the first message
//   /test/Bidi        echoes every message;  /test/Manual: echoes sizes, gives back on "release"
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "base/metrics.h"
#include "rpc/client.h"
#include "rpc/server.h"

namespace lre::rpc {

struct FakeServices {
  std::atomic<int> started{0}, cancelled{0}, hanging{0};
  std::atomic<size_t> queued_bytes_peak{0};

  std::vector<Method> Methods();
};

// A running server with those services on a loopback port.
class TestServer {
 public:
  explicit TestServer(ServerOptions options = {}, HttpHandler http = nullptr);
  const std::string& address() const { return server_->addresses().front(); }
  Server& server() { return *server_; }
  void Stop() { server_.reset(); }

  FakeServices services;
  Metrics metrics;

 private:
  std::unique_ptr<Server> server_;
};

// Waits until `done`, at most 20 s; for effects on other threads. False on timeout.
bool Eventually(const std::function<bool()>& done);

}  // namespace lre::rpc

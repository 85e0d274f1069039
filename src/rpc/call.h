// What both sides of a call share: metadata, the server's view of one call, and the handler that a
// service writes. gRPC over HTTP/2: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/status.h"

namespace lre::rpc {

// Names in lower case. Values of names that end in "-bin" are bytes, base64 only on the wire.
using Metadata = std::vector<std::pair<std::string, std::string>>;
// The first value of `name`; empty when there is none.
std::string_view FindMetadata(const Metadata& metadata, std::string_view name);

// Facts about a call, constant while it lives.
struct CallInfo {
  std::string method;               // "/google.bytestream.ByteStream/Read"
  Metadata metadata;                // what the client sent, without HTTP/2's and gRPC's own headers
  std::optional<Instant> deadline;  // from grpc-timeout
  std::string peer;                 // "127.0.0.1:41234" or "unix:/path"
  std::string identity;             // who the TLS certificate says it is; empty without one
};

// One call on the server. Held by shared_ptr because the loop, an I/O thread and the scheduler may
// end with it in any order. Thread-safe: every method may be called from any thread; effects happen
// on the call's loop, in the order of the calls made by one thread. After Finish or cancellation
// every method does nothing.
class ServerCall {
 public:
  virtual ~ServerCall() = default;
  virtual const CallInfo& info() const = 0;
  // True once the client left, the deadline passed or the connection is gone.
  virtual bool cancelled() const = 0;
  // Sends one message made of these pieces; no byte is copied: the pieces are held until sent.
  virtual void Send(BytesList message) = 0;
  // Ends the call. The only message of an error without Send is trailers-only.
  virtual void Finish(Status status, Metadata trailers = {}) = 0;
  // Send, then Finish(OK), in one flush: the answer of a unary call.
  virtual void Respond(BytesList message) = 0;
  void Respond(std::string message) { Respond(BytesList{Bytes(std::move(message))}); }
  // Bytes given to Send that the socket has not taken yet. Streams stop sending above a few hundred
  // KiB and go on at CallHandler::OnWritable.
  virtual size_t queued_bytes() const = 0;
  // Gives back receive window for messages of a Method with manual_flow, once their bytes are
  // stored.
  virtual void Consumed(size_t bytes) = 0;
  // Runs `work` on the call's loop thread, also after the call has ended.
  virtual void Post(std::function<void()> work) = 0;
};

// The service's side of one call. Made when the headers are in, destroyed after the call has ended.
// Every method runs on the loop thread of the call's connection and must not block: no disk, no
// lock held longer than a table operation, nothing over about a millisecond of CPU.
class CallHandler {
 public:
  virtual ~CallHandler() = default;
  // One whole request message, decompressed.
  virtual void OnMessage(Bytes message) = 0;
  // The client has sent its last message.
  virtual void OnHalfClose() {}
  // queued_bytes() fell below kWritableLowWaterBytes after having been above.
  virtual void OnWritable() {}
  // The client left, the deadline passed or the connection is gone. The last callback.
  virtual void OnCancel() {}
};

inline constexpr size_t kWritableLowWaterBytes = 256 << 10;

struct Method {
  std::string path;  // "/package.Service/Name"
  std::function<std::unique_ptr<CallHandler>(std::shared_ptr<ServerCall>)> start;
  size_t request_bytes_max =
      4 << 20;  // per message, after decompression; beyond: RESOURCE_EXHAUSTED
  // False: window is given back as messages are delivered. True: the handler says Consumed().
  bool manual_flow = false;
};

// A method that takes one message and answers once. The function runs on the loop thread; it may
// keep the call and answer later from any thread. kInvalidArgument is answered to a call without a
// message.
Method UnaryMethod(std::string path,
                   std::function<void(std::shared_ptr<ServerCall>, Bytes request)> handle,
                   size_t request_bytes_max = 4 << 20);
// One message in, a stream out: the function starts the stream; `handler` may return nullptr or an
// object that is told of OnWritable and OnCancel (its OnMessage is not called).
Method ServerStreamMethod(
    std::string path,
    std::function<std::unique_ptr<CallHandler>(std::shared_ptr<ServerCall>, Bytes request)> start,
    size_t request_bytes_max = 4 << 20);

}  // namespace lre::rpc

// Channel: a gRPC client over one or more HTTP/2 connections to one server, reconnecting with
// backoff. Thread-safe. Callbacks run on the channel's loop thread and must not block; the blocking
// helpers below are for threads that may wait, never for loops.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/status.h"
#include "rpc/call.h"

namespace lre::rpc {

struct ChannelOptions {
  int connections = 1;
  std::string tls_ca_path, tls_certificate_path, tls_key_path;  // for grpcs://
  Metadata metadata;                                            // sent with every call
  // For all of it: resolved name, TCP, TLS and the server's HTTP/2 SETTINGS.
  Duration connect_timeout = std::chrono::seconds(10);
  size_t response_bytes_max = 64 << 20;                    // per message
  Duration keepalive_interval = std::chrono::seconds(30);  // PING while calls are open
  Duration keepalive_timeout = std::chrono::seconds(20);
};

struct CallOptions {
  Metadata metadata;
  std::optional<Duration> timeout;
  // False: window is given back as messages are delivered. True: the caller says Consumed().
  bool manual_flow = false;
};

// What a call tells its caller. OnEnd is always the last callback, exactly once.
class ClientHandler {
 public:
  virtual ~ClientHandler() = default;
  virtual void OnMessage(Bytes message) = 0;
  virtual void OnWritable() {}
  virtual void OnEnd(Status status, Metadata trailers) = 0;
};

// One call on the client. Thread-safe; after OnEnd every method does nothing.
class ClientCall {
 public:
  virtual ~ClientCall() = default;
  virtual void Send(BytesList message) = 0;
  virtual void HalfClose() = 0;
  virtual void Cancel() = 0;
  virtual size_t queued_bytes() const = 0;
  // Gives back receive window for messages of a call with manual_flow.
  virtual void Consumed(size_t bytes) = 0;
};

class Channel {
 public:
  virtual ~Channel() = default;  // open calls end with CANCELLED
  // `target`: "grpc://host:port", "grpcs://host:port", "host:port" or "unix:/path". Connects
  // lazily.
  static Result<std::shared_ptr<Channel>> Create(const std::string& target,
                                                 ChannelOptions options = {});
  virtual std::shared_ptr<ClientCall> Start(std::string method, CallOptions options,
                                            std::shared_ptr<ClientHandler> handler) = 0;

  // Sends one message and waits for the one answer.
  Result<Bytes> Unary(std::string method, BytesList request, CallOptions options = {});
};

// A streaming call for a thread that may wait. Confined to one thread, except Cancel.
class BlockingStream {
 public:
  BlockingStream(Channel& channel, std::string method, CallOptions options);
  ~BlockingStream();  // cancels if it has not ended
  // Waits while more than `queued_bytes_max` wait for the socket. False when the call has ended.
  bool Write(BytesList message, size_t queued_bytes_max = 1 << 20);
  void HalfClose();
  // The next message; nullopt when the call has ended or the deadline passed: then see Finish.
  std::optional<Bytes> Read(std::optional<Instant> deadline = std::nullopt);
  void Cancel();
  // Waits for the end; its status.
  Status Finish();

 private:
  struct State;
  std::shared_ptr<State> state_;
  std::shared_ptr<ClientCall> call_;
};

}  // namespace lre::rpc

// ClientStream: one call of a Channel. It may wait for a connection, run on one, and be started
// again on another when the server has surely not seen it. The ClientCall half may be used from any
// thread; the rest is confined to the channel's loop.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "rpc/client.h"
#include "rpc/grpc_stream.h"

namespace lre::rpc {

class ClientStream final : public GrpcStream, public ClientCall {
 public:
  struct Start {
    std::string method;
    CallOptions options;
    std::shared_ptr<ClientHandler> handler;
    size_t response_bytes_max = 64 << 20;
    uint32_t stream_window_bytes = 8 << 20;
    // Given the stream back to be started anew. False when the channel is closed.
    std::function<bool(std::shared_ptr<ClientStream>)> retry;
  };
  ClientStream(std::shared_ptr<Loop> loop, Start start);

  // ClientCall
  void Send(BytesList message) override;
  void HalfClose() override;
  void Cancel() override;
  size_t queued_bytes() const override { return Stream::queued_bytes(); }
  void Consumed(size_t bytes) override;

  // Stream
  void OnData(std::string_view chunk) override;
  void OnRemoteEnd() override;
  void OnWritable() override;
  void OnClosed(uint32_t error, const Status* lost) override;

  // Told by ClientConnection.
  void OnHeader(std::string_view name, std::string_view value);
  void OnHeadersEnd();
  void OnNotSent();

  // Loop thread. Arms the deadline; the call may now wait for a connection.
  void Arm();
  // Ends the call; OnEnd is called now.
  void End(Status status, Metadata trailers = {});
  bool ended() const { return ended_; }
  const std::string& method() const { return start_.method; }
  const Metadata& metadata() const { return start_.options.metadata; }
  std::optional<Duration> time_left() const;

 private:
  std::shared_ptr<ClientStream> Self() {
    return std::static_pointer_cast<ClientStream>(shared_from_this());
  }
  void DoSend(BytesList message);
  bool Retry();
  void FinishFromTrailers();

  const std::shared_ptr<Loop> loop_;

  // Loop thread only.
  Start start_;
  std::optional<Instant> deadline_at_;
  Timer deadline_;
  bool ended_ = false, half_closed_ = false, response_seen_ = false;
  // What was sent, kept while the call may have to be started again.
  std::vector<BytesList> replay_;
  size_t replay_bytes_ = 0;
  bool replayable_ = true;
  int retries_ = 0;
  // The response.
  size_t header_bytes_ = 0;
  int http_status_ = 0;
  std::string content_type_, encoding_, message_;
  std::optional<Code> code_;
  std::string details_;
  Metadata received_;
};

}  // namespace lre::rpc

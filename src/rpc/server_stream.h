// The server's side of one HTTP/2 stream: ServerStream is a gRPC call, HttpStream a plain HTTP
// request. Both live on their connection's loop; ServerStream's ServerCall half may be used from
// any thread.
#pragma once

#include <memory>
#include <string>

#include "rpc/grpc_stream.h"
#include "rpc/http2_connection.h"
#include "rpc/server_context.h"

namespace lre::rpc {

class ServerStream final : public GrpcStream, public ServerCall {
 public:
  ServerStream(std::shared_ptr<Loop> loop, const ServerContext& context, CallInfo info);

  // After Attach: runs the method's start, or ends the call with an error that was already found.
  // Messages may be compressed when `gzip`.
  void Start(const ServedMethod& method, Encoding encoding, bool gzip);
  void Refuse(Status status) { DoFinish(std::move(status), {}); }
  // The deadline passed or the server ends: tells the handler, then finishes with `status`.
  void Abort(Status status);
  bool remote_ended() const { return remote_ended_; }

  // ServerCall
  const CallInfo& info() const override { return info_; }
  bool cancelled() const override { return cancelled_.load(std::memory_order_relaxed); }
  void Send(BytesList message) override;
  void Finish(Status status, Metadata trailers) override;
  void Respond(BytesList message) override;
  size_t queued_bytes() const override { return Stream::queued_bytes(); }
  void Consumed(size_t bytes) override;
  void Post(std::function<void()> work) override { loop_->Post(std::move(work)); }

  // Stream
  void OnData(std::string_view chunk) override;
  void OnRemoteEnd() override;
  void OnWritable() override;
  bool SubmitTrailers() override;
  void OnClosed(uint32_t error, const Status* lost) override;

 private:
  std::shared_ptr<ServerStream> Self() {
    return std::static_pointer_cast<ServerStream>(shared_from_this());
  }
  // A message as it travels.
  struct Outgoing {
    BytesList bytes;
    bool compressed = false;
  };
  Outgoing Encode(BytesList message) const;
  void DoSend(Outgoing message);
  void DoFinish(Status status, Metadata trailers);
  void SubmitHeaders();
  void SubmitTrailersOnly();
  void End(Code code);
  void AppendStatus(std::vector<nghttp2_nv>& headers, std::vector<std::string>& storage) const;

  const std::shared_ptr<Loop> loop_;
  const ServerContext& context_;  // used only while the stream is attached
  const CallInfo info_;
  std::atomic<bool> cancelled_{false};
  // Constant once the handler has the call: what is compressed; by default nothing.
  size_t gzip_bytes_min_ = 0, gzip_bytes_max_ = 0;

  // Loop thread only.
  const ServedMethod* method_ = nullptr;
  Instant started_{};
  std::unique_ptr<CallHandler> handler_;
  Timer deadline_;
  Status status_;
  Metadata trailers_;
  bool headers_sent_ = false, ended_ = false, remote_ended_ = false;
};

class HttpStream final : public Stream {
 public:
  HttpStream(std::shared_ptr<Loop> loop, const ServerContext& context, HttpRequest request);

  void OnData(std::string_view chunk) override;
  void OnRemoteEnd() override;
  void OnClosed(uint32_t, const Status*) override {}
  void Respond(HttpResponse response);
  bool remote_ended() const { return remote_ended_; }

 private:
  const std::shared_ptr<Loop> loop_;
  const ServerContext& context_;
  HttpRequest request_;  // moved to the handler when complete
  HeldBody held_;
  const bool head_;
  bool responded_ = false, remote_ended_ = false;
};

}  // namespace lre::rpc

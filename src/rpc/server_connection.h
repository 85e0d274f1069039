// ServerConnection: one HTTP/2 connection of a server: starts calls from request headers, counts
// abuse, drains. Confined to its loop.
#pragma once

#include <memory>
#include <string>

#include "rpc/http2_connection.h"
#include "rpc/server_context.h"

namespace lre::rpc {

class ServerConnection final : public Http2Connection, public Served {
 public:
  ServerConnection(std::shared_ptr<Loop> loop, std::unique_ptr<Socket> socket,
                   const ServerContext& context, ServedSet& set);

  // Served
  void BeginDrain() override;
  void EndCalls() override;
  bool closed() const override { return Http2Connection::closed(); }
  void Drop() override { Close(Status(Code::kUnavailable, "the server ended the connection")); }

 private:
  // The header block being received: one at a time on a connection.
  struct Request {
    int32_t stream = 0;
    std::string method, path, authority, content_type, encoding, timeout, accept_encoding;
    Metadata metadata;
    size_t bytes = 0;
    bool takes_gzip = false;
  };

  void OnHeadersBegin(const nghttp2_frame& frame) override;
  void OnHeaderField(const nghttp2_frame& frame, std::string_view name,
                     std::string_view value) override;
  void OnHeadersEnd(const nghttp2_frame& frame) override;
  void OnControlFrame(const nghttp2_frame& frame) override;
  void OnFrameSent(const nghttp2_frame& frame) override;
  void OnStreamClosed(uint32_t error) override;
  void OnClosed(const Status& why) override;
  Instant OnTick(Instant now) override;

  void StartCall();
  void StartHttp();
  void CountPing();
  void Calm(const char* what);
  void FinalGoaway();
  Duration IdleDrainMax() const;  // until the PING of a drain counts as answered

  const std::shared_ptr<Loop> shared_loop_;
  const ServerContext& context_;
  ServedSet& set_;
  const std::string peer_, identity_;
  const Instant opened_;

  Request request_;
  Instant headers_since_ = Instant::max();  // a header block is incomplete since then
  bool settings_seen_ = false;
  bool draining_ = false, goaway_sent_ = false;
  Instant drain_since_ = Instant::max();
  bool sent_since_ping_ = true;
  int ping_strikes_ = 0;
  Instant last_ping_{};
  RateLimit resets_, settings_;
};

}  // namespace lre::rpc

// ClientConnection: one HTTP/2 connection of a Channel. Confined to the channel's loop.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "rpc/client_stream.h"
#include "rpc/http2_connection.h"

namespace lre::rpc {

class ClientConnection final : public Http2Connection {
 public:
  struct Events {
    std::function<void()> on_ready;                // the server has said SETTINGS
    std::function<void()> on_draining;             // it takes no new calls
    std::function<void(const Status&)> on_closed;  // last
  };
  // Closes itself when the server's SETTINGS (and so the TLS handshake) are not in by `ready_by`.
  ClientConnection(Loop& loop, std::unique_ptr<Socket> socket, const Http2Options& options,
                   Instant ready_by, Events events)
      : Http2Connection(loop, std::move(socket), options),
        ready_by_(ready_by),
        events_(std::move(events)) {
    TickBy(ready_by_);
  }

  // Sends the headers of `stream`; its queued messages follow. False when it takes no calls.
  struct Target {
    std::string scheme, authority;
    const Metadata* metadata;  // sent with every call
  };
  bool StartCall(std::shared_ptr<ClientStream> stream, const Target& target);
  bool draining() const { return draining_; }
  bool ready() const { return ready_; }

 private:
  void OnHeadersBegin(const nghttp2_frame&) override {}
  void OnHeaderField(const nghttp2_frame& frame, std::string_view name,
                     std::string_view value) override;
  void OnHeadersEnd(const nghttp2_frame& frame) override;
  void OnControlFrame(const nghttp2_frame& frame) override;
  void OnRequestNotSent(int32_t id) override;
  void OnClosed(const Status& why) override;
  Instant OnTick(Instant now) override;
  bool wants_keepalive() const override { return open_streams() > 0; }

  const Instant ready_by_;
  Events events_;
  bool draining_ = false, ready_ = false;
};

}  // namespace lre::rpc

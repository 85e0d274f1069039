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
    std::function<void()> on_draining;             // it takes no new calls
    std::function<void(const Status&)> on_closed;  // last
  };
  ClientConnection(Loop& loop, std::unique_ptr<Socket> socket, const Http2Options& options,
                   Events events)
      : Http2Connection(loop, std::move(socket), options), events_(std::move(events)) {}

  // Sends the headers of `stream`; its queued messages follow. False when it takes no calls.
  struct Target {
    std::string scheme, authority;
    const Metadata* metadata;  // sent with every call
  };
  bool StartCall(std::shared_ptr<ClientStream> stream, const Target& target);
  bool draining() const { return draining_; }

 private:
  void OnHeadersBegin(const nghttp2_frame&) override {}
  void OnHeaderField(const nghttp2_frame& frame, std::string_view name,
                     std::string_view value) override;
  void OnHeadersEnd(const nghttp2_frame& frame) override;
  void OnControlFrame(const nghttp2_frame& frame) override;
  void OnRequestNotSent(int32_t id) override;
  void OnClosed(const Status& why) override;
  bool wants_keepalive() const override { return open_streams() > 0; }

  Events events_;
  bool draining_ = false;
};

}  // namespace lre::rpc

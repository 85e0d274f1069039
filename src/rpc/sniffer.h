// Sniffer: a new connection until its first bytes (after the TLS handshake) tell what it speaks:
// HTTP/2 with prior knowledge, or HTTP/1.1. Then it gives its place and its socket to the
// connection proper. Confined to its loop; a peer that says nothing for handshake_max is dropped.
#pragma once

#include <memory>
#include <string>

#include "rpc/server_context.h"
#include "rpc/socket.h"

namespace lre::rpc {

class Sniffer final : public Loop::Source,
                      public Served,
                      public std::enable_shared_from_this<Sniffer> {
 public:
  Sniffer(std::shared_ptr<Loop> loop, std::unique_ptr<Socket> socket, const ServerContext& context,
          ServedSet& set);
  void Start();

  // Served. While draining, a peer that has been accepted may still say what it wants, but soon.
  void BeginDrain() override;
  void EndCalls() override { Drop(); }
  void Drop() override;
  bool closed() const override { return socket_ == nullptr; }

 private:
  void OnEvents(uint32_t events) override;
  void Become(bool http2);

  const std::shared_ptr<Loop> loop_;
  std::unique_ptr<Socket> socket_;
  const ServerContext& context_;
  ServedSet& set_;
  std::string seen_;
  Timer timer_;
};

}  // namespace lre::rpc

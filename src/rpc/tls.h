// TlsContext: certificates and rules for one side of TLS 1.2 or newer on OpenSSL, with ALPN "h2"
// (and "http/1.1" on servers) and mutual authentication. Thread-safe after construction; sockets
// made by Wrap keep what they need of it. Errors name the file.
#pragma once

#include <memory>
#include <string>

#include "rpc/server.h"
#include "rpc/socket.h"

namespace lre::rpc {

struct TlsClientOptions {
  std::string ca_path;                     // PEM; empty: the system's
  std::string certificate_path, key_path;  // PEM; empty: no client certificate
};

class TlsContext {
 public:
  virtual ~TlsContext() = default;
  static Result<std::shared_ptr<TlsContext>> ForServer(const TlsOptions& options);
  static Result<std::shared_ptr<TlsContext>> ForClient(const TlsClientOptions& options);
  // A socket that shakes hands as it is first read or written. Clients verify that the server is
  // `host`.
  virtual std::unique_ptr<Socket> Wrap(UniqueFd fd, const std::string& host) = 0;
};

}  // namespace lre::rpc

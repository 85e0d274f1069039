// Server: gRPC and HTTP on one or more addresses, on nghttp2 with one epoll loop per core. It knows
// no service: it is given methods. Start and Drain from the composing thread; everything else is on
// loops.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/metrics.h"
#include "base/status.h"
#include "rpc/call.h"

namespace lre::rpc {

struct TlsOptions {
  std::string certificate_path, key_path;  // PEM; empty: no TLS
  std::string client_ca_path;              // PEM; set: clients must show a certificate (mTLS)
};

struct ServerOptions {
  std::vector<std::string>
      listen;     // "127.0.0.1:50051", "[::1]:0", "unix:/path"; port 0 lets the kernel choose
  int loops = 0;  // 0: one per core
  TlsOptions tls;
  // Per connection (SETTINGS_MAX_CONCURRENT_STREAMS). A client that has acknowledged it and goes
  // beyond loses the connection (PROTOCOL_ERROR: nghttp2 leaves no choice); before that, extra
  // calls are reset with REFUSED_STREAM, which clients start again.
  uint32_t streams_max = 1024;
  size_t header_bytes_max = 32 << 10;  // per call; beyond: RESOURCE_EXHAUSTED
  size_t connections_max = 10000;      // beyond: refused, oldest stay
  uint32_t stream_window_bytes = 8 << 20;
  uint32_t connection_window_bytes = 64 << 20;
  Duration handshake_max =
      std::chrono::seconds(10);  // until the client's preface and SETTINGS are in
  Duration connection_age_max =
      Duration(0);  // 0: unbounded; then a GOAWAY drain of that connection
  Duration keepalive_interval = std::chrono::minutes(5);  // PING when idle that long
  Duration keepalive_timeout = std::chrono::seconds(20);
  Duration stream_stall_max = std::chrono::minutes(5);  // a reader that takes nothing is reset
  // Per connection: bytes of incomplete messages larger than half a stream window, and of plain
  // HTTP requests; beyond: RESOURCE_EXHAUSTED or 503. Smaller messages are bounded by
  // connection_window_bytes.
  size_t assembling_bytes_max = 256 << 20;
  // How long the calls of a connection that is drained for its age may still take.
  Duration connection_age_grace = std::chrono::minutes(10);
  // How long a connection without calls may delay a drain: one that has not said anything yet, or
  // that does not answer the PING.
  Duration drain_idle_max = std::chrono::seconds(2);
  size_t http_body_bytes_max = 64 << 20;  // of a plain HTTP request; beyond: 413
  // Bodies of all plain HTTP requests that are not answered yet, of all connections; beyond: 503.
  size_t http_bodies_bytes_max = 512 << 20;
  // Abuse ends a connection with ENHANCE_YOUR_CALM. Pings count only when nothing was sent since
  // the last one; streams that end in a reset, and SETTINGS, may come in a burst and then at this
  // rate.
  Duration ping_interval_min = std::chrono::seconds(5);
  int ping_strikes_max = 3;
  int resets_burst_max = 1000, resets_per_second_max = 200;
  int settings_burst_max = 20, settings_per_second_max = 1;
  // Clients that say grpc-accept-encoding: gzip get messages of gzip_bytes_min to gzip_bytes_max
  // compressed where that makes them smaller. Whoever sends a message compresses it, often a loop:
  // the larger bound is a millisecond of it. Off because blobs have compressed-blobs/zstd.
  bool gzip_answers = false;
  size_t gzip_bytes_min = 1 << 10, gzip_bytes_max = 64 << 10;
};

// A plain HTTP request (web page, /metrics, HTTP cache), whole body in memory up to body_bytes_max.
struct HttpRequest {
  std::string method, path, query, body, peer, identity;
  Metadata headers;
};
struct HttpResponse {
  int status = 200;
  Metadata headers;
  BytesList body;
};
// Runs on a loop thread; answers through `respond` once, from any thread.
using HttpHandler = std::function<void(HttpRequest, std::function<void(HttpResponse)> respond)>;

class Server {
 public:
  virtual ~Server() = default;  // drains with no patience: open calls get UNAVAILABLE

  // Binds, listens and starts serving. kInvalidArgument for an address that does not parse,
  // kUnavailable (naming it) for one that is taken.
  static Result<std::unique_ptr<Server>> Start(ServerOptions options, std::vector<Method> methods,
                                               HttpHandler http, Metrics& metrics,
                                               const Clock& clock);
  // The addresses served, with the ports the kernel chose, in the order of ServerOptions::listen.
  virtual const std::vector<std::string>& addresses() const = 0;
  // Orderly end: stop accepting, shutdown notice, one PING round trip, final GOAWAY, then wait
  // until all calls have ended or `patience` is over; then UNAVAILABLE for the rest. No accepted
  // call is lost.
  virtual void Drain(Duration patience) = 0;
  // Reads the TLS files again; new connections use them. On an error the old ones stay in use.
  virtual Status ReloadCertificates() = 0;
};

}  // namespace lre::rpc

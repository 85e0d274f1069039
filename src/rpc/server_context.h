// ServerContext: what every connection of one server shares: options, methods, metrics. Constant
// after construction, so read from all loops without locks; outlives the loops' threads.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/metrics.h"
#include "rpc/http2_connection.h"
#include "rpc/loop.h"
#include "rpc/server.h"

namespace lre::rpc {

struct ServedMethod {
  Method method;
  std::array<Counter*, 17> ended;  // by status code
  Histogram* seconds;
};

// Bytes of one plain HTTP request's body, counted against http_bodies_bytes_max. Given back by
// Clear or destruction, on any thread, also after the server has gone.
class HeldBody {
 public:
  HeldBody(std::shared_ptr<std::atomic<size_t>> total, size_t total_max)
      : total_(std::move(total)), total_max_(total_max) {}
  HeldBody(const HeldBody&) = delete;
  HeldBody& operator=(const HeldBody&) = delete;
  ~HeldBody() { total_->fetch_sub(bytes_, std::memory_order_relaxed); }
  // False, counting as before, when all bodies together would be too many bytes.
  [[nodiscard]] bool Set(size_t bytes);
  void Clear() { total_->fetch_sub(std::exchange(bytes_, 0), std::memory_order_relaxed); }

 private:
  const std::shared_ptr<std::atomic<size_t>> total_;
  const size_t total_max_;
  size_t bytes_ = 0;
};

struct ServerContext {
  ServerContext(ServerOptions options, std::vector<Method> methods, HttpHandler http,
                Metrics& metrics, const Clock& clock);
  const ServedMethod* Find(std::string_view path) const;

  const ServerOptions options;
  const Http2Options http2;
  const HttpHandler http;
  const Clock& clock;
  // Of all HeldBody.
  const std::shared_ptr<std::atomic<size_t>> http_bodies_bytes =
      std::make_shared<std::atomic<size_t>>(0);
  Counter& connections_total;
  Counter& connections_refused_total;
  Counter& abuse_total;
  Counter& unknown_method_total;
  Gauge& connections;

 private:
  std::vector<ServedMethod> methods_;
  std::unordered_map<std::string_view, const ServedMethod*> by_path_;
};

// A connection as its server sees it, whatever it speaks. Confined to its loop.
class Served {
 public:
  virtual ~Served() = default;
  // Takes no more calls than those the peer has already sent, then ends.
  virtual void BeginDrain() = 0;
  // Ends open calls with UNAVAILABLE, then the connection.
  virtual void EndCalls() = 0;
  // Drops the connection.
  virtual void Drop() = 0;
  virtual bool closed() const = 0;
};

// The connections of one loop. Confined to it.
class ServedSet {
 public:
  virtual ~ServedSet() = default;
  virtual void Remove(Served& served) = 0;
  // `now` takes the place of `before`, which is gone.
  virtual void Replace(Served& before, std::shared_ptr<Served> now) = 0;
};

// Allows `burst` events at once and `per_second` in the long run.
class RateLimit {
 public:
  RateLimit(int burst, int per_second) : burst_(burst), per_second_(per_second), left_(burst) {}
  bool Allow(Instant now);

 private:
  double burst_, per_second_, left_;
  Instant last_{};
};

}  // namespace lre::rpc

// Client: keeps a number of gRPC calls in flight on a few HTTP/2 connections, from one thread, and
// counts and times what comes back. Calls are described by Request; a Maker fills in the next one,
// reusing the memory of a finished call. Plaintext only. Confined to one thread. A run is bounded
// in calls and in time, the drain at its end by 60 seconds.
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "load_wire.h"

namespace lre::bench {

struct Request {
  const char* path = "";           // "/package.Service/Method"; outlives the run
  std::string head;                // the body is head, the pieces of middle, tail
  const Pieces* middle = nullptr;  // outlives the run
  std::string tail;
  int code = 0;                // the gRPC status that is right
  size_t answer_bytes = 0;     // the least that must come back
  uint64_t items = 1;          // digests or blobs in this call
  uint64_t payload_bytes = 0;  // blob bytes moved by it
};
// Fills `request` in for call number `i` of the run; fields keep their values from an earlier call.
using Maker = std::function<void(uint64_t i, Request& request)>;

struct RunOptions {
  int in_flight = 1;
  std::chrono::duration<double> warm_up{0}, duration{1};
  uint64_t calls_max = UINT64_MAX;
  double calls_per_second = 0;  // at most; 0: as fast as answers come
  // Called when the measured time begins and ends.
  std::function<void()> on_begin, on_end;
};

struct RunResult {
  uint64_t calls = 0, items = 0, payload_bytes = 0;  // within the measured time
  uint64_t errors = 0;                               // in the whole run
  std::string first_error;
  double seconds = 0;
  std::vector<uint32_t> latencies_us;
  // 0 <= q <= 1; sorts partly.
  double LatencyMs(double q);
};

class Client {
 public:
  static Result<std::unique_ptr<Client>> Connect(const std::string& target, int connections);
  ~Client();

  Result<RunResult> Run(const Maker& make, const RunOptions& options);
  // One call; its answer's DATA, gRPC prefixes included. The status must be request.code.
  Result<std::string> Call(const Request& request);
  // Starts one call on each connection and then reads nothing more, until destroyed.
  Status Stall(const Request& request);

 private:
  struct Slot;
  class Connection;
  using TimePoint = std::chrono::steady_clock::time_point;

  explicit Client(std::string target);
  void StartNext(Slot& slot);
  void Finished(Slot& slot, uint32_t http2_error);
  void Watch(TimePoint now);
  bool MayStart() const;
  Status Poll(int timeout_ms);
  Status Flush();

  const std::string target_;
  UniqueFd epoll_;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::vector<std::unique_ptr<Slot>> slots_;
  std::deque<Slot*> done_;  // wait for their next call

  // Of the run.
  const Maker* make_ = nullptr;
  const RunOptions* options_ = nullptr;
  RunResult result_;
  TimePoint begin_, measured_begin_;
  bool measuring_ = false, stopping_ = false;
  uint64_t started_ = 0;
  size_t open_ = 0;
  std::string* capture_ = nullptr;
};

}  // namespace lre::bench

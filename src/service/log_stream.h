// LogStreams: text that is read while it is still being written, such as what a running command
// prints. A stream keeps the latest bytes (a ring of stream_bytes_max); readers follow it from
// whatever is left of what they ask for, and reach the end when the writer finishes.
//
//   Names: [{instance}/]logstreams/{id}, and for writers the same with a secret, /{token}, behind.
//   The id of an action's stream is the operation's with -stdout or -stderr.
//
// A stream belongs to a partition (service/partitions.h); readers are told which they may see.
//
// Thread-safe. A waiter is called once, on any thread, with no lock held. Bounds
// (LogStreamOptions): bytes of a stream and of all, streams (the ones that finished first go
// first), how long a finished one is kept and one that nobody writes to. An empty stream is
// forgotten as it finishes. Errors: NOT_FOUND, RESOURCE_EXHAUSTED (streams_max), INVALID_ARGUMENT
// (offset), FAILED_PRECONDITION (written after the end). Source:
// build/bazel/remote/logstream/v1/remote_logstream.proto as published.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/guarded.h"
#include "base/status.h"
#include "scheduler/scheduler.h"

namespace lre::service {

struct LogStreamOptions {
  size_t stream_bytes_max = 1 << 20;             // kept of each, the latest
  size_t bytes_max = 128 << 20;                  // of all; beyond, a stream that grows keeps 64 KiB
  size_t streams_max = 20000;                    // at once
  Duration retention = std::chrono::minutes(1);  // of one that has finished
  Duration idle_max = std::chrono::minutes(30);  // without a byte, then it counts as finished
};

bool IsLogStreamName(std::string_view resource_name);
// The stream that shows what the command of an operation ("operations/<id>") prints.
std::string LogStreamNameOf(std::string_view instance_name, std::string_view operation,
                            bool is_stderr);

class LogStreams {
 public:
  LogStreams(const Clock& clock, LogStreamOptions options = {});

  struct Names {
    std::string name, write_name;
  };
  // A new stream below `parent` (an instance name or anything else), for who knows its write name.
  Result<Names> Create(std::string_view parent, uint32_t partition = 0);
  // The stream `name`, empty; one of that name that is there finishes.
  Status Open(const std::string& name, uint32_t partition = 0);
  // Bytes at `offset`: those before the end are left out; behind a gap the stream begins anew.
  Status Append(const std::string& name, int64_t offset, Bytes data);
  void Finish(const std::string& name);

  // The same by the name that Create gave to the writer.
  Status AppendAsWriter(std::string_view write_name, int64_t offset, Bytes data);
  Status FinishAsWriter(std::string_view write_name);
  struct Written {
    int64_t bytes = 0;
    bool finished = false;
  };
  Result<Written> WrittenOf(std::string_view write_name);

  struct Piece {
    Bytes data;
    int64_t next_offset = 0;  // behind `data`
    bool end = false;         // nothing follows
  };
  // The bytes from `offset` on, or from the first one that is still there, at most `bytes_max`. No
  // byte and not the end: `more` is called when there may be; dropping it meanwhile does no harm.
  // What `scope` does not cover is not known.
  struct Wanted {
    std::string name;
    int64_t offset = 0;
    size_t bytes_max = 0;
    scheduler::Scope scope = {};
  };
  Result<Piece> Read(const Wanted& wanted, std::function<void()> more);

  size_t size() const;

 private:
  struct Stream {
    std::string name, token;
    uint32_t partition = 0;
    std::deque<Bytes> pieces;
    int64_t begin = 0, end = 0;  // offsets of what is kept
    bool finished = false;
    Instant used{};
    std::vector<std::function<void()>> waiters;
    std::list<Stream*>::iterator finished_at;
  };
  struct State {
    std::unordered_map<std::string, std::shared_ptr<Stream>> streams;
    std::list<Stream*> finished;  // the first to finish first
    size_t bytes = 0;
    Instant swept{};
  };
  using Waiters = std::vector<std::function<void()>>;
  Result<Stream*> Add(State& state, const std::string& name);
  static Stream* Find(State& state, const std::string& name);
  Status AppendTo(State& state, Stream& stream, int64_t offset, Bytes data);
  void End(State& state, Stream& stream, Waiters& wake);
  void Forget(State& state, Stream& stream);
  void Sweep(State& state, Waiters& wake);
  Result<Stream*> FindAsWriter(State& state, std::string_view write_name);

  const Clock& clock_;
  const LogStreamOptions options_;
  Guarded<State> state_;
};

}  // namespace lre::service

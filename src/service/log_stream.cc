#include "service/log_stream.h"

#include <algorithm>
#include <utility>

#include "base/random.h"

namespace lre::service {
namespace {

constexpr std::string_view kSegment = "logstreams/";
// What a stream keeps at least while there is room for no more.
constexpr size_t kKeptMin = 64 << 10;
constexpr Duration kSweepInterval = std::chrono::seconds(1);

// Where "logstreams/" begins as a segment; npos when it does not.
size_t FindSegment(std::string_view name) {
  for (size_t at = name.find(kSegment); at != std::string_view::npos;
       at = name.find(kSegment, at + 1)) {
    if (at == 0 || name[at - 1] == '/') return at;
  }
  return std::string_view::npos;
}

Status Unknown(std::string_view name) {
  return ErrorStatus(Code::kNotFound,
                     "log stream {} is not known: it ended a while ago, or nothing was written",
                     name.substr(0, 256));
}

void Wake(const std::vector<std::function<void()>>& waiters) {
  for (const auto& waiter : waiters) waiter();
}

}  // namespace

bool IsLogStreamName(std::string_view resource_name) {
  return FindSegment(resource_name) != std::string_view::npos;
}

std::string LogStreamNameOf(std::string_view instance_name, std::string_view operation,
                            bool is_stderr) {
  const std::string_view id = operation.substr(operation.rfind('/') + 1);
  std::string name(instance_name);
  if (!name.empty()) name += '/';
  name += kSegment;
  name += id;
  name += is_stderr ? "-stderr" : "-stdout";
  return name;
}

LogStreams::LogStreams(const Clock& clock, LogStreamOptions options)
    : clock_(clock), options_(options) {}

LogStreams::Stream* LogStreams::Find(State& state, const std::string& name) {
  auto found = state.streams.find(name);
  return found == state.streams.end() ? nullptr : found->second.get();
}

Result<LogStreams::Stream*> LogStreams::Add(State& state, const std::string& name) {
  while (state.streams.size() >= options_.streams_max && !state.finished.empty()) {
    Forget(state, *state.finished.front());
  }
  if (state.streams.size() >= options_.streams_max) {
    return Error(Code::kResourceExhausted, "{} log streams are being written (streams_max)",
                 state.streams.size());
  }
  auto stream = std::make_shared<Stream>();
  stream->name = name;
  stream->used = clock_.Now();
  Stream* added = stream.get();
  state.streams[name] = std::move(stream);
  return added;
}

void LogStreams::Forget(State& state, Stream& stream) {
  if (stream.finished) state.finished.erase(stream.finished_at);
  state.bytes -= static_cast<size_t>(stream.end - stream.begin);
  state.streams.erase(std::string(stream.name));
}

void LogStreams::End(State& state, Stream& stream, Waiters& wake) {
  if (stream.finished) return;
  stream.finished = true;
  stream.used = clock_.Now();
  stream.finished_at = state.finished.insert(state.finished.end(), &stream);
  std::move(stream.waiters.begin(), stream.waiters.end(), std::back_inserter(wake));
  const bool read = !stream.waiters.empty();
  stream.waiters.clear();
  // Most commands print nothing; a reader that waits must still see the end.
  if (stream.end == 0 && !read && stream.token.empty()) Forget(state, stream);
}

// Once a second at most, however many streams come and go.
void LogStreams::Sweep(State& state, Waiters& wake) {
  const Instant now = clock_.Now();
  if (now - state.swept < kSweepInterval) return;
  state.swept = now;
  std::vector<Stream*> idle;
  for (const auto& [_, stream] : state.streams) {
    if (!stream->finished && now - stream->used >= options_.idle_max) idle.push_back(stream.get());
  }
  for (Stream* stream : idle) End(state, *stream, wake);
  while (!state.finished.empty() && now - state.finished.front()->used >= options_.retention) {
    Forget(state, *state.finished.front());
  }
}

Result<LogStreams::Names> LogStreams::Create(std::string_view parent, uint32_t partition) {
  Names names;
  names.name = parent;
  if (!names.name.empty() && names.name.back() != '/') names.name += '/';
  names.name += std::string(kSegment) + RandomUuid();
  const std::string token = RandomHex(16);
  names.write_name = names.name + '/' + token;
  Waiters wake;
  const Status status = state_.With([&](State& state) -> Status {
    Sweep(state, wake);
    TRY_ASSIGN(Stream * stream, Add(state, names.name));
    stream->token = token;
    stream->partition = partition;
    return Status();
  });
  Wake(wake);
  TRY(status);
  return names;
}

Status LogStreams::Open(const std::string& name, uint32_t partition) {
  Waiters wake;
  const Status status = state_.With([&](State& state) -> Status {
    Sweep(state, wake);
    if (Stream* old = Find(state, name)) {
      std::move(old->waiters.begin(), old->waiters.end(), std::back_inserter(wake));
      Forget(state, *old);
    }
    TRY_ASSIGN(Stream * stream, Add(state, name));
    stream->partition = partition;
    return Status();
  });
  Wake(wake);
  return status;
}

Status LogStreams::AppendTo(State& state, Stream& stream, int64_t offset, Bytes data) {
  if (stream.finished) {
    return ErrorStatus(Code::kFailedPrecondition, "log stream {} has ended", stream.name);
  }
  const auto size = static_cast<int64_t>(data.size());
  if (offset < 0 || offset > INT64_MAX - size) {
    return ErrorStatus(Code::kInvalidArgument, "offset {} of log stream {}", offset, stream.name);
  }
  stream.used = clock_.Now();
  if (offset + size <= stream.end) return Status();
  if (offset > stream.end) {
    state.bytes -= static_cast<size_t>(stream.end - stream.begin);
    stream.pieces.clear();
    stream.begin = stream.end = offset;
  }
  data = data.Slice(static_cast<size_t>(stream.end - offset));
  state.bytes += data.size();
  stream.end += static_cast<int64_t>(data.size());
  stream.pieces.push_back(std::move(data));
  const size_t kept_max = state.bytes > options_.bytes_max
                              ? std::min(kKeptMin, options_.stream_bytes_max)
                              : options_.stream_bytes_max;
  while (static_cast<size_t>(stream.end - stream.begin) > kept_max) {
    Bytes& first = stream.pieces.front();
    const size_t drop =
        std::min(first.size(), static_cast<size_t>(stream.end - stream.begin) - kept_max);
    stream.begin += static_cast<int64_t>(drop);
    state.bytes -= drop;
    first = first.Slice(drop);
    if (first.empty()) stream.pieces.pop_front();
  }
  return Status();
}

Status LogStreams::Append(const std::string& name, int64_t offset, Bytes data) {
  Waiters wake;
  const Status status = state_.With([&](State& state) -> Status {
    Stream* stream = Find(state, name);
    if (stream == nullptr) return Unknown(name);
    TRY(AppendTo(state, *stream, offset, std::move(data)));
    wake.swap(stream->waiters);
    return Status();
  });
  Wake(wake);
  return status;
}

void LogStreams::Finish(const std::string& name) {
  Waiters wake;
  state_.With([&](State& state) {
    if (Stream* stream = Find(state, name)) End(state, *stream, wake);
  });
  Wake(wake);
}

Result<LogStreams::Stream*> LogStreams::FindAsWriter(State& state, std::string_view write_name) {
  const size_t slash = write_name.rfind('/');
  if (slash == std::string_view::npos) return std::unexpected(Unknown(write_name));
  Stream* stream = Find(state, std::string(write_name.substr(0, slash)));
  // The same answer for a wrong token as for no stream: names are no secret.
  if (stream == nullptr || stream->token.empty() || stream->token != write_name.substr(slash + 1)) {
    return Error(Code::kNotFound, "log stream {}... cannot be written: no such stream or token",
                 write_name.substr(0, std::min<size_t>(slash, 256)));
  }
  return stream;
}

Status LogStreams::AppendAsWriter(std::string_view write_name, int64_t offset, Bytes data) {
  Waiters wake;
  const Status status = state_.With([&](State& state) -> Status {
    TRY_ASSIGN(Stream * stream, FindAsWriter(state, write_name));
    if (offset != stream->end) {
      return ErrorStatus(Code::kInvalidArgument,
                         "log stream {}: write_offset is {}, {} was expected", stream->name, offset,
                         stream->end);
    }
    TRY(AppendTo(state, *stream, offset, std::move(data)));
    wake.swap(stream->waiters);
    return Status();
  });
  Wake(wake);
  return status;
}

Status LogStreams::FinishAsWriter(std::string_view write_name) {
  Waiters wake;
  const Status status = state_.With([&](State& state) -> Status {
    TRY_ASSIGN(Stream * stream, FindAsWriter(state, write_name));
    End(state, *stream, wake);
    return Status();
  });
  Wake(wake);
  return status;
}

Result<LogStreams::Written> LogStreams::WrittenOf(std::string_view write_name) {
  return state_.With([&](State& state) -> Result<Written> {
    TRY_ASSIGN(const Stream* stream, FindAsWriter(state, write_name));
    return Written{stream->end, stream->finished};
  });
}

Result<LogStreams::Piece> LogStreams::Read(const Wanted& wanted, std::function<void()> more) {
  return state_.With([&](State& state) -> Result<Piece> {
    Stream* stream = Find(state, wanted.name);
    if (stream == nullptr || !wanted.scope.Covers(stream->partition)) {
      return std::unexpected(Unknown(wanted.name));
    }
    Piece piece;
    piece.next_offset = std::max(wanted.offset, stream->begin);
    int64_t begin = stream->begin;  // of the piece at hand
    for (const Bytes& one : stream->pieces) {
      const int64_t end = begin + static_cast<int64_t>(one.size());
      if (piece.next_offset < end) {
        piece.data = one.Slice(static_cast<size_t>(piece.next_offset - begin), wanted.bytes_max);
        piece.next_offset += static_cast<int64_t>(piece.data.size());
        break;
      }
      begin = end;
    }
    piece.end = stream->finished && piece.next_offset >= stream->end;
    if (piece.data.empty() && !piece.end) stream->waiters.push_back(std::move(more));
    return piece;
  });
}

size_t LogStreams::size() const {
  return state_.With([](const State& state) { return state.streams.size(); });
}

}  // namespace lre::service

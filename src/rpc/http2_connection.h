// Http2Connection: what both sides of an HTTP/2 connection share, on nghttp2: reading, flow
// control, batched writing, keep-alive and orderly closing. Stream: what both sides of one call
// share: bytes that wait to be sent and window that waits to be given back. Everything here is
// confined to the connection's loop, except Stream::queued_bytes. The owner of connections holds
// them by shared_ptr and lets go in OnClosed; a connection holds its streams until they have
// closed.
//
// Sending: DATA frames are never assembled. nghttp2 says how many bytes a frame takes, the frame's
// nine bytes go into Output, and the stream's pieces follow by reference. Control frames are copied
// into Output, so that everything of an iteration leaves in one system call. At most a turn of the
// loop (Loop::TurnBytes) waits in Output; the rest stays with its stream, so a slow reader holds no
// more than what its callers queue, and many large answers do not keep the loop from small ones.
//
// Receiving: nghttp2 never updates windows by itself; Stream::Consume gives back what was
// delivered.
#pragma once

#include <nghttp2/nghttp2.h>

#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/status.h"
#include "rpc/call.h"
#include "rpc/loop.h"
#include "rpc/socket.h"

namespace lre::rpc {

class Http2Connection;

class Stream : public std::enable_shared_from_this<Stream> {
 public:
  virtual ~Stream() = default;
  int32_t id() const { return id_; }
  size_t queued_bytes() const { return queued_.load(std::memory_order_relaxed); }

  // Told by the connection, on its loop.
  virtual void OnData(std::string_view chunk) = 0;
  virtual void OnRemoteEnd() = 0;  // the peer has sent END_STREAM
  virtual void OnWritable() {}
  // The last byte is being packed; true: trailers were submitted, so it does not end the stream.
  virtual bool SubmitTrailers() { return false; }
  // The stream is gone and the connection has forgotten it. `error` is HTTP/2's; `lost` says why
  // when the whole connection went: then the error of a request that has not left us whole, so that
  // the peer cannot have acted on it, is REFUSED_STREAM.
  virtual void OnClosed(uint32_t error, const Status* lost) = 0;

 protected:
  // What gRPC puts before a message: nothing, or its prefix, which says whether it is compressed.
  enum class Framing { kNone, kPlain, kGzip };
  // Appends one message. `counted`: queued_ already has it.
  void Queue(BytesList message, Framing framing, bool counted = false);
  // No more will be queued: after the last byte the stream ends.
  void QueueEnd() { end_ = true; }
  // Drops what has not been packed. False when a message or frame was cut, so that only a reset is
  // left.
  bool DropQueue();
  void Consume(size_t bytes);
  // Gives back window for bytes that stay in memory, because what they belong to is not complete.
  // False when the connection holds too many of those. They count until Release or the end of the
  // stream.
  [[nodiscard]] bool ConsumeEarly(size_t bytes);
  void ReleaseEarly();
  void Resume();
  void Reset(uint32_t error);
  size_t pending_bytes() const { return pending_; }

  Http2Connection* connection_ = nullptr;  // null once closed
  int32_t id_ = 0;
  std::atomic<size_t> queued_{0};

 private:
  friend class Http2Connection;
  struct Piece {
    Bytes bytes;
    size_t offset = 0;
    unsigned char prefix[5];
    unsigned char prefix_left = 0;
    bool first = true;  // of its message
  };
  static ssize_t Pack(nghttp2_session* session, int32_t id, uint8_t* buffer, size_t length,
                      uint32_t* flags, nghttp2_data_source* source, void* connection);
  void MoveTo(Output& output, size_t bytes);

  std::vector<Piece> pieces_;
  size_t head_ = 0;
  size_t pending_ = 0;                // bytes in pieces_
  size_t packed_ = 0;                 // of those, promised to a DATA frame
  size_t unconsumed_ = 0;             // received and not given back
  size_t early_ = 0;                  // given back, but still held
  uint64_t headers_at_ = UINT64_MAX;  // where the output has our last header frame
  Instant progress_{};                // when bytes last moved, or began to wait
  bool end_ = false, deferred_ = false, above_ = false;
  std::shared_ptr<Stream> self_;  // held by the connection
  Stream *previous_ = nullptr, *next_ = nullptr;
};

struct Http2Options {
  bool server = true;
  uint32_t streams_max = 1024;
  uint32_t stream_window_bytes = 8 << 20;
  uint32_t connection_window_bytes = 64 << 20;
  uint32_t frame_bytes_max = 256 << 10;  // the largest DATA frame we accept and send
  size_t header_bytes_max = 32 << 10;
  size_t assembling_bytes_max = 256 << 20;
  Duration keepalive_interval = std::chrono::minutes(5);
  Duration keepalive_timeout = std::chrono::seconds(20);
  Duration stream_stall_max = std::chrono::minutes(5);
  Duration linger = std::chrono::seconds(2);  // for the peer to read our last bytes
};

class Http2Connection : public Loop::Source,
                        public Loop::Deferred,
                        public std::enable_shared_from_this<Http2Connection> {
 public:
  Http2Connection(Loop& loop, std::unique_ptr<Socket> socket, const Http2Options& options);
  ~Http2Connection() override;

  // Sends SETTINGS, treats `already_read` as received, and watches the socket.
  void Start(std::string_view already_read = {});
  Loop& loop() { return loop_; }
  size_t open_streams() const { return open_streams_; }
  bool closed() const { return closed_; }
  // For streams, to submit their headers.
  nghttp2_session* session() { return session_; }
  nghttp2_data_provider Provider(Stream& stream);
  // Writes what waits at the end of this iteration.
  void RequestFlush();
  // Drops the connection at once; every stream is told.
  void Close(const Status& why);

 protected:
  // What the sides do differently. Calls come out of nghttp2: do not Close in them, set Fail.
  virtual void OnHeadersBegin(const nghttp2_frame& frame) = 0;
  virtual void OnHeaderField(const nghttp2_frame& frame, std::string_view name,
                             std::string_view value) = 0;
  virtual void OnHeadersEnd(const nghttp2_frame& frame) = 0;
  virtual void OnControlFrame(const nghttp2_frame&) {}
  virtual void OnFrameSent(const nghttp2_frame&) {}
  virtual void OnRequestNotSent(int32_t /*stream*/) {}
  virtual void OnStreamClosed(uint32_t /*error*/) {}
  // The connection is gone; last call.
  virtual void OnClosed(const Status& why) = 0;
  // Own timed work; returns when it wants to be called next.
  virtual Instant OnTick(Instant) { return Instant::max(); }
  virtual bool wants_keepalive() const { return true; }

  // Ends the connection with a GOAWAY of this error after the current callback.
  void Fail(uint32_t error, Status why);
  void Attach(std::shared_ptr<Stream> stream, int32_t id);
  // Forgets a stream that nghttp2 never opened.
  void Detach(Stream& stream) {
    // nghttp2 closes a request that was cancelled before it was sent after saying so: it must not
    // find the stream again.
    nghttp2_session_set_stream_user_data(session_, stream.id(), nullptr);
    Forget(stream);
  }
  Stream* Find(int32_t id) {
    return static_cast<Stream*>(nghttp2_session_get_stream_user_data(session_, id));
  }
  template <typename F>
  void ForEachStream(F&& f) {
    for (Stream *s = streams_, *next; s != nullptr; s = next) {
      next = s->next_;
      f(*s);
    }
  }
  // The next tick is at `when` or earlier.
  void TickBy(Instant when);
  Socket& socket() { return *socket_; }

  const Http2Options options_;
  Loop& loop_;

 private:
  friend class Stream;
  struct Callbacks;
  enum class State { kOpen, kLingering };

  void OnEvents(uint32_t events) override;
  void OnIterationEnd() override;
  void ReadTurn();
  void Feed(std::string_view bytes);
  bool FillOutput();
  void DeliverWritable();
  void WatchOutput(bool on);
  void Linger();
  void Tick();
  Instant CheckKeepalive(Instant now);
  Instant CheckStalls(Instant now);
  void Forget(Stream& stream);

  std::unique_ptr<Socket> socket_;
  nghttp2_session* session_ = nullptr;
  Output output_;
  size_t turn_bytes_ = Loop::kTurnBytes;  // what may wait in it, for this iteration
  std::vector<std::shared_ptr<Stream>> writable_;
  Stream* streams_ = nullptr;
  size_t open_streams_ = 0;
  size_t early_bytes_ = 0;      // of all streams
  uint64_t written_bytes_ = 0;  // that the socket took
  State state_ = State::kOpen;
  bool closed_ = false, watching_output_ = false, more_ = false, flush_requested_ = false;
  Status failure_;
  Timer timer_;
  Instant next_tick_ = Instant::max();
  Instant last_received_{}, last_written_{}, ping_sent_{}, linger_until_{};
  bool ping_open_ = false;
};

// A header that nghttp2 may refer to without copying: both must be string literals.
nghttp2_nv StaticHeader(std::string_view name, std::string_view value);
// A header that nghttp2 copies. The views must live until the submit call.
nghttp2_nv CopiedHeader(std::string_view name, std::string_view value);
// The same, of a literal name and a value that is not worth a place in the table of what was sent
// before: it would push out what is.
nghttp2_nv UnindexedHeader(std::string_view name, std::string_view value);
// Appends metadata as headers; values of "-bin" names are encoded into `storage`.
void AppendMetadata(const Metadata& metadata, std::vector<nghttp2_nv>& headers,
                    std::vector<std::string>& storage);
// Adds one received field; values of "-bin" names are decoded, several joined by commas are split.
void TakeMetadata(std::string_view name, std::string_view value, Metadata& metadata);

}  // namespace lre::rpc

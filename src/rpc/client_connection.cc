#include "rpc/client_connection.h"

#include <utility>

#include "base/log.h"
#include "rpc/text.h"

namespace lre::rpc {

bool ClientConnection::StartCall(std::shared_ptr<ClientStream> stream, const Target& target) {
  if (draining_ || closed()) return false;
  ClientStream& call = *stream;
  std::string timeout;
  std::vector<std::string> storage;
  std::vector<nghttp2_nv> headers = {
      StaticHeader(":method", "POST"),       CopiedHeader(":scheme", target.scheme),
      CopiedHeader(":path", call.method()),  CopiedHeader(":authority", target.authority),
      StaticHeader("te", "trailers"),        StaticHeader("content-type", "application/grpc"),
      StaticHeader("user-agent", "lre-rpc"), StaticHeader("grpc-accept-encoding", "identity,gzip")};
  if (auto left = call.time_left()) {
    timeout = FormatTimeout(*left);
    headers.push_back(CopiedHeader("grpc-timeout", timeout));
  }
  storage.reserve(target.metadata->size() + call.metadata().size());
  AppendMetadata(*target.metadata, headers, storage);
  AppendMetadata(call.metadata(), headers, storage);
  nghttp2_data_provider provider = Provider(call);
  int32_t id = nghttp2_submit_request(session(), nullptr, headers.data(), headers.size(), &provider,
                                      static_cast<Stream*>(&call));
  if (id < 0) return false;  // stream ids are used up, or a GOAWAY came
  Attach(std::move(stream), id);
  RequestFlush();
  return true;
}

void ClientConnection::OnHeaderField(const nghttp2_frame& frame, std::string_view name,
                                     std::string_view value) {
  if (Stream* stream = Find(frame.hd.stream_id)) {
    static_cast<ClientStream*>(stream)->OnHeader(name, value);
  }
}

void ClientConnection::OnHeadersEnd(const nghttp2_frame& frame) {
  auto* stream = static_cast<ClientStream*>(Find(frame.hd.stream_id));
  if (stream == nullptr) return;
  auto held = stream->shared_from_this();
  stream->OnHeadersEnd();
  if (frame.hd.flags & NGHTTP2_FLAG_END_STREAM) stream->OnRemoteEnd();
}

void ClientConnection::OnControlFrame(const nghttp2_frame& frame) {
  if (frame.hd.type == NGHTTP2_SETTINGS && !std::exchange(ready_, true)) events_.on_ready();
  if (frame.hd.type != NGHTTP2_GOAWAY) return;
  if (frame.goaway.error_code != NGHTTP2_NO_ERROR) {
    std::string_view text(reinterpret_cast<const char*>(frame.goaway.opaque_data),
                          frame.goaway.opaque_data_len);
    Log(kInfo, "rpc_goaway",
        {{"error", nghttp2_http2_strerror(frame.goaway.error_code)}, {"text", text}});
  }
  if (std::exchange(draining_, true)) return;
  events_.on_draining();
}

void ClientConnection::OnRequestNotSent(int32_t id) {
  std::shared_ptr<Stream> unsent;
  ForEachStream([&](Stream& stream) {
    if (stream.id() == id) unsent = stream.shared_from_this();
  });
  if (unsent == nullptr) return;
  Detach(*unsent);
  static_cast<ClientStream&>(*unsent).OnNotSent();
}

Instant ClientConnection::OnTick(Instant now) {
  if (ready_) return Instant::max();
  if (now < ready_by_) return ready_by_;
  Close(Status(Code::kUnavailable,
               "timed out waiting for the server's handshake (TLS and HTTP/2 SETTINGS)"));
  return Instant::max();
}

void ClientConnection::OnClosed(const Status& why) { events_.on_closed(why); }

}  // namespace lre::rpc

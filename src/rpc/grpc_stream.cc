// Window is given back when a message is delivered, so that what waits is bounded by the window. A
// message of over half a window could never arrive that way: its bytes are given back as they come,
// and message_bytes_max is the bound.
#include "rpc/grpc_stream.h"

#include <algorithm>
#include <utility>

namespace lre::rpc {

void GrpcStream::Configure(const Receive& receive) {
  receive_ = receive;
  reader_.Configure(receive.message_bytes_max, receive.encoding);
}

Result<bool> GrpcStream::Take(std::string_view& chunk, Bytes& message) {
  size_t before = chunk.size();
  MessageReader::Message taken;
  TRY_ASSIGN(bool complete, reader_.Next(chunk, taken));
  assembling_ += before - chunk.size();
  if (!complete) {
    if (reader_.pending_length() > receive_.stream_window_bytes / 2 &&
        !ConsumeEarly(std::exchange(assembling_, 0))) {
      return Error(Code::kResourceExhausted,
                   "this connection has too many bytes of incomplete messages; send fewer at once");
    }
    return false;
  }
  ReleaseEarly();
  size_t keep = 0;
  if (receive_.manual_flow && !taken.compressed) keep = std::min(assembling_, taken.wire_bytes);
  held_ += keep;
  delivered_ = assembling_ - keep;
  assembling_ = 0;
  message = std::move(taken.bytes);
  return true;
}

void GrpcStream::Delivered() { Consume(std::exchange(delivered_, 0)); }

void GrpcStream::GiveBack(size_t bytes) {
  bytes = std::min(bytes, held_);
  held_ -= bytes;
  Consume(bytes);
}

}  // namespace lre::rpc

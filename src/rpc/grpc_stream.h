// GrpcStream: the receiving half of a call, on either side: messages cut from DATA, and the window
// given back as they are delivered. Confined to the connection's loop.
#pragma once

#include "rpc/http2_connection.h"
#include "rpc/message_reader.h"

namespace lre::rpc {

class GrpcStream : public Stream {
 protected:
  struct Receive {
    size_t message_bytes_max = 4 << 20;
    Encoding encoding = Encoding::kIdentity;
    bool manual_flow = false;
    uint32_t stream_window_bytes = 8 << 20;
  };
  void Configure(const Receive& receive);
  // Takes bytes from the front of `chunk`; true when `message` is complete. The window of
  // everything but a manual_flow message is given back by Delivered, to be called after its
  // delivery.
  Result<bool> Take(std::string_view& chunk, Bytes& message);
  void Delivered();
  // The owner of a manual_flow message has stored `bytes` of it.
  void GiveBack(size_t bytes);
  void ConsumeAll() { Consume(SIZE_MAX); }
  bool at_message_boundary() const { return reader_.at_boundary(); }

 private:
  MessageReader reader_;
  Receive receive_;
  size_t assembling_ = 0;  // received bytes of the message that is not complete
  size_t delivered_ = 0;   // to be given back by Delivered
  size_t held_ = 0;        // delivered with manual_flow, not yet given back
};

}  // namespace lre::rpc

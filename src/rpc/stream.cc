// The sending half of a stream: pieces in, DATA frames out, nothing copied above Output::kCopyMax.
#include <algorithm>
#include <utility>

#include "rpc/http2_connection.h"

namespace lre::rpc {

void Stream::Queue(BytesList message, Framing framing, bool counted) {
  const bool framed = framing != Framing::kNone;
  size_t size = TotalSize(message);
  size_t total = size + (framed ? 5 : 0);
  if (total == 0) return;
  if (pending_ == 0 && connection_ != nullptr) progress_ = connection_->loop_.now();
  size_t start = pieces_.size();
  for (Bytes& bytes : message) {
    if (!bytes.empty()) pieces_.push_back({.bytes = std::move(bytes), .first = false});
  }
  if (pieces_.size() == start) pieces_.push_back({});  // an empty message is its prefix alone
  Piece& head = pieces_[start];
  head.first = true;
  if (framed) {
    head.prefix_left = 5;
    head.prefix[0] = framing == Framing::kGzip ? 1 : 0;
    for (int i = 0; i < 4; ++i)
      head.prefix[1 + i] = static_cast<unsigned char>(size >> (24 - 8 * i));
  }
  pending_ += total;
  if (!counted) queued_.fetch_add(total, std::memory_order_relaxed);
  if (queued_bytes() >= kWritableLowWaterBytes) above_ = true;
}

bool Stream::DropQueue() {
  bool cut = packed_ > 0;
  if (head_ < pieces_.size()) {
    const Piece& piece = pieces_[head_];
    cut =
        cut || !piece.first || piece.offset > 0 || (piece.prefix_left > 0 && piece.prefix_left < 5);
  }
  if (cut) return false;
  queued_.fetch_sub(pending_, std::memory_order_relaxed);
  pieces_.clear();
  head_ = pending_ = 0;
  return true;
}

void Stream::Resume() {
  if (connection_ == nullptr || id_ == 0) return;
  if (std::exchange(deferred_, false)) nghttp2_session_resume_data(connection_->session_, id_);
  connection_->RequestFlush();
}

void Stream::Reset(uint32_t error) {
  if (connection_ == nullptr || id_ == 0) return;
  nghttp2_submit_rst_stream(connection_->session_, NGHTTP2_FLAG_NONE, id_, error);
  connection_->RequestFlush();
}

void Stream::Consume(size_t bytes) {
  bytes = std::min(bytes, unconsumed_);
  if (connection_ == nullptr || bytes == 0) return;
  unconsumed_ -= bytes;
  nghttp2_session_consume(connection_->session_, id_, bytes);
  connection_->RequestFlush();
}

bool Stream::ConsumeEarly(size_t bytes) {
  if (connection_ == nullptr) return false;
  early_ += bytes;
  connection_->early_bytes_ += bytes;
  Consume(bytes);
  return connection_->early_bytes_ <= connection_->options_.assembling_bytes_max;
}

void Stream::ReleaseEarly() {
  if (connection_ != nullptr) connection_->early_bytes_ -= std::exchange(early_, 0);
}

ssize_t Stream::Pack(nghttp2_session*, int32_t, uint8_t*, size_t length, uint32_t* flags,
                     nghttp2_data_source* source, void*) {
  Stream& stream = *static_cast<Stream*>(source->ptr);
  if (stream.pending_ == 0 && !stream.end_) {
    stream.deferred_ = true;
    return NGHTTP2_ERR_DEFERRED;
  }
  size_t n = std::min(length, stream.pending_);
  *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
  if (n == stream.pending_ && stream.end_) {
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (stream.SubmitTrailers()) *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
  }
  stream.packed_ = n;
  return static_cast<ssize_t>(n);
}

void Stream::MoveTo(Output& output, size_t bytes) {
  pending_ -= bytes;
  packed_ = 0;
  progress_ = connection_->loop_.now();
  size_t left = bytes;
  while (left > 0) {
    Piece& piece = pieces_[head_];
    if (piece.prefix_left > 0) {
      size_t n = std::min<size_t>(left, piece.prefix_left);
      const char* from = reinterpret_cast<const char*>(piece.prefix) + 5 - piece.prefix_left;
      output.Append(std::string_view(from, n));
      piece.prefix_left = static_cast<unsigned char>(piece.prefix_left - n);
      left -= n;
    }
    size_t n = std::min(left, piece.bytes.size() - piece.offset);
    if (n > 0) {
      output.Append(n == piece.bytes.size() ? piece.bytes : piece.bytes.Slice(piece.offset, n));
      piece.offset += n;
      left -= n;
    }
    if (piece.prefix_left == 0 && piece.offset == piece.bytes.size()) {
      piece.bytes = Bytes();
      if (++head_ == pieces_.size()) {
        pieces_.clear();
        head_ = 0;
      }
    }
  }
  if (head_ > 32) {
    pieces_.erase(pieces_.begin(), pieces_.begin() + static_cast<ptrdiff_t>(head_));
    head_ = 0;
  }
  size_t before = queued_.fetch_sub(bytes, std::memory_order_relaxed);
  if (above_ && before - bytes < kWritableLowWaterBytes) {
    above_ = false;
    connection_->writable_.push_back(shared_from_this());
  }
}

}  // namespace lre::rpc

#include "rpc/message_reader.h"

#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <string>

namespace lre::rpc {

Status MessageReader::TakePrefix() {
  length_ = static_cast<size_t>(prefix_[1]) << 24 | static_cast<size_t>(prefix_[2]) << 16 |
            static_cast<size_t>(prefix_[3]) << 8 | prefix_[4];
  if (prefix_[0] > 1) {
    return ErrorStatus(Code::kInternal, "message flags {} are neither 0 nor 1", prefix_[0]);
  }
  if (prefix_[0] == 1 && encoding_ == Encoding::kIdentity) {
    return ErrorStatus(Code::kInternal,
                       "compressed message in a call whose grpc-encoding is identity");
  }
  if (length_ > bytes_max_) {
    return ErrorStatus(Code::kResourceExhausted,
                       "message of {} bytes is larger than the {} that this method takes", length_,
                       bytes_max_);
  }
  have_ = 0;
  // Pages of a length that is only claimed are never touched, so they cost no memory.
  if (length_ > 0) body_ = std::make_shared_for_overwrite<char[]>(length_);
  return {};
}

Result<bool> MessageReader::Next(std::string_view& chunk, Message& message) {
  if (prefix_have_ < kPrefix) {
    size_t n = std::min(kPrefix - prefix_have_, chunk.size());
    std::memcpy(prefix_ + prefix_have_, chunk.data(), n);
    prefix_have_ += n;
    chunk.remove_prefix(n);
    if (prefix_have_ < kPrefix) return false;
    TRY(TakePrefix());
  }
  size_t n = std::min(length_ - have_, chunk.size());
  if (n > 0) {
    std::memcpy(body_.get() + have_, chunk.data(), n);
    have_ += n;
    chunk.remove_prefix(n);
  }
  if (have_ < length_) return false;
  prefix_have_ = 0;
  message.wire_bytes = length_;
  message.compressed = prefix_[0] == 1;
  const char* data = body_.get();
  Bytes bytes(std::exchange(body_, nullptr), std::string_view(data, length_));
  if (message.compressed) {
    TRY_ASSIGN(message.bytes, Gunzip(bytes.view(), bytes_max_));
  } else {
    message.bytes = std::move(bytes);
  }
  return true;
}

Result<Bytes> Gunzip(std::string_view bytes, size_t bytes_max) {
  z_stream stream{};
  if (inflateInit2(&stream, 15 + 32) != Z_OK) return Error(Code::kInternal, "zlib has no memory");
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  std::string out;
  int result = Z_OK;
  while (result == Z_OK) {
    size_t have = out.size();
    if (have > bytes_max) break;
    // One byte more than allowed tells "too large" from "just fits".
    out.resize(std::min(std::max<size_t>(have * 2, 4096), bytes_max + 1));
    if (out.size() == have) break;
    stream.next_out = reinterpret_cast<Bytef*>(out.data() + have);
    stream.avail_out = static_cast<uInt>(out.size() - have);
    result = inflate(&stream, Z_NO_FLUSH);
    out.resize(out.size() - stream.avail_out);
    if (result == Z_BUF_ERROR && stream.avail_in > 0) result = Z_OK;
    if (result == Z_OK && stream.avail_in == 0 && stream.avail_out > 0) break;  // truncated
  }
  inflateEnd(&stream);
  if (out.size() > bytes_max) {
    return Error(Code::kResourceExhausted, "message decompresses to more than the {} bytes allowed",
                 bytes_max);
  }
  if (result != Z_STREAM_END) {
    return Error(Code::kInternal, "gzip message of {} bytes is damaged", bytes.size());
  }
  return Bytes(std::move(out));
}

std::string Gzip(std::string_view bytes) {
  z_stream stream{};
  std::string out;
  // Level 1: it runs on loops.
  if (deflateInit2(&stream, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) return out;
  out.resize(deflateBound(&stream, bytes.size()));
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(out.size() - stream.avail_out);
  deflateEnd(&stream);
  return out;
}

}  // namespace lre::rpc

#include "service/byte_stream_read.h"

#include <algorithm>

#include "reapi/resource_name.h"
#include "reapi/wire/messages.h"
#include "service/blocking.h"
#include "service/zstd_blob.h"

namespace lre::service {
namespace {

namespace wire = reapi::wire;

// Sending stops above this and goes on at OnWritable: more than what OnWritable waits for.
constexpr size_t kQueuedBytesMax = 2 * rpc::kWritableLowWaterBytes;

// One read. Confined to the call's loop, except for `compressor_`, which belongs to the step that
// runs on the I/O pool while `running_`.
class ReadStream : public std::enable_shared_from_this<ReadStream> {
 public:
  ReadStream(ByteStreamParts parts, size_t piece_bytes, std::shared_ptr<rpc::ServerCall> call)
      : parts_(parts), piece_bytes_(piece_bytes), call_(std::move(call)) {}

  Status Begin(std::string_view request);
  void Pump();

 private:
  store::ByteRange NextRange() const {
    return {offset_, std::min<uint64_t>(offset_ + piece_bytes_, end_)};
  }
  void Take(Result<BytesList> plain, uint64_t plain_bytes);
  void ReadOnPool();
  Result<BytesList> Compress(Result<BytesList> plain, bool last);

  const ByteStreamParts parts_;
  const size_t piece_bytes_;
  const std::shared_ptr<rpc::ServerCall> call_;
  store::BlobKey key_;
  uint64_t offset_ = 0, end_ = 0;  // of the plain bytes still to be sent
  std::unique_ptr<Compressor> compressor_;
  bool running_ = false, pumping_ = false, ended_ = false;
};

Status ReadStream::Begin(std::string_view bytes) {
  TRY_ASSIGN(wire::ReadRequest request, wire::ParseReadRequest(bytes));
  TRY_ASSIGN(reapi::ResourceName name, reapi::ParseReadName(request.resource_name));
  key_.digest = name.digest;
  if (request.read_offset < 0 || request.read_offset > name.digest.size_bytes) {
    return ErrorStatus(Code::kOutOfRange, "read_offset {} of blob {}", request.read_offset,
                       name.digest);
  }
  if (request.read_limit < 0) {
    return ErrorStatus(Code::kInvalidArgument, "read_limit {} is negative", request.read_limit);
  }
  offset_ = static_cast<uint64_t>(request.read_offset);
  end_ = static_cast<uint64_t>(name.digest.size_bytes);
  if (request.read_limit > 0) {
    end_ = std::min(end_, offset_ + static_cast<uint64_t>(request.read_limit));
  }
  if (name.compressor == reapi::Compressor::kIdentity) return Status();
  if (name.compressor != reapi::Compressor::kZstd) {
    return ErrorStatus(Code::kInvalidArgument, "compressor {} is not served; zstd is",
                       reapi::CompressorName(name.compressor));
  }
  if (request.read_limit != 0) {
    return Status(Code::kInvalidArgument, "read_limit must be 0 for compressed-blobs");
  }
  compressor_ = std::make_unique<Compressor>();
  return Status();
}

void ReadStream::Pump() {
  if (pumping_) return;  // Send may call OnWritable
  pumping_ = true;
  while (!running_ && !ended_ && call_->queued_bytes() < kQueuedBytesMax && !call_->cancelled()) {
    std::optional<Result<BytesList>> data;
    const store::ByteRange range = NextRange();
    if (!compressor_) data = parts_.store.TryRead(key_, range);
    if (data) {
      Take(std::move(*data), range.end - range.offset);
    } else {
      ReadOnPool();
    }
  }
  pumping_ = false;
}

void ReadStream::ReadOnPool() {
  running_ = true;
  RunBlocking(parts_.io, call_, [self = shared_from_this(), range = NextRange()] {
    Result<BytesList> data = self->parts_.store.Read(self->key_, range);
    if (self->compressor_) data = self->Compress(std::move(data), range.end == self->end_);
    self->call_->Post([self, range, data = std::move(data)]() mutable {
      self->running_ = false;
      self->Take(std::move(data), range.end - range.offset);
      self->Pump();
    });
  });
}

Result<BytesList> ReadStream::Compress(Result<BytesList> plain, bool last) {
  if (!plain) return plain;
  std::string out;
  for (const Bytes& piece : *plain) TRY(compressor_->Feed(piece.view(), false, &out));
  if (last) TRY(compressor_->Feed({}, true, &out));
  return BytesList{Bytes(std::move(out))};
}

void ReadStream::Take(Result<BytesList> data, uint64_t plain_bytes) {
  if (!data) {
    ended_ = true;
    return call_->Finish(data.error());
  }
  offset_ += plain_bytes;
  const bool last = offset_ == end_;
  ended_ = last;
  const bool empty = TotalSize(*data) == 0;
  if (empty) return last ? call_->Finish(Status()) : void();
  BytesList message = wire::WriteReadResponse(std::move(*data));
  return last ? call_->Respond(std::move(message)) : call_->Send(std::move(message));
}

class Handler : public rpc::CallHandler {
 public:
  explicit Handler(std::shared_ptr<ReadStream> stream) : stream_(std::move(stream)) {}
  void OnMessage(Bytes) override {}
  void OnWritable() override { stream_->Pump(); }

 private:
  std::shared_ptr<ReadStream> stream_;
};

}  // namespace

rpc::Method ByteStreamReadMethod(ByteStreamParts parts, const ByteStreamOptions& options) {
  return rpc::ServerStreamMethod(
      "/google.bytestream.ByteStream/Read",
      [parts, piece_bytes = options.read_piece_bytes](
          std::shared_ptr<rpc::ServerCall> call,
          Bytes request) -> std::unique_ptr<rpc::CallHandler> {
        auto stream = std::make_shared<ReadStream>(parts, piece_bytes, call);
        if (Status begun = stream->Begin(request.view()); !begun.ok()) {
          call->Finish(std::move(begun));
          return nullptr;
        }
        stream->Pump();
        return std::make_unique<Handler>(std::move(stream));
      },
      64 << 10);
}

}  // namespace lre::service

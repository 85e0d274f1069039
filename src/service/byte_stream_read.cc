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

// One read. Confined to the call's loop, but for the step that runs on the I/O pool while
// `running_` and takes all it needs along. Compressed, each piece is a frame of its own.
class ReadStream : public std::enable_shared_from_this<ReadStream> {
 public:
  ReadStream(ByteStreamParts parts, size_t piece_bytes, std::shared_ptr<ByteStreamZstd> zstd,
             std::shared_ptr<rpc::ServerCall> call)
      : parts_(parts), piece_bytes_(piece_bytes), zstd_(std::move(zstd)), call_(std::move(call)) {}

  Status Begin(std::string_view request);
  void Pump();

 private:
  store::ByteRange NextRange() const {
    return {offset_, std::min<uint64_t>(offset_ + piece_bytes_, end_)};
  }
  // What one answer carries.
  struct Piece {
    Result<BytesList> data;
    uint64_t plain_bytes = 0;
    bool is_new_frame = false;
  };
  void Take(Result<BytesList> data, uint64_t plain_bytes);
  void ReadOnPool();
  Piece ReadPiece(store::ByteRange range) const;
  // Frames that were made before, of a blob that is still there.
  void FindFrames();
  void SendFrame();
  void KeepFrame(const BytesList& frame, bool last);

  const ByteStreamParts parts_;
  const size_t piece_bytes_;
  const std::shared_ptr<ByteStreamZstd> zstd_;
  const std::shared_ptr<rpc::ServerCall> call_;
  store::BlobKey key_;
  uint64_t offset_ = 0, end_ = 0;  // of the plain bytes still to be sent
  BytesList frames_;               // found: to be sent; not found: made so far, to be kept
  size_t next_frame_ = 0, frames_bytes_ = 0;
  bool compressed_ = false, found_ = false, whole_ = false;
  bool running_ = false, pumping_ = false, ended_ = false;
};

Status ReadStream::Begin(std::string_view bytes) {
  TRY_ASSIGN(wire::ReadRequest request, wire::ParseReadRequest(bytes));
  TRY_ASSIGN(reapi::ResourceName name, reapi::ParseReadName(request.resource_name));
  key_.digest = name.digest;
  TRY_ASSIGN(key_.partition, parts_.partitions.Of(call_->info().identity, name.instance_name));
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
  compressed_ = true;
  whole_ = offset_ == 0 && end_ > 0;
  if (whole_) FindFrames();
  return Status();
}

void ReadStream::FindFrames() {
  auto frames = zstd_->cache.Find(key_);
  if (!frames) return;
  auto missing = parts_.store.TryFindMissing(key_.partition, {&key_.digest, 1});
  if (!missing || !*missing || !(*missing)->empty()) return;
  frames_ = std::move(*frames);
  found_ = !frames_.empty();
}

void ReadStream::SendFrame() {
  BytesList message = wire::WriteReadResponse({frames_[next_frame_++]});
  ended_ = next_frame_ == frames_.size();
  return ended_ ? call_->Respond(std::move(message)) : call_->Send(std::move(message));
}

void ReadStream::KeepFrame(const BytesList& frame, bool last) {
  if (!whole_) return;
  frames_bytes_ += TotalSize(frame);
  if (frames_bytes_ > zstd_->cache.blob_bytes_max()) {
    whole_ = false;
    frames_.clear();
    return;
  }
  frames_.insert(frames_.end(), frame.begin(), frame.end());
  if (last) zstd_->cache.Put(key_, std::move(frames_));
}

void ReadStream::Pump() {
  if (pumping_) return;  // Send may call OnWritable
  pumping_ = true;
  while (!running_ && !ended_ && call_->queued_bytes() < kQueuedBytesMax && !call_->cancelled()) {
    if (found_) {
      SendFrame();
      continue;
    }
    std::optional<Result<BytesList>> data;
    const store::ByteRange range = NextRange();
    if (!compressed_) data = parts_.store.TryRead(key_, range);
    if (data) {
      Take(std::move(*data), range.end - range.offset);
    } else {
      ReadOnPool();
    }
  }
  pumping_ = false;
}

ReadStream::Piece ReadStream::ReadPiece(store::ByteRange range) const {
  if (!compressed_) return {parts_.store.Read(key_, range), range.end - range.offset};
  // What is stored in frames is sent in them.
  auto stored = parts_.store.ReadZstd(key_, range.offset);
  if (stored && *stored) return {std::move((*stored)->compressed), (*stored)->plain_bytes};
  Piece piece{parts_.store.Read(key_, range), range.end - range.offset};
  if (!piece.data) return piece;
  Result<std::string> frame = CompressFrame(zstd_->contexts, *piece.data);
  if (frame) {
    piece.data = BytesList{Bytes(std::move(*frame))};
    piece.is_new_frame = true;
  } else {
    piece.data = std::unexpected(frame.error().WithContext("blob " + key_.digest.ToString()));
  }
  return piece;
}

void ReadStream::ReadOnPool() {
  running_ = true;
  RunBlocking(parts_.io, call_, [self = shared_from_this(), range = NextRange()] {
    auto piece = std::make_shared<Piece>(self->ReadPiece(range));
    self->call_->Post([self, piece] {
      self->running_ = false;
      if (piece->is_new_frame) {
        self->KeepFrame(*piece->data, self->offset_ + piece->plain_bytes == self->end_);
      } else {
        self->whole_ = false;  // the store keeps some of it compressed
      }
      self->Take(std::move(piece->data), piece->plain_bytes);
      self->Pump();
    });
  });
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

rpc::Method ByteStreamReadMethod(ByteStreamParts parts, const ByteStreamOptions& options,
                                 std::shared_ptr<ByteStreamZstd> zstd) {
  return rpc::ServerStreamMethod(
      "/google.bytestream.ByteStream/Read",
      [parts, piece_bytes = options.read_piece_bytes, zstd = std::move(zstd)](
          std::shared_ptr<rpc::ServerCall> call,
          Bytes request) -> std::unique_ptr<rpc::CallHandler> {
        auto stream = std::make_shared<ReadStream>(parts, piece_bytes, zstd, call);
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

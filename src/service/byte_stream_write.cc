#include "service/byte_stream_write.h"

#include "google/bytestream/bytestream.pb.h"
#include "reapi/resource_name.h"
#include "reapi/wire/messages.h"
#include "service/blocking.h"
#include "service/zstd_blob.h"

namespace lre::service {
namespace {

namespace wire = reapi::wire;

// A step waits for so many bytes while more are to come: handing it to the pool and back costs as
// much as storing some ten KiB.
constexpr size_t kStepBytesMin = 256 << 10;

// One Write. Messages are checked on the loop and their data appended on the I/O pool, one step at
// a time: the step that runs has the upload and the decompressor, everything else is the loop's.
class WriteStream : public std::enable_shared_from_this<WriteStream> {
 public:
  WriteStream(ByteStreamParts parts, const ByteStreamOptions& options,
              std::shared_ptr<UploadTable> uploads, std::shared_ptr<ByteStreamZstd> zstd,
              std::shared_ptr<rpc::ServerCall> call)
      : parts_(parts),
        options_(options),
        uploads_(std::move(uploads)),
        zstd_(std::move(zstd)),
        call_(std::move(call)) {}

  void Take(const Bytes& message);
  void HalfClose();
  void Cancel();

 private:
  struct Outcome {
    Status status;
    bool exists = false;
  };

  Status Check(const wire::WriteRequest& request);
  Status Begin(const wire::WriteRequest& request);
  // Answers at once when that needs no pool; true when it did.
  bool TryAnswer(const wire::WriteRequest& request);
  void StartStep();
  Outcome RunStep(const BytesList& data, bool last);
  void EndStep(const Outcome& outcome, bool last, size_t message_bytes);
  void Fail(Status status);
  void AnswerExists();
  void Leave();

  bool compressed() const { return compressor_ != reapi::Compressor::kIdentity; }

  const ByteStreamParts parts_;
  const ByteStreamOptions options_;
  const std::shared_ptr<UploadTable> uploads_;
  const std::shared_ptr<ByteStreamZstd> zstd_;
  const std::shared_ptr<rpc::ServerCall> call_;
  std::string name_, upload_name_;
  store::BlobKey key_;
  reapi::Compressor compressor_ = reapi::Compressor::kIdentity;
  int64_t next_offset_ = 0;  // what the next write_offset must be
  BytesList pending_;        // data that no step has taken yet
  size_t pending_message_bytes_ = 0;
  bool begun_ = false, finish_ = false, half_closed_ = false, running_ = false, ended_ = false;
  bool existence_known_ = false;
  std::shared_ptr<Upload> upload_;
  std::unique_ptr<Decompressor> decompressor_;
};

Status WriteStream::Begin(const wire::WriteRequest& request) {
  TRY_ASSIGN(reapi::ResourceName name, reapi::ParseWriteName(request.resource_name));
  if (name.compressor != reapi::Compressor::kIdentity &&
      name.compressor != reapi::Compressor::kZstd) {
    return ErrorStatus(Code::kInvalidArgument, "compressor {} is not served; zstd is",
                       reapi::CompressorName(name.compressor));
  }
  if (name.digest.size_bytes > options_.blob_bytes_max) {
    return ErrorStatus(Code::kInvalidArgument, "blob {}: at most {} bytes are stored here",
                       name.digest, options_.blob_bytes_max);
  }
  TRY_ASSIGN(const store::Partition partition,
             parts_.partitions.Of(call_->info().identity, name.instance_name));
  begun_ = true;
  name_ = request.resource_name;
  key_ = {name.digest, partition};
  compressor_ = name.compressor;
  next_offset_ = request.write_offset;
  if (next_offset_ < 0 || next_offset_ > name.digest.size_bytes) {
    return ErrorStatus(Code::kInvalidArgument, "write_offset {} of blob {}", next_offset_,
                       name.digest);
  }
  return Status();
}

Status WriteStream::Check(const wire::WriteRequest& request) {
  if (begun_ && !request.resource_name.empty() && request.resource_name != name_) {
    return ErrorStatus(Code::kInvalidArgument, "resource_name \"{}\" in an upload of \"{}\"",
                       request.resource_name.substr(0, 256), name_);
  }
  if (!begun_) TRY(Begin(request));
  if (request.write_offset != next_offset_) {
    return ErrorStatus(Code::kInvalidArgument, "blob {}: write_offset is {}, {} was expected",
                       key_.digest, request.write_offset, next_offset_);
  }
  if (finish_) {
    return ErrorStatus(Code::kInvalidArgument, "blob {}: a message after finish_write",
                       key_.digest);
  }
  next_offset_ += static_cast<int64_t>(request.data.size());
  finish_ = request.finish_write;
  if (compressed()) return Status();
  if (next_offset_ > key_.digest.size_bytes) {
    return ErrorStatus(Code::kInvalidArgument, "blob {}: {} bytes were sent", key_.digest,
                       next_offset_);
  }
  if (finish_ && next_offset_ != key_.digest.size_bytes) {
    return ErrorStatus(Code::kInvalidArgument, "blob {}: finish_write after {} bytes", key_.digest,
                       next_offset_);
  }
  return Status();
}

bool WriteStream::TryAnswer(const wire::WriteRequest& request) {
  auto missing = parts_.store.TryFindMissing(key_.partition, {&key_.digest, 1});
  if (!missing) return false;
  if (!*missing) {
    Fail(missing->error());
    return true;
  }
  existence_known_ = true;
  if ((*missing)->empty()) {
    AnswerExists();
    return true;
  }
  if (!finish_ || compressed() || request.write_offset != 0 ||
      request.data.size() > options_.inline_write_bytes_max) {
    return false;
  }
  std::optional<Status> put = parts_.store.TryPut(key_, request.data, false);
  if (!put) return false;
  if (put->ok()) {
    ended_ = true;
    call_->Respond(wire::WriteWriteResponse(key_.digest.size_bytes));
  } else {
    Fail(std::move(*put));
  }
  return true;
}

void WriteStream::Take(const Bytes& message) {
  if (ended_) return;
  auto request = wire::ParseWriteRequest(message);
  if (!request) return Fail(request.error());
  const bool first = !begun_;
  if (Status status = Check(*request); !status.ok()) return Fail(std::move(status));
  if (first) {
    if (TryAnswer(*request)) return call_->Consumed(message.size());
    upload_name_ = UploadName(name_, key_.partition);
    Result<std::shared_ptr<Upload>> upload = uploads_->Open(upload_name_, request->write_offset);
    if (!upload) return Fail(upload.error());
    upload_ = std::move(*upload);
    if (compressed()) decompressor_ = std::make_unique<Decompressor>(zstd_->contexts);
  }
  if (!request->data.empty()) pending_.push_back(std::move(request->data));
  pending_message_bytes_ += message.size();
  if (!existence_known_ || finish_ || pending_message_bytes_ >= kStepBytesMin) StartStep();
}

void WriteStream::StartStep() {
  if (running_ || ended_ || (pending_.empty() && !finish_ && existence_known_)) return;
  running_ = true;
  auto step = [self = shared_from_this(), data = std::move(pending_), last = finish_,
               bytes = std::exchange(pending_message_bytes_, 0)] {
    Outcome outcome = self->RunStep(data, last);
    self->call_->Post(
        [self, outcome = std::move(outcome), last, bytes] { self->EndStep(outcome, last, bytes); });
  };
  pending_.clear();
  if (!parts_.io.TryRun(std::move(step))) {
    running_ = false;
    Fail(BusyStatus());
  }
}

WriteStream::Outcome WriteStream::RunStep(const BytesList& data, bool last) {
  Upload& upload = *upload_;
  auto append = [&](Bytes bytes) -> Status {
    const auto size = static_cast<int64_t>(bytes.size());
    TRY(upload.writer->Append(std::move(bytes)));
    upload.committed += size;
    return Status();
  };
  auto run = [&]() -> Status {
    if (!upload.writer) {
      TRY_ASSIGN(upload.writer, parts_.store.Write(key_));
    }
    for (const Bytes& piece : data) {
      if (decompressor_) {
        TRY(decompressor_->Feed(piece.view(), append));
      } else {
        TRY(append(piece));
      }
    }
    if (!last) return Status();
    if (upload.committed != key_.digest.size_bytes) {
      return ErrorStatus(Code::kInvalidArgument, "blob {}: finish_write after {} bytes",
                         key_.digest, upload.committed.load());
    }
    return upload.writer->Commit();
  };
  if (!existence_known_) {
    auto missing = parts_.store.FindMissing(key_.partition, {&key_.digest, 1});
    if (!missing) return {missing.error()};
    if (missing->empty()) return {Status(), true};
  }
  return {run()};
}

void WriteStream::EndStep(const Outcome& outcome, bool last, size_t message_bytes) {
  running_ = false;
  existence_known_ = true;
  call_->Consumed(message_bytes);
  if (!outcome.status.ok()) return Fail(outcome.status);
  if (outcome.exists || last) {
    uploads_->Close(upload_name_, upload_);
    upload_.reset();
    if (ended_) return;
    if (outcome.exists) return AnswerExists();
    ended_ = true;
    // Compressed uploads count what was sent, which for a client that resumed nobody knows.
    return call_->Respond(
        wire::WriteWriteResponse(compressed() ? next_offset_ : key_.digest.size_bytes));
  }
  if (ended_) return Leave();
  if (finish_ || pending_message_bytes_ >= kStepBytesMin) return StartStep();
  if (half_closed_) HalfClose();
}

void WriteStream::AnswerExists() {
  ended_ = true;
  call_->Respond(wire::WriteWriteResponse(compressed() ? -1 : key_.digest.size_bytes));
}

// Ended without finish_write: the upload is kept, and the answer says how far it got.
void WriteStream::HalfClose() {
  half_closed_ = true;
  if (ended_ || running_ || finish_) return;
  if (!pending_.empty()) return StartStep();  // which comes back here
  if (!upload_) return Fail(Status(Code::kInvalidArgument, "a Write without a message"));
  const int64_t committed = upload_->committed;
  ended_ = true;
  Leave();
  call_->Respond(wire::WriteWriteResponse(committed));
}

void WriteStream::Fail(Status status) {
  const bool was_ended = std::exchange(ended_, true);
  if (upload_) {
    // Out of the table at once: a step that still runs keeps the upload, and nobody else finds it.
    uploads_->Close(upload_name_, upload_);
    if (!running_) upload_.reset();
  }
  if (!was_ended) call_->Finish(std::move(status));
}

// The client is gone: what it sent waits for it to come back.
void WriteStream::Leave() {
  if (running_ || !upload_) return;
  if (upload_->committed > 0) {
    uploads_->Park(upload_name_, upload_);
  } else {
    uploads_->Close(upload_name_, upload_);
  }
  upload_.reset();
}

void WriteStream::Cancel() {
  if (upload_ && !pending_.empty()) StartStep();  // which leaves at its end
  ended_ = true;
  Leave();
}

class Handler : public rpc::CallHandler {
 public:
  explicit Handler(std::shared_ptr<WriteStream> stream) : stream_(std::move(stream)) {}
  void OnMessage(Bytes message) override { stream_->Take(message); }
  void OnHalfClose() override { stream_->HalfClose(); }
  void OnCancel() override { stream_->Cancel(); }

 private:
  std::shared_ptr<WriteStream> stream_;
};

void AnswerStatus(rpc::ServerCall& call, int64_t committed, bool complete) {
  google::bytestream::QueryWriteStatusResponse response;
  response.set_committed_size(committed);
  response.set_complete(complete);
  call.Respond(response.SerializeAsString());
}

}  // namespace

rpc::Method ByteStreamWriteMethod(ByteStreamParts parts, const ByteStreamOptions& options,
                                  std::shared_ptr<UploadTable> uploads,
                                  std::shared_ptr<ByteStreamZstd> zstd) {
  auto start = [parts, options, uploads, zstd](std::shared_ptr<rpc::ServerCall> call) {
    return std::make_unique<Handler>(
        std::make_shared<WriteStream>(parts, options, uploads, zstd, std::move(call)));
  };
  return {.path = "/google.bytestream.ByteStream/Write",
          .start = std::move(start),
          .request_bytes_max = options.write_message_bytes_max,
          .manual_flow = true};
}

rpc::Method QueryWriteStatusMethod(ByteStreamParts parts, std::shared_ptr<UploadTable> uploads) {
  auto handle = [parts, uploads](std::shared_ptr<rpc::ServerCall> call, Bytes bytes) {
    google::bytestream::QueryWriteStatusRequest request;
    if (!request.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
      return call->Finish(
          Status(Code::kInvalidArgument, "the request is no QueryWriteStatusRequest message"));
    }
    Result<reapi::ResourceName> name = reapi::ParseWriteName(request.resource_name());
    if (!name) return call->Finish(name.error());
    auto partition = parts.partitions.Of(call->info().identity, name->instance_name);
    if (!partition) return call->Finish(partition.error());
    RunBlocking(parts.io, call,
                [call, uploads, digest = name->digest, text = request.resource_name(),
                 &store = parts.store, in = *partition] {
                  auto missing = store.FindMissing(in, {&digest, 1});
                  if (!missing) return call->Finish(missing.error());
                  if (missing->empty()) return AnswerStatus(*call, digest.size_bytes, true);
                  AnswerStatus(*call, uploads->Committed(UploadName(text, in)).value_or(0), false);
                });
  };
  return rpc::UnaryMethod("/google.bytestream.ByteStream/QueryWriteStatus", std::move(handle),
                          64 << 10);
}

}  // namespace lre::service

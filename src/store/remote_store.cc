#include "store/remote_store.h"

#include <algorithm>
#include <unordered_map>

#include "base/random.h"
#include "build/bazel/remote/execution/v2/remote_execution.pb.h"
#include "digest/hasher.h"
#include "google/bytestream/bytestream.pb.h"
#include "reapi/digest_proto.h"
#include "reapi/error_details.h"
#include "reapi/resource_name.h"
#include "reapi/wire/field_reader.h"
#include "reapi/wire/message_writer.h"
#include "store/partition_name.h"

namespace lre::store {
namespace {

namespace pb = ::build::bazel::remote::execution::v2;

constexpr char kFindMissing[] =
    "/build.bazel.remote.execution.v2.ContentAddressableStorage/FindMissingBlobs";
constexpr char kBatchRead[] =
    "/build.bazel.remote.execution.v2.ContentAddressableStorage/BatchReadBlobs";
constexpr char kBatchUpdate[] =
    "/build.bazel.remote.execution.v2.ContentAddressableStorage/BatchUpdateBlobs";
constexpr char kStreamRead[] = "/google.bytestream.ByteStream/Read";
constexpr char kStreamWrite[] = "/google.bytestream.ByteStream/Write";

template <typename Response>
Result<Response> Call(rpc::Channel& channel, const char* method,
                      const google::protobuf::MessageLite& request,
                      const rpc::CallOptions& options) {
  TRY_ASSIGN(Bytes bytes, channel.Unary(method, {Bytes(request.SerializeAsString())}, options));
  Response response;
  if (!response.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
    return Error(Code::kInternal, "{}: the answer of {} bytes does not parse", method,
                 bytes.size());
  return response;
}

// Field 10 of a ReadResponse, sharing the message's memory.
Result<Bytes> DataOf(const Bytes& message) {
  reapi::wire::FieldReader fields(message.view());
  Bytes data;
  while (fields.Next()) {
    if (fields.Is(10, reapi::wire::WireType::kBytes))
      data = message.Slice(static_cast<size_t>(fields.bytes().data() - message.data()),
                           fields.bytes().size());
  }
  if (!fields.ok()) return Error(Code::kInternal, "a ReadResponse does not parse");
  return data;
}

bool Matches(const Digest& digest, const BytesList& pieces) {
  Hasher hasher(digest.function);
  for (const Bytes& piece : pieces) hasher.Update(piece.view());
  return hasher.Finish() == digest;
}

// Sends pieces as they come; the stream opens with the first and the blob counts at Commit.
class RemoteWriter final : public BlobWriter {
 public:
  RemoteWriter(rpc::Channel& channel, const Digest& digest, std::string resource_name,
               const RemoteStoreOptions& options)
      : digest_(digest),
        resource_name_(std::move(resource_name)),
        piece_bytes_(options.write_piece_bytes),
        hasher_(digest.function),
        channel_(channel),
        timeout_(options.call_timeout) {}

  Status Append(Bytes bytes) override {
    if (size_ + bytes.size() > static_cast<uint64_t>(digest_.size_bytes))
      return ErrorStatus(Code::kInvalidArgument, "blob {}: more bytes came than its size", digest_);
    hasher_.Update(bytes.view());
    for (size_t at = 0; at < bytes.size(); at += piece_bytes_) {
      Bytes piece = bytes.Slice(at, piece_bytes_);
      uint64_t end = size_ + piece.size();
      // The last piece waits for Commit: the server must not see the end before the hash is known.
      if (end == static_cast<uint64_t>(digest_.size_bytes)) {
        last_ = std::move(piece);
        last_offset_ = size_;
      } else {
        TRY(SendPiece(piece, size_, false));
      }
      size_ = end;
    }
    return {};
  }
  uint64_t size() const override { return size_; }

  Status Commit() override {
    TRY(CheckDigest(digest_, hasher_.Finish()));
    TRY(SendPiece(last_, last_offset_, true));
    stream_->HalfClose();
    std::optional<Bytes> answer = stream_->Read();
    TRY(stream_->Finish());
    google::bytestream::WriteResponse response;
    if (!answer || !response.ParseFromArray(answer->data(), static_cast<int>(answer->size())))
      return ErrorStatus(Code::kInternal, "blob {}: the write ended without an answer", digest_);
    if (response.committed_size() != digest_.size_bytes)
      return ErrorStatus(Code::kInternal, "blob {}: the server committed {} bytes", digest_,
                         response.committed_size());
    return {};
  }

 private:
  Status SendPiece(const Bytes& piece, uint64_t offset, bool finish) {
    // A server that has the blob already answers before the end; Commit reads that.
    if (ended_) return {};
    reapi::wire::MessageWriter message;
    if (offset == 0) message.Text(1, resource_name_);
    message.Varint(2, offset);
    message.Varint(3, finish ? 1 : 0);
    if (!piece.empty()) message.Pieces(10, {piece});
    if (!stream_) stream_.emplace(channel_, kStreamWrite, rpc::CallOptions{.timeout = timeout_});
    ended_ = !stream_->Write(message.Finish());
    return {};
  }

  const Digest digest_;
  const std::string resource_name_;
  const size_t piece_bytes_;
  Hasher hasher_;
  uint64_t size_ = 0, last_offset_ = 0;
  Bytes last_;
  bool ended_ = false;
  rpc::Channel& channel_;
  const Duration timeout_;
  std::optional<rpc::BlockingStream> stream_;  // from the first piece on
};

// The empty blob: there is nothing to send.
class EmptyWriter final : public BlobWriter {
 public:
  Status Append(Bytes bytes) override {
    return bytes.empty() ? Status()
                         : Status(Code::kInvalidArgument, "bytes came for the empty blob");
  }
  uint64_t size() const override { return 0; }
  Status Commit() override { return {}; }
};

class RemoteStore final : public BlobStore {
 public:
  RemoteStore(std::shared_ptr<rpc::Channel> channel, RemoteStoreOptions options)
      : channel_(std::move(channel)), options_(std::move(options)) {}

  Result<std::vector<uint32_t>> FindMissing(Partition partition,
                                            std::span<const Digest> digests) override {
    std::vector<uint32_t> missing;
    // One request has one digest function.
    for (size_t begin = 0; begin < digests.size();) {
      size_t end = begin;
      while (end < digests.size() && end - begin < options_.find_digests_max &&
             digests[end].function == digests[begin].function)
        ++end;
      TRY(FindSome(partition, digests, {begin, end}, missing));
      begin = end;
    }
    return missing;
  }

  Result<BytesList> Read(const BlobKey& key, ByteRange range) override {
    TRY(CheckKey(key));
    if (IsEmptyBlob(key.digest)) return BytesList{};
    auto size = static_cast<uint64_t>(key.digest.size_bytes);
    TRY_ASSIGN(ByteRange wanted, ClampRange(key, size, range));
    google::bytestream::ReadRequest request;
    request.set_resource_name(
        reapi::PrintResourceName({.instance_name = Instance(key.partition), .digest = key.digest}));
    request.set_read_offset(static_cast<int64_t>(wanted.offset));
    request.set_read_limit(static_cast<int64_t>(wanted.end - wanted.offset));
    if (wanted.end == wanted.offset) {
      // A limit of 0 means no limit.
      TRY_ASSIGN(std::vector<uint32_t> missing,
                 FindMissing(key.partition, std::span(&key.digest, 1)));
      if (!missing.empty()) return Error(Code::kNotFound, "blob {}", key.digest);
      return BytesList{};
    }
    rpc::BlockingStream stream(*channel_, kStreamRead, CallTimeout());
    stream.Write({Bytes(request.SerializeAsString())});
    stream.HalfClose();
    BytesList pieces;
    while (std::optional<Bytes> message = stream.Read()) {
      TRY_ASSIGN(Bytes data, DataOf(*message));
      if (!data.empty()) pieces.push_back(std::move(data));
    }
    TRY(stream.Finish());
    if (TotalSize(pieces) != wanted.end - wanted.offset)
      return Error(Code::kUnavailable, "blob {}: {} of {} bytes came", key.digest,
                   TotalSize(pieces), wanted.end - wanted.offset);
    if (wanted.offset == 0 && wanted.end == size && !Matches(key.digest, pieces))
      return Error(Code::kNotFound, "blob {}: the server's bytes are damaged", key.digest);
    return pieces;
  }

  Result<std::unique_ptr<BlobWriter>> Write(const BlobKey& key) override {
    TRY(CheckKey(key));
    if (IsEmptyBlob(key.digest)) return std::unique_ptr<BlobWriter>(new EmptyWriter);
    std::string instance = Instance(key.partition), uuid = RandomUuid();
    std::string name = reapi::PrintResourceName(
        {.instance_name = instance, .upload_id = uuid, .digest = key.digest});
    return std::unique_ptr<BlobWriter>(
        new RemoteWriter(*channel_, key.digest, std::move(name), options_));
  }

  std::vector<Result<BytesList>> ReadMany(Partition partition,
                                          std::span<const Digest> digests) override {
    std::vector<Result<BytesList>> answers(digests.size(), BytesList{});
    ForBatches(
        digests.size(), [&](size_t i) { return digests[i]; },
        [&](const std::vector<size_t>& batch) { ReadBatch(partition, digests, batch, answers); },
        [&](size_t i) {
          answers[i] = Read({digests[i], partition}, {});
        });
    return answers;
  }

  std::vector<Status> PutMany(Partition partition,
                              std::span<const std::pair<Digest, Bytes>> blobs) override {
    std::vector<Status> answers(blobs.size());
    ForBatches(
        blobs.size(), [&](size_t i) { return blobs[i].first; },
        [&](const std::vector<size_t>& batch) { PutBatch(partition, blobs, batch, answers); },
        [&](size_t i) {
          answers[i] = Put(*this, {blobs[i].first, partition}, blobs[i].second);
        });
    return answers;
  }

 private:
  std::string Instance(Partition partition) const {
    return InstanceWithPartition(options_.instance_name, partition);
  }
  rpc::CallOptions CallTimeout() const { return {.timeout = options_.call_timeout}; }

  // Groups indices into batches of one digest function within the bounds; blobs too large for a
  // batch go alone, the empty blob nowhere.
  template <typename DigestAt, typename Batch, typename Alone>
  void ForBatches(size_t count, DigestAt digest_at, Batch batch_done, Alone alone) const {
    std::vector<size_t> batch;
    uint64_t bytes = 0;
    auto flush = [&] {
      if (!batch.empty()) batch_done(batch);
      batch.clear();
      bytes = 0;
    };
    for (size_t i = 0; i < count; ++i) {
      Digest digest = digest_at(i);
      auto size = static_cast<uint64_t>(digest.size_bytes);
      if (IsEmptyBlob(digest)) continue;
      if (size > options_.batch_bytes_max || !CheckKey({digest, 0}).ok()) {
        alone(i);
        continue;
      }
      if (!batch.empty() &&
          (bytes + size > options_.batch_bytes_max || batch.size() >= options_.batch_blobs_max ||
           digest_at(batch[0]).function != digest.function))
        flush();
      batch.push_back(i);
      bytes += size;
    }
    flush();
  }

  Status FindSome(Partition partition, std::span<const Digest> digests, ByteRange range,
                  std::vector<uint32_t>& missing) {
    pb::FindMissingBlobsRequest request;
    request.set_instance_name(Instance(partition));
    request.set_digest_function(reapi::ToProto(digests[range.offset].function));
    std::unordered_multimap<Digest, uint32_t> asked;
    for (size_t i = range.offset; i < range.end; ++i) {
      if (IsEmptyBlob(digests[i])) continue;
      // A digest asked for twice is asked for once.
      if (!asked.contains(digests[i])) reapi::ToProto(digests[i], request.add_blob_digests());
      asked.emplace(digests[i], static_cast<uint32_t>(i));
    }
    if (asked.empty()) return {};
    TRY_ASSIGN(auto response,
               Call<pb::FindMissingBlobsResponse>(*channel_, kFindMissing, request, CallTimeout()));
    size_t first = missing.size();
    for (const pb::Digest& message : response.missing_blob_digests()) {
      TRY_ASSIGN(Digest digest, reapi::FromProto(message, digests[range.offset].function));
      auto [begin, end] = asked.equal_range(digest);
      for (auto it = begin; it != end; ++it) missing.push_back(it->second);
    }
    std::sort(missing.begin() + static_cast<ptrdiff_t>(first), missing.end());
    return {};
  }

  void ReadBatch(Partition partition, std::span<const Digest> digests,
                 const std::vector<size_t>& batch, std::vector<Result<BytesList>>& answers) {
    pb::BatchReadBlobsRequest request;
    request.set_instance_name(Instance(partition));
    request.set_digest_function(reapi::ToProto(digests[batch[0]].function));
    std::unordered_multimap<Digest, size_t> asked;
    for (size_t i : batch) {
      if (!asked.contains(digests[i])) reapi::ToProto(digests[i], request.add_digests());
      asked.emplace(digests[i], i);
      answers[i] =
          Error(Code::kUnavailable, "blob {}: the server did not answer for it", digests[i]);
    }
    auto response = Call<pb::BatchReadBlobsResponse>(*channel_, kBatchRead, request, CallTimeout());
    if (!response) {
      for (size_t i : batch) answers[i] = std::unexpected(response.error());
      return;
    }
    for (auto& entry : *response->mutable_responses()) {
      auto digest = reapi::FromProto(entry.digest(), digests[batch[0]].function);
      if (!digest) continue;
      Result<BytesList> answer = Error(Code::kNotFound, "blob {}", *digest);
      Status status = reapi::FromRpcStatus(entry.status());
      if (!status.ok()) {
        answer = std::unexpected(status);
      } else if (BytesList pieces{Bytes(std::move(*entry.mutable_data()))};
                 Matches(*digest, pieces)) {
        answer = std::move(pieces);
      }
      auto [begin, end] = asked.equal_range(*digest);
      for (auto it = begin; it != end; ++it) answers[it->second] = answer;
    }
  }

  void PutBatch(Partition partition, std::span<const std::pair<Digest, Bytes>> blobs,
                const std::vector<size_t>& batch, std::vector<Status>& answers) {
    reapi::wire::MessageWriter request;
    request.Text(1, Instance(partition));
    std::unordered_multimap<Digest, size_t> asked;
    for (size_t i : batch) {
      const auto& [digest, bytes] = blobs[i];
      bool again = asked.contains(digest);
      asked.emplace(digest, i);
      answers[i] =
          ErrorStatus(Code::kUnavailable, "blob {}: the server did not answer for it", digest);
      if (again) continue;
      reapi::wire::MessageWriter entry;
      entry.DigestField(1, digest);
      entry.Pieces(2, {bytes});
      request.Pieces(2, entry.Finish());
    }
    request.Varint(5, static_cast<uint64_t>(reapi::ToProto(blobs[batch[0]].first.function)));
    auto fail = [&](const Status& status) {
      for (size_t i : batch) answers[i] = status;
    };
    Result<Bytes> answer = channel_->Unary(kBatchUpdate, request.Finish(), CallTimeout());
    if (!answer) return fail(answer.error());
    pb::BatchUpdateBlobsResponse response;
    if (!response.ParseFromArray(answer->data(), static_cast<int>(answer->size())))
      return fail(ErrorStatus(Code::kInternal, "{}: the answer does not parse", kBatchUpdate));
    for (const auto& entry : response.responses()) {
      auto digest = reapi::FromProto(entry.digest(), blobs[batch[0]].first.function);
      if (!digest) continue;
      auto [begin, end] = asked.equal_range(*digest);
      for (auto it = begin; it != end; ++it)
        answers[it->second] = reapi::FromRpcStatus(entry.status());
    }
  }

  const std::shared_ptr<rpc::Channel> channel_;
  const RemoteStoreOptions options_;
};

}  // namespace

std::unique_ptr<BlobStore> NewRemoteStore(std::shared_ptr<rpc::Channel> channel,
                                          RemoteStoreOptions options) {
  return std::make_unique<RemoteStore>(std::move(channel), std::move(options));
}

}  // namespace lre::store

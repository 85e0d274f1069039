#include "service/cas_service.h"

#include <algorithm>

#include "reapi/resource_name.h"
#include "reapi/wire/messages.h"
#include "service/blocking.h"
#include "service/get_tree.h"
#include "service/zstd_blob.h"

namespace lre::service {
namespace {

namespace wire = reapi::wire;

constexpr int32_t kIdentity = 0;
constexpr int32_t kZstd = 1;

// What the methods share, also while they run on the I/O pool.
struct SharedParts {
  const CasParts parts;
  const CasOptions options;
  mutable ZstdContexts zstd;
};
using Shared = std::shared_ptr<const SharedParts>;

// --- FindMissingBlobs ---

void AnswerFindMissing(rpc::ServerCall& call, const std::vector<Digest>& digests,
                       const Result<std::vector<uint32_t>>& missing) {
  if (!missing) return call.Finish(missing.error());
  call.Respond(wire::WriteFindMissingResponse(digests, *missing));
}

void FindMissing(const CasParts& parts, std::shared_ptr<rpc::ServerCall> call, const Bytes& bytes) {
  auto request = wire::ParseFindMissingRequest(bytes.view());
  if (!request) return call->Finish(request.error());
  const auto partition = parts.partitions.Admit(call->info(), request->instance_name);
  if (!partition) return call->Finish(partition.error());
  if (auto missing = parts.store.TryFindMissing(*partition, request->digests)) {
    return AnswerFindMissing(*call, request->digests, *missing);
  }
  auto digests = std::make_shared<std::vector<Digest>>(std::move(request->digests));
  RunBlocking(parts.io, call, [call, digests, &store = parts.store, in = *partition] {
    AnswerFindMissing(*call, *digests, store.FindMissing(in, *digests));
  });
}

// --- BatchUpdateBlobs ---

// One batch on its way: entries are stored in order, on the loop as far as that goes.
struct Update {
  store::Partition partition = 0;
  Bytes request;  // keeps the data of the entries
  std::vector<wire::BatchUpdateEntry> entries;
  std::vector<Status> statuses;
};

// What is wrong with an entry before it reaches the store; its data decompressed.
Status PrepareEntry(ZstdContexts& zstd, wire::BatchUpdateEntry& entry) {
  if (!entry.digest.valid) return wire::MalformedDigest(entry.digest);
  if (entry.compressor != kIdentity && entry.compressor != kZstd) {
    return ErrorStatus(Code::kInvalidArgument,
                       "blob {}: compressor {} is not served; identity and zstd are",
                       entry.digest.digest, entry.compressor);
  }
  if (entry.compressor == kZstd) {
    Result<std::string> plain =
        DecompressBlob(zstd, entry.data.view(), entry.digest.digest.size_bytes);
    if (!plain) return plain.error().WithContext("blob " + entry.digest.digest.ToString());
    entry.data = Bytes(std::move(*plain));
    entry.compressor = kIdentity;
  }
  if (static_cast<int64_t>(entry.data.size()) != entry.digest.digest.size_bytes) {
    return ErrorStatus(Code::kInvalidArgument, "blob {}: {} bytes were sent", entry.digest.digest,
                       entry.data.size());
  }
  return Status();
}

void AnswerUpdate(rpc::ServerCall& call, const Update& update) {
  wire::MessageWriter writer(update.entries.size() * 96 + 16);
  for (size_t i = 0; i < update.entries.size(); i++) {
    wire::AddBatchUpdateResponse(writer, update.entries[i].digest.message, update.statuses[i]);
  }
  call.Respond(writer.Finish());
}

// Stores what has no status yet; may block.
void StoreRest(store::BlobStore& store, ZstdContexts& zstd, Update& update) {
  for (size_t i = update.statuses.size(); i < update.entries.size(); i++) {
    wire::BatchUpdateEntry& entry = update.entries[i];
    Status status = PrepareEntry(zstd, entry);
    if (status.ok()) {
      status = store::Put(store, {entry.digest.digest, update.partition}, std::move(entry.data));
    }
    update.statuses.push_back(std::move(status));
  }
}

// The same without blocking, with one call of the store: true when all have a status, else none.
bool TryStore(store::BlobStore& store, ZstdContexts& zstd, Update& update) {
  std::vector<Status> statuses;
  std::vector<std::pair<Digest, Bytes>> blobs;
  std::vector<size_t> entries;  // of each blob
  statuses.reserve(update.entries.size());
  blobs.reserve(update.entries.size());
  entries.reserve(update.entries.size());
  for (wire::BatchUpdateEntry& entry : update.entries) {
    statuses.push_back(PrepareEntry(zstd, entry));
    if (!statuses.back().ok()) continue;
    entries.push_back(statuses.size() - 1);
    blobs.emplace_back(entry.digest.digest, entry.data);
  }
  auto put = store.TryPutMany(update.partition, blobs, false);
  if (!put) return false;
  for (size_t i = 0; i < entries.size(); i++) statuses[entries[i]] = std::move((*put)[i]);
  update.statuses = std::move(statuses);
  return true;
}

void BatchUpdate(const Shared& shared, std::shared_ptr<rpc::ServerCall> call, Bytes bytes) {
  const auto& [parts, options, zstd] = *shared;
  auto request = wire::ParseBatchUpdateRequest(bytes);
  if (!request) return call->Finish(request.error());
  const auto partition = parts.partitions.Admit(call->info(), request->instance_name);
  if (!partition) return call->Finish(partition.error());
  auto update = std::make_shared<Update>();
  update->partition = *partition;
  update->entries = std::move(request->entries);
  update->statuses.reserve(update->entries.size());
  const bool compressed = std::any_of(update->entries.begin(), update->entries.end(),
                                      [](const auto& entry) { return entry.compressor != 0; });
  const bool small = bytes.size() <= options.inline_hash_bytes_max;
  update->request = std::move(bytes);
  if (small && !compressed && TryStore(parts.store, zstd, *update)) {
    return AnswerUpdate(*call, *update);
  }
  RunBlocking(parts.io, call, [call, update, shared] {
    StoreRest(shared->parts.store, shared->zstd, *update);
    AnswerUpdate(*call, *update);
  });
}

// --- BatchReadBlobs ---

struct BatchRead {
  BatchRead(Bytes bytes, wire::BatchReadRequest request, size_t answer_bytes)
      : request(std::move(bytes)), parsed(std::move(request)), writer(answer_bytes) {}
  store::Partition partition = 0;
  Bytes request;
  wire::BatchReadRequest parsed;
  wire::MessageWriter writer;
  size_t next = 0;  // the entry to be answered next
};

// What one blob's answer carries.
struct ReadBlob {
  Result<BytesList> data;
  int32_t compressor = kIdentity;
};

// Small blobs are not worth it, also to clients that accept zstd. It takes time, so only the I/O
// pool compresses.
bool Compressible(const BatchRead& read, const wire::DigestEntry& entry) {
  constexpr int64_t kBytesMin = 4 << 10;
  return read.parsed.accepts_zstd && entry.digest.size_bytes >= kBytesMin;
}

// The frames that the whole blob lies in; nullopt when it is not kept so, or not wholly.
std::optional<BytesList> StoredFrames(store::BlobStore& store, const store::BlobKey& key) {
  const auto size = static_cast<uint64_t>(key.digest.size_bytes);
  BytesList frames;
  for (uint64_t plain = 0; plain < size;) {
    auto frame = store.ReadZstd(key, plain);
    if (!frame || !*frame || (*frame)->plain_bytes == 0) return std::nullopt;
    plain += (*frame)->plain_bytes;
    for (Bytes& piece : (*frame)->compressed) frames.push_back(std::move(piece));
  }
  if (TotalSize(frames) >= size) return std::nullopt;
  return frames;
}

// May block.
ReadBlob ReadForAnswer(const SharedParts& shared, const BatchRead& read,
                       const wire::DigestEntry& entry) {
  store::BlobStore& store = shared.parts.store;
  const store::BlobKey key{entry.digest, read.partition};
  const bool compress = Compressible(read, entry);
  if (compress) {
    if (auto frames = StoredFrames(store, key)) return {std::move(*frames), kZstd};
  }
  ReadBlob plain{store.Read(key, {})};
  if (!compress || !plain.data) return plain;
  Result<std::string> frame = CompressFrame(shared.zstd, *plain.data);
  if (!frame || frame->size() >= TotalSize(*plain.data)) return plain;
  return {BytesList{Bytes(std::move(*frame))}, kZstd};
}

void AddRead(BatchRead& read, const wire::DigestEntry& entry, const ReadBlob& blob) {
  if (blob.data) {
    wire::AddBatchReadResponse(read.writer, entry.message, Status(), *blob.data, blob.compressor);
  } else {
    wire::AddBatchReadResponse(read.writer, entry.message, blob.data.error(), {});
  }
}

// Whether this blob's answer still fits; what does not is said per blob.
bool Fits(const BatchRead& read, const wire::DigestEntry& entry, const CasOptions& options) {
  // Room for the errors of those that follow.
  const size_t rest = (read.parsed.entries.size() - read.next - 1) * 256;
  const auto size = static_cast<uint64_t>(entry.digest.size_bytes);
  return size <= options.answer_bytes_max &&
         read.writer.size() + rest + wire::BatchReadResponseSize(entry.message, size) <=
             options.answer_bytes_max;
}

// Answers entries until `reader` says that it would block; false then.
template <typename Reader>
bool AddReads(const CasOptions& options, BatchRead& read, Reader reader) {
  for (; read.next < read.parsed.entries.size(); read.next++) {
    const wire::DigestEntry& entry = read.parsed.entries[read.next];
    if (!entry.valid) {
      AddRead(read, entry, {std::unexpected(wire::MalformedDigest(entry))});
    } else if (!Fits(read, entry, options)) {
      AddRead(read, entry,
              {Error(Code::kResourceExhausted,
                     "blob {}: the answer would pass {} bytes; read it through ByteStream",
                     entry.digest, options.answer_bytes_max)});
    } else {
      std::optional<ReadBlob> blob = reader(entry);
      if (!blob) return false;
      AddRead(read, entry, *blob);
    }
  }
  return true;
}

// Whether every blob that is there fits the answer as it is, so that all can be read at once; then
// how many bytes of it the writer copies.
std::optional<size_t> CopiedWhenAllFit(const wire::BatchReadRequest& request,
                                       const CasOptions& options) {
  size_t bytes = 0, copied = 64;
  for (const wire::DigestEntry& entry : request.entries) {
    const auto size = static_cast<uint64_t>(entry.digest.size_bytes);
    if (!entry.valid || size > options.answer_bytes_max) return std::nullopt;
    // What is not there after all has an error of about this size.
    bytes += wire::BatchReadResponseSize(entry.message, std::max<uint64_t>(size, 256));
    if (bytes > options.answer_bytes_max) return std::nullopt;
    copied += wire::BatchReadResponseSize(entry.message,
                                          size < wire::MessageWriter::kPieceBytesMin ? size : 0);
  }
  return copied;
}

// Answers all of it with one call of the store; false when that would block.
bool TryReadAll(const SharedParts& shared, BatchRead& read) {
  std::vector<Digest> digests;
  digests.reserve(read.parsed.entries.size());
  for (const wire::DigestEntry& entry : read.parsed.entries) {
    if (Compressible(read, entry)) return false;
    digests.push_back(entry.digest);
  }
  auto blobs = shared.parts.store.TryReadMany(read.partition, digests);
  if (!blobs) return false;
  for (size_t i = 0; i < digests.size(); i++) {
    AddRead(read, read.parsed.entries[i], {std::move((*blobs)[i])});
  }
  return true;
}

void BatchReadBlobs(const Shared& shared, std::shared_ptr<rpc::ServerCall> call, Bytes bytes) {
  auto request = wire::ParseBatchReadRequest(bytes.view());
  if (!request) return call->Finish(request.error());
  const auto partition = shared->parts.partitions.Admit(call->info(), request->instance_name);
  if (!partition) return call->Finish(partition.error());
  const std::optional<size_t> copied = CopiedWhenAllFit(*request, shared->options);
  auto read =
      std::make_shared<BatchRead>(std::move(bytes), std::move(*request), copied.value_or(1024));
  read->partition = *partition;
  auto try_read = [&](const wire::DigestEntry& entry) -> std::optional<ReadBlob> {
    if (Compressible(*read, entry)) return std::nullopt;
    auto data = shared->parts.store.TryRead({entry.digest, read->partition}, {});
    if (!data) return std::nullopt;
    return ReadBlob{std::move(*data)};
  };
  const bool done =
      copied ? TryReadAll(*shared, *read) : AddReads(shared->options, *read, try_read);
  if (done) return call->Respond(read->writer.Finish());
  RunBlocking(shared->parts.io, call, [call, read, shared] {
    AddReads(shared->options, *read, [&](const wire::DigestEntry& entry) {
      return std::optional<ReadBlob>(ReadForAnswer(*shared, *read, entry));
    });
    call->Respond(read->writer.Finish());
  });
}

}  // namespace

std::vector<rpc::Method> CasMethods(CasParts parts, CasOptions options) {
  const std::string service = "/build.bazel.remote.execution.v2.ContentAddressableStorage/";
  Shared shared(new SharedParts{parts, options, ZstdContexts()});
  std::vector<rpc::Method> methods;
  methods.push_back(rpc::UnaryMethod(
      service + "FindMissingBlobs",
      [parts](std::shared_ptr<rpc::ServerCall> call, Bytes request) {
        FindMissing(parts, std::move(call), request);
      },
      options.batch_bytes_max));
  methods.push_back(rpc::UnaryMethod(
      service + "BatchUpdateBlobs",
      [shared](std::shared_ptr<rpc::ServerCall> call, Bytes request) {
        BatchUpdate(shared, std::move(call), std::move(request));
      },
      options.batch_bytes_max));
  methods.push_back(rpc::UnaryMethod(
      service + "BatchReadBlobs",
      [shared](std::shared_ptr<rpc::ServerCall> call, Bytes request) {
        BatchReadBlobs(shared, std::move(call), std::move(request));
      },
      options.batch_bytes_max));
  methods.push_back(GetTreeMethod(parts, options));
  return methods;
}

}  // namespace lre::service

#include "service/chunk_methods.h"

#include "digest/hasher.h"
#include "reapi/digest_proto.h"
#include "service/blocking.h"

namespace lre::service {
namespace {

namespace pb = reapi::pb;

// --- SplitBlob ---

// Cuts one blob, with the function that the client prefers or else FAST_CDC_2020.
class Cutter {
 public:
  Cutter(int preferred, const ChunkOptions& options) : options_(options) {
    if (preferred == pb::ChunkingFunction::REP_MAX_CDC) rep_max_.emplace(options.rep_max_cdc);
  }
  pb::ChunkingFunction::Value function() const {
    return rep_max_ ? pb::ChunkingFunction::REP_MAX_CDC : pb::ChunkingFunction::FAST_CDC_2020;
  }
  size_t window_bytes() const {
    return rep_max_ ? options_.rep_max_cdc.window_bytes() : options_.fast_cdc.bytes_max();
  }
  size_t chunk_bytes_min() const {
    return rep_max_ ? options_.rep_max_cdc.bytes_min : options_.fast_cdc.bytes_min();
  }
  size_t Cut(std::string_view bytes) {
    return rep_max_ ? rep_max_->Cut(bytes) : FastCdcCut(bytes, options_.fast_cdc);
  }

 private:
  const ChunkOptions& options_;
  std::optional<RepMaxCdc> rep_max_;
};

pb::SplitBlobResponse SplitAnswer(const store::Chunking& chunking) {
  pb::SplitBlobResponse response;
  response.set_chunking_function(static_cast<pb::ChunkingFunction::Value>(chunking.function));
  for (const Digest& chunk : chunking.chunks) reapi::ToProto(chunk, response.add_chunk_digests());
  return response;
}

// Stores the chunks, those that are there already excepted.
Result<store::Chunking> CutBlob(store::BlobStore& store, const store::BlobKey& key, Cutter cutter) {
  const auto& [digest, partition] = key;
  store::Chunking chunking{.function = cutter.function()};
  const auto size = static_cast<uint64_t>(digest.size_bytes);
  // Two windows are read at once and what is left of them moved along, so that no byte is read
  // twice and few are moved.
  std::string buffer;
  size_t at = 0;
  uint64_t read = 0;
  // Also of the empty blob: it is either there or NOT_FOUND.
  for (bool first = true; first || at < buffer.size(); first = false) {
    if (buffer.size() - at < cutter.window_bytes() && (first || read < size)) {
      buffer.erase(0, std::exchange(at, 0));
      const uint64_t wanted = 2 * cutter.window_bytes() - buffer.size();
      TRY_ASSIGN(BytesList pieces, store.Read(key, {read, read + wanted}));
      read += TotalSize(pieces);
      for (const Bytes& piece : pieces) buffer += piece.view();
    }
    if (buffer.empty()) break;
    const std::string_view rest = std::string_view(buffer).substr(at);
    const std::string_view bytes = rest.substr(0, cutter.Cut(rest));
    const Digest chunk = ComputeDigest(digest.function, bytes);
    // A blob that is one chunk is that chunk.
    if (chunk != digest) {
      TRY_ASSIGN(std::vector<uint32_t> missing, store.FindMissing(partition, {&chunk, 1}));
      if (!missing.empty()) TRY(store::Put(store, {chunk, partition}, Bytes(std::string(bytes))));
    }
    chunking.chunks.push_back(chunk);
    at += bytes.size();
  }
  return chunking;
}

Result<pb::SplitBlobResponse> Split(store::BlobStore& store, const store::BlobKey& key,
                                    int preferred, const ChunkOptions& options) {
  const auto& [digest, partition] = key;
  TRY_ASSIGN(std::optional<store::Chunking> kept, store.Chunks(key));
  const bool any = preferred != pb::ChunkingFunction::REP_MAX_CDC &&
                   preferred != pb::ChunkingFunction::FAST_CDC_2020;
  if (kept && (any || kept->function == preferred)) return SplitAnswer(*kept);
  Cutter cutter(preferred, options);
  if (static_cast<uint64_t>(digest.size_bytes) / cutter.chunk_bytes_min() > options.chunks_max) {
    TRY_ASSIGN(std::vector<uint32_t> missing, store.FindMissing(partition, {&digest, 1}));
    if (!missing.empty()) return Error(Code::kNotFound, "blob {}", digest);
    return SplitAnswer({.function = cutter.function(), .chunks = {digest}});
  }
  TRY_ASSIGN(store::Chunking chunking, CutBlob(store, key, std::move(cutter)));
  // From now on the blob can be its chunks. That this was refused, a full disk for one, takes
  // nothing from the answer: both are there.
  if (chunking.chunks.size() > 1) (void)store.Splice(key, chunking, true).ok();
  return SplitAnswer(chunking);
}

Result<store::BlobKey> SplitTarget(const pb::SplitBlobRequest& request,
                                   const Partitions& partitions, const rpc::CallInfo& call) {
  store::BlobKey key;
  TRY_ASSIGN(key.partition, partitions.Admit(call, request.instance_name()));
  TRY_ASSIGN(key.digest, reapi::FromProto(request.blob_digest(), request.digest_function()));
  return key;
}

// --- SpliceBlob ---

struct Splice {
  std::optional<Digest> blob;  // unset: whatever the chunks are
  store::Chunking chunking;
  DigestFunction function = DigestFunction::kSha256;
  store::Partition partition = 0;
};

Result<Splice> ParseSplice(const pb::SpliceBlobRequest& request, const ChunkOptions& options) {
  if (static_cast<size_t>(request.chunk_digests_size()) > options.chunks_max) {
    return Error(Code::kResourceExhausted,
                 "{} chunks are more than the {} that are spliced at once",
                 request.chunk_digests_size(), options.chunks_max);
  }
  Splice splice;
  splice.chunking.function = request.chunking_function();
  uint64_t size = 0;
  for (const pb::Digest& message : request.chunk_digests()) {
    TRY_ASSIGN(Digest chunk, reapi::FromProto(message, request.digest_function()));
    splice.chunking.chunks.push_back(chunk);
    splice.function = chunk.function;
    size += static_cast<uint64_t>(chunk.size_bytes);
    if (size > INT64_MAX) return Error(Code::kInvalidArgument, "the chunks are too large");
  }
  if (!request.has_blob_digest()) return splice;
  TRY_ASSIGN(splice.blob, reapi::FromProto(request.blob_digest(), request.digest_function()));
  if (static_cast<uint64_t>(splice.blob->size_bytes) != size) {
    return Error(Code::kInvalidArgument, "blob {}: its {} chunks have {} bytes", *splice.blob,
                 splice.chunking.chunks.size(), size);
  }
  return splice;
}

Result<Digest> DigestOfChunks(store::BlobStore& store, const Splice& splice) {
  Hasher hasher(splice.function);
  for (const Digest& chunk : splice.chunking.chunks) {
    TRY_ASSIGN(BytesList pieces, store.Read({chunk, splice.partition}, {}));
    for (const Bytes& piece : pieces) hasher.Update(piece.view());
  }
  return hasher.Finish();
}

Result<pb::SpliceBlobResponse> Join(store::BlobStore& store, const Splice& splice) {
  const bool known = !splice.blob;
  Digest blob;
  if (known) {
    TRY_ASSIGN(blob, DigestOfChunks(store, splice));
  } else {
    blob = *splice.blob;
  }
  TRY(store.Splice({blob, splice.partition}, splice.chunking, known));
  pb::SpliceBlobResponse response;
  reapi::ToProto(blob, response.mutable_blob_digest());
  return response;
}

template <typename Message>
void Answer(rpc::ServerCall& call, const Result<Message>& response) {
  if (!response) return call.Finish(response.error());
  call.Respond(response->SerializeAsString());
}

}  // namespace

std::vector<rpc::Method> ChunkMethods(CasParts parts, ChunkOptions options) {
  const std::string service = "/build.bazel.remote.execution.v2.ContentAddressableStorage/";
  auto split = [parts, options](const std::shared_ptr<rpc::ServerCall>& call, const Bytes& bytes) {
    pb::SplitBlobRequest request;
    if (!request.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
      return call->Finish(Status(Code::kInvalidArgument, "the request is no SplitBlobRequest"));
    }
    Result<store::BlobKey> key = SplitTarget(request, parts.partitions, call->info());
    if (!key) return call->Finish(key.error());
    RunBlocking(parts.io, call,
                [call, key = *key, preferred = request.chunking_function(), options,
                 &store = parts.store] { Answer(*call, Split(store, key, preferred, options)); });
  };
  auto join = [parts, options](const std::shared_ptr<rpc::ServerCall>& call, const Bytes& bytes) {
    pb::SpliceBlobRequest request;
    if (!request.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
      return call->Finish(Status(Code::kInvalidArgument, "the request is no SpliceBlobRequest"));
    }
    const auto partition = parts.partitions.Admit(call->info(), request.instance_name());
    if (!partition) return call->Finish(partition.error());
    Result<Splice> splice = ParseSplice(request, options);
    if (!splice) return call->Finish(splice.error());
    splice->partition = *partition;
    RunBlocking(parts.io, call, [call, splice = std::move(*splice), &store = parts.store] {
      Answer(*call, Join(store, splice));
    });
  };
  std::vector<rpc::Method> methods;
  methods.push_back(rpc::UnaryMethod(service + "SplitBlob", std::move(split)));
  methods.push_back(rpc::UnaryMethod(service + "SpliceBlob", std::move(join)));
  return methods;
}

}  // namespace lre::service

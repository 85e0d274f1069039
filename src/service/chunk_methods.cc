#include "service/chunk_methods.h"

#include "digest/hasher.h"
#include "reapi/digest_proto.h"
#include "reapi/resource_name.h"
#include "service/blocking.h"

namespace lre::service {
namespace {

namespace pb = reapi::pb;

constexpr store::Partition kPartition = 0;

// --- SplitBlob ---

Result<pb::SplitBlobResponse> Split(store::BlobStore& store, const Digest& digest,
                                    const FastCdcOptions& options) {
  pb::SplitBlobResponse response;
  response.set_chunking_function(pb::ChunkingFunction::FAST_CDC_2020);
  const auto size = static_cast<uint64_t>(digest.size_bytes);
  // Also of the empty blob: it is either there or NOT_FOUND.
  for (uint64_t offset = 0; offset == 0 || offset < size;) {
    TRY_ASSIGN(BytesList window,
               store.Read({digest, kPartition}, {offset, offset + options.bytes_max()}));
    const Bytes bytes = window.size() == 1 ? window[0] : Bytes(Flatten(window));
    if (bytes.empty()) break;
    const Bytes chunk = bytes.Slice(0, FastCdcCut(bytes.view(), options));
    const Digest chunk_digest = ComputeDigest(digest.function, chunk.view());
    // A blob that is one chunk is that chunk.
    if (chunk_digest != digest) TRY(store::Put(store, {chunk_digest, kPartition}, chunk));
    reapi::ToProto(chunk_digest, response.add_chunk_digests());
    offset += chunk.size();
  }
  return response;
}

Result<Digest> SplitTarget(const pb::SplitBlobRequest& request) {
  TRY(reapi::CheckInstanceName(request.instance_name()));
  return reapi::FromProto(request.blob_digest(), request.digest_function());
}

// --- SpliceBlob ---

struct Splice {
  std::optional<Digest> blob;  // unset: whatever the chunks are
  std::vector<Digest> chunks;
  DigestFunction function = DigestFunction::kSha256;
};

Result<Splice> ParseSplice(const pb::SpliceBlobRequest& request) {
  TRY(reapi::CheckInstanceName(request.instance_name()));
  Splice splice;
  uint64_t size = 0;
  for (const pb::Digest& message : request.chunk_digests()) {
    TRY_ASSIGN(Digest chunk, reapi::FromProto(message, request.digest_function()));
    splice.chunks.push_back(chunk);
    splice.function = chunk.function;
    size += static_cast<uint64_t>(chunk.size_bytes);
    if (size > INT64_MAX) return Error(Code::kInvalidArgument, "the chunks are too large");
  }
  if (!request.has_blob_digest()) return splice;
  TRY_ASSIGN(splice.blob, reapi::FromProto(request.blob_digest(), request.digest_function()));
  if (static_cast<uint64_t>(splice.blob->size_bytes) != size) {
    return Error(Code::kInvalidArgument, "blob {}: its {} chunks have {} bytes", *splice.blob,
                 splice.chunks.size(), size);
  }
  return splice;
}

Status EachPiece(store::BlobStore& store, const std::vector<Digest>& chunks,
                 const std::function<Status(Bytes)>& take) {
  for (const Digest& chunk : chunks) {
    TRY_ASSIGN(BytesList pieces, store.Read({chunk, kPartition}, {}));
    for (Bytes& piece : pieces) TRY(take(std::move(piece)));
  }
  return Status();
}

Result<pb::SpliceBlobResponse> Join(store::BlobStore& store, Splice splice) {
  if (!splice.blob) {
    Hasher hasher(splice.function);
    TRY(EachPiece(store, splice.chunks, [&](const Bytes& piece) {
      hasher.Update(piece.view());
      return Status();
    }));
    splice.blob = hasher.Finish();
  }
  pb::SpliceBlobResponse response;
  reapi::ToProto(*splice.blob, response.mutable_blob_digest());
  TRY_ASSIGN(std::vector<uint32_t> missing, store.FindMissing(kPartition, {&*splice.blob, 1}));
  if (missing.empty()) return response;
  TRY_ASSIGN(auto writer, store.Write({*splice.blob, kPartition}));
  TRY(EachPiece(store, splice.chunks,
                [&](Bytes piece) { return writer->Append(std::move(piece)); }));
  TRY(writer->Commit());
  return response;
}

template <typename Message>
void Answer(rpc::ServerCall& call, const Result<Message>& response) {
  if (!response) return call.Finish(response.error());
  call.Respond(response->SerializeAsString());
}

}  // namespace

std::vector<rpc::Method> ChunkMethods(CasParts parts, FastCdcOptions options) {
  const std::string service = "/build.bazel.remote.execution.v2.ContentAddressableStorage/";
  auto split = [parts, options](const std::shared_ptr<rpc::ServerCall>& call, const Bytes& bytes) {
    pb::SplitBlobRequest request;
    if (!request.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
      return call->Finish(Status(Code::kInvalidArgument, "the request is no SplitBlobRequest"));
    }
    Result<Digest> digest = SplitTarget(request);
    if (!digest) return call->Finish(digest.error());
    RunBlocking(parts.io, call, [call, digest = *digest, options, &store = parts.store] {
      Answer(*call, Split(store, digest, options));
    });
  };
  auto join = [parts](const std::shared_ptr<rpc::ServerCall>& call, const Bytes& bytes) {
    pb::SpliceBlobRequest request;
    if (!request.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
      return call->Finish(Status(Code::kInvalidArgument, "the request is no SpliceBlobRequest"));
    }
    Result<Splice> splice = ParseSplice(request);
    if (!splice) return call->Finish(splice.error());
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

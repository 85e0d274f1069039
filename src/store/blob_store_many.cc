// What ReadMany, TryReadMany, PutMany and TryPutMany do in stores that have nothing better: one
// blob after another.
#include "store/blob_store.h"

namespace lre::store {

std::vector<Result<BytesList>> BlobStore::ReadMany(Partition partition,
                                                   std::span<const Digest> digests) {
  std::vector<Result<BytesList>> answers;
  answers.reserve(digests.size());
  for (const Digest& digest : digests) answers.push_back(Read({digest, partition}, {}));
  return answers;
}

std::optional<std::vector<Result<BytesList>>> BlobStore::TryReadMany(
    Partition partition, std::span<const Digest> digests) {
  std::vector<Result<BytesList>> answers;
  answers.reserve(digests.size());
  for (const Digest& digest : digests) {
    auto answer = TryRead({digest, partition}, {});
    if (!answer) return std::nullopt;
    answers.push_back(*std::move(answer));
  }
  return answers;
}

std::vector<Status> BlobStore::PutMany(Partition partition,
                                       std::span<const std::pair<Digest, Bytes>> blobs) {
  std::vector<Status> answers;
  answers.reserve(blobs.size());
  for (const auto& [digest, bytes] : blobs)
    answers.push_back(Put(*this, {digest, partition}, bytes));
  return answers;
}

std::optional<std::vector<Status>> BlobStore::TryPutMany(
    Partition partition, std::span<const std::pair<Digest, Bytes>> blobs, bool verified) {
  std::vector<Status> answers;
  answers.reserve(blobs.size());
  for (const auto& [digest, bytes] : blobs) {
    auto answer = TryPut({digest, partition}, bytes, verified);
    if (!answer) return std::nullopt;
    answers.push_back(*std::move(answer));
  }
  return answers;
}

Status BlobStore::Splice(const BlobKey& key, const Chunking& chunking, bool /*verified*/) {
  TRY_ASSIGN(std::vector<uint32_t> missing, FindMissing(key.partition, {&key.digest, 1}));
  if (missing.empty()) return {};
  TRY_ASSIGN(auto writer, Write(key));
  for (const Digest& chunk : chunking.chunks) {
    TRY_ASSIGN(BytesList pieces, Read({chunk, key.partition}, {}));
    for (Bytes& piece : pieces) TRY(writer->Append(std::move(piece)));
  }
  return writer->Commit();
}

}  // namespace lre::store

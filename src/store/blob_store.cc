#include "store/blob_store.h"

#include <algorithm>
#include <array>

namespace lre::store {

Result<std::string> ReadAll(BlobStore& store, const BlobKey& key, uint64_t size_bytes_max) {
  if (static_cast<uint64_t>(key.digest.size_bytes) > size_bytes_max) {
    return Error(Code::kResourceExhausted, "blob {}: larger than the {} bytes read at once",
                 key.digest, size_bytes_max);
  }
  TRY_ASSIGN(BytesList pieces, store.Read(key, {}));
  return Flatten(pieces);
}

Status Put(BlobStore& store, const BlobKey& key, Bytes bytes) {
  TRY_ASSIGN(auto writer, store.Write(key));
  TRY(writer->Append(std::move(bytes)));
  return writer->Commit();
}

bool IsEmptyBlob(const Digest& digest) {
  // Comparing comes before hashing, and only a size of zero gets that far.
  static const auto empties = [] {
    std::array<Digest, std::size(kDigestFunctions)> digests;
    for (size_t i = 0; i < digests.size(); ++i) digests[i] = EmptyDigest(kDigestFunctions[i]);
    return digests;
  }();
  if (digest.size_bytes != 0) [[likely]]
    return false;
  return std::find(empties.begin(), empties.end(), digest) != empties.end();
}

Status CheckDigest(const Digest& expected, const Digest& actual) {
  if (expected == actual) return {};
  return ErrorStatus(Code::kInvalidArgument, "blob {}: the bytes that came have the digest {}",
                     expected, actual);
}

Status CheckKey(const BlobKey& key) {
  if (HashSize(key.digest.function) == 0) {
    return ErrorStatus(Code::kInvalidArgument, "digest function {} is not known",
                       static_cast<int>(key.digest.function));
  }
  if (key.digest.size_bytes < 0)
    return ErrorStatus(Code::kInvalidArgument, "digest {}: negative size", key.digest);
  return {};
}

Status CheckBlobSize(const BlobKey& key, uint64_t blob_bytes_max) {
  if (static_cast<uint64_t>(key.digest.size_bytes) <= blob_bytes_max) return {};
  return ErrorStatus(Code::kInvalidArgument, "blob {}: at most {} bytes are stored here",
                     key.digest, blob_bytes_max);
}

Result<ByteRange> ClampRange(const BlobKey& key, uint64_t size_bytes, ByteRange range) {
  if (range.offset > size_bytes) {
    return Error(Code::kOutOfRange, "blob {}: offset {} is past its end", key.digest, range.offset);
  }
  range.end = std::clamp(range.end, range.offset, size_bytes);
  return range;
}

}  // namespace lre::store

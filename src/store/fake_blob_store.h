// FakeBlobStore: for tests of what stands on a BlobStore. Holds blobs in memory and does on request
// what real stores do seldom: fail, block on Try*, lose a blob. Counts calls. Thread-safe. Code in
// the header, so that every folder's tests can use it.
#pragma once

#include <atomic>
#include <memory>
#include <set>
#include <string>

#include "base/guarded.h"
#include "store/blob_store.h"
#include "store/memory_store.h"

namespace lre::store {

class FakeBlobStore : public BlobStore {
 public:
  explicit FakeBlobStore(MemoryStoreOptions options = {})
      : store_(NewMemoryStore(clock, options)) {}

  // What every call from now on answers instead of working; OK works again.
  void Fail(Status status) {
    failure_.With([&](Status& failure) { failure = std::move(status); });
  }
  // From now on the blob is absent, until it is written again.
  void Lose(const Digest& digest, Partition partition = 0) {
    lost_.With([&](auto& lost) { lost.insert({partition, digest}); });
  }
  // Puts `text` and returns its digest.
  Digest Add(std::string text, DigestFunction function = DigestFunction::kSha256,
             Partition partition = 0) {
    Digest digest = ComputeDigest(function, text);
    store_->TryPut({digest, partition}, Bytes(std::move(text)), true);
    Found({digest, partition});
    return digest;
  }

  Result<std::vector<uint32_t>> FindMissing(Partition partition,
                                            std::span<const Digest> digests) override {
    ++find_calls;
    TRY(Failure());
    TRY_ASSIGN(std::vector<uint32_t> missing, store_->FindMissing(partition, digests));
    std::set<uint32_t> all(missing.begin(), missing.end());
    for (uint32_t i = 0; i < digests.size(); ++i)
      if (IsLost({digests[i], partition})) all.insert(i);
    return std::vector<uint32_t>(all.begin(), all.end());
  }
  Result<BytesList> Read(const BlobKey& key, ByteRange range) override {
    ++read_calls;
    TRY(Failure());
    if (IsLost(key)) return Error(Code::kNotFound, "blob {}", key.digest);
    return store_->Read(key, range);
  }
  Result<std::unique_ptr<BlobWriter>> Write(const BlobKey& key) override {
    ++write_calls;
    TRY(Failure());
    TRY_ASSIGN(auto writer, store_->Write(key));
    return std::unique_ptr<BlobWriter>(new Writer(*this, key, std::move(writer)));
  }
  std::optional<Result<std::vector<uint32_t>>> TryFindMissing(
      Partition partition, std::span<const Digest> digests) override {
    if (would_block) return std::nullopt;
    return FindMissing(partition, digests);
  }
  std::optional<Result<BytesList>> TryRead(const BlobKey& key, ByteRange range) override {
    if (would_block) return std::nullopt;
    return Read(key, range);
  }
  std::optional<Status> TryPut(const BlobKey& key, const Bytes& bytes, bool verified) override {
    if (would_block) return std::nullopt;
    ++write_calls;
    TRY(Failure());
    Status status = *store_->TryPut(key, bytes, verified);
    if (status.ok()) Found(key);
    return status;
  }

  FakeClock clock;                       // of the leases
  std::atomic<bool> would_block{false};  // Try* say nothing
  std::atomic<int> find_calls{0}, read_calls{0}, write_calls{0};

 private:
  class Writer final : public BlobWriter {
   public:
    Writer(FakeBlobStore& store, const BlobKey& key, std::unique_ptr<BlobWriter> base)
        : store_(store), key_(key), base_(std::move(base)) {}
    Status Append(Bytes bytes) override {
      TRY(store_.Failure());
      return base_->Append(std::move(bytes));
    }
    uint64_t size() const override { return base_->size(); }
    Status Commit() override {
      TRY(store_.Failure());
      TRY(base_->Commit());
      store_.Found(key_);
      return {};
    }

   private:
    FakeBlobStore& store_;
    const BlobKey key_;
    std::unique_ptr<BlobWriter> base_;
  };

  Status Failure() const {
    return failure_.With([](const Status& failure) { return failure; });
  }
  bool IsLost(const BlobKey& key) const {
    return lost_.With([&](const auto& lost) {
      return lost.count({key.partition, key.digest}) != 0;
    });
  }
  void Found(const BlobKey& key) {
    lost_.With([&](auto& lost) { lost.erase({key.partition, key.digest}); });
  }

  Guarded<Status> failure_;
  Guarded<std::set<std::pair<Partition, Digest>>> lost_;
  std::unique_ptr<BlobStore> store_;
};

}  // namespace lre::store

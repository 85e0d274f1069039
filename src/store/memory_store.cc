#include "store/memory_store.h"

#include <list>
#include <unordered_map>

#include "base/guarded.h"
#include "digest/hasher.h"

namespace lre::store {
namespace {

class MemoryStore final : public BlobStore {
 public:
  MemoryStore(const Clock& clock, MemoryStoreOptions options) : clock_(clock), options_(options) {}

  Result<std::vector<uint32_t>> FindMissing(Partition partition,
                                            std::span<const Digest> digests) override {
    Instant now = clock_.Now();
    std::vector<uint32_t> missing;
    state_.With([&](State& state) {
      for (size_t i = 0; i < digests.size(); ++i) {
        if (!IsEmptyBlob(digests[i]) && state.Touch({digests[i], partition}, now) == nullptr)
          missing.push_back(static_cast<uint32_t>(i));
      }
    });
    return missing;
  }

  Result<BytesList> Read(const BlobKey& key, ByteRange range) override {
    Bytes bytes;
    if (!IsEmptyBlob(key.digest)) {
      Instant now = clock_.Now();
      bool found = state_.With([&](State& state) {
        const Blob* blob = state.Touch(key, now);
        if (blob != nullptr) bytes = blob->bytes;
        return blob != nullptr;
      });
      if (!found) return Error(Code::kNotFound, "blob {}", key.digest);
    }
    TRY_ASSIGN(range, ClampRange(key, bytes.size(), range));
    if (range.offset == range.end) return BytesList();
    return BytesList{bytes.Slice(range.offset, range.end - range.offset)};
  }

  Result<std::unique_ptr<BlobWriter>> Write(const BlobKey& key) override;

  std::optional<Result<std::vector<uint32_t>>> TryFindMissing(
      Partition partition, std::span<const Digest> digests) override {
    return FindMissing(partition, digests);
  }
  std::optional<Result<BytesList>> TryRead(const BlobKey& key, ByteRange range) override {
    return Read(key, range);
  }
  std::optional<Status> TryPut(const BlobKey& key, const Bytes& bytes, bool verified) override {
    return PutWhole(key, bytes, verified);
  }

  Status PutWhole(const BlobKey& key, const Bytes& bytes, bool verified) {
    TRY(CheckKey(key));
    if (!verified) TRY(CheckDigest(key.digest, ComputeDigest(key.digest.function, bytes.view())));
    // A copy of its own: a slice would keep the whole frame or buffer alive that it came in.
    return Insert(key, std::string(bytes.view()));
  }

  Status Insert(const BlobKey& key, std::string text) {
    if (text.empty()) return {};
    TRY(CheckFits(key));
    Bytes bytes(std::move(text));
    Instant now = clock_.Now();
    std::list<Blob> evicted;  // freed after the lock
    bool fits = state_.With([&](State& state) {
      if (state.Touch(key, now) != nullptr) return true;
      while (state.size_bytes + bytes.size() > options_.size_bytes_max) {
        if (state.blobs.empty() || state.blobs.back().touched + options_.lease > now) return false;
        state.size_bytes -= state.blobs.back().bytes.size();
        state.index.erase(state.blobs.back().key);
        evicted.splice(evicted.end(), state.blobs, std::prev(state.blobs.end()));
      }
      state.size_bytes += bytes.size();
      state.blobs.push_front({key, bytes, now});
      state.index[key] = state.blobs.begin();
      return true;
    });
    if (fits) return {};
    return ErrorStatus(Code::kResourceExhausted,
                       "blob {}: the store's {} bytes are all leased; raise its size limit",
                       key.digest, options_.size_bytes_max);
  }

  Status CheckFits(const BlobKey& key) const {
    TRY(CheckBlobSize(key, options_.blob_bytes_max));
    if (static_cast<uint64_t>(key.digest.size_bytes) <= options_.size_bytes_max) return {};
    return ErrorStatus(Code::kResourceExhausted,
                       "blob {}: larger than the whole store ({} bytes); raise its size limit",
                       key.digest, options_.size_bytes_max);
  }

 private:
  struct Blob {
    BlobKey key;
    Bytes bytes;
    Instant touched;
  };
  struct State {
    // Moves the blob to the front; nullptr when absent.
    const Blob* Touch(const BlobKey& key, Instant now) {
      auto it = index.find(key);
      if (it == index.end()) return nullptr;
      it->second->touched = now;
      blobs.splice(blobs.begin(), blobs, it->second);
      return &*it->second;
    }
    std::list<Blob> blobs;  // most recently used first
    std::unordered_map<BlobKey, std::list<Blob>::iterator, BlobKeyHash> index;
    uint64_t size_bytes = 0;
  };

  const Clock& clock_;
  const MemoryStoreOptions options_;
  Guarded<State> state_;
};

class MemoryWriter final : public BlobWriter {
 public:
  MemoryWriter(MemoryStore& store, const BlobKey& key)
      : store_(store), key_(key), hasher_(key.digest.function) {}

  Status Append(Bytes bytes) override {
    uint64_t size = static_cast<uint64_t>(key_.digest.size_bytes);
    if (bytes.size() > size - text_.size()) {
      return ErrorStatus(Code::kInvalidArgument, "blob {}: {} bytes came", key_.digest,
                         text_.size() + bytes.size());
    }
    // Grows as bytes come: a claimed size alone takes no memory.
    hasher_.Update(bytes.view());
    text_.append(bytes.view());
    return {};
  }
  uint64_t size() const override { return text_.size(); }
  Status Commit() override {
    TRY(CheckDigest(key_.digest, hasher_.Finish()));
    return store_.Insert(key_, std::move(text_));
  }

 private:
  MemoryStore& store_;
  const BlobKey key_;
  Hasher hasher_;
  std::string text_;
};

Result<std::unique_ptr<BlobWriter>> MemoryStore::Write(const BlobKey& key) {
  TRY(CheckKey(key));
  TRY(CheckFits(key));
  return std::make_unique<MemoryWriter>(*this, key);
}

}  // namespace

std::unique_ptr<BlobStore> NewMemoryStore(const Clock& clock, MemoryStoreOptions options) {
  return std::make_unique<MemoryStore>(clock, options);
}

}  // namespace lre::store

#include "store/existence_cache_store.h"

#include <unordered_map>

#include "base/guarded.h"

namespace lre::store {
namespace {

// Until when each blob may be called present. Two generations: when the young one has half the
// entries it becomes the old one, and the old one goes; an entry that is used becomes young again.
class Presence {
 public:
  explicit Presence(size_t entries_max) : young_max_(std::max<size_t>(1, entries_max / 2)) {}

  bool Has(const BlobKey& key, Instant now) {
    auto it = young_.find(key);
    if (it != young_.end()) return now < it->second;
    it = old_.find(key);
    if (it == old_.end()) return false;
    Instant until = it->second;
    old_.erase(it);
    if (now >= until) return false;
    Add(key, until);
    return true;
  }
  void Add(const BlobKey& key, Instant until) {
    if (young_.size() >= young_max_ && young_.count(key) == 0) {
      old_ = std::move(young_);
      young_.clear();
    }
    young_[key] = until;
  }
  void Forget(const BlobKey& key) {
    young_.erase(key);
    old_.erase(key);
  }

 private:
  using Map = std::unordered_map<BlobKey, Instant, BlobKeyHash>;
  size_t young_max_;
  Map young_, old_;
};

class ExistenceCacheStore final : public BlobStore {
 public:
  ExistenceCacheStore(std::unique_ptr<BlobStore> base, const Clock& clock,
                      ExistenceCacheOptions options)
      : base_(std::move(base)),
        clock_(clock),
        remember_(options.lease - options.promise),
        present_(options.entries_max) {}

  Result<std::vector<uint32_t>> FindMissing(Partition partition,
                                            std::span<const Digest> digests) override {
    return *Find(partition, digests, [&](std::span<const Digest> asked) {
      return std::optional(base_->FindMissing(partition, asked));
    });
  }
  std::optional<Result<std::vector<uint32_t>>> TryFindMissing(
      Partition partition, std::span<const Digest> digests) override {
    return Find(partition, digests, [&](std::span<const Digest> asked) {
      return base_->TryFindMissing(partition, asked);
    });
  }

  Result<BytesList> Read(const BlobKey& key, ByteRange range) override {
    return Noted(key, base_->Read(key, range));
  }
  std::optional<Result<BytesList>> TryRead(const BlobKey& key, ByteRange range) override {
    auto read = base_->TryRead(key, range);
    if (read) return Noted(key, std::move(*read));
    return read;
  }
  std::vector<Result<BytesList>> ReadMany(Partition partition,
                                          std::span<const Digest> digests) override {
    auto answers = base_->ReadMany(partition, digests);
    for (size_t i = 0; i < answers.size(); ++i) {
      if (!answers[i] && answers[i].error().code() == Code::kNotFound)
        Forget({digests[i], partition});
    }
    return answers;
  }

  // Writes go to the base, which renews the lease; what it has then is asked when it is asked for.
  Result<std::unique_ptr<BlobWriter>> Write(const BlobKey& key) override {
    return base_->Write(key);
  }
  std::vector<Status> PutMany(Partition partition,
                              std::span<const std::pair<Digest, Bytes>> blobs) override {
    return base_->PutMany(partition, blobs);
  }
  std::optional<Status> TryPut(const BlobKey& key, const Bytes& bytes, bool verified) override {
    return base_->TryPut(key, bytes, verified);
  }
  std::optional<std::vector<Status>> TryPutMany(Partition partition,
                                                std::span<const std::pair<Digest, Bytes>> blobs,
                                                bool verified) override {
    return base_->TryPutMany(partition, blobs, verified);
  }
  Status Splice(const BlobKey& key, const Chunking& chunking, bool verified) override {
    return base_->Splice(key, chunking, verified);
  }
  Result<std::optional<Chunking>> Chunks(const BlobKey& key) override { return base_->Chunks(key); }
  Result<std::optional<ZstdFrame>> ReadZstd(const BlobKey& key, uint64_t offset) override {
    return base_->ReadZstd(key, offset);
  }

 private:
  template <typename Ask>
  std::optional<Result<std::vector<uint32_t>>> Find(Partition partition,
                                                    std::span<const Digest> digests,
                                                    const Ask& ask) {
    // The lease began no earlier than this.
    Instant now = clock_.Now();
    std::vector<uint32_t> unknown;
    present_.With([&](Presence& present) {
      for (uint32_t i = 0; i < digests.size(); ++i)
        if (!present.Has({digests[i], partition}, now)) unknown.push_back(i);
    });
    std::vector<uint32_t> missing;
    if (unknown.empty()) return missing;
    std::vector<Digest> asked;
    asked.reserve(unknown.size());
    for (uint32_t i : unknown) asked.push_back(digests[i]);
    std::optional<Result<std::vector<uint32_t>>> answer = ask(asked);
    if (!answer || !*answer) return answer;
    for (uint32_t i : **answer) missing.push_back(unknown[i]);
    present_.With([&](Presence& present) {
      auto next = (*answer)->begin();
      for (uint32_t i = 0; i < asked.size(); ++i) {
        if (next != (*answer)->end() && *next == i)
          ++next;
        else
          present.Add({asked[i], partition}, now + remember_);
      }
    });
    return missing;
  }

  Result<BytesList> Noted(const BlobKey& key, Result<BytesList> read) {
    if (!read && read.error().code() == Code::kNotFound) Forget(key);
    return read;
  }
  void Forget(const BlobKey& key) {
    present_.With([&](Presence& present) { present.Forget(key); });
  }

  const std::unique_ptr<BlobStore> base_;
  const Clock& clock_;
  const Duration remember_;
  Guarded<Presence> present_;
};

}  // namespace

std::unique_ptr<BlobStore> NewExistenceCacheStore(std::unique_ptr<BlobStore> base,
                                                  const Clock& clock,
                                                  ExistenceCacheOptions options) {
  if (options.promise >= options.lease || options.entries_max == 0) return base;
  return std::make_unique<ExistenceCacheStore>(std::move(base), clock, options);
}

}  // namespace lre::store

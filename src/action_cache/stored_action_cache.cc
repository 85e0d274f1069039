// A value is a header, the digests its result needs, and the serialised ActionResult itself, so
// that a hit parses nothing but the digest list and sends the rest as it lies.
#include "action_cache/stored_action_cache.h"

#include <array>
#include <cstring>
#include <span>
#include <vector>

#include "action_cache/needed_digests.h"
#include "base/log.h"

namespace lre::action_cache {
namespace {

constexpr uint8_t kFormatVersion = 1;
constexpr size_t kHeaderBytes = 8;  // version, digest function, 2 zero bytes, count (u32, LE)

std::string EncodeKey(const ActionKey& key) {
  std::string text;
  text.reserve(16 + Digest::kHashSizeMax + key.instance_name.size());
  text.append("ar1");
  text.push_back(static_cast<char>(key.action.function));
  text.append(reinterpret_cast<const char*>(&key.partition), sizeof key.partition);
  text.append(reinterpret_cast<const char*>(&key.action.size_bytes), sizeof key.action.size_bytes);
  text.append(key.action.hash_view());
  text.append(key.instance_name);  // last, as only its length varies for one function
  return text;
}

std::string EncodeValue(DigestFunction function, std::span<const Digest> digests,
                        std::string_view result) {
  size_t hash_size = HashSize(function);
  std::string value;
  value.reserve(kHeaderBytes + digests.size() * (hash_size + 8) + result.size());
  value.push_back(static_cast<char>(kFormatVersion));
  value.push_back(static_cast<char>(function));
  value.append(2, '\0');
  uint32_t count = static_cast<uint32_t>(digests.size());
  value.append(reinterpret_cast<const char*>(&count), sizeof count);
  for (const Digest& digest : digests) {
    value.append(digest.hash_view());
    value.append(reinterpret_cast<const char*>(&digest.size_bytes), sizeof digest.size_bytes);
  }
  value.append(result);
  return value;
}

// The digests of an entry, on the stack for all but large results.
class DigestList {
 public:
  Digest* Resize(size_t size) {
    size_ = size;
    if (size > few_.size()) many_.resize(size);
    return size > few_.size() ? many_.data() : few_.data();
  }
  std::span<const Digest> span() const {
    return {size_ > few_.size() ? many_.data() : few_.data(), size_};
  }

 private:
  std::array<Digest, 16> few_;
  std::vector<Digest> many_;
  size_t size_ = 0;
};

// False when the value is not one that EncodeValue makes.
bool DecodeValue(const Bytes& value, DigestList* digests, Bytes* result) {
  if (value.size() < kHeaderBytes) return false;
  const char* at = value.data();
  auto function = static_cast<DigestFunction>(at[1]);
  size_t hash_size = HashSize(function);
  uint32_t count;
  std::memcpy(&count, at + 4, sizeof count);
  if (static_cast<uint8_t>(at[0]) != kFormatVersion || hash_size == 0) return false;
  if (count > (value.size() - kHeaderBytes) / (hash_size + 8)) return false;
  at += kHeaderBytes;
  Digest* digest = digests->Resize(count);
  for (uint32_t i = 0; i < count; ++i, ++digest, at += hash_size + 8) {
    digest->function = function;
    std::memcpy(digest->hash.data(), at, hash_size);
    std::memcpy(&digest->size_bytes, at + hash_size, sizeof digest->size_bytes);
  }
  *result = value.Slice(static_cast<size_t>(at - value.data()));
  return true;
}

class StoredActionCache final : public ActionCache {
 public:
  StoredActionCache(store::ValueStore& values, store::BlobStore& blobs,
                    StoredActionCacheOptions options)
      : values_(values), blobs_(blobs), options_(options) {}

  Result<Bytes> Get(const ActionKey& key) override { return *GetWith<true>(key); }
  std::optional<Result<Bytes>> TryGet(const ActionKey& key) override { return GetWith<false>(key); }

  Status Put(const ActionKey& key, Bytes result) override { return *PutWith<true>(key, result); }
  std::optional<Status> TryPut(const ActionKey& key, const Bytes& result) override {
    return PutWith<false>(key, result);
  }

  Status Remove(const ActionKey& key) override { return values_.RemoveValue(EncodeKey(key)); }

 private:
  template <bool kBlocking>
  std::optional<Result<std::vector<uint32_t>>> FindMissing(store::Partition partition,
                                                           std::span<const Digest> digests) {
    if (digests.empty()) return std::vector<uint32_t>();
    if constexpr (kBlocking)
      return blobs_.FindMissing(partition, digests);
    else
      return blobs_.TryFindMissing(partition, digests);
  }

  template <bool kBlocking>
  std::optional<Result<Bytes>> GetWith(const ActionKey& key) {
    std::string value_key = EncodeKey(key);
    std::optional<Result<Bytes>> value;
    if constexpr (kBlocking)
      value = values_.GetValue(value_key);
    else
      value = values_.TryGetValue(value_key);
    if (!value) return std::nullopt;
    if (!*value && value->error().code() == Code::kNotFound)
      return Error(Code::kNotFound, "action result of {}", key.action);
    if (!*value) return std::unexpected(std::move(*value).error());

    DigestList digests;
    Bytes result;
    if (!DecodeValue(**value, &digests, &result)) {
      Log(kWarning, "action_result_not_readable", {{"action", key.action.ToString()}});
      return Error(Code::kNotFound, "action result of {}: the stored entry is not readable",
                   key.action);
    }
    auto missing = FindMissing<kBlocking>(key.partition, digests.span());
    if (!missing) return std::nullopt;
    if (!*missing) return std::unexpected(std::move(*missing).error());
    if (!(*missing)->empty()) {
      return Error(Code::kNotFound, "action result of {}: {} of the {} blobs it names are missing",
                   key.action, (*missing)->size(), digests.span().size());
    }
    return result;
  }

  template <bool kBlocking>
  std::optional<Status> PutWith(const ActionKey& key, const Bytes& result) {
    if (result.size() > options_.result_bytes_max) {
      return ErrorStatus(Code::kInvalidArgument,
                         "action result of {}: {} bytes, at most {} are allowed", key.action,
                         result.size(), options_.result_bytes_max);
    }
    auto read = [&](const Digest& digest) -> std::optional<Result<std::string>> {
      return ReadWhole<kBlocking>({digest, key.partition});
    };
    auto needed = NeededDigests(
        result.view(),
        {.function = key.action.function, .digests_max = options_.digests_max, .read = read});
    if (!needed) return std::nullopt;
    if (!*needed) return needed->error().WithContext(ResultOf(key));

    auto missing = FindMissing<kBlocking>(key.partition, **needed);
    if (!missing) return std::nullopt;
    if (!*missing) return std::move(*missing).error();
    if (!(*missing)->empty()) {
      return ErrorStatus(Code::kFailedPrecondition,
                         "action result of {}: blob {} is missing ({} of {})", key.action,
                         (**needed)[(*missing)->front()], (*missing)->size(), (*needed)->size());
    }
    std::string value = EncodeValue(key.action.function, **needed, result.view());
    if constexpr (kBlocking)
      return values_.PutValue(EncodeKey(key), value);
    else
      return values_.TryPutValue(EncodeKey(key), value);
  }

  template <bool kBlocking>
  std::optional<Result<std::string>> ReadWhole(const store::BlobKey& key) {
    if (static_cast<uint64_t>(key.digest.size_bytes) > options_.tree_bytes_max) {
      return Error(Code::kInvalidArgument, "tree {}: larger than the {} bytes that are allowed",
                   key.digest, options_.tree_bytes_max);
    }
    if constexpr (kBlocking) {
      return store::ReadAll(blobs_, key, options_.tree_bytes_max);
    } else {
      auto pieces = blobs_.TryRead(key, {});
      if (!pieces) return std::nullopt;
      if (!*pieces) return std::unexpected(std::move(*pieces).error());
      return Flatten(**pieces);
    }
  }

  static std::string ResultOf(const ActionKey& key) {
    return fmt::format("action result of {}", key.action);
  }

  store::ValueStore& values_;
  store::BlobStore& blobs_;
  const StoredActionCacheOptions options_;
};

// Owns its values.
class MemoryActionCache final : public ActionCache {
 public:
  MemoryActionCache(store::BlobStore& blobs, StoredActionCacheOptions options)
      : values_(store::NewMemoryValueStore()), cache_(*values_, blobs, options) {}

  Result<Bytes> Get(const ActionKey& key) override { return cache_.Get(key); }
  Status Put(const ActionKey& key, Bytes result) override {
    return cache_.Put(key, std::move(result));
  }
  Status Remove(const ActionKey& key) override { return cache_.Remove(key); }
  std::optional<Result<Bytes>> TryGet(const ActionKey& key) override { return cache_.TryGet(key); }
  std::optional<Status> TryPut(const ActionKey& key, const Bytes& result) override {
    return cache_.TryPut(key, result);
  }

 private:
  std::unique_ptr<store::ValueStore> values_;
  StoredActionCache cache_;
};

}  // namespace

std::optional<StoredResultKey> ParseStoredResultKey(std::string_view key) {
  StoredResultKey parsed;
  constexpr size_t kFixed = 4 + sizeof parsed.partition + sizeof parsed.action.size_bytes;
  if (!key.starts_with("ar1") || key.size() < kFixed) return std::nullopt;
  parsed.action.function = static_cast<DigestFunction>(key[3]);
  const size_t hash_size = HashSize(parsed.action.function);
  if (hash_size == 0 || key.size() < kFixed + hash_size) return std::nullopt;
  std::memcpy(&parsed.partition, key.data() + 4, sizeof parsed.partition);
  std::memcpy(&parsed.action.size_bytes, key.data() + 4 + sizeof parsed.partition,
              sizeof parsed.action.size_bytes);
  std::memcpy(parsed.action.hash.data(), key.data() + kFixed, hash_size);
  parsed.instance_name = key.substr(kFixed + hash_size);
  return parsed;
}

std::optional<StoredResult> ParseStoredResult(const Bytes& value) {
  DigestList digests;
  StoredResult parsed;
  if (!DecodeValue(value, &digests, &parsed.result)) return std::nullopt;
  parsed.needed.assign(digests.span().begin(), digests.span().end());
  return parsed;
}

std::unique_ptr<ActionCache> NewStoredActionCache(store::ValueStore& values,
                                                  store::BlobStore& blobs,
                                                  StoredActionCacheOptions options) {
  return std::make_unique<StoredActionCache>(values, blobs, options);
}

std::unique_ptr<ActionCache> NewMemoryActionCache(store::BlobStore& blobs,
                                                  StoredActionCacheOptions options) {
  return std::make_unique<MemoryActionCache>(blobs, options);
}

}  // namespace lre::action_cache

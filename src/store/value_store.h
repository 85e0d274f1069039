// ValueStore: small values under keys that the caller makes, which may be replaced and removed
// (action results, where a BlobStore holds what they name). Implementations are thread-safe. As in
// BlobStore, plain methods may block and Try* never do. A key is 1 to kKeyBytesMax bytes and
// includes whatever separates tenants; a value is at most kValueBytesMax. A value that was read or
// written is kept at least for the store's lease. Values in the log store share its bound with
// blobs. The last acknowledged Put or Remove of a key wins.
#pragma once

#include <memory>
#include <optional>
#include <string_view>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/status.h"

namespace lre::store {

class ValueStore {
 public:
  static constexpr size_t kKeyBytesMax = 1024;
  static constexpr size_t kValueBytesMax = 32 << 20;

  virtual ~ValueStore() = default;
  // Contiguous; kNotFound if absent.
  virtual Result<Bytes> GetValue(std::string_view key) = 0;
  virtual Status PutValue(std::string_view key, std::string_view value) = 0;
  // Absent is fine.
  virtual Status RemoveValue(std::string_view key) = 0;

  virtual std::optional<Result<Bytes>> TryGetValue(std::string_view) { return std::nullopt; }
  virtual std::optional<Status> TryPutValue(std::string_view, std::string_view) {
    return std::nullopt;
  }
};

// kInvalidArgument when a key or value is outside its bounds. For implementations.
Status CheckValue(std::string_view key, size_t value_bytes);

struct MemoryValueStoreOptions {
  uint64_t size_bytes_max = 256ull << 20;  // of keys and values
};
// Values in memory, least recently used evicted first. Try* always answer.
std::unique_ptr<ValueStore> NewMemoryValueStore(MemoryValueStoreOptions options = {});

}  // namespace lre::store

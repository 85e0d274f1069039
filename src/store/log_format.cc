#include "store/log_format.h"

#include <cstring>

#include "store/crc32c.h"

namespace lre::store {
namespace {

// SipHash-1-3 with 128 bits of output (https://www.aumasson.jp/siphash/siphash.pdf): a keyed hash
// whose key cannot be learnt from what requests can observe, in a few nanoseconds.
class SipHash {
 public:
  explicit SipHash(const LogSecret& secret)
      : v0_(secret.words[0] ^ 0x736f6d6570736575),
        v1_(secret.words[1] ^ 0x646f72616e646f6d ^ 0xee),
        v2_(secret.words[0] ^ 0x6c7967656e657261),
        v3_(secret.words[1] ^ 0x7465646279746573) {}

  void Add(uint64_t word) {
    v3_ ^= word;
    Round();
    v0_ ^= word;
  }
  LogKey Finish() {
    LogKey key;
    v2_ ^= 0xee;
    for (int i = 0; i < 3; ++i) Round();
    key.high = v0_ ^ v1_ ^ v2_ ^ v3_;
    v1_ ^= 0xdd;
    for (int i = 0; i < 3; ++i) Round();
    key.low = v0_ ^ v1_ ^ v2_ ^ v3_;
    if (key == LogKey()) key.low = 1;  // all zero is an empty slot of the index
    return key;
  }

 private:
  void Round() {
    v0_ += v1_;
    v1_ = std::rotl(v1_, 13) ^ v0_;
    v0_ = std::rotl(v0_, 32);
    v2_ += v3_;
    v3_ = std::rotl(v3_, 16) ^ v2_;
    v0_ += v3_;
    v3_ = std::rotl(v3_, 21) ^ v0_;
    v2_ += v1_;
    v1_ = std::rotl(v1_, 17) ^ v2_;
    v2_ = std::rotl(v2_, 32);
  }
  uint64_t v0_, v1_, v2_, v3_;
};

template <typename T>
std::string_view After(const T& value, size_t skip) {
  return {reinterpret_cast<const char*>(&value) + skip, sizeof(T) - skip};
}

}  // namespace

LogKey KeyOfBlob(const LogSecret& secret, const Digest& digest, Partition partition) {
  SipHash hash(secret);
  hash.Add(static_cast<uint64_t>(partition) << 16 | static_cast<uint64_t>(digest.function) << 8 |
           static_cast<uint64_t>(RecordKind::kBlob));
  hash.Add(static_cast<uint64_t>(digest.size_bytes));
  // The bytes after a short hash are zero, and the function says how many words there are.
  size_t words = (HashSize(digest.function) + 7) / 8;
  for (size_t i = 0; i < words; ++i) {
    uint64_t word;
    std::memcpy(&word, digest.hash.data() + i * 8, sizeof word);
    hash.Add(word);
  }
  return hash.Finish();
}

LogKey KeyOfValue(const LogSecret& secret, std::string_view key) {
  SipHash hash(secret);
  hash.Add(static_cast<uint64_t>(key.size()) << 8 | static_cast<uint64_t>(RecordKind::kValue));
  for (size_t at = 0; at < key.size(); at += 8) {
    uint64_t word = 0;
    std::memcpy(&word, key.data() + at, std::min<size_t>(8, key.size() - at));
    hash.Add(word);
  }
  return hash.Finish();
}

void RecordHeader::Seal() { header_crc = Crc32c(After(*this, 8)); }
bool RecordHeader::IsSound() const {
  return magic == kMagic && header_crc == Crc32c(After(*this, 8));
}
bool RecordHeader::IsOf(const BlobKey& key) const {
  if (kind == RecordKind::kValue) return false;
  return function == key.digest.function && partition == key.partition &&
         blob_bytes() == static_cast<uint64_t>(key.digest.size_bytes) &&
         std::memcmp(hash, key.digest.hash.data(), sizeof hash) == 0;
}

RecordHeader BlobHeader(const BlobKey& key) {
  RecordHeader header;
  header.kind = RecordKind::kBlob;
  header.function = key.digest.function;
  header.partition = key.partition;
  header.size = static_cast<uint64_t>(key.digest.size_bytes);
  std::memcpy(header.hash, key.digest.hash.data(), sizeof header.hash);
  return header;
}

RecordHeader ValueHeader(std::string_view key, std::string_view value) {
  RecordHeader header;
  header.kind = RecordKind::kValue;
  header.size = value.size();
  header.key_bytes = static_cast<uint16_t>(key.size());
  header.key_crc = Crc32c(key);
  return header;
}

void JournalEntry::Seal(uint64_t generation) {
  uint32_t start = Crc32c({reinterpret_cast<const char*>(&generation), sizeof generation});
  crc = Crc32c(After(*this, 4), start);
}
bool JournalEntry::IsSound(uint64_t generation) const {
  JournalEntry copy = *this;
  copy.Seal(generation);
  return copy.crc == crc;
}

}  // namespace lre::store

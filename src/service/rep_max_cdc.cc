// A cut is sought where the rolling hash is largest. Of the places that are allowed (bytes_min from
// the last cut and further), only those matter whose hash is larger than all before: call them
// records. If the last record in sight lies less than bytes_min from the first place allowed, the
// chunk ends there. If not, one will be cut there later, and until then the best record that leaves
// it bytes_min is looked for, and so on backwards.
//
// Nothing behind a record can change that chain once bytes_min - 1 places after it held no other:
// it will be a cut, and all chunks up to it are known. So the scan goes no further, and the next
// one begins where it stopped: each byte is hashed once, but for the ends of blobs and bytes that
// are out to make it slow (where no more than window_bytes() are hashed for each bytes_min).
#include "service/rep_max_cdc.h"

#include <cstdint>

#include "base/check.h"
#include "service/fast_cdc.h"

namespace lre::service {
namespace {
constexpr size_t kHashBytes = 64;  // older ones have left the rolling hash
}  // namespace

RepMaxCdc::RepMaxCdc(RepMaxCdcOptions options) : options_(options) {
  CHECK(options.bytes_min >= kHashBytes, "chunks have at least 64 bytes");
}

size_t RepMaxCdc::Cut(std::string_view bytes) {
  const size_t least = options_.bytes_min;
  if (ready_.empty()) {
    if (bytes.size() < 2 * least) return bytes.size();
    bytes = bytes.substr(0, options_.window_bytes());
    const auto& gear = GearTable();
    uint64_t hash = 0;
    size_t at = least - kHashBytes;
    for (; at < least; ++at) hash = (hash << 1) + gear[static_cast<uint8_t>(bytes[at])];
    // Records, by their distance from the first place allowed, which is one.
    std::vector<size_t> records = {0};
    uint64_t best = hash;
    // What remains behind a cut has bytes_min, too.
    const size_t end = bytes.size() - least;
    size_t stop = 2 * least - 1;  // bytes_min - 1 places after the last record
    for (; at < end && at < stop; ++at) {
      hash = (hash << 1) + gear[static_cast<uint8_t>(bytes[at])];
      if (hash <= best) continue;
      best = hash;
      records.push_back(at + 1 - least);
      stop = at + least;
    }
    const bool certain = at == stop;
    // Backwards from the last record; the lengths come out last first, as they are kept.
    size_t next = records.back();
    for (size_t i = records.size(); next >= least;) {
      do --i;
      while (records[i] > next - least);
      if (certain) ready_.push_back(next - records[i]);
      next = records[i];
    }
    ready_.push_back(least + next);
  }
  const size_t length = ready_.back();
  ready_.pop_back();
  return length;
}

}  // namespace lre::service

// RepMaxCDC: where content-defined chunks end when the best place in sight is taken instead of the
// first good one. Chunks have bytes_min to less than 2 * bytes_min bytes (the last one, and only
// when it is all there is, fewer). One object cuts one blob from its start; not thread-safe.
// Source: github.com/buildbarn/go-cdc and the REAPI's RepMaxCdcParams (ChunkingFunction
// REP_MAX_CDC).
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

namespace lre::service {

struct RepMaxCdcOptions {
  size_t bytes_min = 256 << 10;       // at least 64
  size_t horizon_bytes = 2048 << 10;  // how far it looks; 8 * bytes_min is recommended
  // What Cut wants to see.
  size_t window_bytes() const { return 2 * bytes_min + horizon_bytes; }
};

class RepMaxCdc {
 public:
  explicit RepMaxCdc(RepMaxCdcOptions options);
  // The length of the next chunk, which is at the start of `bytes`: either all that remain of the
  // blob or at least window_bytes(). 0 only for no bytes.
  size_t Cut(std::string_view bytes);

 private:
  const RepMaxCdcOptions options_;
  std::vector<size_t> ready_;  // lengths that are known already, the next one last
};

}  // namespace lre::service

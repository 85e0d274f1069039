// Hasher: hashes bytes as they stream by. One thread at a time; reusable after Finish.
#pragma once

#include <memory>
#include <string_view>

#include "digest/digest.h"

namespace lre {

class Hasher {
 public:
  // REQUIRES: function is not kUnknown.
  explicit Hasher(DigestFunction function);
  Hasher(Hasher&&) noexcept;
  Hasher& operator=(Hasher&&) noexcept;
  ~Hasher();

  void Update(std::string_view bytes);
  // The digest of all bytes since construction or the last Finish.
  Digest Finish();

 private:
  struct State;
  DigestFunction function_;
  int64_t size_bytes_ = 0;
  std::unique_ptr<State> state_;
};

}  // namespace lre

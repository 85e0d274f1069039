#include "base/bytes.h"

namespace lre {

size_t TotalSize(const BytesList& list) {
  size_t total = 0;
  for (const Bytes& bytes : list) total += bytes.size();
  return total;
}

std::string Flatten(const BytesList& list) {
  std::string flat;
  flat.reserve(TotalSize(list));
  for (const Bytes& bytes : list) flat.append(bytes.view());
  return flat;
}

}  // namespace lre

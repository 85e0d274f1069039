// The digests that must be in the CAS for an action result to be served: output files, stdout,
// stderr, every Tree with all files of its root and children, every Directory and file under
// root_directory_digest. Sorted, each once, without the empty blob. A free function, thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "digest/digest.h"

namespace lre::action_cache {

struct NeededDigestsOptions {
  DigestFunction function = DigestFunction::kUnknown;  // of every digest in the result
  uint64_t digests_max = 0;
  // Reads a Tree or a Directory whole; nullopt: would block, and then so does the whole.
  std::function<std::optional<Result<std::string>>(const Digest&)> read;
};

// kInvalidArgument when the result, a Tree or a Directory is not well formed or names too many
// blobs; what `read` answers otherwise.
std::optional<Result<std::vector<Digest>>> NeededDigests(std::string_view result,
                                                         const NeededDigestsOptions& options);

}  // namespace lre::action_cache

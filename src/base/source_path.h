// SourcePath: where a file of this checkout lies, for tests that read the repository's own files
// (golden data, the lock, documentation). Linked into tests only; the build writes its source
// (cmake/source_path.cc.in), so that nothing else knows where the checkout is and a compiler cache
// serves every checkout alike. Thread-safe.
#pragma once

#include <string>
#include <string_view>

namespace lre {

// `path` is relative to the root of the repository.
std::string SourcePath(std::string_view path);

}  // namespace lre

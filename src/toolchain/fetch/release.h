// Release files: what an archive says about one suite, signed. Names the hash of every index. Plain
// values; thread-safe. Format: the page DebianRepository/Format of Debian's wiki.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/status.h"

namespace lre::toolchain {

struct ReleaseFile {
  std::string sha256;
  uint64_t size_bytes = 0;
};

struct Release {
  std::string suite, codename;
  std::optional<WallTime> valid_until;
  bool by_hash = false;          // indices are also found under by-hash/SHA256/<hash>
  bool all_is_separate = false;  // packages of architecture "all" have indices of their own
  std::vector<std::string> architectures;    // empty: it does not say
  std::map<std::string, ReleaseFile> files;  // by path below dists/<suite>/

  bool Serves(std::string_view architecture) const;
};

// kDataLoss when it has no SHA256 list or a malformed one.
Result<Release> ParseRelease(std::string_view text);
// "Sat, 11 Jul 2026 10:16:37 UTC"; nullopt for anything else.
std::optional<WallTime> ParseReleaseDate(std::string_view text);

}  // namespace lre::toolchain

// The files that lre.toml adds to store paths (spec.h, Extra): those of the project, by their path
// below the folder of lre.toml and lre.lock, and those of URLs, kept by hash in the package cache,
// <cache>/packages/<sha256>.extra. Blocking; thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/status.h"
#include "http_client/http_client.h"
#include "toolchain/spec/spec.h"

namespace lre::toolchain {

struct ExtraFilesOptions {
  std::string folder = ".";         // of lre.toml and lre.lock
  std::string cache_directory;      // empty: DefaultCacheDirectory() + "/packages"
  uint64_t bytes_max = 4ull << 30;  // of one download
};

// Fills in the hashes that the request leaves out. kNotFound: no such file; kDataLoss: a file that
// has another hash than the request says.
Status PinExtras(const std::string& folder, Spec* spec);

// SHA-256 -> local file with these bytes. kDataLoss: a file of the project that is not what was
// locked, or an answer that is not; kNotFound.
Result<std::map<std::string, std::string>> FetchExtras(HttpClient& http,
                                                       const std::vector<Extra>& extras,
                                                       const ExtraFilesOptions& options = {});

// Lower-case hex.
Result<std::string> Sha256OfFile(const std::string& path);

}  // namespace lre::toolchain

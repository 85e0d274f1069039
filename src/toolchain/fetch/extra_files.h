// The files that lre.toml adds to store paths (spec.h, Extra): those of the project, by their path
// below the folder of lre.toml and lre.lock, and those of URLs, images and Nix closures, kept by
// hash in the package cache, <cache>/packages/<sha256>.extra. Blocking; thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/status.h"
#include "http_client/http_client.h"
#include "toolchain/lock/lock.h"
#include "toolchain/spec/spec.h"

namespace lre::toolchain {

struct ExtraFilesOptions {
  std::string folder = ".";         // of lre.toml and lre.lock
  std::string cache_directory;      // empty: DefaultCacheDirectory() + "/packages"
  uint64_t bytes_max = 4ull << 30;  // of one download
};

struct PinOptions {
  std::string folder = ".";  // of lre.toml
  // Where closures of a Nix cache are read; nullptr: they are left as they are.
  HttpClient* http = nullptr;
  // What is locked already from the same place is not read again; may be nullptr.
  const Lock* previous = nullptr;
};
// Fills in the hashes that the request leaves out, and the closures of Nix paths. kNotFound: no
// such file; kDataLoss: a file that has another hash than the request says; kPermissionDenied: a
// Nix path without a signature that counts.
Status PinExtras(const PinOptions& options, Spec* spec);

// SHA-256 -> local file with these bytes: of an image its manifests and layers, of a Nix closure
// its archives (uncompressed NARs). kDataLoss: a file of the project that is not what was locked,
// or an answer that is not; kNotFound.
Result<std::map<std::string, std::string>> FetchExtras(HttpClient& http,
                                                       const std::vector<Extra>& extras,
                                                       const ExtraFilesOptions& options = {});

// The place of such a file in a cache directory.
std::string ExtraFileIn(const std::string& cache_directory, const std::string& sha256);

}  // namespace lre::toolchain

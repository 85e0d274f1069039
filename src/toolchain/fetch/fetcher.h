// Fetcher: makes every .deb of a lock present and verified in the package cache,
// <cache>/packages/<sha256>.deb. Bounded parallel, resumable; several processes may share a cache.
// Fetch may be called from several threads; `http` must outlive the fetcher. A file that is in the
// cache under its hash has that hash: it is checked before it is handed out.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <stop_token>
#include <string>
#include <vector>

#include "base/status.h"
#include "http_client/http_client.h"
#include "toolchain/fetch/mirrors.h"
#include "toolchain/lock/lock.h"

namespace lre::toolchain {

struct FetchProgress {
  size_t packages_done = 0, packages_total = 0;
  uint64_t bytes_done = 0, bytes_total = 0;  // what is in the cache already counts as done
  std::string package;                       // the one that moved
};

struct FetcherOptions {
  std::string cache_directory;            // empty: DefaultCacheDirectory() + "/packages"
  int parallel_max = 6;                   // downloads at a time
  uint64_t cache_bytes_max = 8ull << 30;  // beyond, the longest unused files outside this lock go
  // Called under a lock, never at the same time from two threads; at most a few times a second per
  // download.
  std::function<void(const FetchProgress&)> progress;
  std::stop_token stop;
};

class Fetcher {
 public:
  Fetcher(HttpClient& http, Mirrors mirrors, FetcherOptions options);

  // Package name -> absolute path of its .deb, for `packages` (empty: all of the lock).
  // kInvalidArgument: a name that is not in the lock; kDataLoss: bytes that are not those locked
  // (package, both hashes; nothing is kept); kNotFound: a version that neither the mirrors nor the
  // snapshots have, with the command that locks anew.
  Result<std::map<std::string, std::string>> Fetch(const Lock& lock,
                                                   const std::vector<std::string>& packages = {});

 private:
  HttpClient& http_;
  const Mirrors mirrors_;
  const FetcherOptions options_;
};

}  // namespace lre::toolchain

// Resolve: what `lre lock` does. Downloads the signed indices of every suite that the request
// names, verifies them, and solves. Thread-safe; blocks. Indices are kept in the cache by hash, so
// an unchanged archive costs one small download per suite.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "http_client/http_client.h"
#include "toolchain/fetch/mirrors.h"
#include "toolchain/lock/lock.h"
#include "toolchain/lock/solver.h"
#include "toolchain/spec/spec.h"

namespace lre::toolchain {

// The signed text inside a clear-signed `message`, when a key of the file `keyring` made the
// signature. kPermissionDenied otherwise.
using SignatureVerifier =
    std::function<Result<std::string>(std::string_view message, const std::string& keyring)>;
// Asks gpgv(1). Accepts when at least one signature is good and none is bad; MD5 and SHA-1 are not
// good.
Result<std::string> VerifyWithGpgv(std::string_view message, const std::string& keyring);

struct ResolveOptions {
  SolveOptions solve;
  // Empty: ${XDG_CACHE_HOME:-~/.cache}/lre.
  std::string cache_directory;
  size_t cached_indices_max = 16;  // the oldest are removed
  // Refuse an index after the day its archive says it is valid until.
  bool check_valid_until = true;
  const Clock* clock = &SystemClock();
  SignatureVerifier verify = VerifyWithGpgv;
  std::function<void(std::string_view what)> progress;  // one line for people
};

// Errors: those of HttpClient, Solve; kPermissionDenied for a signature; kDataLoss for an index
// that is not what its Release file says; kFailedPrecondition for a Release file of another suite
// or out of date.
Result<Lock> Resolve(const Spec& spec, const Mirrors& mirrors, HttpClient& http,
                     const ResolveOptions& options);

// ${XDG_CACHE_HOME:-~/.cache}/lre; kFailedPrecondition when neither variable is set.
Result<std::string> DefaultCacheDirectory();

}  // namespace lre::toolchain

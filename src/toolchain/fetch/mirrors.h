// Where archives are: the machine's own apt configuration, read at run time, and what the request
// says. No host name is part of LRE. Plain values; the functions are thread-safe.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "http_client/http_client.h"
#include "toolchain/lock/lock.h"
#include "toolchain/spec/spec.h"

namespace lre::toolchain {

// One entry of sources.list, *.list or *.sources that offers binary packages.
struct AptSource {
  std::string uri;  // without a final slash
  std::vector<std::string> suites;
  std::vector<std::string> components;
  friend bool operator==(const AptSource&, const AptSource&) = default;
};

struct AptConfiguration {
  std::vector<AptSource> sources;  // in apt's order: sources.list, then its directory by name
  std::string http_proxy;          // Acquire::http::Proxy; "DIRECT" means none
  std::string https_proxy;
  bool check_valid_until = true;    // Acquire::Check-Valid-Until
  std::vector<std::string> unread;  // files or lines that could not be understood, for `lre doctor`
};

// Reads <root>/etc/apt and, when `root` is "/", asks apt-config for the rest. A machine without apt
// has an empty configuration. Never an error: what is not understood is in `unread`.
AptConfiguration ReadAptConfiguration(const std::string& root = "/");
// One file: the one-line format, or deb822 (*.sources).
std::vector<AptSource> ParseSourcesList(std::string_view text, std::vector<std::string>* unread);
std::vector<AptSource> ParseDeb822Sources(std::string_view text, std::vector<std::string>* unread);
// The http client's options with apt's proxies.
HttpClientOptions HttpOptionsOf(const AptConfiguration& apt, HttpClientOptions options = {});

struct Mirrors {
  std::map<std::string, std::vector<std::string>> by_suite;  // roots, in the order to try them
  std::vector<std::string> snapshots;                        // roots that keep old versions
  std::vector<std::string> without;  // suites that the request names and this machine cannot reach
};

// The mirrors of every suite of the request: the archive's own list, else the apt sources that
// offer the suite, else apt sources of the same archive that offer other suites (".../debian" for
// bookworm,
// ".../debian-security" for bookworm-security). kFailedPrecondition: an archive without any.
Result<Mirrors> ChooseMirrors(const Spec& spec, const AptConfiguration& apt);
// For fetching alone: the suites that the lock's packages come from. A suite without a mirror is in
// `without`: its packages may be in the cache.
Mirrors ChooseMirrors(const Lock& lock, const AptConfiguration& apt);

}  // namespace lre::toolchain

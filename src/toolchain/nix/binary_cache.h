// Where Nix closures come from: a binary cache (a folder or URL with nix-cache-info and *.narinfo),
// or a folder that holds store paths as trees. Says what a path and all it references are, and
// fetches their archives. Blocking; thread-safe. Errors: kNotFound names a path the source lacks;
// kPermissionDenied one that no given key signed; kDataLoss one that is not what was locked; those
// of HttpClient.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "http_client/http_client.h"

namespace lre::toolchain {

// One path of a closure, as locks have it.
struct NixPath {
  std::string name;        // "<hash>-hello"
  std::string nar_sha256;  // lower-case hex
  uint64_t nar_size = 0;
  std::vector<std::string> references;  // base names, sorted, without itself
  friend bool operator==(const NixPath&, const NixPath&) = default;
};

// "<name> <hex> <size> [<reference> ...]", as locks write a path; and back. kInvalidArgument.
std::string PrintNixPath(const NixPath& path);
Result<NixPath> ParseNixPath(std::string_view text);
// References before referrers. kInvalidArgument: a reference that is not there, a circle, a path
// that is there twice.
Result<std::vector<NixPath>> OrderClosure(std::vector<NixPath> paths);
// Lower-case hex: the SHA-256 of all that the closure is.
std::string ClosureSha256(const std::vector<NixPath>& closure);

struct NixSource {
  std::string from;               // a URL, or a folder
  std::vector<std::string> keys;  // empty: signatures are not asked for
  uint64_t nar_bytes_max = 16ull << 30;
  size_t paths_max = 5000;
};

// The closure of `store_path`, references first. kResourceExhausted: it has more than paths_max.
Result<std::vector<NixPath>> ReadClosure(HttpClient& http, const NixSource& source,
                                         const std::string& store_path);

// Makes the file `to`: the archive of `path`, verified.
Status FetchNar(HttpClient& http, const NixSource& source, const NixPath& path,
                const std::string& to);

}  // namespace lre::toolchain

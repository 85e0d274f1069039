// Names as Nix writes them: store paths, "/nix/store/<32 characters>-<name>", and hashes in its own
// base 32. Pure functions, thread-safe. Source: Nix's manual, "Store Path" and "Base32".
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"

namespace lre::toolchain {

inline constexpr std::string_view kNixStorePrefix = "/nix/store";
inline constexpr size_t kNixHashLength = 32;  // characters before the '-'
inline constexpr size_t kNixNameMax = 211;    // characters after it

// Length of "<hash>-<name>" at the beginning of `text`; 0 when there is none. A '?' or '=', which
// Nix allows in names, ends one, and so do a '.' and a '-' before its end: in running text they are
// nearly always what comes after a path.
size_t NixNameLength(std::string_view text);
// Whether `name` is "<hash>-<name>", whole.
bool IsNixName(std::string_view name);
// Whether `path` is "/nix/store/<hash>-<name>".
bool IsNixPath(std::string_view path);
// "<hash>-<name>" of such a path.
std::string_view NixBaseName(std::string_view path);

std::string NixBase32(std::string_view bytes);
// nullopt when it is not what `size` bytes are written as.
std::optional<std::string> DecodeNixBase32(std::string_view text, size_t size);

// "sha256:<52 characters of base 32>" or "sha256:<64 of hex>" -> lower-case hex. kInvalidArgument.
Result<std::string> ParseNixSha256(std::string_view text);
// The other way round, in base 32: as fingerprints have it.
std::string PrintNixSha256(std::string_view hex);

}  // namespace lre::toolchain

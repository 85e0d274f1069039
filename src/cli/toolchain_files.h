// The files of a project that describe its toolchains: lre.toml (what is wanted), lre.lock (what
// that is exactly), toolchain.json (what was made, per toolchain). Used by several commands.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "toolchain/fetch/mirrors.h"
#include "toolchain/lock/lock.h"
#include "toolchain/lock/manifest.h"

namespace lre::cli {

inline constexpr const char* kSpecFile = "lre.toml";
inline constexpr const char* kLockFile = "lre.lock";
// In the generated module, which is where `lre generate` puts it too: one copy is committed.
inline constexpr const char* kManifestFile = "local-remote-execution/toolchain.json";

// Errors name the file and the command that makes it.
Result<toolchain::Lock> ReadLock(const std::string& path, std::string* digest = nullptr);
Result<toolchain::Manifest> ReadManifest(const std::string& path);
// The manifests of further toolchains beside `path`: every other *.json in its folder, by name.
Result<std::vector<toolchain::Manifest>> ReadFurtherManifests(const std::string& path);
// Where packages come from: what lre.toml beside the lock says, else the machine's apt sources.
Result<toolchain::Mirrors> MirrorsFor(const toolchain::Lock& lock, const std::string& spec_path,
                                      const toolchain::AptConfiguration& apt);
// kManifestFile for the toolchain that a lock has first, <name>.json beside it for others.
std::string ManifestFileFor(const toolchain::Lock& lock, const std::string& toolchain);
// Writes only what changes, so that times of unchanged files stay; says whether it did.
Result<bool> WriteIfChanged(const std::string& path, std::string_view text);
// `text` for a POSIX shell.
std::string ShellQuote(std::string_view text);

}  // namespace lre::cli

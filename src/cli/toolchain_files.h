// The files of a project that describe its toolchains: lre.toml (what is wanted), lre.lock (what
// that is exactly), toolchain.json (what was made, per toolchain). Blocking; thread-safe.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "toolchain/fetch/mirrors.h"
#include "toolchain/lock/lock.h"
#include "toolchain/lock/manifest.h"
#include "toolchain/spec/spec.h"

namespace lre::cli {

inline constexpr const char* kSpecFile = "lre.toml";
inline constexpr const char* kLockFile = "lre.lock";
inline constexpr const char* kFirstToolchain = "lre-cc";
// In the generated module, which is where `lre generate` puts it too: one copy is committed.
inline constexpr const char* kManifestFile = "local-remote-execution/toolchain.json";

// Errors name the file and the command that makes it.
Result<toolchain::Lock> ReadLock(const std::string& path);
Result<toolchain::Spec> ReadSpec(const std::string& path);
// The folder of a file, "." for a bare name.
std::string FolderOf(const std::string& path);
Result<toolchain::Manifest> ReadManifest(const std::string& path);
// The manifests of further toolchains beside `path`: every other *.json in its folder, by name.
Result<std::vector<toolchain::Manifest>> ReadFurtherManifests(const std::string& path);
// Where packages come from: what lre.toml beside the lock says, else the machine's apt sources.
Result<toolchain::Mirrors> MirrorsFor(const toolchain::Lock& lock, const std::string& spec_path,
                                      const toolchain::AptConfiguration& apt);
// The toolchain that the module is about, the others being further ones: lre-cc if there is one,
// else the first by name that has a compiler and extends no other, else the first.
std::string FirstToolchain(const toolchain::Lock& lock);
// kManifestFile for FirstToolchain, <name>.json beside it for others.
std::string ManifestFileFor(const toolchain::Lock& lock, const std::string& toolchain);
// Writes only what changes, so that times of unchanged files stay; says whether it did.
Result<bool> WriteIfChanged(const std::string& path, std::string_view text);
// `text` for a POSIX shell.
std::string ShellQuote(std::string_view text);

}  // namespace lre::cli

// Generate: from manifests to the text of every file that build tools read: the Bazel module
// `local-remote-execution`, lre.bazelrc, a CMake toolchain file per compiler, recc.conf, .envrc. A
// pure function: same manifests, same bytes; it reads no store and no clock. Plain values,
// thread-safe. `lre check` compares its result with what is there.
//
// The first lines of a file name the digest of the manifest that it derives from, for people. An
// input of actions has none: sources of examples and of programs that rules run, module maps, and
// toolchain.json of a compiler, which holds only the store paths that compiling depends on. So
// another base userland re-keys no compile.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "toolchain/lock/manifest.h"

namespace lre::toolchain {

struct GeneratedFile {
  std::string path;  // below the project's root: "local-remote-execution/MODULE.bazel"
  std::string text;
  friend bool operator==(const GeneratedFile&, const GeneratedFile&) = default;
};

struct GenerateOptions {
  // False: lre.bazelrc says that nothing was made available on this machine, and works remotely
  // only.
  bool with_environment = true;
  // "lre": the flags of lre.bazelrc hold only under --config=lre. Empty: always.
  std::string bazelrc_prefix;
  // What recc.conf names: cache and scheduler of `lre up` as it listens by default.
  std::string cache_endpoint = "127.0.0.1:50051";
  std::string executor_endpoint = "127.0.0.1:50052";
  std::string instance_name = "main";
  // Manifests of further toolchains (lre-java, lre-py, those of other systems): what they have is
  // registered too.
  std::vector<Manifest> further;
};

// Sorted by path. kInvalidArgument when the manifest lacks what a file needs (no cc facts, no
// `base` store path, an unknown system), naming it; or when bazelrc_prefix is no name of a Bazel
// config.
Result<std::vector<GeneratedFile>> Generate(const Manifest& manifest,
                                            const GenerateOptions& options = {});

// lre.bazelrc alone, for `lre check`: any of its forms is fresh.
Result<std::string> GenerateBazelrc(const Manifest& manifest, const GenerateOptions& options = {});

// "sha256:<hex>" of PrintManifest(manifest): what the first lines of generated files name.
std::string ManifestDigest(const Manifest& manifest);

}  // namespace lre::toolchain

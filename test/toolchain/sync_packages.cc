// sync_packages LOCK DIRECTORY PREFIX TOOLCHAIN: makes the toolchain of a lock from packages that
// lie in DIRECTORY as <sha256>.deb, and prints its manifest. What `lre sync` does, without the
// network.
#include <fmt/format.h>

#include <cstdio>

#include "base/clock.h"
#include "base/file.h"
#include "digest/digest.h"
#include "toolchain/root/sync.h"

namespace lre::toolchain {
namespace {

class PrintedProgress final : public SyncProgress {
 public:
  void Step(std::string_view what, std::string_view subject, int done, int total) override {
    double seconds = std::chrono::duration<double>(SystemClock().Now() - start_).count();
    fmt::print(stderr, "{:6.2f} s  {}/{} {} {}\n", seconds, done, total, what, subject);
  }

 private:
  Instant start_ = SystemClock().Now();
};

Result<std::string> Run(char** arguments) {
  TRY_ASSIGN(std::string text, ReadFile(arguments[1]));
  TRY_ASSIGN(Lock lock, ParseLock(text));
  SyncOptions options{.prefix = arguments[3]};
  options.lock_digest = "sha256:" + ComputeDigest(DigestFunction::kSha256, text).Hex();
  for (const auto& [name, package] : lock.packages)
    options.packages[name] = fmt::format("{}/{}.deb", arguments[2], package.sha256);
  PrintedProgress progress;
  TRY_ASSIGN(Manifest manifest, SyncToolchain(lock, arguments[4], options, progress));
  return PrintManifest(manifest);
}

}  // namespace
}  // namespace lre::toolchain

int main(int argc, char** argv) {
  if (argc != 5) {
    fmt::print(stderr, "usage: sync_packages LOCK DIRECTORY PREFIX TOOLCHAIN\n");
    return 2;
  }
  auto manifest = lre::toolchain::Run(argv);
  if (!manifest) {
    fmt::print(stderr, "sync_packages: {}\n", manifest.error().ToString());
    return 1;
  }
  fmt::print("{}", *manifest);
  return 0;
}

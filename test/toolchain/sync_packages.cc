// sync_packages LOCK CACHE PREFIX TOOLCHAIN: makes the toolchain of a lock, fetching packages into
// CACHE as `lre sync` does, and prints its manifest. What was made, and when, goes to standard
// error.
#include <fmt/format.h>

#include <cstdio>

#include "base/clock.h"
#include "base/file.h"
#include "toolchain/fetch/fetcher.h"
#include "toolchain/root/emulation.h"
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
  // Before the first thread: it may move this process to a namespace of its own.
  TRY(MakeRunHere(SystemOf(lock, arguments[4])));
  SyncOptions options{.prefix = arguments[3]};
  TRY_ASSIGN(options.lock_digest, LockDigest(lock, arguments[4]));
  TRY_ASSIGN(const NeededFiles needed, FilesToFetch(lock, arguments[4], options));
  const std::vector<std::string>& wanted = needed.packages;
  if (!wanted.empty()) {
    AptConfiguration apt = ReadAptConfiguration();
    HttpClient http(HttpOptionsOf(apt));
    Fetcher fetcher(http, ChooseMirrors(lock, apt), {.cache_directory = arguments[2]});
    TRY_ASSIGN(options.packages, fetcher.Fetch(lock, wanted));
  }
  PrintedProgress progress;
  TRY_ASSIGN(Manifest manifest, SyncToolchain(lock, arguments[4], options, progress));
  return PrintManifest(manifest);
}

}  // namespace
}  // namespace lre::toolchain

int main(int argc, char** argv) {
  if (argc != 5) {
    fmt::print(stderr, "usage: sync_packages LOCK CACHE PREFIX TOOLCHAIN\n");
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

#include "toolchain/fetch/fetcher.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <set>
#include <thread>

#include "base/file.h"
#include "base/log.h"
#include "digest/file_digest.h"
#include "toolchain/fetch/resolve.h"

namespace lre::toolchain {
namespace {

constexpr size_t kErrorsShownMax = 5;

// Names of Debian's pool contain '+', '~' and '%' (of an epoch): these are not what they are in a
// URL.
std::string EscapePath(std::string_view path) {
  std::string escaped;
  for (const char c : path) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       std::string_view("-._~/").find(c) != std::string_view::npos;
    if (plain) {
      escaped += c;
    } else {
      escaped += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return escaped;
}

// One call of Fetch: the work list, what became of it, and how far it is.
class Fetching {
 public:
  Fetching(HttpClient& http, const Mirrors& mirrors, const FetcherOptions& options,
           std::string directory)
      : http_(http), mirrors_(mirrors), options_(options), directory_(std::move(directory)) {}

  Result<std::map<std::string, std::string>> Run(std::vector<const LockedPackage*> packages);

 private:
  std::string PathOf(const LockedPackage& package) const {
    return directory_ + "/" + package.sha256 + ".deb";
  }
  void Work();
  Status FetchOne(const LockedPackage& package);
  Result<bool> IsCached(const LockedPackage& package);
  Status DownloadOne(const LockedPackage& package);
  std::vector<std::string> RootsOf(const LockedPackage& package) const;
  void Report(const LockedPackage& package, uint64_t done_bytes, bool done);
  Status Errors() const;

  HttpClient& http_;
  const Mirrors& mirrors_;
  const FetcherOptions& options_;
  const std::string directory_;
  std::vector<const LockedPackage*> packages_;
  std::atomic<size_t> next_ = 0;
  std::stop_source stop_;  // of this call: by the caller, or by an error that ends it

  std::mutex mutex_;
  std::map<std::string, Status> errors_;         // by package
  std::map<std::string, uint64_t> downloading_;  // package -> bytes so far
  FetchProgress progress_;
};

void Fetching::Report(const LockedPackage& package, uint64_t done_bytes, bool done) {
  std::lock_guard lock(mutex_);
  downloading_[package.name] = done ? package.size_bytes : done_bytes;
  if (done) ++progress_.packages_done;
  progress_.bytes_done = 0;
  for (const auto& [name, bytes] : downloading_) progress_.bytes_done += bytes;
  progress_.package = package.name;
  // Under the lock on purpose: the receiver is promised calls one after the other.
  if (options_.progress) options_.progress(progress_);
}

Result<bool> Fetching::IsCached(const LockedPackage& package) {
  const std::string path = PathOf(package);
  struct stat info;
  if (stat(path.c_str(), &info) != 0) return false;
  TRY_ASSIGN(const Digest digest, DigestOfFile(path));
  if (digest.Hex() == package.sha256) {
    utimensat(AT_FDCWD, path.c_str(), nullptr, 0);  // by which Prune knows what is used
    return true;
  }
  Log(kWarning, "cached_package_damaged", {{"package", package.name}, {"file", path}});
  TRY(SystemFiles().Remove(path));
  return false;
}

std::vector<std::string> Fetching::RootsOf(const LockedPackage& package) const {
  std::vector<std::string> roots;
  const auto found = mirrors_.by_suite.find(package.suite);
  if (found != mirrors_.by_suite.end()) roots = found->second;
  roots.insert(roots.end(), mirrors_.snapshots.begin(), mirrors_.snapshots.end());
  return roots;
}

Status Fetching::DownloadOne(const LockedPackage& package) {
  const std::string title = fmt::format("{} {}", package.name, package.version);
  Status worst = ErrorStatus(Code::kNotFound, "");
  for (const std::string& root : RootsOf(package)) {
    HttpRequest request{.url = root + "/" + EscapePath(package.path), .stop = stop_.get_token()};
    request.progress = [&](uint64_t done, std::optional<uint64_t>) {
      Report(package, std::min(done, package.size_bytes), false);
    };
    Status status = http_.Download(request, PathOf(package),
                                   {.sha256 = package.sha256, .size_bytes = package.size_bytes});
    if (status.ok() || status.code() == Code::kCancelled) return status;
    // Wrong bytes are worth more attention than a mirror that does not answer, and that more than
    // one that does not have it.
    const auto weight = [](const Status& s) {
      return s.code() == Code::kDataLoss ? 2 : s.code() == Code::kNotFound ? 0 : 1;
    };
    if (weight(status) > weight(worst)) worst = std::move(status);
  }
  if (worst.code() == Code::kUnavailable) {
    return ErrorStatus(worst.code(),
                       "{}: {}; a server that has it from `lre push --packages` will do too "
                       "(lre sync --server)",
                       title, worst.message());
  }
  if (worst.code() != Code::kNotFound) return worst.WithContext(title);
  if (RootsOf(package).empty()) {
    return ErrorStatus(Code::kFailedPrecondition,
                       "{}: no mirror of suite {}: the apt configuration of this machine names "
                       "none, so name one in lre.toml (archive.<name>.mirrors)",
                       title, package.suite);
  }
  return ErrorStatus(
      Code::kNotFound,
      "{} is no longer in the archive: `lre lock --update {}` locks its successor, "
      "or name a snapshot mirror in lre.toml (archive.<name>.snapshots), or a server that "
      "has it from `lre push --packages` (lre sync --server)",
      title, package.name);
}

Status Fetching::FetchOne(const LockedPackage& package) {
  TRY_ASSIGN(const bool cached, IsCached(package));
  if (!cached) TRY(DownloadOne(package));
  Report(package, package.size_bytes, true);
  return {};
}

void Fetching::Work() {
  while (!stop_.stop_requested()) {
    const size_t index = next_++;
    if (index >= packages_.size()) return;
    Status status = FetchOne(*packages_[index]);
    if (status.ok()) continue;
    // All vanished packages are named at once; any other error ends the work.
    if (status.code() != Code::kNotFound) stop_.request_stop();
    std::lock_guard lock(mutex_);
    errors_.emplace(packages_[index]->name, std::move(status));
  }
}

// The first error by name, that of a stopped download last; of vanished packages several.
Status Fetching::Errors() const {
  const Status* first = nullptr;
  std::string vanished;
  size_t count = 0;
  for (const auto& [name, status] : errors_) {
    if (first == nullptr || first->code() == Code::kCancelled) first = &status;
    if (status.code() != Code::kNotFound) {
      if (status.code() != Code::kCancelled) return status;
      continue;
    }
    if (++count <= kErrorsShownMax) vanished += (vanished.empty() ? "" : "; ") + status.message();
  }
  if (first == nullptr) return {};
  if (count == 0) return *first;
  if (count > kErrorsShownMax) vanished += fmt::format("; and {} more", count - kErrorsShownMax);
  return Status(Code::kNotFound, vanished);
}

Result<std::map<std::string, std::string>> Fetching::Run(
    std::vector<const LockedPackage*> packages) {
  packages_ = std::move(packages);
  // The largest first: none of them should be what everything waits for in the end.
  std::sort(packages_.begin(), packages_.end(), [](const LockedPackage* a, const LockedPackage* b) {
    return std::tie(b->size_bytes, a->name) < std::tie(a->size_bytes, b->name);
  });
  progress_.packages_total = packages_.size();
  for (const LockedPackage* package : packages_) progress_.bytes_total += package->size_bytes;
  {
    const std::stop_callback stopped(options_.stop, [this] { stop_.request_stop(); });
    std::vector<std::jthread> threads;
    const size_t count = std::min<size_t>(std::max(1, options_.parallel_max), packages_.size());
    for (size_t i = 0; i < count; ++i) threads.emplace_back([this] { Work(); });
  }
  TRY(Errors());
  if (options_.stop.stop_requested()) return Error(Code::kCancelled, "fetching packages: stopped");
  std::map<std::string, std::string> paths;
  for (const LockedPackage* package : packages_) paths[package->name] = PathOf(*package);
  return paths;
}

// Removes the longest unused files beyond the bound, never those of `lock`. What cannot be removed
// stays.
void Prune(const std::string& directory, const Lock& lock, uint64_t bytes_max) {
  std::set<std::string> kept;
  for (const auto& [name, package] : lock.packages) kept.insert(package.sha256 + ".deb");
  for (const auto& [name, path] : lock.paths)
    for (const Extra& extra : path.extras) kept.insert(extra.sha256 + ".extra");
  struct Candidate {
    int64_t used;
    std::string path;
    uint64_t size_bytes;
  };
  std::vector<Candidate> candidates;
  uint64_t total = 0;
  for (const std::string& name :
       SystemFiles().List(directory).value_or(std::vector<std::string>())) {
    const std::string path = directory + "/" + name;
    struct stat info;
    if (stat(path.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) continue;
    total += static_cast<uint64_t>(info.st_size);
    if (kept.contains(name)) continue;
    candidates.push_back({info.st_mtime, path, static_cast<uint64_t>(info.st_size)});
  }
  std::sort(candidates.begin(), candidates.end(), [](const Candidate& a, const Candidate& b) {
    return std::tie(a.used, a.path) < std::tie(b.used, b.path);
  });
  for (const Candidate& candidate : candidates) {
    if (total <= bytes_max) return;
    if (SystemFiles().Remove(candidate.path).ok()) total -= candidate.size_bytes;
  }
}

}  // namespace

Fetcher::Fetcher(HttpClient& http, Mirrors mirrors, FetcherOptions options)
    : http_(http), mirrors_(std::move(mirrors)), options_(std::move(options)) {}

Result<std::map<std::string, std::string>> Fetcher::Fetch(
    const Lock& lock, const std::vector<std::string>& packages) {
  std::string directory = options_.cache_directory;
  if (directory.empty()) {
    TRY_ASSIGN(directory, DefaultCacheDirectory());
    directory += "/packages";
  }
  TRY(SystemFiles().MakeDirectories(directory));
  std::vector<const LockedPackage*> wanted;
  for (const auto& [name, package] : lock.packages) {
    if (packages.empty()) wanted.push_back(&package);
  }
  for (const std::string& name : std::set<std::string>(packages.begin(), packages.end())) {
    const auto found = lock.packages.find(name);
    if (found == lock.packages.end()) {
      return Error(Code::kInvalidArgument, "package {} is not in the lock", name);
    }
    wanted.push_back(&found->second);
  }
  Fetching fetching(http_, mirrors_, options_, directory);
  TRY_ASSIGN(auto paths, fetching.Run(std::move(wanted)));
  Prune(directory, lock, options_.cache_bytes_max);
  return paths;
}

}  // namespace lre::toolchain

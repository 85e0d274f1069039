#include "toolchain/fetch/resolve.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <iterator>

#include "base/file.h"
#include "digest/digest.h"
#include "toolchain/fetch/decompress.h"
#include "toolchain/fetch/release.h"

namespace lre::toolchain {
namespace {

constexpr uint64_t kReleaseBytesMax = 64 << 20;
constexpr uint64_t kIndexBytesMax = 1ull << 30;  // decompressed; Debian's main has 50 MB

// One suite of one archive being read.
class SuiteReader {
 public:
  SuiteReader(const ArchiveSpec& archive, std::string suite, HttpClient& http,
              const ResolveOptions& options)
      : archive_(archive), suite_(std::move(suite)), http_(http), options_(options) {}

  // From the first of `roots` that has it for all `systems` and can prove it.
  Result<std::vector<SuiteIndex>> Read(const std::vector<std::string>& roots,
                                       const std::vector<std::string>& systems);
  // The indices that were read, for pruning the cache.
  const std::vector<std::string>& used() const { return used_; }

 private:
  Result<std::vector<SuiteIndex>> ReadFrom(const std::string& root,
                                           const std::vector<std::string>& systems);
  Result<Release> ReadRelease(const std::string& base);
  Result<std::string> ReadIndex(const std::string& base, const Release& release,
                                const std::string& name);
  Result<std::string> FetchIndex(const std::string& base, const Release& release,
                                 const std::string& path, const ReleaseFile& file);
  void Say(const std::string& what) const {
    if (options_.progress) options_.progress(what);
  }

  const ArchiveSpec& archive_;
  const std::string suite_;
  HttpClient& http_;
  const ResolveOptions& options_;
  std::vector<std::string> used_;
};

Result<Release> SuiteReader::ReadRelease(const std::string& base) {
  TRY_ASSIGN(const std::string message,
             http_.Get({.url = base + "InRelease", .body_bytes_max = kReleaseBytesMax}));
  const std::string keyring =
      archive_.keyring.empty()
          ? fmt::format("/usr/share/keyrings/{}-archive-keyring.gpg", archive_.Distribution())
          : archive_.keyring;
  TRY_ASSIGN(const std::string text, options_.verify(message, keyring));
  TRY_ASSIGN(Release release, ParseRelease(text));
  if (release.suite != suite_ && release.codename != suite_) {
    return Error(Code::kFailedPrecondition, "the Release file is of {} ({}), not of {}",
                 release.codename, release.suite, suite_);
  }
  if (options_.check_valid_until && release.valid_until &&
      *release.valid_until < options_.clock->WallNow()) {
    return Error(Code::kFailedPrecondition,
                 "the Release file is out of date: the mirror or this machine's clock is old "
                 "(apt's Acquire::Check-Valid-Until \"false\" allows it)");
  }
  return release;
}

Result<std::string> SuiteReader::FetchIndex(const std::string& base, const Release& release,
                                            const std::string& path, const ReleaseFile& file) {
  const std::string cached = options_.cache_directory + "/indices/" + file.sha256;
  used_.push_back(file.sha256);
  if (auto bytes = ReadFile(cached); bytes) {
    if (ComputeDigest(DigestFunction::kSha256, *bytes).Hex() == file.sha256) {
      utimensat(AT_FDCWD, cached.c_str(), nullptr, 0);  // by which the cache knows what is used
      return bytes;
    }
  }
  const HttpExpectation expected{.sha256 = file.sha256, .size_bytes = file.size_bytes};
  const std::string directory = path.substr(0, path.rfind('/') + 1);
  Say(fmt::format("fetching {}", RedactUrl(base + path)));
  Status status = ErrorStatus(Code::kNotFound, "no by-hash");
  if (release.by_hash) {
    // Safe from the moment in which a mirror has the new Release file and the old index.
    status = http_.Download({.url = base + directory + "by-hash/SHA256/" + file.sha256}, cached,
                            expected);
  }
  if (status.code() == Code::kNotFound) {
    status = http_.Download({.url = base + path}, cached, expected);
  }
  TRY(status);
  return ReadFile(cached);
}

Result<std::string> SuiteReader::ReadIndex(const std::string& base, const Release& release,
                                           const std::string& name) {
  for (const char* ending : {".xz", ".zst", ".gz", ""}) {
    const auto file = release.files.find(name + ending);
    if (file == release.files.end()) continue;
    TRY_ASSIGN(const std::string bytes, FetchIndex(base, release, file->first, file->second));
    return Decompress(bytes, kIndexBytesMax);
  }
  return Error(Code::kNotFound, "the Release file names no {}", name);
}

Result<std::vector<SuiteIndex>> SuiteReader::ReadFrom(const std::string& root,
                                                      const std::vector<std::string>& systems) {
  const std::string base = root + "/dists/" + suite_ + "/";
  TRY_ASSIGN(const Release release, ReadRelease(base));
  std::vector<SuiteIndex> indices;
  for (const std::string& system : systems) {
    SuiteIndex& index = indices.emplace_back(SuiteIndex{.suite = suite_, .system = system});
    TRY_ASSIGN(const std::string architecture, DebianArchitecture(system));
    for (const std::string& component : archive_.components) {
      // An archive of one's own may have nothing for another system than one's own.
      std::vector<std::string> architectures;
      if (release.Serves(architecture)) architectures.push_back(architecture);
      if (release.all_is_separate) architectures.push_back("all");
      for (const std::string& each : architectures) {
        TRY_ASSIGN(const std::string text,
                   ReadIndex(base, release, fmt::format("{}/binary-{}/Packages", component, each)));
        index.packages += text;
        index.packages += "\n\n";  // paragraphs of two files never join
      }
    }
  }
  return indices;
}

Result<std::vector<SuiteIndex>> SuiteReader::Read(const std::vector<std::string>& roots,
                                                  const std::vector<std::string>& systems) {
  Status last = ErrorStatus(Code::kFailedPrecondition, "no mirror");
  for (const std::string& root : roots) {
    Result<std::vector<SuiteIndex>> indices = ReadFrom(root, systems);
    if (indices) return indices;
    last = indices.error().WithContext(fmt::format("suite {} at {}", suite_, RedactUrl(root)));
    if (last.code() == Code::kCancelled) break;
    if (roots.size() > 1) Say(last.message());
  }
  return std::unexpected(last);
}

// Removes the longest unused indices beyond the bound. What cannot be removed stays.
void PruneIndices(const ResolveOptions& options, const std::vector<std::string>& used) {
  const std::string directory = options.cache_directory + "/indices";
  std::vector<std::pair<int64_t, std::string>> by_age;
  for (const std::string& name :
       SystemFiles().List(directory).value_or(std::vector<std::string>())) {
    struct stat info;
    if (std::count(used.begin(), used.end(), name) > 0) continue;
    if (stat((directory + "/" + name).c_str(), &info) != 0) continue;
    by_age.emplace_back(info.st_mtime, directory + "/" + name);
  }
  std::sort(by_age.begin(), by_age.end());
  const size_t kept = std::min(options.cached_indices_max, by_age.size() + used.size());
  const size_t unused_max = kept - std::min(kept, used.size());
  for (size_t i = 0; i + unused_max < by_age.size(); ++i) {
    (void)SystemFiles().Remove(by_age[i].second);
  }
}

}  // namespace

Result<std::string> DefaultCacheDirectory() {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  if (cache != nullptr && cache[0] == '/') return std::string(cache) + "/lre";
  const char* home = std::getenv("HOME");
  if (home != nullptr && home[0] == '/') return std::string(home) + "/.cache/lre";
  return Error(Code::kFailedPrecondition,
               "no place for downloads: neither XDG_CACHE_HOME nor HOME is set");
}

Result<Lock> Resolve(const Spec& spec, const Mirrors& mirrors, HttpClient& http,
                     const ResolveOptions& given) {
  ResolveOptions options = given;
  if (options.cache_directory.empty()) {
    TRY_ASSIGN(options.cache_directory, DefaultCacheDirectory());
  }
  TRY(SystemFiles().MakeDirectories(options.cache_directory + "/indices"));
  const std::vector<std::string> systems = SystemsOf(spec, options.solve.system);
  std::vector<SuiteIndex> indices;
  std::vector<std::string> used;
  for (const ArchiveSpec& archive : spec.archives) {
    for (const std::string& suite : archive.suites) {
      const auto roots = mirrors.by_suite.find(suite);
      if (roots == mirrors.by_suite.end()) {
        if (options.progress) {
          options.progress(fmt::format("leaving out {}: this machine has no mirror of it", suite));
        }
        continue;
      }
      SuiteReader reader(archive, suite, http, options);
      TRY_ASSIGN(std::vector<SuiteIndex> read, reader.Read(roots->second, systems));
      std::move(read.begin(), read.end(), std::back_inserter(indices));
      used.insert(used.end(), reader.used().begin(), reader.used().end());
    }
  }
  PruneIndices(options, used);
  return Solve(spec, indices, options.solve);
}

}  // namespace lre::toolchain

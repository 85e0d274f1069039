#include "cli/imported_module.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <functional>

#include "base/file.h"
#include "base/hex.h"
#include "base/random.h"
#include "base/subprocess.h"
#include "cli/toolchain_files.h"
#include "digest/digest.h"
#include "http_client/http_client.h"
#include "service/asset_qualifiers.h"
#include "toolchain/fetch/mirrors.h"
#include "toolchain/root/deb.h"

namespace lre::cli {
namespace {

constexpr const char* kModuleName = "local-remote-execution";
constexpr Duration kGitTimeout = std::chrono::minutes(10);
constexpr uint64_t kArchiveBytesMax = 256 << 20;  // of an archive, and of all files in it

bool IsNameChar(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

// Takes Starlark apart as far as names, strings and brackets.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  struct Token {
    enum Kind { kEnd, kName, kString, kOther } kind = kEnd;
    std::string text;
  };

  Token Next() {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '#') {
        at_ = std::min(text_.find('\n', at_), text_.size());
      } else if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
        ++at_;
      } else if (c == '"' || c == '\'') {
        return String(c);
      } else if (IsNameChar(c)) {
        const size_t begin = at_;
        while (at_ < text_.size() && IsNameChar(text_[at_])) ++at_;
        return {Token::kName, std::string(text_.substr(begin, at_ - begin))};
      } else {
        ++at_;
        return {Token::kOther, std::string(1, c)};
      }
    }
    return {};
  }

 private:
  Token String(char quote) {
    const std::string three(3, quote);
    const bool is_long = text_.substr(at_).starts_with(three);
    const std::string end = is_long ? three : std::string(1, quote);
    at_ += end.size();
    std::string value;
    while (at_ < text_.size() && !text_.substr(at_).starts_with(end)) {
      if (text_[at_] == '\\' && at_ + 1 < text_.size()) ++at_;
      value += text_[at_++];
    }
    at_ = std::min(at_ + end.size(), text_.size());
    return {Token::kString, std::move(value)};
  }

  const std::string_view text_;
  size_t at_ = 0;
};

Status Git(const std::string& directory, std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {"git", "-C", directory});
  TRY_ASSIGN(const SubprocessResult result,
             RunSubprocess({.arguments = arguments, .timeout = kGitTimeout}));
  if (result.exit_code == 0) return {};
  std::string said = result.error_output.substr(0, 2000);
  while (said.ends_with('\n')) said.pop_back();
  return ErrorStatus(Code::kUnavailable, "{}: {}", fmt::join(arguments, " "), said);
}

Status Clone(const std::string& remote, const std::string& commit, const std::string& fresh) {
  TRY(Git(fresh, {"init", "--quiet"}));
  Status status = Git(fresh, {"fetch", "--quiet", "--depth=1", remote, commit});
  // Not every server gives a commit that no branch ends with.
  if (!status.ok()) status = Git(fresh, {"fetch", "--quiet", remote, "+refs/*:refs/remotes/r/*"});
  TRY(status);
  return Git(fresh, {"checkout", "--quiet", "--detach", commit});
}

// What is meant, whatever the place it is downloaded from.
Result<service::Integrity> IntegrityOf(const std::string& text) {
  Result<std::vector<service::Integrity>> all = service::ParseIntegrity(text);
  if (all && !all->empty()) return all->front();
  return Error(Code::kFailedPrecondition,
               "MODULE.bazel: the archive_override of {} has the integrity \"{}\"; one like "
               "\"sha256-...\" is needed, which says which bytes are meant",
               kModuleName, text);
}

Status Download(const std::string& url, const service::Integrity& integrity,
                const std::string& file) {
  HttpClient http(toolchain::HttpOptionsOf(toolchain::ReadAptConfiguration()));
  TRY(http.Download({.url = url, .body_bytes_max = kArchiveBytesMax}, file));
  TRY_ASSIGN(const std::string bytes, ReadFile(file, kArchiveBytesMax));
  const Digest digest = ComputeDigest(integrity.function, bytes);
  if (digest.hash_view() == integrity.hash) return {};
  return ErrorStatus(Code::kDataLoss, "{}: its hash is {}, MODULE.bazel says {}", RedactUrl(url),
                     digest.Hex(), HexEncode(integrity.hash));
}

// Files only: nothing that `lre sync` reads is behind a link, and links could lead elsewhere.
Status Unpack(const std::string& archive, const std::string& directory) {
  TRY_ASSIGN(const toolchain::FileTree tree,
             toolchain::UnpackTar(archive, {.limits = {.bytes_max = kArchiveBytesMax}}));
  for (const auto& [path, node] : tree) {
    if (node.symlink) continue;
    const std::string file = directory + "/" + path;
    TRY(SystemFiles().MakeDirectories(FolderOf(file)));
    TRY(WriteFileAtomically(file, node.content));
  }
  return {};
}

// Appears only when it is whole.
Status MakeAppear(const std::string& directory,
                  const std::function<Status(const std::string& fresh)>& fill) {
  const std::string fresh = directory + "." + RandomHex(8);
  TRY(SystemFiles().MakeDirectories(fresh));
  Status status = fill(fresh);
  std::error_code error;
  if (status.ok()) {
    std::filesystem::rename(fresh, directory, error);
    if (!error || FileExists(directory)) return {};
    status = ErrorStatus(Code::kInternal, "{}: {}", directory, error.message());
  }
  (void)RemoveTree(fresh).ok();
  return status;
}

Status FetchArchive(const std::vector<std::string>& urls, const service::Integrity& integrity,
                    const std::string& directory) {
  Status status;
  for (const std::string& url : urls) {
    const std::string file = directory + ".archive." + RandomHex(8);
    status = Download(url, integrity, file);
    if (status.ok()) {
      status = MakeAppear(directory, [&](const std::string& fresh) { return Unpack(file, fresh); });
    }
    std::error_code ignored;
    std::filesystem::remove(file, ignored);
    if (status.ok()) return status;
  }
  return status;
}

std::string PlaceFor(const std::string& cache, const std::string& what) {
  return cache + "/modules/" + ComputeDigest(DigestFunction::kSha256, what).Hex().substr(0, 32);
}

Result<ImportedModule> FromGit(StarlarkCall& call, const std::string& cache, bool may_download) {
  const std::string &remote = call.arguments["remote"], &commit = call.arguments["commit"];
  if (remote.empty() || commit.empty() || remote.starts_with('-') || commit.starts_with('-')) {
    return Error(
        Code::kFailedPrecondition,
        "MODULE.bazel: the git_override of {} has the remote \"{}\" and the commit \"{}\": "
        "it needs both, as only a commit says which bytes are meant",
        kModuleName, remote, commit);
  }
  const std::string repository = PlaceFor(cache, remote + "\n" + commit);
  if (!FileExists(repository)) {
    if (!may_download) {
      return Error(Code::kNotFound, "{} is not here yet; run `lre sync`", remote);
    }
    TRY(MakeAppear(repository,
                   [&](const std::string& fresh) { return Clone(remote, commit, fresh); }));
  }
  return ImportedModule{.folder = repository, .from = fmt::format("{} at {}", remote, commit)};
}

Result<ImportedModule> FromArchive(StarlarkCall& call, const std::string& cache,
                                   bool may_download) {
  std::vector<std::string> urls = call.lists["urls"];
  if (!call.arguments["urls"].empty()) urls.push_back(call.arguments["urls"]);
  if (urls.empty()) {
    return Error(Code::kFailedPrecondition,
                 "MODULE.bazel: the archive_override of {} names no urls", kModuleName);
  }
  TRY_ASSIGN(const service::Integrity integrity, IntegrityOf(call.arguments["integrity"]));
  const std::string repository = PlaceFor(cache, integrity.hash);
  if (!FileExists(repository)) {
    if (!may_download) {
      return Error(Code::kNotFound, "{} is not here yet; run `lre sync`", RedactUrl(urls[0]));
    }
    TRY(SystemFiles().MakeDirectories(cache + "/modules"));
    TRY(FetchArchive(urls, integrity, repository));
  }
  return ImportedModule{.folder = repository, .from = RedactUrl(urls[0])};
}

// The lock in the module's folder or in the one above it, within `repository`; empty: none.
std::string LockOfModule(const std::string& folder, std::string_view repository) {
  for (const std::string& place : {folder, FolderOf(folder)}) {
    const std::string lock = place + "/" + kLockFile;
    if (place.starts_with(repository) && FileExists(lock)) return lock;
  }
  return "";
}

}  // namespace

std::vector<StarlarkCall> FindStarlarkCalls(std::string_view text) {
  using Token = Scanner::Token;
  Scanner scanner(text);
  std::vector<StarlarkCall> calls;
  int depth = 0;  // of brackets
  std::string name, argument;
  bool is_argument = false;  // "name =" was read, directly inside a call
  bool is_list = false;      // and then "["
  for (Token token = scanner.Next(); token.kind != Token::kEnd; token = scanner.Next()) {
    const std::string before = std::exchange(name, "");
    if (token.kind == Token::kName) {
      name = token.text;
    } else if (token.kind == Token::kString) {
      if (calls.empty()) continue;
      if (depth == 1 && is_argument) calls.back().arguments[argument] = token.text;
      if (depth == 2 && is_list) calls.back().lists[argument].push_back(token.text);
    } else if (token.text == "(" || token.text == "[" || token.text == "{") {
      is_list = token.text == "[" && depth == 1 && is_argument;
      if (depth++ == 0 && token.text == "(") {
        calls.push_back({.function = before, .arguments = {}, .lists = {}});
      }
    } else if (token.text == ")" || token.text == "]" || token.text == "}") {
      if (depth > 0) --depth;
      if (depth < 2) is_list = false;
    } else if (token.text == "=" && depth == 1) {
      argument = before;
      is_argument = true;
      continue;
    }
    if (token.kind != Token::kName) is_argument = false;
  }
  return calls;
}

Result<std::optional<ImportedModule>> FindImportedModule(const std::string& cache,
                                                         bool may_download) {
  if (!FileExists("MODULE.bazel")) return std::optional<ImportedModule>();
  TRY_ASSIGN(const std::string text, ReadFile("MODULE.bazel", 16 << 20));
  for (StarlarkCall& call : FindStarlarkCalls(text)) {
    const bool git = call.function == "git_override", archive = call.function == "archive_override";
    if (call.arguments["module_name"] != kModuleName) continue;
    if (const std::string& path = call.arguments["path"];
        call.function == "local_path_override" && !path.empty()) {
      const std::string lock = LockOfModule(path, "");
      if (lock.empty()) return std::optional<ImportedModule>();
      return std::optional(ImportedModule{.folder = path, .lock = lock, .from = path});
    }
    if (!git && !archive) continue;
    TRY_ASSIGN(ImportedModule module,
               git ? FromGit(call, cache, may_download) : FromArchive(call, cache, may_download));
    const std::string repository = module.folder;
    if (!call.arguments["strip_prefix"].empty())
      module.folder += "/" + call.arguments["strip_prefix"];
    module.lock = LockOfModule(module.folder, repository);
    if (module.lock.empty()) {
      return Error(Code::kFailedPrecondition, "{} has no {} beside its module", module.from,
                   kLockFile);
    }
    return std::optional(std::move(module));
  }
  return std::optional<ImportedModule>();
}

}  // namespace lre::cli

#include "cli/imported_module.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "base/file.h"
#include "base/random.h"
#include "base/subprocess.h"
#include "cli/toolchain_files.h"
#include "digest/digest.h"

namespace lre::cli {
namespace {

constexpr const char* kModuleName = "local-remote-execution";
constexpr Duration kGitTimeout = std::chrono::minutes(10);

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
  return ErrorStatus(Code::kUnavailable, "{}: {}", fmt::join(arguments, " "),
                     result.error_output.substr(0, 2000));
}

// Appears only when it is whole.
Status Clone(const std::string& remote, const std::string& commit, const std::string& directory) {
  const std::string parent = FolderOf(directory), fresh = directory + "." + RandomHex(8);
  TRY(SystemFiles().MakeDirectories(fresh));
  Status status = Git(fresh, {"init", "--quiet"});
  if (status.ok()) {
    status = Git(fresh, {"fetch", "--quiet", "--depth=1", remote, commit});
    // Not every server gives a commit that no branch ends with.
    if (!status.ok()) status = Git(fresh, {"fetch", "--quiet", remote, "+refs/*:refs/remotes/r/*"});
  }
  if (status.ok()) status = Git(fresh, {"checkout", "--quiet", "--detach", commit});
  std::error_code error;
  if (status.ok()) {
    std::filesystem::rename(fresh, directory, error);
    if (!error || FileExists(directory)) return {};
    status = ErrorStatus(Code::kInternal, "{}: {}", directory, error.message());
  }
  (void)RemoveTree(fresh).ok();
  return status;
}

}  // namespace

std::vector<StarlarkCall> FindStarlarkCalls(std::string_view text) {
  using Token = Scanner::Token;
  Scanner scanner(text);
  std::vector<StarlarkCall> calls;
  int depth = 0;  // of brackets
  std::string name, argument;
  bool is_argument = false;  // "name =" was read, directly inside a call
  for (Token token = scanner.Next(); token.kind != Token::kEnd; token = scanner.Next()) {
    const std::string before = std::exchange(name, "");
    if (token.kind == Token::kName) {
      name = token.text;
    } else if (token.kind == Token::kString) {
      if (depth == 1 && is_argument && !calls.empty()) {
        calls.back().arguments[argument] = token.text;
      }
    } else if (token.text == "(" || token.text == "[" || token.text == "{") {
      if (depth++ == 0 && token.text == "(") calls.push_back({.function = before, .arguments = {}});
    } else if (token.text == ")" || token.text == "]" || token.text == "}") {
      if (depth > 0) --depth;
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
    if (call.function != "git_override" || call.arguments["module_name"] != kModuleName) continue;
    const std::string &remote = call.arguments["remote"], &commit = call.arguments["commit"];
    if (remote.empty() || commit.empty() || remote.starts_with('-') || commit.starts_with('-')) {
      return Error(Code::kFailedPrecondition,
                   "MODULE.bazel: the git_override of {} names no remote or no commit",
                   kModuleName);
    }
    const std::string key =
        ComputeDigest(DigestFunction::kSha256, remote + "\n" + commit).Hex().substr(0, 32);
    const std::string repository = cache + "/modules/" + key;
    if (!FileExists(repository)) {
      if (!may_download) {
        return Error(Code::kNotFound, "{} is not here yet; run `lre sync`", remote);
      }
      TRY(Clone(remote, commit, repository));
    }
    ImportedModule module{.folder = repository, .from = fmt::format("{} at {}", remote, commit)};
    if (!call.arguments["strip_prefix"].empty())
      module.folder += "/" + call.arguments["strip_prefix"];
    for (const std::string& folder : {module.folder, FolderOf(module.folder)}) {
      if (module.lock.empty() && FileExists(folder + "/" + kLockFile) &&
          folder.starts_with(repository)) {
        module.lock = folder + "/" + kLockFile;
      }
    }
    if (module.lock.empty()) {
      return Error(Code::kFailedPrecondition, "{} has no {} beside its module", module.from,
                   kLockFile);
    }
    return std::optional(std::move(module));
  }
  return std::optional<ImportedModule>();
}

}  // namespace lre::cli

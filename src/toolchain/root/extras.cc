#include "toolchain/root/extras.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "base/file.h"
#include "toolchain/root/deb.h"
#include "toolchain/root/image_tree.h"

namespace lre::toolchain {
namespace {

constexpr uint64_t kFileBytesMax = 1ull << 30;  // of one kFile or kPatch

Result<std::string> FileOf(const Extra& extra, const SyncOptions& options) {
  const auto found = options.extras.find(extra.sha256);
  if (found == options.extras.end())
    return Error(Code::kNotFound, "{} is needed and was not fetched", extra.from);
  return found->second;
}

// Takes one line, with its newline if it has one.
std::string_view TakeLine(std::string_view* text) {
  const size_t end = text->find('\n');
  const std::string_view line = text->substr(0, end == text->npos ? end : end + 1);
  text->remove_prefix(line.size());
  return line;
}

std::string_view WithoutNewline(std::string_view line) {
  if (line.ends_with('\n')) line.remove_suffix(1);
  return line;
}

// The range of a hunk's head, "-12,3": first line (from 1; 0 for none) and number of lines.
struct Range {
  size_t first = 0, count = 1;
};
std::optional<Range> ParseRange(std::string_view text) {
  Range range;
  const char* const end = text.data() + text.size();
  auto [at, error] = std::from_chars(text.data(), end, range.first);
  if (error != std::errc()) return std::nullopt;
  if (at == end) return range;
  if (*at != ',') return std::nullopt;
  auto [last, error2] = std::from_chars(at + 1, end, range.count);
  if (error2 != std::errc() || last != end) return std::nullopt;
  return range;
}

class Patcher {
 public:
  Patcher(FileTree& tree, std::string_view diff, int strip)
      : tree_(tree), rest_(diff), strip_(strip) {}

  Status Run() {
    bool any = false;
    while (!rest_.empty()) {
      const std::string_view line = Next();
      if (!line.starts_with("--- ") || !rest_.starts_with("+++ ")) continue;  // prose, git's heads
      TRY_ASSIGN(const std::string old_name, NameOf(line));
      TRY_ASSIGN(const std::string new_name, NameOf(Next()));
      TRY(PatchFile(old_name, new_name));
      any = true;
    }
    return any ? Status() : Fail("names no file: not a unified diff");
  }

 private:
  std::string_view Next() {
    ++line_;
    return TakeLine(&rest_);
  }
  Status Fail(std::string_view why) const {
    return ErrorStatus(Code::kFailedPrecondition, "line {}: {}", line_, why);
  }

  // Empty for /dev/null.
  Result<std::string> NameOf(std::string_view line) const {
    std::string_view name = WithoutNewline(line.substr(4));
    name = name.substr(0, name.find('\t'));
    if (name == "/dev/null") return std::string();
    for (int i = 0; i < strip_; ++i) {
      const size_t slash = name.find('/');
      if (slash == name.npos) return std::unexpected(Fail("the name has no folder to strip"));
      name.remove_prefix(slash + 1);
    }
    if (!IsBelow(name)) return std::unexpected(Fail("the name leaves the tree"));
    return std::string(name);
  }

  Status PatchFile(const std::string& old_name, const std::string& new_name) {
    std::string before;
    bool executable = false;
    if (!old_name.empty()) {
      const auto found = tree_.find(old_name);
      if (found == tree_.end() || found->second.symlink)
        return Fail(fmt::format("{} is not in the tree", old_name));
      before = found->second.content;
      executable = found->second.executable;
    } else if (tree_.contains(new_name)) {
      return Fail(fmt::format("{} is in the tree already", new_name));
    }
    std::string after;
    std::string_view unread = before;
    size_t taken = 0;  // lines
    while (rest_.starts_with("@@ ")) TRY(PatchHunk(unread, taken, after));
    after += unread;
    if (!old_name.empty()) tree_.erase(old_name);
    if (!new_name.empty())
      tree_[new_name] = {.content = std::move(after), .executable = executable};
    else if (!after.empty())
      return Fail(fmt::format("{} is to go, but has other lines", old_name));
    return {};
  }

  Status PatchHunk(std::string_view& unread, size_t& taken, std::string& after) {
    const std::string_view head = WithoutNewline(Next());
    const size_t plus = head.find(" +"), end = head.find(" @@", 3);
    if (!head.starts_with("@@ -") || plus == head.npos || end == head.npos || end < plus)
      return Fail("not the head of a hunk");
    const auto old_range = ParseRange(head.substr(4, plus - 4));
    const auto new_range = ParseRange(head.substr(plus + 2, end - plus - 2));
    if (!old_range || !new_range) return Fail("not the head of a hunk");
    // Of an empty range it is the line before.
    const size_t first = old_range->count == 0 ? old_range->first + 1 : old_range->first;
    while (taken + 1 < first && !unread.empty()) {
      after += TakeLine(&unread);
      ++taken;
    }
    size_t old_left = old_range->count, new_left = new_range->count;
    while (old_left > 0 || new_left > 0) {
      if (rest_.empty()) return Fail("the hunk is cut off");
      const std::string_view line = Next();
      const char mark = line[0] == '\n' ? ' ' : line[0];
      std::string_view content = line[0] == '\n' ? line : line.substr(1);
      if (rest_.starts_with("\\ ")) {  // "\ No newline at end of file"
        content = WithoutNewline(content);
        Next();
      }
      if ((mark != ' ' && mark != '-' && mark != '+') || (mark != '+' && old_left-- == 0) ||
          (mark != '-' && new_left-- == 0))
        return Fail("the hunk has other lines than its head says");
      if (mark != '+') {
        if (TakeLine(&unread) != content) return Fail("the file has another line here");
        ++taken;
      }
      if (mark != '-') after += content;
    }
    return {};
  }

  FileTree& tree_;
  std::string_view rest_;
  const int strip_;
  size_t line_ = 0;
};

Status Drop(FileTree& tree, const std::string& pattern) {
  const size_t gone =
      std::erase_if(tree, [&](const auto& entry) { return MatchesPattern(pattern, entry.first); });
  if (gone > 0) return {};
  return ErrorStatus(Code::kNotFound, "drop \"{}\" fits no file", pattern);
}

}  // namespace

// Tries every length of every star: patterns are short, and people write them.
bool MatchesPattern(std::string_view pattern, std::string_view path) {
  if (pattern.empty()) return path.empty();
  if (pattern[0] == '*') {
    const bool deep = pattern.starts_with("**");
    const std::string_view after = pattern.substr(deep ? 2 : 1);
    for (size_t i = 0; i <= path.size(); ++i) {
      if (i > 0 && !deep && path[i - 1] == '/') return false;
      if (MatchesPattern(after, path.substr(i))) return true;
    }
    return false;
  }
  if (path.empty()) return false;
  const bool fits = pattern[0] == path[0] || (pattern[0] == '?' && path[0] != '/');
  return fits && MatchesPattern(pattern.substr(1), path.substr(1));
}

Status ApplyPatch(FileTree& tree, std::string_view diff, int strip) {
  return Patcher(tree, diff, strip).Run();
}

Result<FileTree> UnpackExtra(const Extra& extra, const SyncOptions& options) {
  const UnpackOptions limits{.bytes_max = options.tree_bytes_max};
  if (extra.kind == ExtraKind::kOci) {
    return UnpackImage(
        extra.sha256, extra.system, options.extras,
        {.include = extra.include, .into = extra.into, .strip = extra.strip, .limits = limits});
  }
  if (extra.kind != ExtraKind::kDeb && extra.kind != ExtraKind::kTar) return FileTree();
  TRY_ASSIGN(const std::string file, FileOf(extra, options));
  if (extra.kind == ExtraKind::kDeb) return UnpackDeb(file, limits);
  TRY_ASSIGN(FileTree tree,
             UnpackTar(file, {.into = extra.into, .strip = extra.strip, .limits = limits}));
  if (!tree.empty()) return tree;
  return Error(Code::kFailedPrecondition,
               "add.{}: {} has no file whose name is longer than strip = {}", extra.name,
               extra.from, extra.strip);
}

Status ShapeTree(FileTree& tree, const LockedPath& locked, const SyncOptions& options) {
  for (const std::string& pattern : locked.drop) TRY(Drop(tree, pattern));
  for (const Extra& extra : locked.extras) {
    if (extra.kind != ExtraKind::kFile) continue;
    TRY_ASSIGN(const std::string file, FileOf(extra, options));
    TRY_ASSIGN(std::string content, ReadFile(file, kFileBytesMax));
    if (HasFolder(tree, extra.into))
      return ErrorStatus(Code::kFailedPrecondition, "{}: {} is a folder", extra.name, extra.into);
    tree[FoldUsr(extra.into)] = {.content = std::move(content), .executable = extra.executable};
  }
  for (const Extra& extra : locked.extras) {
    if (extra.kind != ExtraKind::kPatch) continue;
    TRY_ASSIGN(const std::string file, FileOf(extra, options));
    TRY_ASSIGN(const std::string diff, ReadFile(file, kFileBytesMax));
    if (Status status = ApplyPatch(tree, diff, extra.strip); !status.ok())
      return status.WithContext(extra.from);
  }
  return {};
}

}  // namespace lre::toolchain

// Strict reading of TOML: every key must be known, of the right type, and present when required;
// what is wrong is reported with file, line and key, and an unknown key with the nearest known one.
// Used for lre.toml and lre.lock. A document and its tables are confined to one thread; a TomlTable
// borrows the TomlDocument it came from.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace lre::toolchain {

// The candidate with the least edit distance to `name`, if it is near enough to be a slip of the
// keyboard (a third of its length, at least one, at most three edits); else empty. Ties: the first.
std::string NearestName(std::string_view name, const std::vector<std::string>& candidates);
// ", did you mean \"x\"?", or nothing when no candidate is near.
std::string DidYouMean(std::string_view name, const std::vector<std::string>& candidates);
// What a shell takes for the name of a variable: [A-Za-z_][A-Za-z0-9_]*.
bool IsVariableName(std::string_view name);
// The line, from 1, of the first mark that git left where it could not merge ("<<<<<<< HEAD"); 0:
// there is none.
int MergeMarkLine(std::string_view text);

class TomlTable;

class TomlDocument {
 public:
  static constexpr size_t kTextBytesMax = 16 << 20;
  // kInvalidArgument with file and line: not TOML, a duplicated key, longer than kTextBytesMax.
  // `file` is only for messages.
  static Result<TomlDocument> Parse(std::string_view text, std::string_view file);
  TomlDocument(TomlDocument&&) noexcept;
  ~TomlDocument();

  TomlTable Root() const;

 private:
  struct State;
  explicit TomlDocument(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// One table. Getters note the keys they are asked for; Finish complains about any other. All errors
// are kInvalidArgument: "lre.toml:12: store.gcc.packages: expected an array of strings".
class TomlTable {
 public:
  bool Has(std::string_view key);
  int Line() const;
  // Where a key's value stands; the table's own line when there is no such key.
  int LineOf(std::string_view key) const;
  // The table's path in the document: "store.gcc"; empty for the root.
  const std::string& path() const { return path_; }

  Result<std::string> String(std::string_view key);
  Result<std::string> StringOr(std::string_view key, std::string_view fallback);
  Result<int64_t> Integer(std::string_view key);
  // An absent key is an empty list. Elements must be strings, not empty, none twice.
  Result<std::vector<std::string>> Strings(std::string_view key);
  // The same, but one may stand there twice, as flags do.
  Result<std::vector<std::string>> Flags(std::string_view key);
  Result<std::vector<std::string>> RequiredStrings(std::string_view key);
  // A table of strings; an absent key is an empty one.
  Result<std::map<std::string, std::string>> StringMap(std::string_view key);
  Result<bool> BoolOr(std::string_view key, bool fallback);
  // Calls `each` for every table of the table `key` ("[store.gcc]" of "store"), in the order in
  // which they stand in the file; an absent key is none.
  Status EachTable(std::string_view key,
                   const std::function<Status(const std::string& name, TomlTable& table)>& each);
  // An error when a key was not asked for.
  Status Finish() const;
  // An error that names the place of `key` in this table.
  Status ErrorAt(std::string_view key, std::string_view message) const;

 private:
  friend class TomlDocument;
  TomlTable(const void* table, std::string path, const std::string* file)
      : table_(table), path_(std::move(path)), file_(file) {}
  const void* table_;  // toml::table: its header is large and stays in the .cc
  std::string path_;
  const std::string* file_;
  std::set<std::string, std::less<>> known_;
};

}  // namespace lre::toolchain

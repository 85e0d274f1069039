#include "toolchain/spec/toml_reader.h"

#include <toml++/toml.h>

#include <algorithm>
#include <numeric>

namespace lre::toolchain {
namespace {

// Optimal string alignment: insertions, deletions, substitutions and swaps of neighbours. Three
// rows of the usual table: a swap looks two rows back.
size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> before(b.size() + 1), above(b.size() + 1), row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    before.swap(above);
    above.swap(row);
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t substituted = above[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, substituted});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], before[j - 2] + 1);
      }
    }
  }
  return row[b.size()];
}

const toml::table& AsTable(const void* table) { return *static_cast<const toml::table*>(table); }

constexpr size_t kNameBytesMax = 256;  // longer names are never a slip of the keyboard

}  // namespace

std::string NearestName(std::string_view name, const std::vector<std::string>& candidates) {
  if (name.size() > kNameBytesMax) return {};
  size_t best_distance = std::clamp<size_t>(name.size() / 3, 1, 3) + 1;
  std::string best;
  for (const std::string& candidate : candidates) {
    const size_t longer = std::max(name.size(), candidate.size());
    const size_t shorter = std::min(name.size(), candidate.size());
    if (longer - shorter >= best_distance) continue;
    if (const size_t distance = EditDistance(name, candidate); distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

std::string DidYouMean(std::string_view name, const std::vector<std::string>& candidates) {
  const std::string nearest = NearestName(name, candidates);
  return nearest.empty() ? std::string() : fmt::format(", did you mean \"{}\"?", nearest);
}

bool IsVariableName(std::string_view name) {
  const auto is_letter = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
  };
  return !name.empty() && is_letter(name[0]) && std::all_of(name.begin(), name.end(), [&](char c) {
    return is_letter(c) || (c >= '0' && c <= '9');
  });
}

int MergeMarkLine(std::string_view text) {
  int line = 0;
  while (!text.empty()) {
    ++line;
    if (text.starts_with("<<<<<<< ")) return line;
    text.remove_prefix(std::min(text.find('\n'), text.size() - 1) + 1);
  }
  return 0;
}

struct TomlDocument::State {
  toml::table table;
  std::string file;
};

TomlDocument::TomlDocument(std::unique_ptr<State> state) : state_(std::move(state)) {}
TomlDocument::TomlDocument(TomlDocument&&) noexcept = default;
TomlDocument::~TomlDocument() = default;

Result<TomlDocument> TomlDocument::Parse(std::string_view text, std::string_view file) {
  if (text.size() > kTextBytesMax) {
    return Error(Code::kInvalidArgument, "{}: {} bytes are more than {}", file, text.size(),
                 kTextBytesMax);
  }
  auto state = std::make_unique<State>();
  state->file = file;
  try {
    state->table = toml::parse(text);
  } catch (const toml::parse_error& error) {
    if (const int line = MergeMarkLine(text); line > 0) {
      return Error(Code::kInvalidArgument, "{}:{}: git left a merge undecided here", file, line);
    }
    return Error(Code::kInvalidArgument, "{}:{}: {}", file, error.source().begin.line,
                 error.description());
  }
  return TomlDocument(std::move(state));
}

TomlTable TomlDocument::Root() const { return TomlTable(&state_->table, "", &state_->file); }

bool TomlTable::Has(std::string_view key) {
  known_.emplace(key);
  return AsTable(table_).contains(key);
}

int TomlTable::Line() const {
  return std::max(1, static_cast<int>(AsTable(table_).source().begin.line));
}

int TomlTable::LineOf(std::string_view key) const {
  const toml::table& table = AsTable(table_);
  const auto found = table.find(key);
  if (found == table.end()) return Line();
  return std::max(1, static_cast<int>(found->first.source().begin.line));
}

Status TomlTable::ErrorAt(std::string_view key, std::string_view message) const {
  std::string name = path_;
  if (!key.empty()) name += (name.empty() ? "" : ".") + std::string(key);
  return ErrorStatus(Code::kInvalidArgument, "{}:{}: {}{}{}", *file_, LineOf(key), name,
                     name.empty() ? "" : ": ", message);
}

Result<std::string> TomlTable::String(std::string_view key) {
  if (!Has(key)) return std::unexpected(ErrorAt(key, "missing"));
  const auto* value = AsTable(table_).get(key)->as_string();
  if (value == nullptr) return std::unexpected(ErrorAt(key, "expected a string"));
  if (value->get().empty()) return std::unexpected(ErrorAt(key, "must not be empty"));
  return value->get();
}

Result<std::string> TomlTable::StringOr(std::string_view key, std::string_view fallback) {
  if (!Has(key)) return std::string(fallback);
  return String(key);
}

Result<int64_t> TomlTable::Integer(std::string_view key) {
  if (!Has(key)) return std::unexpected(ErrorAt(key, "missing"));
  const auto* value = AsTable(table_).get(key)->as_integer();
  if (value == nullptr) return std::unexpected(ErrorAt(key, "expected a whole number"));
  return value->get();
}

Result<std::vector<std::string>> TomlTable::Flags(std::string_view key) {
  std::vector<std::string> strings;
  if (!Has(key)) return strings;
  const auto* array = AsTable(table_).get(key)->as_array();
  if (array == nullptr) return std::unexpected(ErrorAt(key, "expected an array of strings"));
  for (const toml::node& node : *array) {
    const auto* value = node.as_string();
    if (value == nullptr || value->get().empty()) {
      return std::unexpected(ErrorAt(key, "expected an array of non-empty strings"));
    }
    strings.push_back(value->get());
  }
  return strings;
}

Result<std::vector<std::string>> TomlTable::Strings(std::string_view key) {
  TRY_ASSIGN(std::vector<std::string> strings, Flags(key));
  std::set<std::string> seen;
  for (const std::string& string : strings) {
    if (seen.insert(string).second) continue;
    return std::unexpected(ErrorAt(key, fmt::format("\"{}\" stands there twice", string)));
  }
  return strings;
}

Result<std::vector<std::string>> TomlTable::RequiredStrings(std::string_view key) {
  if (!Has(key)) return std::unexpected(ErrorAt(key, "missing"));
  TRY_ASSIGN(std::vector<std::string> strings, Strings(key));
  if (strings.empty()) return std::unexpected(ErrorAt(key, "must not be empty"));
  return strings;
}

Result<std::map<std::string, std::string>> TomlTable::StringMap(std::string_view key) {
  std::map<std::string, std::string> strings;
  if (!Has(key)) return strings;
  const auto* table = AsTable(table_).get(key)->as_table();
  if (table == nullptr) return std::unexpected(ErrorAt(key, "expected a table of strings"));
  for (const auto& [name, node] : *table) {
    const auto* value = node.as_string();
    if (value == nullptr) return std::unexpected(ErrorAt(key, "expected a table of strings"));
    strings.emplace(name.str(), value->get());
  }
  return strings;
}

Result<bool> TomlTable::BoolOr(std::string_view key, bool fallback) {
  if (!Has(key)) return fallback;
  const auto* value = AsTable(table_).get(key)->as_boolean();
  if (value == nullptr) return std::unexpected(ErrorAt(key, "expected true or false"));
  return value->get();
}

Status TomlTable::EachTable(
    std::string_view key,
    const std::function<Status(const std::string& name, TomlTable& table)>& each) {
  if (!Has(key)) return {};
  const auto* tables = AsTable(table_).get(key)->as_table();
  if (tables == nullptr) return ErrorAt(key, "expected a table");
  struct Entry {
    uint32_t line, column;
    std::string name;
    const toml::node* node;
  };
  std::vector<Entry> entries;
  for (const auto& [name, node] : *tables) {
    const auto& begin = name.source().begin;
    entries.push_back({begin.line, begin.column, std::string(name.str()), &node});
  }
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::tie(a.line, a.column, a.name) < std::tie(b.line, b.column, b.name);
  });
  for (const Entry& entry : entries) {
    const std::string prefix = (path_.empty() ? "" : path_ + ".") + std::string(key);
    if (!entry.node->is_table()) {
      return ErrorStatus(Code::kInvalidArgument, "{}:{}: {}.{}: expected a table", *file_,
                         entry.line, prefix, entry.name);
    }
    TomlTable table(entry.node->as_table(), prefix + "." + entry.name, file_);
    TRY(each(entry.name, table));
    TRY(table.Finish());
  }
  return {};
}

Status TomlTable::Finish() const {
  const std::vector<std::string> known(known_.begin(), known_.end());
  for (const auto& [key, node] : AsTable(table_)) {
    if (known_.contains(key.str())) continue;
    return ErrorAt(key.str(), "unknown key" + DidYouMean(key.str(), known));
  }
  return {};
}

}  // namespace lre::toolchain

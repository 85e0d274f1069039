#include "toolchain/lock/lock.h"

#include <algorithm>

#include "base/hex.h"
#include "toolchain/spec/spec.h"
#include "toolchain/spec/toml_reader.h"

namespace lre::toolchain {
namespace {

// TOML basic string. Control characters do not occur in what we lock, but the writer must never
// make text that the reader refuses.
std::string Quote(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      quoted += '\\';
      quoted += c;
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      quoted += fmt::format("\\u{:04X}", static_cast<unsigned char>(c));
    } else {
      quoted += c;
    }
  }
  return quoted + '"';
}

// One element a line: git then merges changes of different elements.
void PrintStrings(std::string_view key, const std::vector<std::string>& strings, std::string* out) {
  if (strings.empty()) {
    *out += fmt::format("{} = []\n", key);
    return;
  }
  *out += fmt::format("{} = [\n", key);
  for (const std::string& string : strings) *out += fmt::format("  {},\n", Quote(string));
  *out += "]\n";
}

// A path below the archive's root, as it goes into a URL.
bool IsArchivePath(std::string_view path) {
  if (path.empty() || path.size() > 1024 || path.front() == '/') return false;
  if (path.find("..") != std::string_view::npos) return false;
  return std::all_of(path.begin(), path.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("+-._~/%").find(c) != std::string_view::npos;
  });
}

bool IsLockedName(std::string_view name) {
  const size_t at = name.find('@');
  return IsPackageName(name.substr(0, at)) &&
         (at == name.npos || IsArchiveWord(name.substr(at + 1)));
}

bool IsSha256(std::string_view hex) {
  char bytes[32];
  return hex.size() == 64 && HexDecodeTo(hex, bytes);
}

Result<std::vector<std::string>> SortedStrings(TomlTable& table, std::string_view key) {
  TRY_ASSIGN(std::vector<std::string> strings, table.Strings(key));
  std::sort(strings.begin(), strings.end());
  return strings;
}

Result<LockedPackage> ParsePackage(const std::string& name, TomlTable& table) {
  if (!IsLockedName(name)) return std::unexpected(table.ErrorAt("", "not the name of a package"));
  LockedPackage package{.name = name};
  TRY_ASSIGN(package.version, table.String("version"));
  TRY_ASSIGN(package.architecture, table.String("architecture"));
  TRY_ASSIGN(package.sha256, table.String("sha256"));
  if (!IsSha256(package.sha256)) {
    return std::unexpected(table.ErrorAt("sha256", "expected 64 lower-case hexadecimal digits"));
  }
  TRY_ASSIGN(const int64_t size_bytes, table.Integer("size_bytes"));
  if (size_bytes <= 0) return std::unexpected(table.ErrorAt("size_bytes", "must be positive"));
  package.size_bytes = static_cast<uint64_t>(size_bytes);
  TRY_ASSIGN(package.path, table.String("path"));
  if (!IsArchivePath(package.path)) {
    return std::unexpected(table.ErrorAt("path", "not a path below an archive's root"));
  }
  TRY_ASSIGN(package.suite, table.String("suite"));
  if (!IsArchiveWord(package.suite)) {
    return std::unexpected(table.ErrorAt("suite", "not a name in an archive"));
  }
  TRY_ASSIGN(package.depends, SortedStrings(table, "depends"));
  return package;
}

Status CheckKnown(const TomlTable& table, std::string_view key,
                  const std::vector<std::string>& named, const std::vector<std::string>& known) {
  for (const std::string& name : named) {
    if (std::binary_search(known.begin(), known.end(), name)) continue;
    return table.ErrorAt(
        key, fmt::format("\"{}\" is not in this lock{}", name, DidYouMean(name, known)));
  }
  return {};
}

template <typename T>
std::vector<std::string> Names(const std::map<std::string, T>& map) {
  std::vector<std::string> names;
  for (const auto& [name, value] : map) names.push_back(name);
  return names;
}

std::map<std::string, std::vector<std::string>> ReferencesOf(const Lock& lock) {
  std::map<std::string, std::vector<std::string>> references;
  for (const auto& [role, path] : lock.paths) references.emplace(role, path.references);
  return references;
}

Status ParsePackages(TomlTable& root, Lock* lock) {
  TRY(root.EachTable("package", [&](const std::string& name, TomlTable& table) -> Status {
    TRY_ASSIGN(LockedPackage package, ParsePackage(name, table));
    lock->packages.emplace(name, std::move(package));
    return {};
  }));
  // Again: only now all names are known.
  const std::vector<std::string> known = Names(lock->packages);
  return root.EachTable("package", [&](const std::string& name, TomlTable& table) -> Status {
    for (const char* key :
         {"version", "architecture", "sha256", "size_bytes", "path", "suite", "depends"}) {
      table.Has(key);
    }
    return CheckKnown(table, "depends", lock->packages.at(name).depends, known);
  });
}

Status ParsePaths(TomlTable& root, Lock* lock) {
  const std::vector<std::string> packages = Names(lock->packages);
  TRY(root.EachTable("store", [&](const std::string& role, TomlTable& table) -> Status {
    if (!IsRoleName(role)) return table.ErrorAt("", "not a role: [a-z0-9][a-z0-9.-]*");
    LockedPath path{.role = role};
    TRY_ASSIGN(path.packages, SortedStrings(table, "packages"));
    TRY(CheckKnown(table, "packages", path.packages, packages));
    TRY_ASSIGN(path.references, SortedStrings(table, "references"));
    lock->paths.emplace(role, std::move(path));
    return {};
  }));
  const std::vector<std::string> roles = Names(lock->paths);
  TRY(root.EachTable("store", [&](const std::string& role, TomlTable& table) -> Status {
    table.Has("packages");
    table.Has("references");
    return CheckKnown(table, "references", lock->paths.at(role).references, roles);
  }));
  if (const auto ordered = OrderRoles(ReferencesOf(*lock), roles); !ordered) {
    return root.ErrorAt("store", ordered.error().message());
  }
  return root.EachTable("toolchain", [&](const std::string& name, TomlTable& table) -> Status {
    if (!IsRoleName(name)) return table.ErrorAt("", "not a toolchain's name: [a-z0-9][a-z0-9.-]*");
    TRY_ASSIGN(std::vector<std::string> paths, table.RequiredStrings("paths"));
    TRY(CheckKnown(table, "paths", paths, roles));
    std::sort(paths.begin(), paths.end());
    lock->toolchains.emplace(name, std::move(paths));
    return {};
  });
}

}  // namespace

std::string PrintLock(const Lock& lock) {
  std::string text =
      "# The exact packages that lre.toml was resolved to. Written by `lre lock`, not by hand.\n";
  text += fmt::format("schema = {}\n", Lock::kSchema);
  text += fmt::format("system = {}\n", Quote(lock.system));
  text += fmt::format("distribution = {}\n", Quote(lock.distribution));
  for (const auto& [name, paths] : lock.toolchains) {
    text += fmt::format("\n[toolchain.{}]\n", Quote(name));
    PrintStrings("paths", paths, &text);
  }
  for (const auto& [role, path] : lock.paths) {
    text += fmt::format("\n[store.{}]\n", Quote(role));
    PrintStrings("references", path.references, &text);
    PrintStrings("packages", path.packages, &text);
  }
  for (const auto& [name, package] : lock.packages) {
    text += fmt::format("\n[package.{}]\n", Quote(name));
    text += fmt::format("version = {}\n", Quote(package.version));
    text += fmt::format("architecture = {}\n", Quote(package.architecture));
    text += fmt::format("sha256 = {}\n", Quote(package.sha256));
    text += fmt::format("size_bytes = {}\n", package.size_bytes);
    text += fmt::format("path = {}\n", Quote(package.path));
    text += fmt::format("suite = {}\n", Quote(package.suite));
    PrintStrings("depends", package.depends, &text);
  }
  return text;
}

Result<Lock> ParseLock(std::string_view text) {
  TRY_ASSIGN(TomlDocument document, TomlDocument::Parse(text, "lre.lock"));
  TomlTable root = document.Root();
  Lock lock;
  TRY_ASSIGN(const int64_t schema, root.Integer("schema"));
  if (schema != Lock::kSchema) {
    return std::unexpected(root.ErrorAt(
        "schema", fmt::format("{} is not the schema this lre reads ({})", schema, Lock::kSchema)));
  }
  TRY_ASSIGN(lock.system, root.String("system"));
  TRY_ASSIGN(lock.distribution, root.String("distribution"));
  for (const char* key : {"package", "store", "toolchain"}) root.Has(key);
  TRY(root.Finish());
  TRY(ParsePackages(root, &lock));
  TRY(ParsePaths(root, &lock));
  return lock;
}

Result<std::vector<std::string>> OrderedRoles(const Lock& lock, std::string_view toolchain) {
  const auto found = lock.toolchains.find(std::string(toolchain));
  if (found == lock.toolchains.end()) {
    return Error(Code::kNotFound, "no toolchain {} in the lock{}", toolchain,
                 DidYouMean(toolchain, Names(lock.toolchains)));
  }
  return OrderRoles(ReferencesOf(lock), found->second);
}

}  // namespace lre::toolchain

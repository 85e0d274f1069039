#include "toolchain/lock/lock.h"

#include <algorithm>

#include "digest/digest.h"
#include "toolchain/nix/binary_cache.h"
#include "toolchain/nix/store_name.h"
#include "toolchain/oci/image.h"
#include "toolchain/spec/spec.h"
#include "toolchain/spec/toml_reader.h"

namespace lre::toolchain {
namespace {

// One element a line: git then merges changes of different elements.
void PrintStrings(std::string_view key, const std::vector<std::string>& strings, std::string* out) {
  if (strings.empty()) {
    *out += fmt::format("{} = []\n", key);
    return;
  }
  *out += fmt::format("{} = [\n", key);
  for (const std::string& string : strings) *out += fmt::format("  {},\n", TomlQuote(string));
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
  const std::string plain = WithoutArchitecture(name);
  const size_t at = plain.find('@');
  return IsPackageName(std::string_view(plain).substr(0, at)) &&
         (at == plain.npos || IsArchiveWord(std::string_view(plain).substr(at + 1)));
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

// What a lock says of a Nix closure is whole, and what its hash was made of.
Status ParseNix(TomlTable& table, Extra* extra) {
  TRY_ASSIGN(extra->store_path, table.String("store_path"));
  if (!IsNixPath(extra->store_path)) return table.ErrorAt("store_path", "no path of a Nix store");
  TRY_ASSIGN(extra->closure, table.RequiredStrings("closure"));
  std::vector<NixPath> closure;
  for (const std::string& line : extra->closure) {
    Result<NixPath> path = ParseNixPath(line);
    if (!path) return table.ErrorAt("closure", path.error().message());
    closure.push_back(std::move(*path));
  }
  if (ClosureSha256(closure) != extra->sha256)
    return table.ErrorAt("sha256", "not that of the closure: `lre lock` writes both");
  Result<std::vector<NixPath>> ordered = OrderClosure(std::move(closure));
  if (!ordered) return table.ErrorAt("closure", ordered.error().message());
  const bool there = std::any_of(ordered->begin(), ordered->end(), [&](const NixPath& path) {
    return path.name == NixBaseName(extra->store_path);
  });
  return there ? Status() : table.ErrorAt("closure", "lacks " + extra->store_path);
}

Result<Extra> ParseLockedExtra(const std::string& name, TomlTable& table) {
  Extra extra{.name = name};
  if (!IsRoleName(name)) return std::unexpected(table.ErrorAt("", "not a name: [a-z0-9.-]"));
  TRY_ASSIGN(const std::string kind, table.String("kind"));
  bool known = false;
  for (const ExtraKind each : kExtraKinds) {
    if (kind != ExtraKindName(each)) continue;
    extra.kind = each;
    known = true;
  }
  if (!known)
    return std::unexpected(table.ErrorAt("kind", "none of deb, tar, file, patch, oci and nix"));
  TRY_ASSIGN(extra.from, table.String("from"));
  const bool image = extra.kind == ExtraKind::kOci && ImageReferenceSha256(extra.from).has_value();
  if (!IsUrl(extra.from) && !IsBelow(extra.from) && !image) {
    return std::unexpected(table.ErrorAt("from", "neither a path below this folder nor a URL"));
  }
  TRY_ASSIGN(extra.sha256, table.String("sha256"));
  if (!IsSha256(extra.sha256)) {
    return std::unexpected(table.ErrorAt("sha256", "expected 64 lower-case hexadecimal digits"));
  }
  TRY(ParsePlace(table, &extra));
  if (extra.kind == ExtraKind::kNix) TRY(ParseNix(table, &extra));
  return extra;
}

Result<LockedPath> ParsePath(const std::string& name, TomlTable& table) {
  if (!IsRoleName(name)) {
    return std::unexpected(table.ErrorAt("", "not a role: [a-z0-9][a-z0-9.-]*"));
  }
  LockedPath path;
  TRY_ASSIGN(path.role, table.StringOr("role", name));
  TRY_ASSIGN(path.label, table.StringOr("label", ""));
  if (path.label == name) path.label.clear();
  for (const std::string* word : {&path.role, &path.label}) {
    if (word->empty() || IsRoleName(*word)) continue;
    return std::unexpected(
        table.ErrorAt(word == &path.role ? "role" : "label", "not a role: [a-z0-9][a-z0-9.-]*"));
  }
  TRY_ASSIGN(path.packages, SortedStrings(table, "packages"));
  TRY_ASSIGN(path.references, SortedStrings(table, "references"));
  TRY_ASSIGN(path.drop, SortedStrings(table, "drop"));
  TRY_ASSIGN(path.system, table.StringOr("system", ""));
  if (!path.system.empty() && !IsSystem(path.system)) {
    return std::unexpected(table.ErrorAt("system", "none of x86_64-linux, aarch64-linux"));
  }
  TRY(table.EachTable("add", [&](const std::string& extra_name, TomlTable& inner) -> Status {
    TRY_ASSIGN(Extra extra, ParseLockedExtra(extra_name, inner));
    path.extras.push_back(std::move(extra));
    return {};
  }));
  std::sort(path.extras.begin(), path.extras.end(),
            [](const Extra& a, const Extra& b) { return a.name < b.name; });
  return path;
}

Status ParsePaths(TomlTable& root, Lock* lock) {
  const std::vector<std::string> packages = Names(lock->packages);
  TRY(root.EachTable("store", [&](const std::string& name, TomlTable& table) -> Status {
    TRY_ASSIGN(LockedPath path, ParsePath(name, table));
    TRY(CheckKnown(table, "packages", path.packages, packages));
    lock->paths.emplace(name, std::move(path));
    return {};
  }));
  const std::vector<std::string> names = Names(lock->paths);
  TRY(root.EachTable("store", [&](const std::string& name, TomlTable& table) -> Status {
    for (const char* key : {"packages", "references", "role", "label", "system", "add", "drop"}) {
      table.Has(key);
    }
    return CheckKnown(table, "references", lock->paths.at(name).references, names);
  }));
  if (const auto ordered = OrderRoles(ReferencesOf(*lock), names); !ordered) {
    return root.ErrorAt("store", ordered.error().message());
  }
  return root.EachTable("toolchain", [&](const std::string& name, TomlTable& table) -> Status {
    if (!IsRoleName(name)) return table.ErrorAt("", "not a toolchain's name: [a-z0-9][a-z0-9.-]*");
    LockedToolchain toolchain;
    TRY_ASSIGN(toolchain.paths, table.RequiredStrings("paths"));
    TRY(CheckKnown(table, "paths", toolchain.paths, names));
    std::sort(toolchain.paths.begin(), toolchain.paths.end());
    TRY_ASSIGN(toolchain.settings, ParseSettings(table));
    lock->toolchains.emplace(name, std::move(toolchain));
    return {};
  });
}

// ---- printing: what has its usual value is left out ----

void PrintString(std::string_view key, std::string_view value, std::string* out) {
  if (!value.empty()) *out += fmt::format("{} = {}\n", key, TomlQuote(value));
}

void PrintSome(std::string_view key, const std::vector<std::string>& strings, std::string* out) {
  if (!strings.empty()) PrintStrings(key, strings, out);
}

void PrintToolchain(const std::string& name, const LockedToolchain& toolchain, std::string* out) {
  const ToolchainSettings& settings = toolchain.settings;
  *out += fmt::format("\n[toolchain.{}]\n", TomlQuote(name));
  PrintString("extends", settings.extends, out);
  PrintString("system", settings.system, out);
  PrintString("target", settings.target, out);
  PrintStrings("paths", toolchain.paths, out);
  PrintSome("libraries", settings.libraries, out);
  PrintSome("tools", settings.tools, out);
  PrintSome("compile_flags", settings.compile_flags, out);
  PrintSome("cxx_flags", settings.cxx_flags, out);
  PrintSome("link_flags", settings.link_flags, out);
  PrintSome("link_libs", settings.link_libs, out);
  PrintSome("exec_compatible_with", settings.exec_compatible_with, out);
  PrintSome("target_compatible_with", settings.target_compatible_with, out);
  if (settings.env.empty()) return;
  *out += fmt::format("\n[toolchain.{}.env]\n", TomlQuote(name));
  for (const auto& [variable, value] : settings.env) {
    *out += fmt::format("{} = {}\n", TomlQuote(variable), TomlQuote(value));
  }
}

void PrintPath(const std::string& name, const LockedPath& path, std::string* out) {
  *out += fmt::format("\n[store.{}]\n", TomlQuote(name));
  if (path.role != name) PrintString("role", path.role, out);
  PrintString("label", path.label, out);
  PrintString("system", path.system, out);
  PrintStrings("references", path.references, out);
  PrintStrings("packages", path.packages, out);
  PrintSome("drop", path.drop, out);
  for (const Extra& extra : path.extras) {
    *out += fmt::format("\n[store.{}.add.{}]\n", TomlQuote(name), TomlQuote(extra.name));
    PrintString("kind", ExtraKindName(extra.kind), out);
    PrintString("from", extra.from, out);
    PrintString("sha256", extra.sha256, out);
    PrintString("into", extra.into, out);
    if (extra.strip != 0) *out += fmt::format("strip = {}\n", extra.strip);
    if (extra.executable) *out += "executable = true\n";
    PrintSome("include", extra.include, out);
    PrintString("store_path", extra.store_path, out);
    PrintSome("closure", extra.closure, out);
  }
}

}  // namespace

int LockSchema(const Lock& lock) {
  for (const auto& [name, path] : lock.paths)
    for (const Extra& extra : path.extras)
      if (extra.kind == ExtraKind::kOci || extra.kind == ExtraKind::kNix) return 3;
  for (const auto& [name, path] : lock.paths) {
    if (path.role != name || !path.extras.empty() || !path.drop.empty()) return 2;
    if (!path.label.empty() || !path.system.empty()) return 2;
  }
  for (const auto& [name, toolchain] : lock.toolchains)
    if (toolchain.settings != ToolchainSettings()) return 2;
  return 1;
}

std::string PrintLock(const Lock& lock) {
  std::string text =
      "# The exact packages that lre.toml was resolved to. Written by `lre lock`, not by hand.\n";
  text += fmt::format("schema = {}\n", LockSchema(lock));
  text += fmt::format("system = {}\n", TomlQuote(lock.system));
  text += fmt::format("distribution = {}\n", TomlQuote(lock.distribution));
  for (const auto& [name, toolchain] : lock.toolchains) PrintToolchain(name, toolchain, &text);
  for (const auto& [name, path] : lock.paths) PrintPath(name, path, &text);
  for (const auto& [name, package] : lock.packages) {
    text += fmt::format("\n[package.{}]\n", TomlQuote(name));
    text += fmt::format("version = {}\n", TomlQuote(package.version));
    text += fmt::format("architecture = {}\n", TomlQuote(package.architecture));
    text += fmt::format("sha256 = {}\n", TomlQuote(package.sha256));
    text += fmt::format("size_bytes = {}\n", package.size_bytes);
    text += fmt::format("path = {}\n", TomlQuote(package.path));
    text += fmt::format("suite = {}\n", TomlQuote(package.suite));
    PrintStrings("depends", package.depends, &text);
  }
  return text;
}

Result<Lock> ParseLock(std::string_view text, std::string_view file) {
  Result<TomlDocument> document = TomlDocument::Parse(text, file);
  if (!document && MergeMarkLine(text) > 0) {
    return Error(
        Code::kInvalidArgument,
        "{}: take one side whole (`git checkout --ours {}`), then `lre lock` adds what the "
        "merged lre.toml asks for",
        document.error().message(), file);
  }
  TRY(ToStatus(document));
  TomlTable root = document->Root();
  Lock lock;
  TRY_ASSIGN(const int64_t schema, root.Integer("schema"));
  if (schema < 1 || schema > Lock::kSchema) {
    return std::unexpected(root.ErrorAt(
        "schema",
        fmt::format("{} is not a schema this lre reads (1 to {})", schema, Lock::kSchema)));
  }
  TRY_ASSIGN(lock.system, root.String("system"));
  TRY_ASSIGN(lock.distribution, root.String("distribution"));
  for (const char* key : {"package", "store", "toolchain"}) root.Has(key);
  TRY(root.Finish());
  TRY(ParsePackages(root, &lock));
  TRY(ParsePaths(root, &lock));
  return lock;
}

Result<std::vector<std::string>> OrderedPaths(const Lock& lock, std::string_view toolchain) {
  const auto found = lock.toolchains.find(std::string(toolchain));
  if (found == lock.toolchains.end()) {
    return Error(Code::kNotFound, "no toolchain {} in the lock{}", toolchain,
                 DidYouMean(toolchain, Names(lock.toolchains)));
  }
  TRY_ASSIGN(std::vector<std::string> names, OrderRoles(ReferencesOf(lock), found->second.paths));
  std::map<std::pair<std::string, std::string>, std::string> by_role;
  for (const std::string& name : names) {
    const LockedPath& path = lock.paths.at(name);
    const auto [other, fresh] = by_role.emplace(std::pair(path.system, path.role), name);
    if (fresh) continue;
    return Error(Code::kInvalidArgument, "toolchain {}: {} and {} have the same role, {}",
                 toolchain, other->second, name, path.role);
  }
  return names;
}

const std::string& SystemOf(const Lock& lock, const std::string& toolchain) {
  const std::string& system = lock.toolchains.at(toolchain).settings.system;
  return system.empty() ? lock.system : system;
}

const std::string& TargetOf(const Lock& lock, const std::string& toolchain) {
  const std::string& target = lock.toolchains.at(toolchain).settings.target;
  return target.empty() ? SystemOf(lock, toolchain) : target;
}

std::vector<std::string> ToolchainsOf(const Lock& lock, std::string_view system) {
  std::vector<std::string> names;
  for (const auto& [name, toolchain] : lock.toolchains)
    if (SystemOf(lock, name) == system && TargetOf(lock, name) == system) names.push_back(name);
  return names;
}

std::string WithoutArchitecture(std::string_view name) {
  const size_t colon = name.find(':');
  if (colon == name.npos) return std::string(name);
  const size_t at = std::min(name.find('@', colon), name.size());
  return std::string(name.substr(0, colon)) + std::string(name.substr(at));
}

Result<Lock> LockOf(const Lock& lock, std::string_view toolchain) {
  TRY_ASSIGN(const std::vector<std::string> names, OrderedPaths(lock, toolchain));
  Lock part{.system = lock.system, .distribution = lock.distribution};
  for (const std::string& name : names) {
    const LockedPath& path = lock.paths.at(name);
    part.paths.emplace(name, path);
    for (const std::string& package : path.packages) {
      const auto found = lock.packages.find(package);
      if (found != lock.packages.end()) part.packages.insert(*found);
    }
  }
  for (auto& [name, package] : part.packages) {
    std::erase_if(package.depends,
                  [&](const std::string& other) { return !part.packages.contains(other); });
  }
  part.toolchains.insert(*lock.toolchains.find(std::string(toolchain)));
  return part;
}

Result<std::string> LockDigest(const Lock& lock, std::string_view toolchain) {
  TRY_ASSIGN(const Lock part, LockOf(lock, toolchain));
  return "sha256:" + ComputeDigest(DigestFunction::kSha256, PrintLock(part)).Hex();
}

}  // namespace lre::toolchain

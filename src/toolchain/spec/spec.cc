#include "toolchain/spec/spec.h"

#include <algorithm>
#include <functional>
#include <set>

#include "base/hex.h"
#include "toolchain/spec/extend.h"
#include "toolchain/spec/toml_reader.h"

namespace lre::toolchain {
namespace {

bool IsLowerOrDigit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

bool IsName(std::string_view name, std::string_view also, size_t size_max) {
  if (name.empty() || name.size() > size_max || !IsLowerOrDigit(name[0])) return false;
  return std::all_of(name.begin(), name.end(), [&](char c) {
    return IsLowerOrDigit(c) || also.find(c) != std::string_view::npos;
  });
}

}  // namespace

// Suites and components become parts of URLs.
bool IsArchiveWord(std::string_view word) {
  if (word.empty() || word.size() > 128 || word.find("..") != std::string_view::npos) return false;
  if (word.front() == '/' || word.back() == '/') return false;
  return std::all_of(word.begin(), word.end(), [](char c) {
    return IsLowerOrDigit(c) || (c >= 'A' && c <= 'Z') || c == '-' || c == '.' || c == '_' ||
           c == '/';
  });
}

namespace {

Status CheckUrls(const TomlTable& table, std::string_view key, std::vector<std::string>* urls) {
  for (std::string& url : *urls) {
    if (!IsUrl(url)) {
      return table.ErrorAt(
          key, fmt::format("\"{}\" does not start with http://, https:// or file://", url));
    }
    while (url.ends_with('/')) url.pop_back();
  }
  return {};
}

Status CheckWords(const TomlTable& table, std::string_view key,
                  const std::vector<std::string>& words) {
  for (const std::string& word : words) {
    if (!IsArchiveWord(word)) {
      return table.ErrorAt(key, fmt::format("\"{}\" is not a name in an archive", word));
    }
  }
  return {};
}

Status CheckPackages(const TomlTable& table, std::string_view key,
                     const std::vector<std::string>& packages) {
  for (const std::string& package : packages) {
    if (!IsPackageName(package)) {
      return table.ErrorAt(key, fmt::format("\"{}\" is not the name of a package", package));
    }
  }
  return {};
}

Result<ArchiveSpec> ParseArchive(const std::string& name, TomlTable& table) {
  if (!IsRoleName(name)) {
    return std::unexpected(
        table.ErrorAt("", "an archive's name has lower-case letters and digits"));
  }
  ArchiveSpec archive{.name = name};
  TRY_ASSIGN(archive.distribution, table.StringOr("distribution", ""));
  if (!IsRoleName(archive.Distribution())) {
    return std::unexpected(table.ErrorAt("distribution", "has lower-case letters and digits"));
  }
  TRY_ASSIGN(archive.suites, table.RequiredStrings("suites"));
  TRY(CheckWords(table, "suites", archive.suites));
  TRY_ASSIGN(archive.components, table.Strings("components"));
  TRY(CheckWords(table, "components", archive.components));
  if (archive.components.empty()) archive.components = {"main"};
  TRY_ASSIGN(archive.mirrors, table.Strings("mirrors"));
  TRY(CheckUrls(table, "mirrors", &archive.mirrors));
  TRY_ASSIGN(archive.snapshots, table.Strings("snapshots"));
  TRY(CheckUrls(table, "snapshots", &archive.snapshots));
  TRY_ASSIGN(archive.keyring, table.StringOr("keyring", ""));
  if (!archive.keyring.empty() && !archive.keyring.starts_with('/') && !IsBelow(archive.keyring)) {
    return std::unexpected(
        table.ErrorAt("keyring", "neither an absolute path nor one below this folder"));
  }
  return archive;
}

Status ParseArchives(TomlTable& root, Spec* spec) {
  std::map<std::string, std::string> archive_of_suite;
  TRY(root.EachTable("archive", [&](const std::string& name, TomlTable& table) -> Status {
    TRY_ASSIGN(ArchiveSpec archive, ParseArchive(name, table));
    for (const std::string& suite : archive.suites) {
      // A lock names a package's archive by the suite alone.
      const auto [other, fresh] = archive_of_suite.emplace(suite, name);
      if (!fresh) {
        return table.ErrorAt("suites",
                             fmt::format("\"{}\" is also in archive.{}", suite, other->second));
      }
    }
    spec->archives.push_back(std::move(archive));
    return {};
  }));
  if (spec->archives.empty()) return root.ErrorAt("archive", "missing");
  return {};
}

Status CheckArchives(const TomlTable& table, const Spec& spec,
                     const std::vector<std::string>& named) {
  std::vector<std::string> known;
  for (const ArchiveSpec& archive : spec.archives) known.push_back(archive.name);
  for (const std::string& name : named) {
    if (std::count(known.begin(), known.end(), name) > 0) continue;
    return table.ErrorAt("archives", fmt::format("no archive.{}{}", name, DidYouMean(name, known)));
  }
  return {};
}

// Packages of other archives are other packages, so what such a path holds cannot stand in for what
// this one would.
Status CheckReferences(const TomlTable& table, const Spec& spec, const std::string& role,
                       const std::vector<std::string>& roles) {
  for (const std::string& named : spec.store.at(role).references) {
    const auto found = spec.store.find(named);
    if (found == spec.store.end()) {
      return table.ErrorAt("references",
                           fmt::format("no store.{}{}", named, DidYouMean(named, roles)));
    }
    if (found->second.archives != spec.store.at(role).archives) {
      return table.ErrorAt("references",
                           fmt::format("store.{} takes its packages from other archives", named));
    }
  }
  return {};
}

Result<WrittenStore> ParseStoreTable(const std::string& name, const Spec& spec, TomlTable& table) {
  if (!IsRoleName(name)) {
    return std::unexpected(table.ErrorAt("", "not a role: [a-z0-9][a-z0-9.-]*"));
  }
  WrittenStore written{.spec = {.name = name}};
  StoreSpec& store = written.spec;
  TRY_ASSIGN(written.extends, table.StringOr("extends", ""));
  TRY_ASSIGN(store.role, table.StringOr("role", ""));
  if (!store.role.empty() && !IsRoleName(store.role)) {
    return std::unexpected(table.ErrorAt("role", "not a role: [a-z0-9][a-z0-9.-]*"));
  }
  TRY(table.EachTable("add", [&](const std::string& extra_name, TomlTable& inner) -> Status {
    TRY_ASSIGN(Extra extra, ParseExtra(extra_name, inner));
    store.extras.push_back(std::move(extra));
    return {};
  }));
  if (written.extends.empty() && store.extras.empty()) {
    TRY_ASSIGN(store.packages, table.RequiredStrings("packages"));
  } else {
    TRY_ASSIGN(store.packages, table.Strings("packages"));
  }
  TRY(CheckPackages(table, "packages", store.packages));
  for (const std::string& package : store.packages) {
    if (std::count(spec.ignore.begin(), spec.ignore.end(), package) == 0) continue;
    return std::unexpected(table.ErrorAt(
        "packages", fmt::format("\"{}\" is asked for, and in ignore as well", package)));
  }
  TRY_ASSIGN(store.drop, table.Strings("drop"));
  TRY_ASSIGN(written.remove, table.Strings("remove"));
  if (!written.remove.empty() && written.extends.empty()) {
    return std::unexpected(table.ErrorAt("remove", "only what extends another can"));
  }
  written.has_references = table.Has("references");
  TRY_ASSIGN(store.references, table.Strings("references"));
  written.has_archives = table.Has("archives");
  TRY_ASSIGN(store.archives, table.Strings("archives"));
  std::sort(store.archives.begin(), store.archives.end());
  TRY(CheckArchives(table, spec, store.archives));
  return written;
}

Status ParseStore(TomlTable& root, Spec* spec) {
  std::map<std::string, WrittenStore> written;
  TRY(root.EachTable("store", [&](const std::string& name, TomlTable& table) -> Status {
    TRY_ASSIGN(WrittenStore store, ParseStoreTable(name, *spec, table));
    written.emplace(name, std::move(store));
    return {};
  }));
  if (written.empty()) return root.ErrorAt("store", "missing");
  Result<std::map<std::string, StoreSpec>> stores = ExtendStores(written);
  if (!stores) return root.ErrorAt("store", stores.error().message());
  spec->store = std::move(*stores);

  std::vector<std::string> names;
  std::map<std::string, std::vector<std::string>> references;
  for (const auto& [name, store] : spec->store) {
    names.push_back(name);
    references.emplace(name, store.references);
  }
  // Again over the tables: only now all names are known.
  TRY(root.EachTable("store", [&](const std::string& name, TomlTable& table) -> Status {
    for (const char* key :
         {"packages", "references", "archives", "extends", "role", "add", "drop", "remove"}) {
      table.Has(key);
    }
    return CheckReferences(table, *spec, name, names);
  }));
  if (const auto ordered = OrderRoles(references, names); !ordered) {
    return root.ErrorAt("store", ordered.error().message());
  }
  return {};
}

Status ParseToolchains(TomlTable& root, Spec* spec) {
  std::vector<std::string> names;
  for (const auto& [name, store] : spec->store) names.push_back(name);
  std::map<std::string, WrittenToolchain> written;
  TRY(root.EachTable("toolchain", [&](const std::string& name, TomlTable& table) -> Status {
    if (!IsRoleName(name)) return table.ErrorAt("", "not a toolchain's name: [a-z0-9][a-z0-9.-]*");
    WrittenToolchain toolchain{.spec = {.name = name}};
    TRY_ASSIGN(toolchain.spec.settings, ParseSettings(table));
    TRY_ASSIGN(toolchain.remove, table.Strings("remove"));
    if (toolchain.spec.settings.extends.empty()) {
      TRY_ASSIGN(toolchain.spec.paths, table.RequiredStrings("paths"));
      if (!toolchain.remove.empty()) {
        return table.ErrorAt("remove", "only what extends another can");
      }
    } else {
      TRY_ASSIGN(toolchain.spec.paths, table.Strings("paths"));
    }
    for (const std::string& path : toolchain.spec.paths) {
      if (spec->store.contains(path)) continue;
      return table.ErrorAt("paths", fmt::format("no store.{}{}", path, DidYouMean(path, names)));
    }
    written.emplace(name, std::move(toolchain));
    return {};
  }));
  if (written.empty()) return root.ErrorAt("toolchain", "missing");
  if (Status status = ExtendToolchains(written, spec); !status.ok()) {
    return root.ErrorAt("toolchain", status.message());
  }
  return {};
}

}  // namespace

bool IsSystem(std::string_view system) {
  return system == "x86_64-linux" || system == "aarch64-linux";
}

std::string SystemSuffix(std::string_view system) {
  std::string suffix(system.substr(0, system.find("-linux")));
  std::replace(suffix.begin(), suffix.end(), '_', '-');
  return suffix;
}

bool IsRoleName(std::string_view name) { return IsName(name, ".-", 64); }

bool IsSha256(std::string_view hex) {
  char bytes[32];
  return hex.size() == 64 && HexDecodeTo(hex, bytes);
}

bool IsBelow(std::string_view path) {
  if (path.empty() || path.size() > 1024) return false;
  while (true) {
    const size_t end = path.find('/');
    const std::string_view part = path.substr(0, end);
    if (part.empty() || part == "." || part == "..") return false;
    if (std::any_of(part.begin(), part.end(), [](char c) { return c >= 0 && c < 0x20; })) {
      return false;
    }
    if (end == path.npos) return true;
    path.remove_prefix(end + 1);
  }
}

// TOML basic string. Control characters do not occur in what we lock, but a writer must never make
// text that the reader refuses.
std::string TomlQuote(std::string_view text) {
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

Result<ToolchainSettings> ParseSettings(TomlTable& table) {
  ToolchainSettings settings;
  TRY_ASSIGN(settings.extends, table.StringOr("extends", ""));
  for (auto [key, system] : {std::pair{"system", &settings.system}, {"target", &settings.target}}) {
    TRY_ASSIGN(*system, table.StringOr(key, ""));
    if (system->empty() || IsSystem(*system)) continue;
    return std::unexpected(
        table.ErrorAt(key, fmt::format("\"{}\" is none of x86_64-linux, aarch64-linux", *system)));
  }
  TRY_ASSIGN(settings.libraries, table.Strings("libraries"));
  TRY_ASSIGN(settings.tools, table.Strings("tools"));
  for (const std::string& tool : settings.tools) {
    if (IsBelow(tool) && tool.find('/') == tool.npos) continue;
    return std::unexpected(table.ErrorAt("tools", fmt::format("\"{}\" is no file name", tool)));
  }
  TRY_ASSIGN(settings.compile_flags, table.Flags("compile_flags"));
  TRY_ASSIGN(settings.cxx_flags, table.Flags("cxx_flags"));
  TRY_ASSIGN(settings.link_flags, table.Flags("link_flags"));
  TRY_ASSIGN(settings.link_libs, table.Flags("link_libs"));
  TRY_ASSIGN(settings.env, table.StringMap("env"));
  for (const auto& [name, value] : settings.env) {
    if (IsVariableName(name)) continue;
    return std::unexpected(
        table.ErrorAt("env", fmt::format("\"{}\" is no name of a variable", name)));
  }
  TRY_ASSIGN(settings.exec_compatible_with, table.Strings("exec_compatible_with"));
  TRY_ASSIGN(settings.target_compatible_with, table.Strings("target_compatible_with"));
  return settings;
}

Spec AtFolder(Spec spec, const std::string& folder) {
  for (ArchiveSpec& archive : spec.archives) {
    if (archive.keyring.empty() || archive.keyring.starts_with('/')) continue;
    archive.keyring = folder + "/" + archive.keyring;
  }
  return spec;
}

bool IsPackageName(std::string_view name) { return name.size() >= 2 && IsName(name, "+.-", 128); }

std::vector<const ArchiveSpec*> ArchivesOf(const Spec& spec, const StoreSpec& store) {
  std::set<std::string> named;
  for (const auto& [role, each] : spec.store)
    named.insert(each.archives.begin(), each.archives.end());
  std::vector<const ArchiveSpec*> archives;
  for (const ArchiveSpec& archive : spec.archives) {
    const bool mine = store.archives.empty() ? !named.contains(archive.name)
                                             : std::count(store.archives.begin(),
                                                          store.archives.end(), archive.name) > 0;
    if (mine) archives.push_back(&archive);
  }
  return archives;
}

Result<Spec> ParseSpec(std::string_view text, std::string_view file) {
  TRY_ASSIGN(TomlDocument document, TomlDocument::Parse(text, file));
  TomlTable root = document.Root();
  Spec spec;
  TRY_ASSIGN(const int64_t schema, root.Integer("schema"));
  if (schema != Spec::kSchema) {
    return std::unexpected(root.ErrorAt(
        "schema", fmt::format("{} is not the schema this lre reads ({})", schema, Spec::kSchema)));
  }
  TRY_ASSIGN(const std::string prefer, root.StringOr("prefer", "first-suite"));
  if (prefer == "newest-version") {
    spec.prefer = Preference::kNewestVersion;
  } else if (prefer != "first-suite") {
    return std::unexpected(root.ErrorAt("prefer", "must be \"first-suite\" or \"newest-version\""));
  }
  TRY_ASSIGN(spec.ignore, root.Strings("ignore"));
  TRY(CheckPackages(root, "ignore", spec.ignore));
  // Unknown keys first: a misspelt "[stroe.gcc]" should not be reported as a missing role.
  for (const char* key : {"archive", "store", "toolchain"}) root.Has(key);
  TRY(root.Finish());
  TRY(ParseArchives(root, &spec));
  TRY(ParseStore(root, &spec));
  TRY(ParseToolchains(root, &spec));
  return spec;
}

Result<std::vector<std::string>> OrderRoles(
    const std::map<std::string, std::vector<std::string>>& references,
    const std::vector<std::string>& roles) {
  if (references.size() > kRolesMax) {
    return Error(Code::kInvalidArgument, "{} roles are more than {}", references.size(), kRolesMax);
  }
  std::vector<std::string> ordered;
  std::set<std::string> done;
  std::vector<std::string> trail;  // from a root to where we are: a role met again is a cycle
  const std::function<Status(const std::string&)> visit = [&](const std::string& role) -> Status {
    if (done.contains(role)) return {};
    const auto found = references.find(role);
    if (found == references.end()) return ErrorStatus(Code::kInvalidArgument, "no role {}", role);
    if (const auto first = std::find(trail.begin(), trail.end(), role); first != trail.end()) {
      return ErrorStatus(Code::kInvalidArgument, "reference cycle: {} -> {}",
                         fmt::join(first, trail.end(), " -> "), role);
    }
    trail.push_back(role);
    std::vector<std::string> needs = found->second;
    std::sort(needs.begin(), needs.end());
    for (const std::string& need : needs) TRY(visit(need));
    trail.pop_back();
    done.insert(role);
    ordered.push_back(role);
    return {};
  };
  std::vector<std::string> sorted = roles;
  std::sort(sorted.begin(), sorted.end());
  for (const std::string& role : sorted) TRY(visit(role));
  return ordered;
}

}  // namespace lre::toolchain

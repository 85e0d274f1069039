#include "toolchain/spec/spec.h"

#include <algorithm>
#include <functional>
#include <set>

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
    const bool known =
        url.starts_with("http://") || url.starts_with("https://") || url.starts_with("file://");
    if (!known) {
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
  if (!archive.keyring.empty() && !archive.keyring.starts_with('/')) {
    return std::unexpected(table.ErrorAt("keyring", "must be an absolute path"));
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

Status ParseStore(TomlTable& root, Spec* spec) {
  TRY(root.EachTable("store", [&](const std::string& role, TomlTable& table) -> Status {
    if (!IsRoleName(role)) return table.ErrorAt("", "not a role: [a-z0-9][a-z0-9.-]*");
    StoreSpec store{.role = role};
    TRY_ASSIGN(store.packages, table.RequiredStrings("packages"));
    TRY(CheckPackages(table, "packages", store.packages));
    for (const std::string& package : store.packages) {
      if (std::count(spec->ignore.begin(), spec->ignore.end(), package) == 0) continue;
      return table.ErrorAt("packages",
                           fmt::format("\"{}\" is asked for, and in ignore as well", package));
    }
    TRY_ASSIGN(store.references, table.Strings("references"));
    TRY_ASSIGN(store.archives, table.Strings("archives"));
    std::sort(store.archives.begin(), store.archives.end());
    TRY(CheckArchives(table, *spec, store.archives));
    spec->store.emplace(role, std::move(store));
    return {};
  }));
  if (spec->store.empty()) return root.ErrorAt("store", "missing");

  std::vector<std::string> roles;
  std::map<std::string, std::vector<std::string>> references;
  for (const auto& [role, store] : spec->store) {
    roles.push_back(role);
    references.emplace(role, store.references);
  }
  // Again over the tables: only now all roles are known.
  TRY(root.EachTable("store", [&](const std::string& role, TomlTable& table) -> Status {
    for (const char* key : {"packages", "references", "archives"}) table.Has(key);
    return CheckReferences(table, *spec, role, roles);
  }));
  if (const auto ordered = OrderRoles(references, roles); !ordered) {
    return root.ErrorAt("store", ordered.error().message());
  }
  return {};
}

Status ParseToolchains(TomlTable& root, Spec* spec) {
  std::vector<std::string> roles;
  for (const auto& [role, store] : spec->store) roles.push_back(role);
  TRY(root.EachTable("toolchain", [&](const std::string& name, TomlTable& table) -> Status {
    if (!IsRoleName(name)) return table.ErrorAt("", "not a toolchain's name: [a-z0-9][a-z0-9.-]*");
    ToolchainSpec toolchain{.name = name};
    TRY_ASSIGN(toolchain.paths, table.RequiredStrings("paths"));
    for (const std::string& role : toolchain.paths) {
      if (spec->store.contains(role)) continue;
      return table.ErrorAt("paths", fmt::format("no store.{}{}", role, DidYouMean(role, roles)));
    }
    spec->toolchains.emplace(name, std::move(toolchain));
    return {};
  }));
  if (spec->toolchains.empty()) return root.ErrorAt("toolchain", "missing");
  return {};
}

}  // namespace

bool IsRoleName(std::string_view name) { return IsName(name, ".-", 64); }

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

std::string ExplainSpec(const Spec& spec) {
  std::string text;
  for (const ArchiveSpec& archive : spec.archives) {
    text +=
        fmt::format("archive {}: {} ({}) from {}\n", archive.name, fmt::join(archive.suites, ", "),
                    fmt::join(archive.components, ", "),
                    archive.mirrors.empty() ? "the mirrors of this machine's apt"
                                            : fmt::format("{}", fmt::join(archive.mirrors, ", ")));
    for (const std::string& url : archive.snapshots) {
      text += fmt::format("  old versions: {}\n", url);
    }
  }
  text += spec.prefer == Preference::kFirstSuite
              ? "a package comes from the first suite that has it\n"
              : "a package comes from the suite with its highest version\n";
  for (const auto& [name, toolchain] : spec.toolchains) {
    text += fmt::format("toolchain {}: {}\n", name, fmt::join(toolchain.paths, ", "));
  }
  for (const auto& [role, store] : spec.store) {
    text +=
        fmt::format("store path {}: {} and what they need", role, fmt::join(store.packages, ", "));
    if (!store.references.empty()) {
      text += fmt::format(", without what {} holds", fmt::join(store.references, ", "));
    }
    if (!store.archives.empty()) {
      text += fmt::format(", from archive {}", fmt::join(store.archives, ", "));
    }
    text += '\n';
  }
  if (!spec.ignore.empty()) {
    text += fmt::format("never taken: {}\n", fmt::join(spec.ignore, ", "));
  }
  return text;
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

#include <algorithm>
#include <set>

#include "toolchain/lock/solver.h"

namespace lre::toolchain {
namespace {

std::vector<std::string> Sorted(std::vector<std::string> strings) {
  std::sort(strings.begin(), strings.end());
  return strings;
}

// What is under the same name in both must compare equal.
void CompareLists(const std::string& what,
                  const std::map<std::string, std::vector<std::string>>& asked,
                  const std::map<std::string, std::vector<std::string>>& locked,
                  std::vector<std::string>* lines) {
  for (const auto& [name, list] : asked) {
    const auto found = locked.find(name);
    if (found == locked.end()) {
      lines->push_back(fmt::format("{} {} is not in the lock", what, name));
    } else if (found->second != list) {
      lines->push_back(fmt::format("{} {} is [{}] in the request and [{}] in the lock", what, name,
                                   fmt::join(list, ", "), fmt::join(found->second, ", ")));
    }
  }
  for (const auto& [name, list] : locked) {
    if (!asked.contains(name)) {
      lines->push_back(fmt::format("{} {} is not in the request", what, name));
    }
  }
}

bool Holds(const Lock& lock, const std::string& role, const std::string& package) {
  const auto path = lock.paths.find(role);
  if (path == lock.paths.end()) return false;
  const auto& packages = path->second.packages;
  if (std::any_of(packages.begin(), packages.end(), [&](const std::string& locked) {
        const std::string plain = WithoutArchitecture(locked);
        return std::string_view(plain).substr(0, plain.find('@')) == package;
      })) {
    return true;
  }
  const auto& references = path->second.references;
  return std::any_of(references.begin(), references.end(),
                     [&](const std::string& reference) { return Holds(lock, reference, package); });
}

// Whether all but packages and references is the same. A hash that the request leaves to `lre lock`
// is not compared.
bool Fits(const std::string& name, const StoreSpec& store, const LockedPath& path) {
  const auto same = [](const Extra& asked, Extra locked) {
    locked.keys = asked.keys;  // what is locked needs no signature
    if (asked.closure.empty()) locked.closure.clear();
    if (asked.sha256.empty()) locked.sha256.clear();
    return asked == locked;
  };
  const std::string& role = store.role.empty() ? name : store.role;
  return role == path.role && store.system == path.system && Sorted(store.drop) == path.drop &&
         std::equal(store.extras.begin(), store.extras.end(), path.extras.begin(),
                    path.extras.end(), same);
}

}  // namespace

std::vector<std::string> Disagreements(const Spec& spec, const Lock& lock) {
  std::vector<std::string> lines;
  std::map<std::string, std::vector<std::string>> asked, locked;
  for (const auto& [name, toolchain] : spec.toolchains) asked[name] = Sorted(toolchain.paths);
  for (const auto& [name, toolchain] : lock.toolchains) locked[name] = toolchain.paths;
  CompareLists("toolchain", asked, locked, &lines);
  for (const auto& [name, toolchain] : spec.toolchains) {
    const auto found = lock.toolchains.find(name);
    if (found == lock.toolchains.end() || found->second.settings == toolchain.settings) continue;
    lines.push_back(fmt::format("toolchain {} has other settings in the lock", name));
  }

  asked.clear();
  locked.clear();
  for (const auto& [role, store] : spec.store) asked[role] = Sorted(store.references);
  for (const auto& [role, path] : lock.paths) locked[role] = path.references;
  CompareLists("references of store path", asked, locked, &lines);

  for (const auto& [name, store] : spec.store) {
    const auto path = lock.paths.find(name);
    if (path == lock.paths.end() || Fits(name, store, path->second)) continue;
    lines.push_back(fmt::format(
        "store path {} has another role, or adds or drops other files, in the lock", name));
  }
  for (const auto& [role, store] : spec.store) {
    for (const std::string& package : store.packages) {
      if (!lock.paths.contains(role) || Holds(lock, role, package)) continue;
      lines.push_back(fmt::format("store path {} lacks package {}", role, package));
    }
  }
  for (const std::string& package : spec.ignore) {
    if (!lock.packages.contains(package)) continue;
    lines.push_back(fmt::format("package {} is in the lock and ignored in the request", package));
  }
  return lines;
}

std::vector<LockChange> CompareLocks(const Lock& before, const Lock& after) {
  std::vector<LockChange> changes;
  std::set<std::string> names;
  for (const auto& [name, package] : before.packages) names.insert(name);
  for (const auto& [name, package] : after.packages) names.insert(name);
  for (const std::string& name : names) {
    LockChange change{.package = name};
    if (const auto old = before.packages.find(name); old != before.packages.end()) {
      change.before = old->second.version;
    }
    if (const auto now = after.packages.find(name); now != after.packages.end()) {
      change.after = now->second.version;
      change.suite = now->second.suite;
    }
    if (change.before != change.after) changes.push_back(std::move(change));
  }
  return changes;
}

}  // namespace lre::toolchain

#include "toolchain/spec/extend.h"

#include <algorithm>
#include <set>

#include "toolchain/spec/toml_reader.h"

namespace lre::toolchain {
namespace {

template <typename T>
std::vector<std::string> Names(const std::map<std::string, T>& map) {
  std::vector<std::string> names;
  for (const auto& [name, value] : map) names.push_back(name);
  return names;
}

void Append(std::vector<std::string>& to, const std::vector<std::string>& from) {
  for (const std::string& text : from)
    if (std::count(to.begin(), to.end(), text) == 0) to.push_back(text);
}

// The names from one that extends to the last that is extended: first the latter.
template <typename Written, typename ExtendsOf>
Result<std::vector<std::string>> Chain(const std::map<std::string, Written>& written,
                                       const std::string& name, std::string_view what,
                                       ExtendsOf extends_of) {
  std::vector<std::string> chain = {name};
  while (!extends_of(written.at(chain.back())).empty()) {
    const std::string& next = extends_of(written.at(chain.back()));
    if (!written.contains(next)) {
      return Error(Code::kInvalidArgument, "{}.{} extends {}, which is not there{}", what,
                   chain.back(), next, DidYouMean(next, Names(written)));
    }
    if (std::count(chain.begin(), chain.end(), next) > 0) {
      return Error(Code::kInvalidArgument, "{}.{} extends itself: {} -> {}", what, name,
                   fmt::join(chain, " -> "), next);
    }
    chain.push_back(next);
  }
  std::reverse(chain.begin(), chain.end());
  return chain;
}

Status RemoveFrom(StoreSpec& store, const WrittenStore& written) {
  for (const std::string& name : written.remove) {
    const size_t gone =
        std::erase(store.packages, name) +
        std::erase_if(store.extras, [&](const Extra& extra) { return extra.name == name; });
    if (gone == 0) {
      return ErrorStatus(Code::kInvalidArgument, "store.{} removes {}, which {} does not have",
                         written.spec.name, name, written.extends);
    }
  }
  return {};
}

Status AddTo(StoreSpec& store, const WrittenStore& written) {
  const StoreSpec& own = written.spec;
  store.name = store.label = own.name;
  if (!own.role.empty()) {
    store.role = own.role;
  } else if (written.extends.empty()) {
    store.role = own.name;
  }
  TRY(RemoveFrom(store, written));
  Append(store.packages, own.packages);
  Append(store.drop, own.drop);
  if (written.has_references) store.references = own.references;
  if (written.has_archives) store.archives = own.archives;
  for (const Extra& extra : own.extras) {
    std::erase_if(store.extras, [&](const Extra& old) { return old.name == extra.name; });
    store.extras.push_back(extra);
  }
  std::sort(store.extras.begin(), store.extras.end(),
            [](const Extra& a, const Extra& b) { return a.name < b.name; });
  return {};
}

void AddSettings(ToolchainSettings& to, const ToolchainSettings& from) {
  to.extends = from.extends;
  if (!from.system.empty()) to.system = from.system;
  if (!from.target.empty()) to.target = from.target;
  for (auto list :
       {&ToolchainSettings::libraries, &ToolchainSettings::tools,
        &ToolchainSettings::exec_compatible_with, &ToolchainSettings::target_compatible_with}) {
    Append(to.*list, from.*list);
  }
  // Flags may come in pairs, so one that is there already is not left out.
  for (auto list : {&ToolchainSettings::compile_flags, &ToolchainSettings::cxx_flags,
                    &ToolchainSettings::link_flags, &ToolchainSettings::link_libs}) {
    (to.*list).insert((to.*list).end(), (from.*list).begin(), (from.*list).end());
  }
  for (const auto& [name, value] : from.env) to.env[name] = value;
}

// The roles that "{role}" in `text` names.
std::vector<std::string> Placeholders(const std::string& text) {
  std::vector<std::string> roles;
  for (size_t at = text.find('{'); at != text.npos; at = text.find('{', at + 1)) {
    const size_t end = text.find('}', at);
    if (end == text.npos) break;
    roles.push_back(text.substr(at + 1, end - at - 1));
  }
  return roles;
}

// One toolchain: its paths by role, and the variants that it needs.
class ToolchainExtender {
 public:
  ToolchainExtender(Spec* spec, std::map<std::string, std::string>* variants)
      : spec_(spec), variants_(variants) {}

  Status Add(const WrittenToolchain& written) {
    toolchain_.name = written.spec.name;
    for (const std::string& role : written.remove) {
      if (by_role_.erase(role) > 0) continue;
      return ErrorStatus(Code::kInvalidArgument, "toolchain.{} removes role {}, which {} lacks{}",
                         toolchain_.name, role, written.spec.settings.extends,
                         DidYouMean(role, Names(by_role_)));
    }
    std::set<std::string> here;
    for (const std::string& name : written.spec.paths) {
      const auto store = spec_->store.find(name);
      if (store == spec_->store.end()) {
        return ErrorStatus(Code::kInvalidArgument, "toolchain.{}: no store.{}{}", toolchain_.name,
                           name, DidYouMean(name, Names(spec_->store)));
      }
      if (!here.insert(store->second.role).second) {
        return ErrorStatus(Code::kInvalidArgument, "toolchain.{}: {} has role {}, as another has",
                           toolchain_.name, name, store->second.role);
      }
      by_role_[store->second.role] = name;
    }
    AddSettings(toolchain_.settings, written.spec.settings);
    return {};
  }

  Result<ToolchainSpec> Finish() {
    TRY(CheckRoles());
    for (const auto& [role, name] : by_role_) {
      TRY_ASSIGN(std::string concrete, Concrete(name));
      const std::string& system =
          IsLinkedWith(role) ? toolchain_.settings.target : toolchain_.settings.system;
      if (!system.empty()) {
        TRY_ASSIGN(concrete, ForSystem(concrete, system));
      }
      toolchain_.paths.push_back(std::move(concrete));
    }
    return std::move(toolchain_);
  }

 private:
  Status CheckRoles() const {
    const ToolchainSettings& settings = toolchain_.settings;
    std::vector<std::string> named = settings.libraries;
    for (const auto* flags : {&settings.compile_flags, &settings.cxx_flags, &settings.link_flags,
                              &settings.link_libs}) {
      for (const std::string& flag : *flags) Append(named, Placeholders(flag));
    }
    for (const auto& [name, value] : settings.env) Append(named, Placeholders(value));
    for (const std::string& role : named) {
      if (by_role_.contains(role)) continue;
      return ErrorStatus(Code::kInvalidArgument, "toolchain.{} has no path with role {}{}",
                         toolchain_.name, role, DidYouMean(role, Names(by_role_)));
    }
    return {};
  }

  // Whether it is for the programs that a compiler for another system makes.
  bool IsLinkedWith(const std::string& role) const {
    if (toolchain_.settings.target.empty()) return false;
    const std::vector<std::string>& libraries = toolchain_.settings.libraries;
    return role == "libc" || role == "sysroot" || role == "libcxx" ||
           std::count(libraries.begin(), libraries.end(), role) > 0;
  }

  // The same path made of the packages of `system`.
  Result<std::string> ForSystem(const std::string& name, const std::string& system) {
    StoreSpec copy = spec_->store.at(name);
    if (copy.system == system) return name;
    copy.name = name + "." + SystemSuffix(system);
    copy.system = system;
    if (const auto there = spec_->store.find(copy.name); there != spec_->store.end()) {
      if (there->second.system == system) return copy.name;
      return Error(Code::kInvalidArgument,
                   "toolchain.{} needs a path of its own named {}, which is there", toolchain_.name,
                   copy.name);
    }
    if (!IsRoleName(copy.name)) {
      return Error(Code::kInvalidArgument, "toolchain.{}: {} is too long for a path's name",
                   toolchain_.name, copy.name);
    }
    for (std::string& reference : copy.references) {
      TRY_ASSIGN(reference, ForSystem(reference, system));
    }
    const std::string copied = copy.name;
    spec_->store.emplace(copied, std::move(copy));
    return copied;
  }

  // The path `name` as this toolchain needs it: itself, or one with other references.
  Result<std::string> Concrete(const std::string& name) {
    if (const auto known = concrete_.find(name); known != concrete_.end()) return known->second;
    if (!open_.insert(name).second) {
      return Error(Code::kInvalidArgument, "toolchain.{}: {} references itself", toolchain_.name,
                   name);
    }
    StoreSpec variant = spec_->store.at(name);
    const std::vector<std::string> before = variant.references;
    for (std::string& reference : variant.references) {
      const auto mine = by_role_.find(spec_->store.at(reference).role);
      // What extends a path by referencing it means that one, not itself.
      const bool replaced = mine != by_role_.end() && mine->second != name;
      TRY_ASSIGN(reference, Concrete(replaced ? mine->second : reference));
    }
    open_.erase(name);
    std::string concrete = name;
    if (variant.references != before) {
      TRY_ASSIGN(concrete, AddVariant(std::move(variant)));
    }
    return concrete_[name] = concrete;
  }

  Result<std::string> AddVariant(StoreSpec variant) {
    const std::string identity =
        fmt::format("{} {}", variant.name, fmt::join(variant.references, " "));
    if (const auto same = variants_->find(identity); same != variants_->end()) return same->second;
    variant.name += "." + toolchain_.name;
    if (!IsRoleName(variant.name) || spec_->store.contains(variant.name)) {
      return Error(Code::kInvalidArgument,
                   "toolchain.{} needs a path of its own named {}, which {}", toolchain_.name,
                   variant.name, spec_->store.contains(variant.name) ? "is there" : "is too long");
    }
    const std::string name = variant.name;
    spec_->store.emplace(name, std::move(variant));
    return (*variants_)[identity] = name;
  }

  Spec* const spec_;
  std::map<std::string, std::string>* const variants_;  // "<name> <references>" -> its name
  ToolchainSpec toolchain_;
  std::map<std::string, std::string> by_role_;   // -> name of a path, as written
  std::map<std::string, std::string> concrete_;  // as written -> as needed
  std::set<std::string> open_;                   // being made concrete: met again, a circle
};

}  // namespace

Result<std::map<std::string, StoreSpec>> ExtendStores(
    const std::map<std::string, WrittenStore>& written) {
  std::map<std::string, StoreSpec> stores;
  for (const auto& [name, store] : written) {
    TRY_ASSIGN(const std::vector<std::string> chain,
               Chain(written, name, "store",
                     [](const WrittenStore& w) -> const std::string& { return w.extends; }));
    StoreSpec whole;
    for (const std::string& each : chain) TRY(AddTo(whole, written.at(each)));
    stores.emplace(name, std::move(whole));
  }
  return stores;
}

Status ExtendToolchains(const std::map<std::string, WrittenToolchain>& written, Spec* spec) {
  std::map<std::string, std::string> variants;
  for (const auto& [name, toolchain] : written) {
    TRY_ASSIGN(
        const std::vector<std::string> chain,
        Chain(written, name, "toolchain", [](const WrittenToolchain& w) -> const std::string& {
          return w.spec.settings.extends;
        }));
    ToolchainExtender extender(spec, &variants);
    for (const std::string& each : chain) TRY(extender.Add(written.at(each)));
    TRY_ASSIGN(ToolchainSpec whole, extender.Finish());
    spec->toolchains.emplace(name, std::move(whole));
  }
  return {};
}

}  // namespace lre::toolchain

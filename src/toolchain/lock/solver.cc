// The union of all requests is one libsolv job list; libsolv decides which version of which
// package. The closure of each role is then walked over that decision, so that every edge that the
// lock records is one that a package declares, and an ignored package cuts what only it needs.
#include "toolchain/lock/solver.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <memory>
#include <optional>
#include <set>

// libsolv's Solvable has a member named like a keyword of C++20. It is not used by name here.
#define requires solvable_requires
extern "C" {
#include <solv/bitmap.h>
#include <solv/knownid.h>
#include <solv/pool.h>
#include <solv/poolarch.h>
#include <solv/queue.h>
#include <solv/repo.h>
#include <solv/repo_deb.h>
#include <solv/solvable.h>
#include <solv/solver.h>
#include <solv/transaction.h>
}
#undef requires

#include "base/late_library.h"
#include "toolchain/lock/control_file.h"
#include "toolchain/spec/toml_reader.h"

namespace lre::toolchain {
namespace {

constexpr int kProblemsShownMax = 5;

class SolvQueue {
 public:
  SolvQueue() { queue_init(&queue_); }
  SolvQueue(const SolvQueue&) = delete;
  SolvQueue& operator=(const SolvQueue&) = delete;
  ~SolvQueue() { queue_free(&queue_); }
  Queue* get() { return &queue_; }
  void Add(Id a, Id b) { queue_push2(&queue_, a, b); }
  std::vector<Id> Ids() const {
    if (queue_.count == 0) return {};
    return {queue_.elements, queue_.elements + queue_.count};
  }

 private:
  Queue queue_;
};

struct PoolDeleter {
  void operator()(Pool* pool) const {
    pool->considered = nullptr;  // ours, see SolverPool::considered_
    pool_free(pool);
  }
};
struct SolverDeleter {
  void operator()(Solver* solver) const { solver_free(solver); }
};
struct TransactionDeleter {
  void operator()(Transaction* transaction) const { transaction_free(transaction); }
};

// A pool with all indices, and what was decided over it.
class SolverPool {
 public:
  explicit SolverPool(std::string architecture) : architecture_(std::move(architecture)) {
    pool_.reset(pool_create());
    pool_setdisttype(pool_.get(), DISTTYPE_DEB);
    pool_setarch(pool_.get(), architecture_.c_str());
    map_init(&considered_, 0);
  }
  ~SolverPool() {
    pool_.reset();
    map_free(&considered_);
  }

  Status Load(const SuiteIndex& index, int priority);
  // Restricts packages to these versions, by name, as far as the indices have them.
  void Keep(const std::map<std::string, std::string>& versions);
  Status Decide(const std::set<std::string>& requested);

  // Packages of the decision that satisfy the dependencies of `package`, by name. Of a dependency
  // that one of `ignored` would do for, none: nothing else is meant to take its place.
  std::vector<std::string> Depends(const std::string& package,
                                   const std::vector<std::string>& ignored) const;
  // The decision without what only the index text has: hash, size, path.
  std::map<std::string, LockedPackage> Chosen() const;

 private:
  Solvable* At(Id id) const { return pool_id2solvable(pool_.get(), id); }
  std::string Name(Id id) const { return pool_id2str(pool_.get(), At(id)->name); }
  std::optional<std::string> Satisfier(Id dependency) const;
  bool Names(Id dependency, const std::vector<std::string>& packages) const;
  Status CheckNames(const std::set<std::string>& requested) const;
  bool IsKept(const std::map<std::string, std::string>& versions, Id id) const;

  const std::string architecture_;
  std::unique_ptr<Pool, PoolDeleter> pool_;
  Map considered_;
  std::map<Repo*, std::string> suites_;
  std::map<std::string, Id> chosen_;
};

Status SolverPool::Load(const SuiteIndex& index, int priority) {
  Repo* repo = repo_create(pool_.get(), index.suite.c_str());
  repo->priority = priority;
  suites_[repo] = index.suite;
  if (index.packages.empty()) return {};
  // Only `lre lock` reads indices, and the library brings in all that reads rpm's.
  decltype(&::repo_add_debpackages) add_packages = nullptr;
  TRY(LoadLate("libsolvext.so.1", "repo_add_debpackages", add_packages));
  FILE* file = fmemopen(const_cast<char*>(index.packages.data()), index.packages.size(), "r");
  if (file == nullptr) return ErrnoStatus(errno, "fmemopen of the index of " + index.suite);
  const int failed = add_packages(repo, file, 0);
  (void)fclose(file);
  if (failed != 0) {
    return ErrorStatus(Code::kDataLoss, "index of {}: {}", index.suite, pool_errstr(pool_.get()));
  }
  return {};
}

bool SolverPool::IsKept(const std::map<std::string, std::string>& versions, Id id) const {
  const auto locked = versions.find(Name(id));
  return locked != versions.end() && locked->second == pool_id2str(pool_.get(), At(id)->evr);
}

void SolverPool::Keep(const std::map<std::string, std::string>& versions) {
  Pool* pool = pool_.get();
  std::set<std::string> kept;  // whose locked version the indices still have
  Id id;
  FOR_POOL_SOLVABLES(id) {
    if (IsKept(versions, id)) kept.insert(Name(id));
  }
  map_grow(&considered_, pool->nsolvables);
  map_setall(&considered_);
  FOR_POOL_SOLVABLES(id) {
    if (kept.contains(Name(id)) && !IsKept(versions, id)) MAPCLR(&considered_, id);
  }
  pool->considered = &considered_;
}

Status SolverPool::CheckNames(const std::set<std::string>& requested) const {
  std::set<std::string> unknown = requested;
  Pool* pool = pool_.get();
  std::vector<std::string> known;
  Id id;
  FOR_POOL_SOLVABLES(id) {
    unknown.erase(Name(id));
    known.push_back(Name(id));
  }
  if (unknown.empty()) return {};
  return ErrorStatus(Code::kNotFound, "no suite has a package {}{}", *unknown.begin(),
                     DidYouMean(*unknown.begin(), known));
}

Status SolverPool::Decide(const std::set<std::string>& requested) {
  TRY(CheckNames(requested));
  pool_createwhatprovides(pool_.get());
  SolvQueue jobs;
  for (const std::string& name : requested) {
    jobs.Add(SOLVER_INSTALL | SOLVER_SOLVABLE_NAME, pool_str2id(pool_.get(), name.c_str(), 1));
  }
  std::unique_ptr<Solver, SolverDeleter> solver(solver_create(pool_.get()));
  solver_set_flag(solver.get(), SOLVER_FLAG_IGNORE_RECOMMENDED, 1);
  if (const int problems = solver_solve(solver.get(), jobs.get()); problems > 0) {
    std::string reasons;
    for (Id problem = 1; problem <= std::min(problems, kProblemsShownMax); ++problem) {
      reasons += (reasons.empty() ? "" : "; ");
      reasons += solver_problem2str(solver.get(), problem);
    }
    return ErrorStatus(Code::kFailedPrecondition, "the requested packages do not fit together: {}",
                       reasons);
  }
  std::unique_ptr<Transaction, TransactionDeleter> transaction(
      solver_create_transaction(solver.get()));
  SolvQueue installed;
  transaction_installedresult(transaction.get(), installed.get());
  for (const Id id : installed.Ids()) {
    if (id > 0) chosen_[Name(id)] = id;
  }
  return {};
}

// The chosen package that satisfies `dependency`: of "a | b" the first alternative that one does;
// of several the one of that very name, else the first by name.
std::optional<std::string> SolverPool::Satisfier(Id dependency) const {
  Pool* pool = pool_.get();
  Id name = dependency;
  while (ISRELDEP(name)) {
    const Reldep* relation = GETRELDEP(pool, name);
    if (relation->flags == REL_OR) {
      if (auto first = Satisfier(relation->name)) return first;
      return Satisfier(relation->evr);
    }
    name = relation->name;
  }
  std::set<std::string> satisfiers;
  Id provider;
  Id offset;
  FOR_PROVIDES(provider, offset, dependency) {
    const auto chosen = chosen_.find(Name(provider));
    if (chosen != chosen_.end() && chosen->second == provider) satisfiers.insert(chosen->first);
  }
  if (satisfiers.empty()) return std::nullopt;
  const std::string exact = pool_id2str(pool, name);
  return satisfiers.contains(exact) ? exact : *satisfiers.begin();
}

// Whether an alternative of `dependency` is the name of one of `packages`.
bool SolverPool::Names(Id dependency, const std::vector<std::string>& packages) const {
  while (ISRELDEP(dependency)) {
    const Reldep* relation = GETRELDEP(pool_.get(), dependency);
    if (relation->flags == REL_OR && Names(relation->evr, packages)) return true;
    dependency = relation->name;
  }
  const std::string name = pool_id2str(pool_.get(), dependency);
  return std::find(packages.begin(), packages.end(), name) != packages.end();
}

std::vector<std::string> SolverPool::Depends(const std::string& package,
                                             const std::vector<std::string>& ignored) const {
  SolvQueue requires_queue;
  solvable_lookup_idarray(At(chosen_.at(package)), SOLVABLE_REQUIRES, requires_queue.get());
  std::set<std::string> depends;
  for (const Id dependency : requires_queue.Ids()) {
    if (dependency == SOLVABLE_PREREQMARKER || Names(dependency, ignored)) continue;
    if (auto name = Satisfier(dependency); name && *name != package) depends.insert(*name);
  }
  return {depends.begin(), depends.end()};
}

std::map<std::string, LockedPackage> SolverPool::Chosen() const {
  std::map<std::string, LockedPackage> packages;
  for (const auto& [name, id] : chosen_) {
    const Solvable* solvable = At(id);
    LockedPackage& package = packages[name];
    package.name = name;
    package.version = pool_id2str(pool_.get(), solvable->evr);
    package.architecture = pool_id2str(pool_.get(), solvable->arch);
    package.suite = suites_.at(solvable->repo);
  }
  return packages;
}

// libsolv reads neither Size nor SHA256: these come from the text.
Status ReadFileFields(const ControlParagraph& paragraph, LockedPackage* package) {
  const std::string size = paragraph.Field("Size").value_or("");
  package->sha256 = paragraph.Field("SHA256").value_or("");
  package->path = paragraph.Field("Filename").value_or("");
  const auto [end, error] =
      std::from_chars(size.data(), size.data() + size.size(), package->size_bytes);
  if (error != std::errc() || package->sha256.empty() || package->path.empty()) {
    return ErrorStatus(Code::kDataLoss, "index of {}: {} has no Filename, Size or SHA256",
                       package->suite, package->name);
  }
  if (package->path.starts_with("./")) package->path.erase(0, 2);
  return {};
}

Status ReadAllFileFields(const std::vector<const SuiteIndex*>& indices,
                         std::map<std::string, LockedPackage>* packages) {
  for (const SuiteIndex* index : indices) {
    std::string_view rest = index->packages;
    while (const auto paragraph = NextParagraph(&rest)) {
      const auto name = paragraph->Field("Package");
      const auto found = name ? packages->find(*name) : packages->end();
      if (found == packages->end()) continue;
      LockedPackage& package = found->second;
      if (package.suite != index->suite || !package.sha256.empty() ||
          paragraph->Field("Version") != package.version ||
          paragraph->Field("Architecture") != package.architecture) {
        continue;
      }
      TRY(ReadFileFields(*paragraph, &package));
    }
  }
  return {};
}

// The packages of one role: everything reachable from what it asks for, without what is ignored or
// held.
std::set<std::string> Closure(const SolverPool& pool, const StoreSpec& store,
                              const std::vector<std::string>& ignored,
                              const std::set<std::string>& without) {
  std::set<std::string> closure;
  std::vector<std::string> open = store.packages;
  while (!open.empty()) {
    const std::string name = std::move(open.back());
    open.pop_back();
    if (without.contains(name) || !closure.insert(name).second) continue;
    for (std::string& next : pool.Depends(name, ignored)) open.push_back(std::move(next));
  }
  return closure;
}

// What `name` and its references hold, transitively. A path that takes its packages from other
// archives holds other packages: of these only what was asked for there stands in for what would be
// taken here (the newer binutils for the older), and not the libraries it came with.
void AddHeld(const Spec& spec, const Lock& lock, const std::string& name,
             std::set<std::string>* held) {
  if (const auto path = lock.paths.find(name); path != lock.paths.end()) {
    held->insert(path->second.packages.begin(), path->second.packages.end());
  } else {
    const StoreSpec& other = spec.store.at(name);
    held->insert(other.packages.begin(), other.packages.end());
  }
  for (const std::string& reference : spec.store.at(name).references) {
    AddHeld(spec, lock, reference, held);
  }
}

// Roles that take their packages from the same archives, for one system; they are solved together.
// Names of packages are those of the archives here, and those of the lock only in the lock.
class RoleGroup {
 public:
  RoleGroup(const Spec& spec, const StoreSpec& any, const std::string& system)
      : spec_(spec), system_(any.system.empty() ? system : any.system) {
    if (system_ != system) mark_ = ":" + DebianArchitecture(system_).value_or("");
    for (const ArchiveSpec* archive : ArchivesOf(spec, any))
      suites_.insert(archive->suites.begin(), archive->suites.end());
    own_archives_ = !any.archives.empty();
  }
  void Add(const std::string& name, const StoreSpec& store) {
    names_.insert(name);
    requested_.insert(store.packages.begin(), store.packages.end());
  }

  Status Solve(const std::vector<SuiteIndex>& indices, const SolveOptions& options,
               Lock* lock) const;

 private:
  // "libc6" of "libc6@trixie" or "libc6:arm64", when that is a name of this group in a lock.
  std::optional<std::string> OwnName(const std::string& locked) const {
    const size_t at = locked.find('@');
    if ((at != locked.npos) != own_archives_) return std::nullopt;
    if (own_archives_ && !suites_.contains(locked.substr(at + 1))) return std::nullopt;
    const std::string name = locked.substr(0, at);
    const size_t colon = std::min(name.find(':'), name.size());
    if (name.substr(colon) != mark_) return std::nullopt;
    return name.substr(0, colon);
  }
  std::string LockedName(const LockedPackage& package) const {
    return package.name + mark_ + (own_archives_ ? "@" + package.suite : "");
  }
  std::map<std::string, std::string> KeptVersions(const SolveOptions& options) const;
  Status FillPaths(const SolverPool& pool, Lock* lock) const;

  const Spec& spec_;
  const std::string system_;
  std::string mark_;  // ":arm64", in names of the lock; empty for the lock's own system
  std::set<std::string> suites_;
  bool own_archives_ = false;
  std::set<std::string> names_, requested_;  // of paths, of packages
};

std::map<std::string, std::string> RoleGroup::KeptVersions(const SolveOptions& options) const {
  std::map<std::string, std::string> versions;
  const std::set<std::string> changing(options.update.begin(), options.update.end());
  for (const auto& [name, package] : options.previous->packages) {
    const auto own = OwnName(name);
    if (own && !changing.contains(name) && !changing.contains(WithoutArchitecture(name)))
      versions.emplace(*own, package.version);
  }
  return versions;
}

Status RoleGroup::FillPaths(const SolverPool& pool, Lock* lock) const {
  std::map<std::string, std::vector<std::string>> references;
  for (const std::string& name : names_) {
    references.emplace(name, spec_.store.at(name).references);
    std::erase_if(references[name],
                  [&](const std::string& other) { return !names_.contains(other); });
  }
  TRY_ASSIGN(const std::vector<std::string> ordered,
             OrderRoles(references, {names_.begin(), names_.end()}));
  for (const std::string& name : ordered) {
    const StoreSpec& store = spec_.store.at(name);
    std::set<std::string> without(spec_.ignore.begin(), spec_.ignore.end());
    for (const std::string& reference : store.references) {
      AddHeld(spec_, *lock, reference, &without);
    }
    const std::set<std::string> packages = Closure(pool, store, spec_.ignore, without);
    LockedPath path{.role = store.role.empty() ? name : store.role,
                    .references = store.references,
                    .label = store.label == name ? "" : store.label,
                    .extras = store.extras,
                    .drop = store.drop,
                    .system = store.system};
    path.packages.assign(packages.begin(), packages.end());
    std::sort(path.references.begin(), path.references.end());
    std::sort(path.drop.begin(), path.drop.end());
    lock->paths.emplace(name, std::move(path));
  }
  return {};
}

Status RoleGroup::Solve(const std::vector<SuiteIndex>& indices, const SolveOptions& options,
                        Lock* lock) const {
  TRY_ASSIGN(std::string architecture, DebianArchitecture(system_));
  SolverPool pool(std::move(architecture));
  std::vector<const SuiteIndex*> mine;
  for (const SuiteIndex& index : indices) {
    if (suites_.contains(index.suite) &&
        (index.system.empty() ? options.system : index.system) == system_)
      mine.push_back(&index);
  }
  int priority = static_cast<int>(mine.size());
  for (const SuiteIndex* index : mine) {
    TRY(pool.Load(*index, spec_.prefer == Preference::kFirstSuite ? priority-- : 0));
  }
  if (options.previous != nullptr) pool.Keep(KeptVersions(options));
  TRY(pool.Decide(requested_));

  Lock own;
  TRY(FillPaths(pool, &own));
  const std::map<std::string, LockedPackage> chosen = pool.Chosen();
  for (const auto& [role, path] : own.paths) {
    for (const std::string& name : path.packages) own.packages[name] = chosen.at(name);
  }
  TRY(ReadAllFileFields(mine, &own.packages));
  for (auto& [role, path] : own.paths) {
    for (std::string& name : path.packages) name = LockedName(chosen.at(name));
    std::sort(path.packages.begin(), path.packages.end());
    lock->paths.emplace(role, std::move(path));
  }
  for (auto& [name, package] : own.packages) {
    for (const std::string& depends : pool.Depends(name, spec_.ignore)) {
      if (own.packages.contains(depends)) package.depends.push_back(LockedName(chosen.at(depends)));
    }
    std::sort(package.depends.begin(), package.depends.end());
    const std::string locked = LockedName(package);
    package.name = locked;
    lock->packages.emplace(locked, std::move(package));
  }
  return {};
}

Status CheckUpdate(const SolveOptions& options) {
  for (const std::string& name : options.update) {
    if (options.previous == nullptr || options.previous->packages.contains(name)) continue;
    std::vector<std::string> known;
    for (const auto& [locked, package] : options.previous->packages) known.push_back(locked);
    return ErrorStatus(Code::kInvalidArgument, "cannot update {}: it is not in the lock{}", name,
                       DidYouMean(name, known));
  }
  return {};
}

}  // namespace

std::vector<std::string> SystemsOf(const Spec& spec, const std::string& system) {
  std::set<std::string> others;
  for (const auto& [name, store] : spec.store) {
    if (!store.system.empty() && store.system != system) others.insert(store.system);
  }
  std::vector<std::string> systems = {system};
  systems.insert(systems.end(), others.begin(), others.end());
  return systems;
}

Result<std::string> DebianArchitecture(std::string_view system) {
  if (system == "x86_64-linux") return "amd64";
  if (system == "aarch64-linux") return "arm64";
  return Error(Code::kInvalidArgument, "system {} is none of x86_64-linux, aarch64-linux", system);
}

Result<Lock> Solve(const Spec& spec, const std::vector<SuiteIndex>& indices,
                   const SolveOptions& options) {
  TRY(DebianArchitecture(options.system));
  TRY(CheckUpdate(options));
  // By the system they are for and the archives they name.
  std::map<std::pair<std::string, std::vector<std::string>>, RoleGroup> groups;
  for (const auto& [name, store] : spec.store) {
    const std::string other = store.system == options.system ? "" : store.system;
    groups.try_emplace(std::pair(other, store.archives), spec, store, options.system)
        .first->second.Add(name, store);
  }
  Lock lock{.system = options.system};
  if (!spec.archives.empty()) lock.distribution = spec.archives.front().Distribution();
  for (const auto& [which, group] : groups) TRY(group.Solve(indices, options, &lock));
  for (const auto& [name, toolchain] : spec.toolchains) {
    LockedToolchain locked{.paths = toolchain.paths, .settings = toolchain.settings};
    std::sort(locked.paths.begin(), locked.paths.end());
    lock.toolchains.emplace(name, std::move(locked));
  }
  return lock;
}

}  // namespace lre::toolchain

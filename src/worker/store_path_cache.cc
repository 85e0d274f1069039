// A path in use has an entry with a shared lock on the path, which keeps other processes (`lre
// store gc`, another worker) from removing it. The lock is taken before looking whether the path is
// there, so what was seen stays. Holds keep their entry; a path that was found damaged loses its
// entry, so that the next use looks again.
#include "worker/store_path_cache.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <tuple>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/thread_group.h"

namespace lre::worker {
namespace {

using toolchain::StorePath;
using toolchain::ToolchainStore;

constexpr size_t kKnownMax = 1000;
constexpr size_t kAdmittedMax = 10'000;

class FetchingStorePathCache final : public StorePathCache {
 public:
  FetchingStorePathCache(store::BlobStore& cas, ReadActionResult read,
                         StorePathCacheOptions options)
      : cas_(cas),
        read_(std::move(read)),
        options_(std::move(options)),
        metrics_(options_.metrics != nullptr ? *options_.metrics : own_metrics_),
        fetched_(metrics_.AddCounter("lre_worker_store_paths_fetched_total",
                                     "Toolchain store paths fetched from the CAS")),
        fetched_bytes_(metrics_.AddCounter("lre_worker_store_path_bytes_fetched_total",
                                           "Bytes of the store paths fetched")),
        evicted_(metrics_.AddCounter("lre_worker_store_paths_evicted_total",
                                     "Fetched store paths removed for others")),
        damaged_(metrics_.AddCounter("lre_worker_store_paths_damaged_total",
                                     "Store paths whose files had changed")) {
    if (options_.check_interval > Duration(0))
      threads_.Add("store-check", [this](std::stop_token stop) { RunChecks(stop); });
  }
  ~FetchingStorePathCache() override { threads_.Stop(); }

  Result<StoreClosure> Closure(const std::vector<std::string>& paths,
                               const std::string& user) override {
    return ClosureFor({}, paths, user);
  }

  Result<StoreClosure> ClosureFor(const StorePathTenant& tenant,
                                  const std::vector<std::string>& paths,
                                  const std::string& user) override {
    TRY(OpenStore(paths));
    auto hold = std::make_shared<Hold>(*this);
    std::set<std::string> seen(paths.begin(), paths.end());
    std::vector<std::string> queue(seen.begin(), seen.end());
    StoreClosure closure{.paths = {}, .hold = hold};
    for (size_t i = 0; i < queue.size(); ++i) {
      TRY_ASSIGN(std::shared_ptr<Entry> entry, Find(queue[i], tenant, {user, hold}));
      hold->entries.push_back(entry);
      TRY(CheckOwner(entry->known, tenant));
      closure.paths.push_back({queue[i], entry->known.record.tree});
      for (const std::string& reference : entry->known.record.references)
        if (seen.insert(reference).second) queue.push_back(reference);
    }
    return closure;
  }

  std::vector<std::string> Verified() override {
    std::vector<std::string> paths;
    std::lock_guard lock(mutex_);
    // What was evicted, by this process or another, is no longer there.
    for (const auto& [path, slot] : slots_)
      if (slot.known && store_->Contains(path)) paths.push_back(path);
    return paths;
  }

  Result<std::vector<DamagedPath>> Check() override { return CheckAll({}); }

 private:
  // What was read of a path; true as long as it is the same folder.
  struct Known {
    StorePath record;
    bool fetched = false;
    store::Partition owner = 0;  // the tenant that it came from
    std::pair<dev_t, ino_t> folder;
  };
  struct Entry {
    Known known;
    UniqueFd lock;
  };
  struct Slot {
    bool busy = false;           // someone is looking, hashing or fetching
    std::weak_ptr<Entry> entry;  // while someone holds it
    std::optional<Known> known;
  };
  // What one Closure uses.
  struct Hold {
    explicit Hold(FetchingStorePathCache& cache) : cache(cache) {}
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;
    ~Hold() {
      for (std::shared_ptr<Entry>& entry : entries) cache.Release(std::move(entry));
    }
    FetchingStorePathCache& cache;
    std::vector<std::shared_ptr<Entry>> entries;
  };
  struct Use {
    std::string user;
    std::weak_ptr<const Hold> hold;  // gone: the use has ended
  };

  Result<std::vector<DamagedPath>> CheckAll(std::stop_token stop) {
    std::vector<DamagedPath> damaged;
    if (!FileExists(options_.prefix)) return damaged;
    TRY(OpenStore({options_.prefix}));
    TRY_ASSIGN(std::vector<StorePath> paths, store_->List());
    for (const StorePath& path : paths) {
      if (stop.stop_requested()) break;
      TRY_ASSIGN(UniqueFd lock, store_->HoldPath(path.path));
      if (!store_->Contains(path.path)) continue;
      TRY_ASSIGN(std::optional<DamagedPath> found, CheckPath(path.path));
      if (found) damaged.push_back(std::move(*found));
    }
    return damaged;
  }

  // What earlier processes fetched, as if somebody wanted it: what is good need not be hashed again
  // before its first use, and what is damaged is fetched again. The last used ones first.
  Status CheckFetched(std::stop_token stop) {
    if (!FileExists(options_.prefix)) return {};
    TRY(OpenStore({options_.prefix}));
    TRY_ASSIGN(std::vector<toolchain::FetchedPath> fetched, store_->ListFetched());
    for (auto path = fetched.rbegin(); path != fetched.rend() && !stop.stop_requested(); ++path) {
      if (!store_->Contains(path->path.path)) continue;  // evicted meanwhile
      // Without a Hold: nothing has used it.
      if (auto entry = Find(path->path.path, {}, {}); !entry)
        Log(kWarning, "store_path_not_usable", {{"error", entry.error().ToString()}});
    }
    return {};
  }

  Status OpenStore(const std::vector<std::string>& paths) {
    std::lock_guard lock(mutex_);
    if (store_) return {};
    if (!read_ && !FileExists(options_.prefix)) return ErrorStatus(Code::kNotFound, "{}", paths[0]);
    TRY_ASSIGN(store_, ToolchainStore::Open(options_.prefix));
    return {};
  }

  Result<std::shared_ptr<Entry>> Find(const std::string& path, const StorePathTenant& tenant,
                                      Use use) {
    std::unique_lock lock(mutex_);
    for (;;) {
      Slot& slot = slots_[path];
      if (std::shared_ptr<Entry> entry = slot.entry.lock()) {
        Remember(path, std::move(use));
        return entry;
      }
      if (!slot.busy) break;
      changed_.wait(lock);
    }
    slots_[path].busy = true;
    std::optional<Known> known = slots_[path].known;
    lock.unlock();
    Result<std::shared_ptr<Entry>> made = Prepare(path, tenant, std::move(known));
    lock.lock();
    Slot& slot = slots_[path];
    slot.busy = false;
    changed_.notify_all();
    if (!made) {
      slots_.erase(path);
      return std::unexpected(made.error());
    }
    slot.entry = *made;
    slot.known = (*made)->known;
    Remember(path, std::move(use));
    return made;
  }

  // REQUIRES: mutex_ is held.
  void Remember(const std::string& path, Use use) {
    if (use.user.empty()) return;
    std::map<uint64_t, Use>& uses = uses_[path];
    uses.emplace(next_use_++, std::move(use));
    if (uses.size() <= options_.users_max) return;
    // Not what goes on: no check will find that it was harmless.
    auto ended = std::find_if(uses.begin(), uses.end(),
                              [](const auto& each) { return each.second.hold.expired(); });
    uses.erase(ended != uses.end() ? ended : uses.begin());
  }

  std::vector<uint64_t> EndedUses(const std::string& path) {
    std::vector<uint64_t> ended;
    std::lock_guard lock(mutex_);
    if (auto it = uses_.find(path); it != uses_.end())
      for (const auto& [number, use] : it->second)
        if (use.hold.expired()) ended.push_back(number);
    return ended;
  }

  void Release(std::shared_ptr<Entry> entry) {
    std::lock_guard lock(mutex_);
    const std::string& path = entry->known.record.path;
    // Marked by the last one, while it is still held: no mark may outlive its path.
    if (entry.use_count() == 1 && entry->known.fetched && store_->Contains(path) &&
        !store_->MarkFetched(path).ok())
      Log(kWarning, "store_path_not_marked", {{"path", path}});
    if (entry.use_count() == 1 && slots_.size() > kKnownMax && !slots_[path].busy)
      slots_.erase(path);
    entry.reset();
  }

  // Finds or fetches it. Not under mutex_; one call per path at a time.
  Result<std::shared_ptr<Entry>> Prepare(const std::string& path, const StorePathTenant& tenant,
                                         std::optional<Known> known) {
    auto entry = std::make_shared<Entry>();
    TRY_ASSIGN(entry->lock, store_->HoldPath(path));
    std::string trouble;
    if (!known && store_->Contains(path)) {
      TRY_ASSIGN(std::optional<DamagedPath> damaged, CheckPath(path));
      if (damaged)
        trouble =
            fmt::format(" (it was, but {}: {})", damaged->damage.path, damaged->damage.reason);
    }
    if (!store_->Contains(path)) {
      if (!read_) return Error(Code::kNotFound, "{}{}", path, trouble);
      store::Partition owner = tenant.partition;
      Result<StorePath> record = LookUpOf(tenant, path);
      if (owner == 0 || (!record && record.error().code() == Code::kNotFound)) {
        owner = 0;
        record = LookUpStorePath(read_, options_.prefix, path);
      }
      TRY(ToStatus(record));
      // Another worker on this machine may be about it.
      TRY_ASSIGN(UniqueFd making, store_->LockName(path.substr(path.rfind('/') + 1)));
      if (!store_->Contains(path)) TRY(FetchNow(*record, owner));
      known.reset();
    }
    struct stat info {};
    if (stat(path.c_str(), &info) != 0) return ErrnoError(errno, path);
    std::pair<dev_t, ino_t> folder(info.st_dev, info.st_ino);
    if (known && known->folder == folder) {
      entry->known = std::move(*known);
      return entry;
    }
    TRY_ASSIGN(entry->known.record, store_->Find(path));
    entry->known.folder = folder;
    entry->known.fetched = store_->IsFetched(path);
    TRY_ASSIGN(entry->known.owner, OwnerOf(path));
    return entry;
  }

  Result<StorePath> LookUpOf(const StorePathTenant& tenant, const std::string& path) const {
    if (tenant.partition == 0 || !options_.read_tenant)
      return Error(Code::kNotFound, "{} is not of a tenant", path);
    return LookUpStorePath(
        [&](const Digest& action) { return options_.read_tenant(tenant, action); }, options_.prefix,
        path);
  }

  // Beside the records of the store: whose a fetched path is. No file: it is for all.
  std::string OwnerFile(const std::string& path) const {
    return fmt::format("{}/.lre/tenants/{}", options_.prefix, path.substr(path.rfind('/') + 1));
  }
  Result<store::Partition> OwnerOf(const std::string& path) const {
    Result<std::string> text = ReadFile(OwnerFile(path));
    if (!text && text.error().code() == Code::kNotFound) return store::Partition{0};
    TRY(ToStatus(text));
    store::Partition owner = 0;
    auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), owner);
    if (error != std::errc() || owner == 0)
      return Error(Code::kDataLoss, "{} says no tenant", OwnerFile(path));
    return owner;
  }
  // Before the path is there: what is there without this file is for all.
  Status SetOwner(const std::string& path, store::Partition owner) const {
    if (owner != 0) {
      TRY(SystemFiles().MakeDirectories(options_.prefix + "/.lre/tenants"));
      return WriteFileAtomically(OwnerFile(path), fmt::to_string(owner));
    }
    Status removed = SystemFiles().Remove(OwnerFile(path));
    return removed.code() == Code::kNotFound ? Status() : removed;
  }

  // Names are made of what went into a path, so a tenant that knows one could put other bytes
  // there.
  Status CheckOwner(const Known& known, const StorePathTenant& tenant) {
    if (known.owner == 0 || known.owner == tenant.partition) return {};
    const std::string& path = known.record.path;
    std::tuple<std::string, std::string, store::Partition> key(path, known.record.tree,
                                                               tenant.partition);
    {
      std::lock_guard lock(mutex_);
      if (admitted_.contains(key)) return {};
    }
    Result<StorePath> record = LookUpOf(tenant, path);
    if (!record && record.error().code() == Code::kNotFound && read_)
      record = LookUpStorePath(read_, options_.prefix, path);
    TRY(ToStatus(record));
    if (record->tree != known.record.tree)
      return ErrorStatus(Code::kAborted,
                         "{} is on this worker with the content that another tenant gave it", path);
    std::lock_guard lock(mutex_);
    if (admitted_.size() >= kAdmittedMax) admitted_.clear();
    admitted_.insert(std::move(key));
    return {};
  }

  // Hashes one path that is there and held. When it is good, only what had ended before is no
  // concern: what still runs may yet read what changes later.
  Result<std::optional<DamagedPath>> CheckPath(const std::string& path) {
    const std::vector<uint64_t> ended = EndedUses(path);
    Result<std::vector<toolchain::StoreDamage>> damage = store_->Verify(path);
    TRY(ToStatus(damage));
    std::vector<std::string> users;
    {
      std::lock_guard lock(mutex_);
      std::map<uint64_t, Use>& uses = uses_[path];
      if (!damage->empty()) {
        slots_.erase(path);
        for (auto& [number, use] : uses) users.push_back(std::move(use.user));
        uses.clear();
      }
      for (uint64_t number : ended) uses.erase(number);
      if (uses.empty()) uses_.erase(path);
    }
    if (damage->empty()) return std::nullopt;
    DamagedPath found{path, damage->front(), {}, std::move(users)};
    TRY_ASSIGN(found.quarantine, store_->Quarantine(path));
    damaged_.Add();
    Log(kError, "store_path_damaged",
        {{"path", path},
         {"file", found.damage.path},
         {"reason", found.damage.reason},
         {"files", damage->size()},
         {"quarantine", found.quarantine},
         {"actions", found.users.size()}});
    std::string text;
    for (const std::string& user : found.users) text += user + "\n";
    TRY(WriteFileAtomically(found.quarantine + "/actions", text));
    return found;
  }

  void RunChecks(std::stop_token stop) {
    std::mutex mutex;
    std::condition_variable_any never;
    std::unique_lock lock(mutex);
    for (Status checked = CheckFetched(stop);; checked = ToStatus(CheckAll(stop))) {
      if (!checked.ok()) Log(kWarning, "store_not_checked", {{"error", checked.ToString()}});
      never.wait_for(lock, stop, options_.check_interval, [] { return false; });
      if (stop.stop_requested()) return;
    }
  }

  Status FetchNow(const StorePath& record, store::Partition owner) {
    const Instant started = SystemClock().Now();
    TRY_ASSIGN(UniqueFd no_collection, store_->HoldOffGarbageCollection());
    TRY(MakeRoom(record.size_bytes));
    StorePathFetchOptions options = options_.fetch;
    if (owner != 0) options.partition = owner;
    Status status = SetOwner(record.path, owner);
    if (status.ok()) status = store_->MarkFetched(record.path);
    if (status.ok()) status = FetchStorePath(cas_, *store_, record, options);
    {
      std::lock_guard lock(room_mutex_);
      reserved_bytes_ -= record.size_bytes;
    }
    if (!status.ok()) {
      (void)store_->UnmarkFetched(record.path).ok();
      return status;
    }
    fetched_.Add();
    fetched_bytes_.Add(record.size_bytes);
    auto milliseconds =
        std::chrono::duration_cast<std::chrono::milliseconds>(SystemClock().Now() - started);
    Log(kInfo, "store_path_fetched",
        {{"path", record.path}, {"bytes", record.size_bytes}, {"ms", milliseconds.count()}});
    return {};
  }

  // Removes what was used least recently until `size_bytes` more fit, and reserves them.
  Status MakeRoom(uint64_t size_bytes) {
    std::lock_guard lock(room_mutex_);
    TRY_ASSIGN(std::vector<toolchain::FetchedPath> fetched, store_->ListFetched());
    uint64_t used = reserved_bytes_;
    for (const auto& path : fetched) used += path.path.size_bytes;
    while (used + size_bytes > options_.fetched_bytes_max) {
      auto removable = std::find_if(fetched.begin(), fetched.end(), [&](const auto& path) {
        return store_->Remove(path.path.path).ok();
      });
      if (removable == fetched.end())
        return ErrorStatus(Code::kResourceExhausted,
                           "a store path of {} bytes does not fit: those in use have {} of {}; "
                           "raise worker.store_max",
                           size_bytes, used, options_.fetched_bytes_max);
      Log(kInfo, "store_path_evicted",
          {{"path", removable->path.path}, {"bytes", removable->path.size_bytes}});
      evicted_.Add();
      used -= removable->path.size_bytes;
      fetched.erase(removable);
    }
    reserved_bytes_ += size_bytes;
    return {};
  }

  store::BlobStore& cas_;
  const ReadActionResult read_;
  const StorePathCacheOptions options_;
  Metrics own_metrics_;
  Metrics& metrics_;
  Counter& fetched_;
  Counter& fetched_bytes_;
  Counter& evicted_;
  Counter& damaged_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::unique_ptr<ToolchainStore> store_;  // set once
  std::map<std::string, Slot> slots_;
  // Paths of one tenant (with their trees) that another one's index names as well.
  std::set<std::tuple<std::string, std::string, store::Partition>> admitted_;
  // Since the last good check, by path and in their order; and those that have not ended.
  std::map<std::string, std::map<uint64_t, Use>> uses_;
  uint64_t next_use_ = 0;

  std::mutex room_mutex_;
  uint64_t reserved_bytes_ = 0;  // of fetches under way

  ThreadGroup threads_;  // last: it uses the rest
};

}  // namespace

std::unique_ptr<StorePathCache> StorePathCache::Make(store::BlobStore& cas, ReadActionResult read,
                                                     StorePathCacheOptions options) {
  return std::make_unique<FetchingStorePathCache>(cas, std::move(read), std::move(options));
}

}  // namespace lre::worker

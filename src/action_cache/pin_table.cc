#include "action_cache/pin_table.h"

#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <map>
#include <set>

#include "action_cache/needed_digests.h"
#include "base/file.h"
#include "reapi/digest_proto.h"

namespace lre::action_cache {
namespace {

using admin::v1::Pin;
using Table = admin::v1::PinTable;

constexpr char kPrefix[] = "action-result ";
constexpr size_t kNameBytesMax = 200;

// What the log store calls the blobs of one result.
std::string LogPinName(PinSpace space, std::string_view hash) {
  if (space.partition == 0) return fmt::format("{}{} {}", kPrefix, hash, space.instance_name);
  return fmt::format("{}{}@{} {}", kPrefix, hash, space.partition, space.instance_name);
}

bool IsIn(PinSpace space, const Table::Entry& entry) {
  return entry.partition() == space.partition && entry.pin().instance_name() == space.instance_name;
}

class LoggedPinTable final : public PinTable {
 public:
  LoggedPinTable(std::unique_ptr<ActionCache> base, store::LogStore& blobs, const Clock& clock,
                 PinTableOptions options)
      : base_(std::move(base)), blobs_(blobs), clock_(clock), options_(std::move(options)) {}

  Status Load() {
    if (FileExists(options_.file)) {
      TRY_ASSIGN(std::string bytes, ReadFile(options_.file));
      if (!table_.ParseFromString(bytes))
        return ErrorStatus(Code::kDataLoss, "{} is not readable: move it away and push again",
                           options_.file);
    }
    RebuildIndex();
    return RemoveUnnamed();
  }

  Result<Bytes> Get(const ActionKey& key) override {
    Result<Bytes> found = base_->Get(key);
    if (found || found.error().code() != Code::kNotFound) return found;
    std::optional<Bytes> pinned = Find(key);
    return pinned ? Result<Bytes>(*pinned) : found;
  }
  std::optional<Result<Bytes>> TryGet(const ActionKey& key) override {
    std::optional<Result<Bytes>> found = base_->TryGet(key);
    if (!found || *found || found->error().code() != Code::kNotFound) return found;
    std::optional<Bytes> pinned = Find(key);
    return pinned ? Result<Bytes>(*pinned) : found;
  }
  Status Put(const ActionKey& key, Bytes result) override {
    return base_->Put(key, std::move(result));
  }
  std::optional<Status> TryPut(const ActionKey& key, const Bytes& result) override {
    return base_->TryPut(key, result);
  }
  // Whoever removes a result means it: the pin forgets it too.
  Status Remove(const ActionKey& key) override {
    TRY(base_->Remove(key));
    if (!Find(key)) return {};
    std::lock_guard writing(writing_);
    Table changed = Copy();
    for (Table::Entry& entry : *changed.mutable_entries()) {
      if (!IsIn({key.instance_name, key.partition}, entry)) continue;
      auto& results = *entry.mutable_results();
      results.erase(std::remove_if(results.begin(), results.end(),
                                   [&](const Table::Result& result) {
                                     return result.action_digest().hash() == key.action.Hex();
                                   }),
                    results.end());
      entry.mutable_pin()->set_results(results.size());
    }
    return Replace(std::move(changed));
  }

  Result<Pin> Set(PinSpace space, std::string_view name,
                  const std::vector<Digest>& actions) override {
    if (name.empty() || name.size() > kNameBytesMax)
      return Error(Code::kInvalidArgument, "a pin's name has 1 to {} bytes, not {}", kNameBytesMax,
                   name.size());
    std::lock_guard writing(writing_);
    Result<Table::Entry> entry = MakeEntry(space, name, actions);
    Status status = ToStatus(entry);
    if (status.ok()) {
      Table changed = Copy();
      Erase(changed, space, name);
      *changed.add_entries() = *entry;
      std::sort(changed.mutable_entries()->begin(), changed.mutable_entries()->end(),
                [](const Table::Entry& a, const Table::Entry& b) {
                  return a.pin().name() < b.pin().name();
                });
      status = Replace(std::move(changed));
    }
    if (status.ok()) return entry->pin();
    // What was pinned on the way and nobody names goes again.
    (void)RemoveUnnamed().ok();
    return std::unexpected(status);
  }

  std::vector<Pin> List(PinSpace space) override {
    std::vector<Pin> pins;
    std::lock_guard lock(mutex_);
    for (const Table::Entry& entry : table_.entries())
      if (IsIn(space, entry)) pins.push_back(entry.pin());
    return pins;
  }

  Status Retire(PinSpace space, std::string_view name) override {
    std::lock_guard writing(writing_);
    Table changed = Copy();
    if (!Erase(changed, space, name))
      return ErrorStatus(Code::kNotFound, "nothing is pinned as \"{}\" in instance \"{}\"", name,
                         space.instance_name);
    return Replace(std::move(changed));
  }

 private:
  struct IndexKey {
    store::Partition partition = 0;
    std::string instance_name, hash;
    auto operator<=>(const IndexKey&) const = default;
  };

  std::optional<Bytes> Find(const ActionKey& key) {
    std::lock_guard lock(mutex_);
    // Nearly always: no result is pinned, or none of these.
    if (index_.empty()) return std::nullopt;
    auto it = index_.find({key.partition, std::string(key.instance_name), key.action.Hex()});
    if (it == index_.end()) return std::nullopt;
    return it->second;
  }

  Table Copy() {
    std::lock_guard lock(mutex_);
    return table_;
  }

  static bool Erase(Table& table, PinSpace space, std::string_view name) {
    auto& entries = *table.mutable_entries();
    auto end = std::remove_if(entries.begin(), entries.end(), [&](const Table::Entry& entry) {
      return IsIn(space, entry) && entry.pin().name() == name;
    });
    bool found = end != entries.end();
    entries.erase(end, entries.end());
    return found;
  }

  // Pins the blobs of each result. REQUIRES: writing_ is held.
  Result<Table::Entry> MakeEntry(PinSpace space, std::string_view name,
                                 const std::vector<Digest>& actions) {
    Table::Entry entry;
    entry.set_partition(space.partition);
    std::set<Digest> blobs;
    for (const Digest& action : actions) {
      Result<Bytes> bytes = Get({action, space.instance_name, space.partition});
      if (!bytes && bytes.error().code() == Code::kNotFound)
        return Error(Code::kFailedPrecondition, "pin {}: {}", name, bytes.error().message());
      TRY(bytes);
      if (bytes->size() > options_.result_bytes_max)
        return Error(Code::kInvalidArgument, "pin {}: the result of {} has {} bytes, more than {}",
                     name, action, bytes->size(), options_.result_bytes_max);
      TRY_ASSIGN(std::vector<Digest> needed,
                 Needed(space.partition, action.function, bytes->view()));
      Status pinned =
          blobs_.SetPin({.name = LogPinName(space, action.Hex())}, space.partition, needed);
      if (pinned.code() == Code::kNotFound)
        pinned = Status(Code::kFailedPrecondition, pinned.message());
      TRY(pinned);
      blobs.insert(needed.begin(), needed.end());
      Table::Result& result = *entry.add_results();
      reapi::ToProto(action, result.mutable_action_digest());
      result.set_action_result(bytes->data(), bytes->size());
    }
    Pin& pin = *entry.mutable_pin();
    pin.set_instance_name(std::string(space.instance_name));
    pin.set_name(std::string(name));
    pin.set_results(entry.results_size());
    pin.set_blobs(static_cast<int64_t>(blobs.size()));
    int64_t size_bytes = 0;
    for (const Digest& digest : blobs) size_bytes += digest.size_bytes;
    pin.set_size_bytes(size_bytes);
    *pin.mutable_set_time() = google::protobuf::util::TimeUtil::NanosecondsToTimestamp(
        clock_.WallNow().time_since_epoch().count());
    return entry;
  }

  Result<std::vector<Digest>> Needed(store::Partition partition, DigestFunction function,
                                     std::string_view result) {
    NeededDigestsOptions options{.function = function, .digests_max = options_.digests_max};
    options.read = [this, partition](const Digest& digest) -> std::optional<Result<std::string>> {
      return store::ReadAll(blobs_, {digest, partition}, options_.tree_bytes_max);
    };
    return *NeededDigests(result, options);
  }

  // Writes the table, then uses it, then lets go of what only the old one named.
  Status Replace(Table table) {
    size_t results = 0;
    for (const Table::Entry& entry : table.entries())
      results += static_cast<size_t>(entry.results_size());
    if (results > options_.results_max)
      return ErrorStatus(Code::kResourceExhausted,
                         "{} results would be pinned, at most {} may be; retire some", results,
                         options_.results_max);
    TRY(WriteFileAtomically(options_.file, reapi::SerializeDeterministically(table)));
    {
      std::lock_guard lock(mutex_);
      table_ = std::move(table);
    }
    RebuildIndex();
    return RemoveUnnamed();
  }

  void RebuildIndex() {
    std::map<IndexKey, Bytes> index;
    std::lock_guard lock(mutex_);
    // Where two pins have different results of one action, the newer pin's is right.
    std::vector<const Table::Entry*> entries;
    for (const Table::Entry& entry : table_.entries()) entries.push_back(&entry);
    std::stable_sort(entries.begin(), entries.end(), [](const auto* a, const auto* b) {
      return a->pin().set_time() < b->pin().set_time();
    });
    for (const Table::Entry* entry : entries)
      for (const Table::Result& result : entry->results())
        index[{entry->partition(), entry->pin().instance_name(), result.action_digest().hash()}] =
            Bytes(result.action_result());
    index_ = std::move(index);
  }

  Status RemoveUnnamed() {
    std::set<std::string> named;
    {
      std::lock_guard lock(mutex_);
      for (const auto& [key, bytes] : index_)
        named.insert(LogPinName({key.instance_name, key.partition}, key.hash));
    }
    for (const store::Pin& pin : blobs_.Pins())
      if (pin.name.starts_with(kPrefix) && !named.contains(pin.name))
        TRY(blobs_.RemovePin(pin.name));
    return {};
  }

  const std::unique_ptr<ActionCache> base_;
  store::LogStore& blobs_;
  const Clock& clock_;
  const PinTableOptions options_;
  std::mutex writing_;  // one change at a time
  std::mutex mutex_;    // of what follows; never held while calling out
  Table table_;
  std::map<IndexKey, Bytes> index_;
};

}  // namespace

Result<std::unique_ptr<PinTable>> PinTable::Open(std::unique_ptr<ActionCache> base,
                                                 store::LogStore& blobs, const Clock& clock,
                                                 PinTableOptions options) {
  auto table = std::make_unique<LoggedPinTable>(std::move(base), blobs, clock, std::move(options));
  TRY(table->Load());
  return std::unique_ptr<PinTable>(std::move(table));
}

}  // namespace lre::action_cache

#include "service/input_leases.h"

#include <algorithm>
#include <unordered_set>
#include <vector>

#include "reapi/action.h"
#include "store/lease_holder.h"

namespace lre::service {
namespace {
constexpr size_t kBatchMax = 4096;
constexpr uint64_t kDirectoryBytesMax = 64 << 20;
}  // namespace

struct InputLeases::Held {
  const Inputs inputs;
  Instant due;  // under the state's lock
};

// Shared with whoever holds something.
struct InputLeases::State {
  std::mutex mutex;
  std::condition_variable_any wake;
  uint64_t next_id = 0;
  std::map<uint64_t, std::shared_ptr<Held>> held;
};

// One walk over what is due. Directories that were visited for one action are not visited again for
// the next.
class InputLeases::Round {
 public:
  Round(store::BlobStore& store, size_t directories_max, std::stop_token stop)
      : store_(store), directories_max_(directories_max), stop_(std::move(stop)) {}

  // How many blobs were touched.
  uint64_t Renew(const Inputs& inputs) {
    const store::LeaseHolder scope(inputs.identity);
    partition_ = inputs.partition;
    // Only between actions: within one the set is what ends the walk.
    if (seen_.size() > directories_max_) seen_.clear();
    const uint64_t before = touched_;
    Touch(inputs.action);
    Touch(inputs.command);
    std::vector<Digest> queue = {inputs.input_root};
    for (size_t walked = 0; !queue.empty() && walked < directories_max_; walked++) {
      if (stop_.stop_requested()) break;
      const Digest digest = queue.back();
      queue.pop_back();
      if (seen_.insert({digest, partition_}).second) Visit(digest, &queue);
    }
    Flush();
    return touched_ - before;
  }

 private:
  void Visit(const Digest& digest, std::vector<Digest>* queue) {
    // Reading renews as well.
    auto bytes = store::ReadAll(store_, {digest, partition_}, kDirectoryBytesMax);
    if (!bytes) return;
    touched_++;
    auto directory = reapi::ParseDirectory(*bytes, digest.function);
    if (!directory) return;
    for (const auto& file : directory->files) Touch(file.digest);
    for (const auto& child : directory->directories) queue->push_back(child.digest);
  }
  void Touch(const Digest& digest) {
    batch_.push_back(digest);
    if (batch_.size() >= kBatchMax) Flush();
  }
  void Flush() {
    if (batch_.empty()) return;
    auto missing = store_.FindMissing(partition_, batch_);
    if (missing) touched_ += batch_.size() - missing->size();
    batch_.clear();
  }

  store::BlobStore& store_;
  const size_t directories_max_;
  const std::stop_token stop_;
  store::Partition partition_ = 0;
  std::unordered_set<store::BlobKey, store::BlobKeyHash> seen_;
  std::vector<Digest> batch_;
  uint64_t touched_ = 0;
};

InputLeases::InputLeases(store::BlobStore& store, const Clock& clock, Metrics& metrics,
                         InputLeasesOptions options)
    : store_(store),
      clock_(clock),
      options_(options),
      held_gauge_(metrics.AddGauge("lre_input_leases_held",
                                   "Actions, waiting or running, whose inputs are kept")),
      renewed_(metrics.AddCounter("lre_input_leases_renewed_total",
                                  "Blobs touched because an action that waits or runs needs them")),
      state_(std::make_shared<State>()) {
  if (options_.background) {
    threads_.Add("input-leases", [this](std::stop_token stop) { Loop(std::move(stop)); });
  }
}

InputLeases::~InputLeases() {
  stop_.request_stop();
  threads_.Stop();
}

std::shared_ptr<void> InputLeases::Hold(Inputs inputs) {
  auto held = std::make_shared<Held>(Held{std::move(inputs), clock_.Now() + options_.interval});
  uint64_t id = 0;
  {
    std::lock_guard lock(state_->mutex);
    id = state_->next_id++;
    state_->held.emplace(id, held);
  }
  return std::shared_ptr<void>(held.get(), [state = state_, id](void*) {
    std::lock_guard lock(state->mutex);
    state->held.erase(id);
  });
}

void InputLeases::RenewDue() {
  std::vector<std::shared_ptr<Held>> due;
  {
    const Instant now = clock_.Now();
    std::lock_guard lock(state_->mutex);
    held_gauge_.Set(static_cast<int64_t>(state_->held.size()));
    for (const auto& [id, held] : state_->held) {
      if (held->due > now) continue;
      held->due = now + options_.interval;
      due.push_back(held);
    }
  }
  Round round(store_, options_.directories_max, stop_.get_token());
  for (const auto& held : due) renewed_.Add(round.Renew(held->inputs));
}

void InputLeases::Loop(std::stop_token stop) {
  // What is due waits at most a fifth of the interval.
  const Duration pause = std::max<Duration>(options_.interval / 5, std::chrono::milliseconds(100));
  while (!stop.stop_requested()) {
    {
      std::unique_lock lock(state_->mutex);
      state_->wake.wait_for(lock, stop, pause, [] { return false; });
    }
    if (!stop.stop_requested()) RenewDue();
  }
}

}  // namespace lre::service

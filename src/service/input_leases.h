// InputLeases: the inputs of actions that wait or run stay in the store however long that takes.
// Clients look for blobs once and then queue; a queue may be longer than the store's lease. So what
// each held action needs (Action, Command, every Directory and file below its input root) is
// touched again every `interval`, which is to be a part of the shortest lease, while the action is
// held.
//
// Thread-safe; one thread of its own walks the trees, directories that actions share once in each
// round. What is absent is not its business: the worker says so. Bounds: as many actions as the
// scheduler takes; directories_max of one action, beyond which its leases end as any others'.
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>

#include "base/clock.h"
#include "base/metrics.h"
#include "base/thread_group.h"
#include "store/blob_store.h"

namespace lre::service {

struct InputLeasesOptions {
  Duration interval = std::chrono::minutes(5);
  size_t directories_max = 1'000'000;
  // Without it nothing happens but by RenewDue: for tests.
  bool background = true;
};

class InputLeases {
 public:
  struct Inputs {
    store::Partition partition = 0;
    Digest action, command, input_root;
    std::string identity;  // who holds the leases (store/lease_holder.h)
  };

  // The first two must outlive this object.
  InputLeases(store::BlobStore& store, const Clock& clock, Metrics& metrics,
              InputLeasesOptions options = {});
  ~InputLeases();

  // Keeps the inputs, which were looked for just now, until the answer is dropped; that may be
  // after this object is gone.
  [[nodiscard]] std::shared_ptr<void> Hold(Inputs inputs);
  // Renews those whose interval is over.
  void RenewDue();

 private:
  struct Held;
  struct State;
  class Round;
  void Loop(std::stop_token stop);

  store::BlobStore& store_;
  const Clock& clock_;
  const InputLeasesOptions options_;
  Gauge& held_gauge_;
  Counter& renewed_;
  const std::shared_ptr<State> state_;
  std::stop_source stop_;
  ThreadGroup threads_;
};

}  // namespace lre::service

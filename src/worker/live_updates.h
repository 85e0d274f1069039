// LiveUpdates: what the slots of a worker have to tell while they run: the stage that was reached
// and what the command prints, when somebody listens. Slots put in, the link takes out ten times a
// second: most actions are over before that and cost no message. Thread-safe.
//
// What is printed faster than `pending_bytes_max` per look is left out; the offset of the next
// message tells how much.
#pragma once

#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lre/worker/v1/worker.pb.h"

namespace lre::worker {

struct LiveUpdatesOptions {
  int slots = 1;
  size_t pending_bytes_max = 1 << 20;  // of one stream of one slot
  size_t message_bytes_max = 64 << 10;
};

class LiveUpdates {
 public:
  explicit LiveUpdates(LiveUpdatesOptions options);

  // By the thread of `slot`:
  void Begin(int slot, const v1::Assignment& assignment);
  void SetProgress(int slot, v1::Progress progress);
  void Append(int slot, bool is_stderr, std::string_view bytes);
  // What was printed and not taken yet. The stage is not worth telling any more.
  std::vector<v1::FromWorker> End(int slot);

  // By the link: everything new.
  std::vector<v1::FromWorker> Take();

 private:
  struct Stream {
    bool wanted = false;
    int64_t offset = 0;   // of `pending`
    int64_t skipped = 0;  // after it
    std::string pending;
  };
  struct Slot {
    v1::Attempt attempt;
    std::optional<v1::Progress> progress;
    Stream streams[2];  // stdout, stderr
  };
  void TakeOutputs(Slot& slot, std::vector<v1::FromWorker>& messages) const;

  const LiveUpdatesOptions options_;
  std::mutex mutex_;
  std::vector<Slot> slots_;
};

}  // namespace lre::worker

// Patience: does a step again for as long as what it needs is UNAVAILABLE, so that a server which
// is restarted costs an attempt some time and not its work. Confined to the thread of one attempt;
// the clock must outlive it.
//
// Bounds: `away_max` from the first failure of a step in a row; between two tries it waits for
// `wait_min`, twice as long each time, up to `wait_max`. 0 tries once.
// Errors: the step's own; kCancelled when a stop is requested while it waits.
#pragma once

#include <functional>
#include <stop_token>

#include "base/clock.h"
#include "base/status.h"

namespace lre::worker {

struct PatienceOptions {
  Duration away_max = std::chrono::minutes(2);
  Duration wait_min = std::chrono::milliseconds(50);
  Duration wait_max = std::chrono::seconds(2);
};

class Patience {
 public:
  Patience(const Clock& clock, PatienceOptions options, std::stop_token stop)
      : clock_(clock), options_(options), stop_(std::move(stop)) {}

  Status Do(const std::function<Status()>& step);

 private:
  const Clock& clock_;
  const PatienceOptions options_;
  const std::stop_token stop_;
};

}  // namespace lre::worker

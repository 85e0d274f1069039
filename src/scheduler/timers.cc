#include "scheduler/timers.h"

#include "base/check.h"

namespace lre::scheduler {

Timers::Slot::~Slot() { CHECK(!armed_, "a timer outlives its subject"); }

void Timers::Arm(Slot& slot, Instant due, TimerKind kind, void* subject) {
  Disarm(slot);
  slot.at_ = entries_.insert({due, next_sequence_++, kind, subject, &slot}).first;
  slot.armed_ = true;
}

void Timers::Disarm(Slot& slot) {
  if (!slot.armed_) return;
  entries_.erase(slot.at_);
  slot.armed_ = false;
}

std::optional<Timers::Entry> Timers::PopDue(Instant now) {
  if (entries_.empty() || entries_.begin()->due > now) return std::nullopt;
  Entry entry = *entries_.begin();
  Disarm(*entry.slot);
  return entry;
}

std::optional<Instant> Timers::Next() const {
  if (entries_.empty()) return std::nullopt;
  return entries_.begin()->due;
}

}  // namespace lre::scheduler

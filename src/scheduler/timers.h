// Timers: what is due when, for one scheduler. Entries are removed when they are no longer needed
// (never left to fire in vain), so their number is that of live things. Confined to one thread.
#pragma once

#include <cstdint>
#include <optional>
#include <set>

#include "base/clock.h"

namespace lre::scheduler {

enum class TimerKind : uint8_t {
  kAttemptDeadline,  // subject: Operation
  kClientGrace,      // Operation
  kSilence,          // Worker
  kReconnect,        // Worker
  kRest,             // Worker
  kCancelled,        // Running
  kUnserved,         // PropertyQueue
  kAdoption,         // none: the end of adoption_grace
};

class Timers {
 public:
  class Slot;
  struct Entry {
    Instant due;
    uint64_t sequence;  // ties fire in the order they were armed: a run can be replayed
    TimerKind kind;
    void* subject;
    Slot* slot;
    friend bool operator<(const Entry& a, const Entry& b) {
      return a.due != b.due ? a.due < b.due : a.sequence < b.sequence;
    }
  };
  // Lies in the subject; must be disarmed before the subject goes.
  class Slot {
   public:
    Slot() = default;
    Slot(const Slot&) = delete;
    Slot& operator=(const Slot&) = delete;
    ~Slot();
    bool armed() const { return armed_; }

   private:
    friend class Timers;
    std::set<Entry>::iterator at_;
    bool armed_ = false;
  };

  // Sets or moves the timer.
  void Arm(Slot& slot, Instant due, TimerKind kind, void* subject);
  void Disarm(Slot& slot);
  // The earliest entry that is due, which is then disarmed.
  std::optional<Entry> PopDue(Instant now);
  std::optional<Instant> Next() const;
  size_t size() const { return entries_.size(); }

 private:
  std::set<Entry> entries_;
  uint64_t next_sequence_ = 0;
};

}  // namespace lre::scheduler

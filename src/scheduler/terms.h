// Terms: platform properties as matching sees them. What is asked for exactly (every pair must be
// offered) and how much of what can be counted (`minimum_properties`: at least that much must be
// free). OSFamily values compare without case, since clients send both spellings; a worker may
// offer several values of a name, as "a|b" or by giving the name several times.
//
// Plain values. Bounds: minimum_properties are few (each costs a number per queue and worker).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "scheduler/scheduler.h"

namespace lre::scheduler {

// Thousandths, by place in SchedulerOptions::minimum_properties; kUnsaid: of no concern, or not
// offered.
using Amounts = std::vector<int64_t>;
inline constexpr int64_t kUnsaid = -1;

struct Terms {
  Properties exact;  // sorted, each pair once
  Amounts amounts;
  // Asked for by experience (learned sizes): as much as a worker has is always enough.
  Amounts learned;
  // For what was lost together with a worker: no two such run on one worker at the same time, so
  // that an action that kills its worker does not take the same neighbours with it every time.
  bool suspect = false;
  friend bool operator==(const Terms&, const Terms&) = default;
};

// "4", "0.5", "4GiB"; thousandths of it. Sizes are in bytes.
Result<int64_t> ParseAmount(std::string_view text);
std::string PrintAmount(std::string_view name, int64_t thousandths);

// What an action asks for. kInvalidArgument when an amount is no number.
Result<Terms> WantedTerms(const Properties& properties, const SchedulerOptions& options);
// What a worker or a pool offers; the largest when an amount is given several times, none when it
// is no number.
Terms OfferedTerms(const Properties& properties, const SchedulerOptions& options);

// "OSFamily=linux;Pool=large;cores>=4": for people and metrics.
std::string PrintTerms(const Terms& wanted, const SchedulerOptions& options);
// Equal only for equal terms.
std::string KeyOf(const Terms& terms);
// Whether `offered`, with nothing running, has all of `wanted`.
bool Serves(const Terms& offered, const Terms& wanted);
// What `wanted` needs of a worker with this capacity; all 0: nothing that is counted.
Amounts NeedOf(const Terms& wanted, const Amounts& capacity);
// Whether that much is left of it.
bool Fits(const Terms& wanted, const Amounts& capacity, const Amounts& left);

}  // namespace lre::scheduler

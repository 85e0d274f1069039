// Ending by SIGTERM and SIGINT: blocked in every thread, waited for by the main one. To be called
// after the sandbox launcher was forked (it must not inherit the mask) and before the first thread
// starts. And the other thing a process of ours asks of the system at its start: open files.
#pragma once

#include <functional>

#include "base/clock.h"

namespace lre::cli {

// With `hangup` SIGHUP too; without, it ends the process as it always does.
void BlockEndSignals(bool hangup = false);
// Waits for the first signal to end; the second one then ends the process at once. `on_hangup` is
// called for each SIGHUP meanwhile (REQUIRES: it is blocked).
void WaitForEndSignal(const std::function<void()>& on_hangup = {});
// The same, but gives up after `patience`: true when the signal came.
bool WaitForEndSignal(Duration patience);

// Raises the soft limit of open files to the hard one: connections and segments are files. After
// the launcher was forked: what actions see must not depend on it.
void RaiseFileLimit();

}  // namespace lre::cli

// Ending by SIGTERM and SIGINT: blocked in every thread, waited for by the main one. To be called
// after the sandbox launcher was forked (it must not inherit the mask) and before the first thread
// starts.
#pragma once

#include "base/clock.h"

namespace lre::cli {

void BlockEndSignals();
// Waits for the first signal; the second one then ends the process at once.
void WaitForEndSignal();
// The same, but gives up after `patience`: true when the signal came.
bool WaitForEndSignal(Duration patience);

}  // namespace lre::cli

#include "cli/signals.h"

#include <csignal>

namespace lre::cli {
namespace {

sigset_t EndSignals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  return set;
}

}  // namespace

void BlockEndSignals() {
  const sigset_t set = EndSignals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
}

bool WaitForEndSignal(Duration patience) {
  const sigset_t set = EndSignals();
  const int64_t nanos = patience.count();
  const timespec wait{nanos / 1'000'000'000, nanos % 1'000'000'000};
  if (sigtimedwait(&set, nullptr, &wait) < 0) return false;
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
  return true;
}

void WaitForEndSignal() {
  while (!WaitForEndSignal(std::chrono::hours(1))) {
  }
}

}  // namespace lre::cli

#include "cli/signals.h"

#include <sys/resource.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "base/log.h"

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

void BlockEndSignals(bool hangup) {
  sigset_t set = EndSignals();
  if (hangup) sigaddset(&set, SIGHUP);
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

void WaitForEndSignal(const std::function<void()>& on_hangup) {
  sigset_t set = EndSignals();
  if (on_hangup) sigaddset(&set, SIGHUP);
  for (;;) {
    const int signal = sigwaitinfo(&set, nullptr);
    if (signal == SIGHUP) on_hangup();
    if (signal == SIGTERM || signal == SIGINT) break;
  }
  set = EndSignals();
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

void RaiseFileLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
    Log(kWarning, "open_files_limit", {{"error", std::strerror(errno)}});
  }
}

}  // namespace lre::cli

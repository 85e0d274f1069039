#include "base/mapped_copy.h"

#include <atomic>
#include <csetjmp>
#include <csignal>
#include <cstring>

#include "base/check.h"

namespace lre {
namespace {

// Where the copy that this thread is in wants to go on after a fault.
thread_local sigjmp_buf* volatile t_escape = nullptr;
struct sigaction g_previous;  // NOLINT: written once, before the handler can run

void OnBusError(int signal, siginfo_t* info, void* context) {
  if (sigjmp_buf* escape = t_escape) {
    t_escape = nullptr;
    siglongjmp(*escape, 1);  // synchronous: the thread is inside memcpy, which holds nothing
  }
  if ((g_previous.sa_flags & SA_SIGINFO) != 0 && g_previous.sa_sigaction != nullptr) {
    return g_previous.sa_sigaction(signal, info, context);
  }
  if (g_previous.sa_handler != SIG_DFL && g_previous.sa_handler != SIG_IGN) {
    return g_previous.sa_handler(signal);
  }
  // The access is repeated on return, and then ends the process as it would have.
  std::signal(signal, SIG_DFL);
}

bool InstallHandler() {
  struct sigaction action {};
  action.sa_sigaction = OnBusError;
  // Not deferred: siglongjmp leaves the handler without restoring a mask.
  action.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  CHECK(sigaction(SIGBUS, &action, &g_previous) == 0);
  return true;
}

}  // namespace

bool MappedCopy(void* to, const void* from, size_t size) {
  static const bool installed = InstallHandler();
  (void)installed;
  sigjmp_buf escape;
  if (sigsetjmp(escape, /*savesigs=*/0) != 0) return false;
  t_escape = &escape;
  // The compiler must not move the copy out of where a fault finds its way back.
  std::atomic_signal_fence(std::memory_order_seq_cst);
  std::memcpy(to, from, size);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  t_escape = nullptr;
  return true;
}

}  // namespace lre

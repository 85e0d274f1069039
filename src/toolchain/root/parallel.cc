#include "toolchain/root/parallel.h"

#include <algorithm>

namespace lre::toolchain {

Status ParallelFor(size_t count, int threads, const std::function<Status(size_t)>& work) {
  struct Failure {
    size_t index = SIZE_MAX;
    Status status;
  };
  Guarded<Failure> failure;
  std::atomic<size_t> next = 0;
  std::atomic<bool> stopped = false;
  auto run = [&] {
    while (!stopped) {
      size_t index = next++;
      if (index >= count) return;
      Status status = work(index);
      if (status.ok()) continue;
      stopped = true;
      failure.With([&](Failure& first) {
        if (index < first.index) first = {index, std::move(status)};
      });
    }
  };
  {
    ThreadGroup group;
    int helpers =
        static_cast<int>(std::min<size_t>(count, static_cast<size_t>(std::max(threads, 1)))) - 1;
    for (int i = 0; i < helpers; ++i) group.Add("lre-sync", [&](const std::stop_token&) { run(); });
    run();
  }
  return failure.With([](Failure& first) { return std::move(first.status); });
}

}  // namespace lre::toolchain

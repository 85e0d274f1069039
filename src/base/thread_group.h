// ThreadGroup: named threads that are asked to stop and joined when the group goes. No thread of
// LRE is detached. Add and Stop may be called from any thread that is not in the group.
#pragma once

#include <functional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

namespace lre {

class ThreadGroup {
 public:
  ThreadGroup() = default;
  ThreadGroup(const ThreadGroup&) = delete;
  ThreadGroup& operator=(const ThreadGroup&) = delete;
  ~ThreadGroup() { Stop(); }

  // Starts a thread running `body`; the name (at most 15 characters) is what ps and perf show.
  void Add(const std::string& name, std::function<void(std::stop_token)> body);
  // Requests stop from all and joins them. Idempotent.
  void Stop();

 private:
  std::vector<std::jthread> threads_;
};

}  // namespace lre

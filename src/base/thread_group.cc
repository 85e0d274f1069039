#include "base/thread_group.h"

#include <pthread.h>

namespace lre {

void ThreadGroup::Add(const std::string& name, std::function<void(std::stop_token)> body) {
  threads_.emplace_back([name, body = std::move(body)](std::stop_token stop) {
    pthread_setname_np(pthread_self(), name.substr(0, 15).c_str());
    body(stop);
  });
}

void ThreadGroup::Stop() {
  for (std::jthread& thread : threads_) thread.request_stop();
  threads_.clear();  // joins
}

}  // namespace lre

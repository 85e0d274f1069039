// FakeServer: the server's end of worker links, for tests: keeps what workers said and says what
// the test says. Thread-safe.
#pragma once

#include <memory>
#include <mutex>
#include <optional>

#include "base/mailbox.h"
#include "worker/link.h"

namespace lre::worker {

class FakeServer : public LinkConnector {
 public:
  std::unique_ptr<Link> Connect(LinkCallbacks callbacks) override;

  // What a worker said next; nullopt when nothing comes for a long time.
  std::optional<v1::FromWorker> Next();
  // The next message of this kind; others are dropped.
  std::optional<v1::FromWorker> NextOf(v1::FromWorker::MessageCase kind);
  void Send(const v1::ToWorker& message);
  // Ends the link as a broken connection does.
  void Break(Status status);
  int connects() const;

 private:
  class FakeLink;
  mutable std::mutex mutex_;
  std::optional<LinkCallbacks> callbacks_;
  uint64_t number_ = 0;
  Mailbox<v1::FromWorker> messages_{10000};
};

}  // namespace lre::worker

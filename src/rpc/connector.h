// Connector: resolves a target and connects to its addresses one after the other, without blocking
// the loop. Confined to its loop; destroying it abandons the attempt. ResolverThreads: where its
// names are looked up, because getaddrinfo can neither be interrupted nor waited for on a loop.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "rpc/address.h"
#include "rpc/loop.h"

namespace lre::rpc {

// Confined to the loop; destroy it after the loop has stopped: that waits for the lookups
// that still run (the resolver's own timeouts bound them).
class ResolverThreads {
 public:
  explicit ResolverThreads(std::shared_ptr<Loop> loop) : loop_(std::move(loop)) {}
  // Calls `done` on the loop.
  void Resolve(Address address, std::function<void(Result<std::vector<SocketAddress>>)> done);
  const std::shared_ptr<Loop>& loop() const { return loop_; }

 private:
  struct Lookup {
    std::shared_ptr<std::atomic<bool>> ended;
    std::jthread thread;
  };
  const std::shared_ptr<Loop> loop_;
  std::vector<Lookup> threads_;
};

class Connector final : public Loop::Source, public std::enable_shared_from_this<Connector> {
 public:
  using Done = std::function<void(Result<UniqueFd>)>;
  // `resolver` must outlive it.
  Connector(ResolverThreads& resolver, Address address, Duration timeout, Done done);

  void Start();
  void Abandon();

 private:
  void OnEvents(uint32_t) override;
  void Next();
  void Finish(Result<UniqueFd> result);

  const std::shared_ptr<Loop> loop_;
  ResolverThreads& resolver_;
  const Address address_;
  const Duration timeout_;
  Done done_;
  std::vector<SocketAddress> left_;  // still to try, last first
  UniqueFd fd_;
  Status last_error_;
  Timer timer_;
};

}  // namespace lre::rpc

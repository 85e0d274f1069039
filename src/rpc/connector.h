// Connector: resolves a target and connects to its addresses one after the other, without blocking
// the loop. Confined to its loop; destroying it abandons the attempt.
#pragma once

#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "rpc/address.h"
#include "rpc/loop.h"

namespace lre::rpc {

class Connector final : public Loop::Source, public std::enable_shared_from_this<Connector> {
 public:
  using Done = std::function<void(Result<UniqueFd>)>;
  Connector(std::shared_ptr<Loop> loop, Address address, Duration timeout, Done done);
  ~Connector() override;

  void Start();
  void Abandon();

 private:
  void OnEvents(uint32_t) override;
  void Next();
  void Finish(Result<UniqueFd> result);

  const std::shared_ptr<Loop> loop_;
  const Address address_;
  const Duration timeout_;
  Done done_;
  std::vector<SocketAddress> left_;  // still to try, last first
  UniqueFd fd_;
  Status last_error_;
  Timer timer_;
  std::jthread resolver_;  // only for names; getaddrinfo cannot be interrupted
};

}  // namespace lre::rpc

// Http1Connection: one HTTP/1.1 connection of a server: one request at a time, answered by the
// server's HttpHandler. Nothing is read while an answer is owed, so a client cannot pile up
// requests. Confined to its loop; held by the server's set until closed.
#pragma once

#include <memory>
#include <string>

#include "rpc/http1_parser.h"
#include "rpc/server_context.h"
#include "rpc/socket.h"

namespace lre::rpc {

class Http1Connection final : public Loop::Source,
                              public Loop::Deferred,
                              public Served,
                              public std::enable_shared_from_this<Http1Connection> {
 public:
  Http1Connection(std::shared_ptr<Loop> loop, std::unique_ptr<Socket> socket,
                  const ServerContext& context, ServedSet& set);
  void Start(std::string_view already_read);

  // Served
  void BeginDrain() override;
  void EndCalls() override;
  void Drop() override { Close(); }
  bool closed() const override { return closed_; }

 private:
  enum class State { kReading, kHandling, kLingering };
  void OnEvents(uint32_t events) override;
  void OnIterationEnd() override;
  void ReadTurn();
  void Parse();
  void Handle();
  void Respond(HttpResponse response);
  void RequestFlush() { loop_->Defer(shared_from_this()); }
  void WatchFor(uint32_t events);
  void ArmTimer();
  void OnTimer();
  void Linger();
  void Close();

  const std::shared_ptr<Loop> loop_;
  std::unique_ptr<Socket> socket_;
  const ServerContext& context_;
  ServedSet& set_;
  const std::string peer_, identity_;
  Http1Parser parser_;
  HeldBody held_;      // of the request that is received or handled
  std::string input_;  // read and not parsed: what follows the current request
  Output output_;
  Timer timer_;
  State state_ = State::kReading;
  uint32_t watched_ = 0;
  uint64_t request_number_ = 0;  // an answer counts only for the request it was made for
  bool head_ = false, keep_alive_ = true, draining_ = false, closed_ = false;
  bool head_timed_ = false;  // the limit of this request's head is running
};

}  // namespace lre::rpc

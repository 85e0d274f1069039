// A client's connection over a socket whose handshake is played by the test.
#include "rpc/client_connection.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include "rpc/loop.h"

namespace lre::rpc {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

struct Handshake {
  int writes = 0;
  size_t written_bytes = 0;
};

// As TLS is before its handshake: writes wait for a byte of the peer, which is no data.
class HandshakingSocket final : public Socket {
 public:
  HandshakingSocket(UniqueFd fd, Handshake& seen) : fd_(std::move(fd)), seen_(seen) {}

  IoResult Read(char*, size_t) override {
    char byte;
    ssize_t n = recv(fd_.get(), &byte, 1, MSG_DONTWAIT);
    if (n == 0) return {.kind = IoResult::kEnd};
    done_ = done_ || n == 1;
    return {.kind = IoResult::kAgain};
  }
  IoResult Write(const iovec* pieces, int) override {
    ++seen_.writes;
    if (!done_) return {.kind = IoResult::kAgain};
    seen_.written_bytes += pieces[0].iov_len;
    return {.kind = IoResult::kDone, .bytes = pieces[0].iov_len};
  }
  int fd() const override { return fd_.get(); }
  void ShutdownWrite() override {}
  bool wants_read() const override { return !done_; }

 private:
  UniqueFd fd_;
  Handshake& seen_;
  bool done_ = false;
};

class HandshakeOfClients : public testing::Test {
 protected:
  HandshakeOfClients() {
    int pair[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    peer_ = UniqueFd(pair[1]);
    connection_ = std::make_shared<ClientConnection>(
        loop_, std::make_unique<HandshakingSocket>(UniqueFd(pair[0]), seen_),
        Http2Options{.server = false}, loop_.now() + milliseconds(100),
        ClientConnection::Events{.on_ready = [] {},
                                 .on_draining = [] {},
                                 .on_closed =
                                     [this](const Status& why) {
                                       why_ = why;
                                       loop_.Stop();
                                     }});
  }

  Loop loop_{SystemClock()};
  Handshake seen_;
  UniqueFd peer_;
  std::shared_ptr<ClientConnection> connection_;
  Status why_;
};

TEST_F(HandshakeOfClients, WaitsForThePeerWithoutSpinningAndNotForEver) {
  connection_->Start();
  loop_.Run();

  EXPECT_EQ(why_.code(), Code::kUnavailable);
  EXPECT_NE(why_.message().find("handshake"), std::string::npos) << why_.message();
  EXPECT_EQ(seen_.written_bytes, 0u);
  EXPECT_LE(seen_.writes, 3);
}

TEST_F(HandshakeOfClients, SendsWhatWaitedWhenTheHandshakeIsDone) {
  connection_->Start();
  ASSERT_EQ(send(peer_.get(), "h", 1, 0), 1);
  loop_.Run();

  EXPECT_GT(seen_.written_bytes, 24u);  // the preface and SETTINGS
  EXPECT_LE(seen_.writes, 4);
}

}  // namespace
}  // namespace lre::rpc

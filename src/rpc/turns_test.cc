// How a loop divides an iteration among connections that have much to send, and how little the
// kernel keeps of what their readers do not take.
#include <gtest/gtest.h>
#include <nghttp2/nghttp2.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <map>

#include "rpc/address.h"
#include "rpc/fake_peer.h"
#include "rpc/fake_services.h"
#include "rpc/server_connection.h"

namespace lre::rpc {
namespace {

// Always has more to send; notes its turns.
class Greedy final : public Loop::Deferred, public std::enable_shared_from_this<Greedy> {
 public:
  Greedy(Loop& loop, int turns) : loop_(loop), left_(turns) {}
  void OnIterationEnd() override {
    turns.push_back(loop_.TurnBytes());
    loop_.CountTurn(turns.back(), true);
    if (--left_ > 0) return loop_.Defer(shared_from_this());
    loop_.Stop();
  }
  std::vector<size_t> turns;

 private:
  Loop& loop_;
  int left_;
};

TEST(LoopTurns, AreWholeForAFew) {
  Loop loop(SystemClock());
  auto one = std::make_shared<Greedy>(loop, 5), other = std::make_shared<Greedy>(loop, 5);
  loop.Defer(one);
  loop.Defer(other);

  loop.Run();

  EXPECT_EQ(one->turns, std::vector<size_t>(5, Loop::kTurnBytes));
  EXPECT_EQ(other->turns, one->turns);
}

TEST(LoopTurns, AreSharedByManyAndNobodyWaits) {
  Loop loop(SystemClock());
  std::vector<std::shared_ptr<Greedy>> all;
  for (int i = 0; i < 16; ++i) {
    all.push_back(std::make_shared<Greedy>(loop, 5));
    loop.Defer(all.back());
  }

  loop.Run();

  // The first iteration does not know how many there are: the first take what there is of it.
  EXPECT_EQ(all.front()->turns[0], Loop::kTurnBytes);
  EXPECT_EQ(all.back()->turns[0], Loop::kTurnBytesMin);
  for (auto& each : all) {
    ASSERT_EQ(each->turns.size(), 5u);
    for (size_t i = 1; i < 5; ++i) EXPECT_EQ(each->turns[i], Loop::kIterationBytes / 16);
  }
}

// Gives a request, then takes whatever is written and counts it by iteration.
class CountingSocket final : public Socket {
 public:
  struct Counts {
    std::map<Instant, size_t> by_iteration;
    size_t total = 0, expected = 0;
    std::function<void()> all_written;  // posted to the loop then
  };
  CountingSocket(Loop& loop, std::string request, Counts& counts)
      : loop_(loop), request_(std::move(request)), counts_(counts), fd_(eventfd(1, EFD_NONBLOCK)) {}
  IoResult Read(char* out, size_t size) override {
    uint64_t count;
    [[maybe_unused]] ssize_t n = read(fd_.get(), &count, sizeof count);
    if (request_.empty()) return {.kind = IoResult::kAgain};
    EXPECT_LE(request_.size(), size);
    request_.copy(out, request_.size());
    return {.kind = IoResult::kDone, .bytes = std::exchange(request_, {}).size()};
  }
  IoResult Write(const iovec* pieces, int count) override {
    size_t bytes = 0;
    for (int i = 0; i < count; ++i) bytes += pieces[i].iov_len;
    counts_.by_iteration[loop_.now()] += bytes;
    counts_.total += bytes;
    if (counts_.total >= counts_.expected && counts_.all_written) {
      loop_.Post(std::exchange(counts_.all_written, nullptr));
    }
    return {.kind = IoResult::kDone, .bytes = bytes};
  }
  int fd() const override { return fd_.get(); }
  void ShutdownWrite() override {}

 private:
  Loop& loop_;
  std::string request_;
  Counts& counts_;
  UniqueFd fd_;
};

class NoSet final : public ServedSet {
  void Remove(Served&) override {}
  void Replace(Served&, std::shared_ptr<Served>) override {}
};

// One read of 20 messages of 100,000 bytes, by a peer with room for all of it.
std::string LargeRead() {
  const std::string message("\0\0\0\0\x0d\x0a\x0bn:20:100000", 18);
  const std::string window("\0\x4\x7f\xff\xff\xff", 6), update("\x7f\xf0\0\0", 4);
  return "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + FakePeer::Frame(kFrameSettings, 0, 0, window) +
         FakePeer::Frame(kFrameWindowUpdate, 0, 0, update) +
         FakePeer::Frame(kFrameHeaders, kFlagEndHeaders, 1,
                         FakePeer::HeaderBlock({{":method", "POST"},
                                                {":scheme", "http"},
                                                {":path", "/google.bytestream.ByteStream/Read"},
                                                {":authority", "test"},
                                                {"content-type", "application/grpc"}})) +
         FakePeer::Frame(kFrameData, kFlagEndStream, 1, message);
}

// The most that was written in one iteration while so many read.
size_t LongestIteration(size_t readers) {
  auto loop = std::make_shared<Loop>(SystemClock());
  FakeServices services;
  Metrics metrics;
  ServerContext context({}, services.Methods(), nullptr, metrics, SystemClock());
  NoSet set;
  CountingSocket::Counts counts;
  counts.expected = readers * 20 * 100'000;
  std::vector<std::shared_ptr<ServerConnection>> connections;
  for (size_t i = 0; i < readers; ++i) {
    connections.push_back(std::make_shared<ServerConnection>(
        loop, std::make_unique<CountingSocket>(*loop, LargeRead(), counts), context, set));
  }
  // Dropped while the loop runs: one that has ended keeps what is given to it.
  counts.all_written = [&] {
    for (auto& connection : connections) connection->Drop();
    loop->Stop();
  };
  loop->Post([&] {
    for (auto& connection : connections) connection->Start();
  });
  loop->Run();
  size_t longest = 0;
  for (const auto& [when, bytes] : counts.by_iteration) longest = std::max(longest, bytes);
  return longest;
}

TEST(LoopTurns, BoundWhatAnIterationWritesForReadersOfMuch) {
  constexpr size_t kReaders = 50, kFrame = 16384 + 9;
  EXPECT_LE(LongestIteration(kReaders),
            Loop::kIterationBytes + kReaders * (Loop::kTurnBytesMin + kFrame));
  EXPECT_GE(LongestIteration(1), Loop::kTurnBytes);
}

TEST(NearPeers, LeaveLittleInTheKernelWhenTheyStopReading) {
  std::string address;
  auto listening = Listen("127.0.0.1:0", address);
  ASSERT_TRUE(listening);
  FakePeer peer(address);  // never reads
  UniqueFd accepted(accept4(listening->get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  ASSERT_TRUE(accepted);
  auto socket = NewPlainSocket(std::move(accepted));
  int bytes = 0;
  socklen_t size = sizeof bytes;

  ASSERT_EQ(getsockopt(socket->fd(), SOL_SOCKET, SO_SNDBUF, &bytes, &size), 0);

  EXPECT_EQ(bytes, 2 * kNearSendBytes);
}

}  // namespace
}  // namespace lre::rpc

#include "load_floors.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <thread>

#include "base/check.h"
#include "load_client.h"
#include "load_server.h"

namespace lre::bench {
namespace {

using std::chrono::steady_clock;

constexpr size_t kHotBytes = 8 << 20;  // fits the L3 cache
constexpr size_t kBlockBytes = 256 << 10;
constexpr size_t kFileBytes = 1 << 30;
constexpr int kConnections = 4;

std::string_view HotBytes() {
  static const std::string bytes(kHotBytes, 'h');
  return bytes;
}

// Answers every request with as many bytes as its path says: "/floor/65536".
class CannedServer final : public Wire {
 public:
  explicit CannedServer(UniqueFd fd) : Wire(std::move(fd), Side::kServer, {}) {}

 protected:
  struct Stream {
    Body body;
    Pieces pieces;
  };
  void OnHeader(int32_t id, std::string_view name, std::string_view value) override {
    if (name != ":path") return;
    size_t size = 0;
    value.remove_prefix(std::string_view("/floor/").size());
    std::from_chars(value.data(), value.data() + value.size(), size);
    Stream& stream = streams_[id];
    for (size_t at = 0; at < size; at += kHotBytes)
      stream.pieces.push_back(HotBytes().substr(0, size - at));
    stream.body.Reset({}, &stream.pieces, {});
  }
  void OnRequestEnd(int32_t id) override {
    static const std::string names[] = {":status", "200", "content-type", "application/grpc"};
    nghttp2_nv headers[] = {Pair(names[0], names[1]), Pair(names[2], names[3])};
    nghttp2_data_provider provider = Provider(&streams_[id].body);
    nghttp2_submit_response(session(), id, headers, std::size(headers), &provider);
  }
  void OnBodySent(int32_t id) override {
    static const std::string names[] = {"grpc-status", "0"};
    nghttp2_nv trailer = Pair(names[0], names[1]);
    nghttp2_submit_trailer(session(), id, &trailer, 1);
  }
  void OnClose(int32_t id, uint32_t) override { streams_.erase(id); }

 private:
  static nghttp2_nv Pair(const std::string& name, const std::string& value) {
    auto bytes = [](const std::string& text) {
      return const_cast<uint8_t*>(reinterpret_cast<const uint8_t*>(text.data()));
    };
    return {bytes(name), bytes(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE};
  }
  std::map<int32_t, Stream> streams_;
};

void Serve(UniqueFd listener) {
  UniqueFd epoll(epoll_create1(EPOLL_CLOEXEC));
  auto watch = [&](int operation, int fd, uint32_t events, CannedServer* server) {
    epoll_event event{};
    event.events = events;
    event.data.ptr = server;
    epoll_ctl(epoll.get(), operation, fd, &event);
  };
  watch(EPOLL_CTL_ADD, listener.get(), EPOLLIN, nullptr);
  std::vector<std::unique_ptr<CannedServer>> servers;
  while (true) {
    epoll_event events[64];
    int count = epoll_wait(epoll.get(), events, std::size(events), -1);
    for (int i = 0; i < count; ++i) {
      auto* server = static_cast<CannedServer*>(events[i].data.ptr);
      if (server == nullptr) {
        UniqueFd fd(accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
        servers.push_back(std::make_unique<CannedServer>(std::move(fd)));
        server = servers.back().get();
        watch(EPOLL_CTL_ADD, server->fd(), EPOLLIN, server);
      }
      bool readable = (events[i].events & EPOLLIN) != 0;
      if ((readable && !server->Receive()) || !server->Flush()) {
        watch(EPOLL_CTL_DEL, server->fd(), 0, nullptr);
        continue;
      }
      watch(EPOLL_CTL_MOD, server->fd(), server->blocked() ? EPOLLIN | EPOLLOUT : EPOLLIN, server);
    }
  }
}

void WriteForever(UniqueFd listener) {
  UniqueFd fd(accept(listener.get(), nullptr, nullptr));
  for (size_t at = 0;; at = (at + kBlockBytes) % kHotBytes)
    if (write(fd.get(), HotBytes().data() + at, kBlockBytes) < 0) return;
}

// The same over as many connections as the reads of bench_load have, a thread for each: what more
// buffers in flight cost by themselves.
void WriteToAllForever(UniqueFd listener) {
  std::vector<std::jthread> writers;
  for (int i = 0; i < kConnections; ++i) {
    writers.emplace_back([fd = UniqueFd(accept(listener.get(), nullptr, nullptr))] {
      for (size_t at = 0;; at = (at + kBlockBytes) % kHotBytes)
        if (write(fd.get(), HotBytes().data() + at, kBlockBytes) < 0) return;
    });
  }
}

void HashAndStoreForever(UniqueFd listener, const std::string& path) {
  UniqueFd fd(accept(listener.get(), nullptr, nullptr));
  UniqueFd file(open(path.c_str(), O_CREAT | O_RDWR | O_TRUNC | O_CLOEXEC, 0600));
  CHECK(file && unlink(path.c_str()) == 0);
  std::string block(kBlockBytes, '\0');
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  size_t at = 0, hashed = 0;
  while (true) {
    ssize_t size = read(fd.get(), block.data(), block.size());
    if (size <= 0) return;
    if (hashed == 0) EVP_DigestInit_ex(context, EVP_sha256(), nullptr);
    EVP_DigestUpdate(context, block.data(), static_cast<size_t>(size));
    if (pwrite(file.get(), block.data(), static_cast<size_t>(size), static_cast<off_t>(at)) != size)
      return;
    at = (at + static_cast<size_t>(size)) % kFileBytes;
    // Appending is what a store does: a file that is full is given up.
    if (at < static_cast<size_t>(size)) CHECK(ftruncate(file.get(), 0) == 0);
    hashed += static_cast<size_t>(size);
    if (hashed < 1 << 20) continue;
    unsigned char digest[32];
    EVP_DigestFinal_ex(context, digest, nullptr);
    hashed = 0;
  }
}

// A forked server on a port of its own; ended with the object.
class Child {
 public:
  explicit Child(const std::function<void(UniqueFd)>& run) {
    auto listener = ListenLoopback(&port_);
    CHECK(listener.has_value());
    pid_ = fork();
    CHECK(pid_ >= 0);
    if (pid_ > 0) return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    run(std::move(*listener));
    _exit(0);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  pid_t pid() const { return pid_; }
  std::string target() const { return fmt::format("127.0.0.1:{}", port_); }

 private:
  pid_t pid_ = -1;
  int port_ = 0;
};

Status Canned(double seconds, std::vector<Floor>& floors) {
  Child child(Serve);
  struct Kind {
    const char* name;
    const char* path;
    size_t bytes;
    int in_flight;
  };
  for (const Kind& kind : {Kind{"canned unary answer", "/floor/65", 65, 64},
                           Kind{"canned read of 64 KiB", "/floor/65536", 65536, 16},
                           Kind{"canned read of 1 MiB", "/floor/1048576", 1 << 20, 8}}) {
    TRY_ASSIGN(auto client, Client::Connect(child.target(), 4));
    int64_t cpu = 0;
    RunOptions options{.in_flight = kind.in_flight,
                       .warm_up = std::chrono::milliseconds(200),
                       .duration = std::chrono::duration<double>(seconds)};
    options.on_begin = [&] { cpu = ProcessCpuNanos(child.pid()); };
    options.on_end = [&] { cpu = ProcessCpuNanos(child.pid()) - cpu; };
    Maker make = [&](uint64_t, Request& request) {
      request.path = kind.path;
      request.head.assign(70, 'q');
      request.answer_bytes = kind.bytes;
    };
    TRY_ASSIGN(RunResult result, client->Run(make, options));
    if (result.errors > 0) return ErrorStatus(Code::kInternal, "floor: {}", result.first_error);
    // On a machine that had no time for any, the figure says so by its size.
    auto calls = static_cast<double>(std::max<uint64_t>(1, result.calls)),
         nanos = static_cast<double>(cpu);
    double bytes = calls * static_cast<double>(kind.bytes);
    floors.push_back({.name = kind.name,
                      .calls_per_second = calls / result.seconds,
                      .cpu_us_per_call = nanos / 1e3 / calls,
                      .gb_per_second = bytes / 1e9 / result.seconds,
                      .cpu_s_per_gb = nanos / bytes});
  }
  return {};
}

// Moves bytes over `fd` with `move` for the time given, and sets the child's CPU against them.
Floor Stream(const Child& child, double seconds, const std::function<ssize_t()>& move) {
  for (auto until = steady_clock::now() + std::chrono::milliseconds(200);
       steady_clock::now() < until;)
    CHECK(move() > 0);
  int64_t cpu = ProcessCpuNanos(child.pid());
  auto begin = steady_clock::now();
  double bytes = 0, took = 0;
  for (; took < seconds;
       took = std::chrono::duration<double>(steady_clock::now() - begin).count()) {
    ssize_t moved = move();
    CHECK(moved > 0);
    bytes += static_cast<double>(moved);
  }
  cpu = ProcessCpuNanos(child.pid()) - cpu;
  return {.gb_per_second = bytes / 1e9 / took, .cpu_s_per_gb = static_cast<double>(cpu) / bytes};
}

Result<UniqueFd> ConnectBlocking(const Child& child) {
  TRY_ASSIGN(UniqueFd fd, ConnectTcp(child.target()));
  fcntl(fd.get(), F_SETFL, fcntl(fd.get(), F_GETFL) & ~O_NONBLOCK);
  return fd;
}

}  // namespace

Result<std::vector<Floor>> MeasureFloors(const std::string& directory, double seconds) {
  std::vector<Floor> floors;
  TRY(Canned(seconds, floors));
  std::string buffer(kBlockBytes, 'b');
  {
    Child child(WriteForever);
    TRY_ASSIGN(UniqueFd fd, ConnectBlocking(child));
    floors.push_back(
        Stream(child, seconds, [&] { return read(fd.get(), buffer.data(), buffer.size()); }));
    floors.back().name = "raw write()";
  }
  {
    Child child(WriteToAllForever);
    std::vector<UniqueFd> fds;
    std::vector<pollfd> polled;
    for (int i = 0; i < kConnections; ++i) {
      TRY_ASSIGN(UniqueFd fd, ConnectBlocking(child));
      polled.push_back({.fd = fd.get(), .events = POLLIN, .revents = 0});
      fds.push_back(std::move(fd));
    }
    size_t next = 0;
    floors.push_back(Stream(child, seconds, [&]() -> ssize_t {
      poll(polled.data(), polled.size(), -1);
      while ((polled[next % polled.size()].revents & POLLIN) == 0) ++next;
      return read(polled[next++ % polled.size()].fd, buffer.data(), buffer.size());
    }));
    floors.back().name = "raw write(), 4 connections";
  }
  std::string path = fmt::format("{}/floor.{}", directory, getpid());
  Child child([&](UniqueFd listener) { HashAndStoreForever(std::move(listener), path); });
  TRY_ASSIGN(UniqueFd fd, ConnectBlocking(child));
  floors.push_back(
      Stream(child, seconds, [&] { return write(fd.get(), buffer.data(), buffer.size()); }));
  floors.back().name = "raw read + SHA-256 + pwrite";
  return floors;
}

}  // namespace lre::bench

// The server: loops and their threads, one acceptor that hands connections to the least loaded loop
// (SO_REUSEPORT may put all on one), and the drain.
#include "rpc/server.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "base/guarded.h"
#include "base/log.h"
#include "base/thread_group.h"
#include "rpc/address.h"
#include "rpc/server_context.h"
#include "rpc/sniffer.h"
#include "rpc/tls.h"

namespace lre::rpc {

ServerContext::ServerContext(ServerOptions options_in, std::vector<Method> methods,
                             HttpHandler http_in, Metrics& metrics, const Clock& clock_in)
    : options(std::move(options_in)),
      http2{.server = true,
            .streams_max = options.streams_max,
            .stream_window_bytes = options.stream_window_bytes,
            .connection_window_bytes = options.connection_window_bytes,
            .header_bytes_max = options.header_bytes_max,
            .assembling_bytes_max = options.assembling_bytes_max,
            .keepalive_interval = options.keepalive_interval,
            .keepalive_timeout = options.keepalive_timeout,
            .stream_stall_max = options.stream_stall_max},
      http(std::move(http_in)),
      clock(clock_in),
      connections_total(metrics.AddCounter("rpc_connections_total", "Connections accepted")),
      connections_refused_total(metrics.AddCounter("rpc_connections_refused_total",
                                                   "Connections beyond connections_max")),
      abuse_total(metrics.AddCounter("rpc_abuse_total", "Connections ended for flooding")),
      unknown_method_total(
          metrics.AddCounter("rpc_unknown_method_total", "Calls of methods that are not served")),
      connections(metrics.AddGauge("rpc_connections", "Open connections")) {
  methods_.reserve(methods.size());
  for (Method& method : methods) {
    ServedMethod served{.method = std::move(method), .ended = {}, .seconds = nullptr};
    served.seconds =
        &metrics.AddHistogram("rpc_call_seconds", "From a call's headers to its status, by method",
                              fmt::format("method=\"{}\"", served.method.path));
    for (int code = 0; code <= 16; ++code) {
      served.ended[static_cast<size_t>(code)] =
          &metrics.AddCounter("rpc_calls_total", "Calls ended, by method and status",
                              fmt::format("method=\"{}\",code=\"{}\"", served.method.path,
                                          CodeName(static_cast<Code>(code))));
    }
    methods_.push_back(std::move(served));
  }
  for (const ServedMethod& served : methods_) by_path_.emplace(served.method.path, &served);
}

bool HeldBody::Set(size_t bytes) {
  if (bytes <= bytes_) {
    total_->fetch_sub(bytes_ - bytes, std::memory_order_relaxed);
  } else {
    size_t more = bytes - bytes_;
    if (total_->fetch_add(more, std::memory_order_relaxed) + more > total_max_) {
      total_->fetch_sub(more, std::memory_order_relaxed);
      return false;
    }
  }
  bytes_ = bytes;
  return true;
}

const ServedMethod* ServerContext::Find(std::string_view path) const {
  auto found = by_path_.find(path);
  return found == by_path_.end() ? nullptr : found->second;
}

namespace {

class ServerImpl;

// One loop, its thread and its connections.
class LoopThread final : public ServedSet {
 public:
  LoopThread(ServerImpl& server, const Clock& clock)
      : loop(std::make_shared<Loop>(clock)), server_(server) {}
  void Adopt(UniqueFd fd);
  void Remove(Served& served) override;
  void Replace(Served& before, std::shared_ptr<Served> now) override;
  void BeginDrain();
  void ForEach(void (Served::*act)());

  const std::shared_ptr<Loop> loop;
  std::atomic<int> load{0};

 private:
  ServerImpl& server_;
  std::unordered_map<Served*, std::shared_ptr<Served>> served_;
  bool draining_ = false;
};

class Acceptor final : public Loop::Source {
 public:
  Acceptor(ServerImpl& server, UniqueFd fd, std::string unix_path)
      : server_(server), fd_(std::move(fd)), unix_path_(std::move(unix_path)) {}
  void OnEvents(uint32_t) override { AcceptAll(); }
  void Open(Loop& loop);
  void Close(Loop& loop);

 private:
  void AcceptAll();

  ServerImpl& server_;
  UniqueFd fd_;
  const std::string unix_path_;
  Loop* loop_ = nullptr;
  Timer retry_{[this] {
    loop_->Watch(fd_.get(), EPOLLIN, *this);
    AcceptAll();
  }};
};

class ServerImpl final : public Server {
 public:
  ServerImpl(ServerOptions options, std::vector<Method> methods, HttpHandler http, Metrics& metrics,
             const Clock& clock)
      : context(std::move(options), std::move(methods), std::move(http), metrics, clock) {}
  ~ServerImpl() override { Drain(Duration(0)); }

  Status Open();
  const std::vector<std::string>& addresses() const override { return addresses_; }
  void Drain(Duration patience) override;

  Status ReloadCertificates() override;

  void Give(UniqueFd fd);
  std::unique_ptr<Socket> NewSocket(UniqueFd fd);
  // A connection left its loop.
  void Left();

  const ServerContext context;

 private:
  bool WaitUntilEmpty(Duration patience);
  void PostToAll(std::function<void(LoopThread&)> work);

  Guarded<std::shared_ptr<TlsContext>> tls_;
  std::vector<std::string> addresses_;
  std::vector<std::unique_ptr<LoopThread>> loops_;
  std::vector<std::unique_ptr<Acceptor>> acceptors_;  // on loops_[0]
  bool drained_ = false, running_ = false;            // composing thread only
  std::mutex mutex_;
  std::condition_variable left_;
  size_t open_ = 0;  // under mutex_
  ThreadGroup threads_;
};

void LoopThread::Adopt(UniqueFd fd) {
  auto sniffer =
      std::make_shared<Sniffer>(loop, server_.NewSocket(std::move(fd)), server_.context, *this);
  served_.emplace(sniffer.get(), sniffer);
  sniffer->Start();
}

void LoopThread::Replace(Served& before, std::shared_ptr<Served> now) {
  served_.erase(&before);
  Served& served = *now;
  served_.emplace(&served, std::move(now));
  if (draining_) served.BeginDrain();
}

void LoopThread::Remove(Served& served) {
  if (served_.erase(&served) == 0) return;
  load.fetch_sub(1, std::memory_order_relaxed);
  server_.Left();
}

void LoopThread::BeginDrain() {
  draining_ = true;
  ForEach(&Served::BeginDrain);
}

void LoopThread::ForEach(void (Served::*act)()) {
  std::vector<std::shared_ptr<Served>> all;
  all.reserve(served_.size());
  for (auto& [served, held] : served_) all.push_back(held);
  for (auto& served : all) ((*served).*act)();
}

void Acceptor::Open(Loop& loop) {
  loop_ = &loop;
  loop.Watch(fd_.get(), EPOLLIN, *this);
}

void Acceptor::Close(Loop& loop) {
  AcceptAll();  // whoever the kernel has already greeted is served, then drained
  retry_.Cancel();
  loop.Unwatch(fd_.get());
  fd_.Reset();
  if (!unix_path_.empty()) unlink(unix_path_.c_str());
}

void Acceptor::AcceptAll() {
  if (!fd_) return;
  for (int i = 0; i < 256; ++i) {
    UniqueFd fd(accept4(fd_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (fd) {
      server_.Give(std::move(fd));
      continue;
    }
    if (errno == EINTR || errno == ECONNABORTED) continue;
    if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
      Log(kWarning, "rpc_accept", {{"error", "too many open files or no memory"}});
      loop_->Unwatch(fd_.get());  // level-triggered: would spin
      retry_.Set(*loop_, loop_->now() + std::chrono::milliseconds(100));
    }
    return;
  }
}

Status ServerImpl::ReloadCertificates() {
  const TlsOptions& files = context.options.tls;
  if (files.certificate_path.empty()) return {};
  TRY_ASSIGN(std::shared_ptr<TlsContext> tls, TlsContext::ForServer(files));
  tls_.With([&](auto& current) { current = std::move(tls); });
  return {};
}

std::unique_ptr<Socket> ServerImpl::NewSocket(UniqueFd fd) {
  auto tls = tls_.With([](auto& current) { return current; });
  return tls ? tls->Wrap(std::move(fd), {}) : NewPlainSocket(std::move(fd));
}

Status ServerImpl::Open() {
  TRY(ReloadCertificates());
  int count = context.options.loops;
  if (count <= 0) count = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  for (int i = 0; i < count; ++i)
    loops_.push_back(std::make_unique<LoopThread>(*this, context.clock));
  for (const std::string& text : context.options.listen) {
    std::string bound;
    TRY_ASSIGN(UniqueFd fd, Listen(text, bound));
    std::string path = bound.starts_with("unix:") ? bound.substr(5) : std::string();
    acceptors_.push_back(std::make_unique<Acceptor>(*this, std::move(fd), std::move(path)));
    acceptors_.back()->Open(*loops_[0]->loop);
    addresses_.push_back(std::move(bound));
  }
  running_ = true;
  for (int i = 0; i < count; ++i) {
    Loop* loop = loops_[static_cast<size_t>(i)]->loop.get();
    threads_.Add(fmt::format("rpc-{}", i), [loop](std::stop_token) { loop->Run(); });
  }
  return {};
}

void ServerImpl::Give(UniqueFd fd) {
  {
    std::lock_guard lock(mutex_);
    if (open_ >= context.options.connections_max) {
      context.connections_refused_total.Add();
      return;
    }
    ++open_;
  }
  context.connections_total.Add();
  context.connections.Add(1);
  LoopThread* least = loops_[0].get();
  for (auto& candidate : loops_) {
    if (candidate->load.load(std::memory_order_relaxed) <
        least->load.load(std::memory_order_relaxed)) {
      least = candidate.get();
    }
  }
  least->load.fetch_add(1, std::memory_order_relaxed);
  least->loop->Post([least, shared = std::make_shared<UniqueFd>(std::move(fd))] {
    least->Adopt(std::move(*shared));
  });
}

void ServerImpl::Left() {
  context.connections.Add(-1);
  std::lock_guard lock(mutex_);
  --open_;
  left_.notify_all();
}

bool ServerImpl::WaitUntilEmpty(Duration patience) {
  std::unique_lock lock(mutex_);
  return left_.wait_for(lock, patience, [&] { return open_ == 0; });
}

void ServerImpl::PostToAll(std::function<void(LoopThread&)> work) {
  for (auto& loop : loops_) loop->loop->Post([&loop = *loop, work] { work(loop); });
}

void ServerImpl::Drain(Duration patience) {
  if (std::exchange(drained_, true)) return;
  if (!running_) return;
  // The acceptors hand over what they have accepted before the other loops are told to drain.
  loops_[0]->loop->Post([this] {
    for (auto& acceptor : acceptors_) acceptor->Close(*loops_[0]->loop);
    PostToAll([](LoopThread& loop) { loop.BeginDrain(); });
  });
  if (patience <= Duration(0) || !WaitUntilEmpty(patience)) {
    PostToAll([](LoopThread& loop) { loop.ForEach(&Served::EndCalls); });
    if (!WaitUntilEmpty(context.http2.linger)) {
      PostToAll([](LoopThread& loop) { loop.ForEach(&Served::Drop); });
      // Dropping does not wait for anyone.
      WaitUntilEmpty(std::chrono::seconds(30));
    }
  }
  for (auto& loop : loops_) loop->loop->Stop();
  threads_.Stop();
  acceptors_.clear();
}

}  // namespace

Result<std::unique_ptr<Server>> Server::Start(ServerOptions options, std::vector<Method> methods,
                                              HttpHandler http, Metrics& metrics,
                                              const Clock& clock) {
  auto server = std::make_unique<ServerImpl>(std::move(options), std::move(methods),
                                             std::move(http), metrics, clock);
  TRY(server->Open());
  return server;
}

}  // namespace lre::rpc

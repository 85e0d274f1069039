// The channel: a loop and its thread, and for each of its connections a slot that connects when a
// call needs it and waits with backoff after a failure. Calls that find no connection wait while
// one is being made and fail with UNAVAILABLE when that fails, as gRPC's do.
#include <algorithm>
#include <deque>
#include <thread>
#include <utility>

#include "base/random.h"
#include "rpc/client.h"
#include "rpc/client_connection.h"
#include "rpc/connector.h"
#include "rpc/tls.h"

namespace lre::rpc {
namespace {

constexpr Duration kBackoffFirst = std::chrono::milliseconds(100);
constexpr Duration kBackoffMax = std::chrono::seconds(20);

struct Endpoint {
  Address address;
  std::shared_ptr<TlsContext> tls;  // null: plain
  ClientConnection::Target target;
};

class Core;

// One connection of the channel, made anew when it is lost. Confined to the loop.
class Slot {
 public:
  Slot(Core& core, uint64_t seed) : core_(core), random_(seed) {}
  void Start(std::shared_ptr<ClientStream> stream);
  // Lower is better; nullopt when it would fail a call at once.
  std::optional<size_t> load() const;
  void Shutdown();

 private:
  void Connect();
  void Connected(Result<UniqueFd> fd);
  void Failed(const Status& why);

  Core& core_;
  std::shared_ptr<ClientConnection> connection_;
  std::vector<std::shared_ptr<ClientConnection>> draining_;
  std::shared_ptr<Connector> connector_;
  std::deque<std::shared_ptr<ClientStream>> waiting_;
  Duration backoff_ = kBackoffFirst;
  Instant retry_at_{};
  Instant ready_by_{};  // of the attempt that runs
  Status last_error_;
  Random random_;
};

class Core : public std::enable_shared_from_this<Core> {
 public:
  Core(Endpoint endpoint_in, ChannelOptions options_in)
      : options(std::move(options_in)),
        endpoint(std::move(endpoint_in)),
        http2{.server = false,
              .keepalive_interval = options.keepalive_interval,
              .keepalive_timeout = options.keepalive_timeout,
              .stream_stall_max = Duration(0)},
        loop(std::make_shared<Loop>(SystemClock())),
        resolver(loop) {
    endpoint.target.metadata = &options.metadata;
    for (int i = 0; i < std::max(1, options.connections); ++i) {
      slots_.push_back(std::make_unique<Slot>(*this, std::random_device()()));
    }
  }

  void StartCall(std::shared_ptr<ClientStream> stream);
  void Place(std::shared_ptr<ClientStream> stream);
  void Shutdown();
  bool down() const { return down_; }

  const ChannelOptions options;
  Endpoint endpoint;
  const Http2Options http2;
  const std::shared_ptr<Loop> loop;
  ResolverThreads resolver;

 private:
  std::vector<std::unique_ptr<Slot>> slots_;
  size_t next_ = 0;
  bool down_ = false;
};

void Core::StartCall(std::shared_ptr<ClientStream> stream) {
  stream->Arm();
  Place(std::move(stream));
}

void Core::Place(std::shared_ptr<ClientStream> stream) {
  if (down_) return stream->End(Status(Code::kCancelled, "the channel was closed"));
  // Round robin among the least loaded, so that all connections of the channel get used.
  Slot* best = nullptr;
  size_t best_load = 0;
  for (size_t i = 0; i < slots_.size(); ++i) {
    Slot& slot = *slots_[(next_ + i) % slots_.size()];
    auto load = slot.load();
    if (load && (best == nullptr || *load < best_load)) {
      best = &slot;
      best_load = *load;
    }
  }
  if (best == nullptr) best = slots_[next_ % slots_.size()].get();
  next_ = (next_ + 1) % slots_.size();
  best->Start(std::move(stream));
}

void Core::Shutdown() {
  down_ = true;
  for (auto& slot : slots_) slot->Shutdown();
  loop->Stop();
}

std::optional<size_t> Slot::load() const {
  if (connection_) return connection_->open_streams();
  if (connector_) return waiting_.size();
  if (core_.loop->now() < retry_at_) return std::nullopt;
  return 0;
}

void Slot::Start(std::shared_ptr<ClientStream> stream) {
  if (connection_ && connection_->StartCall(stream, core_.endpoint.target)) return;
  if (!connector_) {
    if (core_.loop->now() < retry_at_) {
      // Posted: the caller of Channel::Start may be on this thread and hold a lock.
      core_.loop->Post([stream, error = last_error_] { stream->End(error); });
      return;
    }
    waiting_.push_back(std::move(stream));
    return Connect();
  }
  // Calls that ended while waiting are dropped here, so that the queue stays bounded by open calls.
  while (!waiting_.empty() && waiting_.front()->ended()) waiting_.pop_front();
  waiting_.push_back(std::move(stream));
}

void Slot::Connect() {
  ready_by_ = core_.loop->now() + core_.options.connect_timeout;
  connector_ = std::make_shared<Connector>(
      core_.resolver, core_.endpoint.address, core_.options.connect_timeout,
      [this](Result<UniqueFd> fd) { Connected(std::move(fd)); });
  // Posted, so that a failure at once does not end calls inside Channel::Start.
  core_.loop->Post([weak = std::weak_ptr(connector_)] {
    if (auto connector = weak.lock()) connector->Start();
  });
}

void Slot::Connected(Result<UniqueFd> fd) {
  auto connector = std::move(connector_);
  connector_ = nullptr;
  if (!fd) return Failed(fd.error());
  const Endpoint& endpoint = core_.endpoint;
  auto made = std::make_shared<ClientConnection*>(nullptr);
  auto connection = std::make_shared<ClientConnection>(
      *core_.loop,
      endpoint.tls ? endpoint.tls->Wrap(std::move(*fd), endpoint.address.host)
                   : NewPlainSocket(std::move(*fd)),
      core_.http2, ready_by_,
      ClientConnection::Events{.on_ready = [this] { backoff_ = kBackoffFirst; },
                               .on_draining =
                                   [this, made] {
                                     if (connection_.get() != *made) return;
                                     draining_.push_back(std::move(connection_));
                                     connection_ = nullptr;
                                   },
                               .on_closed =
                                   [this, made](const Status& why) {
                                     std::erase_if(draining_,
                                                   [&](auto& c) { return c.get() == *made; });
                                     if (connection_.get() != *made) return;
                                     bool ready = connection_->ready();
                                     connection_ = nullptr;
                                     // A connection that worked is replaced without waiting.
                                     if (!ready && !core_.down()) Failed(why);
                                   }});
  *made = connection.get();
  connection_ = connection;
  connection->Start();
  std::deque<std::shared_ptr<ClientStream>> waiting;
  waiting.swap(waiting_);
  for (auto& stream : waiting) {
    if (!stream->ended()) Start(std::move(stream));
  }
}

void Slot::Failed(const Status& why) {
  last_error_ = Status(Code::kUnavailable,
                       fmt::format("{}: {}", core_.endpoint.target.authority, why.message()));
  double jitter = 0.8 + 0.4 * static_cast<double>(random_.Below(1000)) / 1000;
  retry_at_ = core_.loop->now() + std::chrono::duration_cast<Duration>(backoff_ * jitter);
  backoff_ = std::min(kBackoffMax, backoff_ * 8 / 5);
  std::deque<std::shared_ptr<ClientStream>> waiting;
  waiting.swap(waiting_);
  for (auto& stream : waiting) stream->End(last_error_);
}

void Slot::Shutdown() {
  Status closed(Code::kCancelled, "the channel was closed");
  if (connector_) std::exchange(connector_, nullptr)->Abandon();
  auto connections = std::exchange(draining_, {});
  if (connection_) connections.push_back(std::exchange(connection_, nullptr));
  for (auto& connection : connections) connection->Close(closed);
  std::deque<std::shared_ptr<ClientStream>> waiting;
  waiting.swap(waiting_);
  for (auto& stream : waiting) stream->End(closed);
}

class ChannelImpl final : public Channel {
 public:
  ChannelImpl(Endpoint endpoint, ChannelOptions options)
      : core_(std::make_shared<Core>(std::move(endpoint), std::move(options))),
        thread_([core = core_] { core->loop->Run(); }) {
    pthread_setname_np(thread_.native_handle(), "rpc-channel");
  }
  ~ChannelImpl() override {
    core_->loop->Post([core = core_] { core->Shutdown(); });
    // The last reference may be dropped by a callback: then the thread, which holds the core, ends
    // by itself after the callback.
    if (core_->loop->InLoopThread()) {
      thread_.detach();  // NOLINT: it cannot join itself; it holds all that it uses
    } else {
      thread_.join();
    }
  }

  std::shared_ptr<ClientCall> Start(std::string method, CallOptions options,
                                    std::shared_ptr<ClientHandler> handler) override {
    auto stream = std::make_shared<ClientStream>(
        core_->loop, ClientStream::Start{.method = std::move(method),
                                         .options = std::move(options),
                                         .handler = std::move(handler),
                                         .response_bytes_max = core_->options.response_bytes_max,
                                         .stream_window_bytes = core_->http2.stream_window_bytes,
                                         .retry = [weak = std::weak_ptr(core_)](auto again) {
                                           auto core = weak.lock();
                                           if (core == nullptr || core->down()) return false;
                                           // Not inside nghttp2's callbacks.
                                           core->loop->Post([core, again] { core->Place(again); });
                                           return true;
                                         }});
    core_->loop->RunInLoop([core = core_, stream] { core->StartCall(stream); });
    return stream;
  }

 private:
  const std::shared_ptr<Core> core_;
  std::thread thread_;
};

}  // namespace

Result<std::shared_ptr<Channel>> Channel::Create(const std::string& target,
                                                 ChannelOptions options) {
  std::string_view rest = target;
  bool tls = rest.starts_with("grpcs://");
  if (tls) {
    rest.remove_prefix(8);
  } else if (rest.starts_with("grpc://")) {
    rest.remove_prefix(7);
  }
  TRY_ASSIGN(Address address, ParseAddress(rest));
  std::string authority = address.unix_path.empty() ? std::string(rest) : "localhost";
  std::shared_ptr<TlsContext> context;
  if (tls) {
    TRY_ASSIGN(context, TlsContext::ForClient({.ca_path = options.tls_ca_path,
                                               .certificate_path = options.tls_certificate_path,
                                               .key_path = options.tls_key_path}));
  }
  Endpoint endpoint{.address = std::move(address),
                    .tls = std::move(context),
                    .target = {.scheme = tls ? "https" : "http",
                               .authority = std::move(authority),
                               .metadata = nullptr}};
  return std::make_shared<ChannelImpl>(std::move(endpoint), std::move(options));
}

}  // namespace lre::rpc

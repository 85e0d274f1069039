#include "load_client.h"

#include <errno.h>
#include <sys/epoll.h>

#include <algorithm>
#include <charconv>

#include "base/check.h"

namespace lre::bench {
namespace {

using std::chrono::steady_clock;

nghttp2_nv Header(std::string_view name, std::string_view value) {
  auto bytes = [](std::string_view text) {
    return const_cast<uint8_t*>(reinterpret_cast<const uint8_t*>(text.data()));
  };
  return {bytes(name), bytes(value), name.size(), value.size(),
          NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE};
}

}  // namespace

struct Client::Slot {
  Connection* connection = nullptr;
  Request request;
  Body body;
  TimePoint begin;
  size_t received = 0;
  int code = -1;
  std::string message;
};

class Client::Connection final : public Wire {
 public:
  Connection(Client& client, UniqueFd fd)
      : Wire(std::move(fd), Side::kClient, {}), client_(client) {}

  void Submit(Slot& slot) {
    slot.body.Reset(slot.request.head, slot.request.middle, slot.request.tail);
    nghttp2_nv headers[] = {Header(":method", "POST"),
                            Header(":scheme", "http"),
                            Header(":path", slot.request.path),
                            Header(":authority", client_.target_),
                            Header("te", "trailers"),
                            Header("content-type", "application/grpc"),
                            Header("user-agent", "lre-bench-load")};
    nghttp2_data_provider provider = Provider(&slot.body);
    int32_t stream =
        nghttp2_submit_request(session(), nullptr, headers, std::size(headers), &provider, &slot);
    CHECK(stream > 0);
  }

  bool watched_for_write = false;

 protected:
  Slot* SlotOf(int32_t stream) {
    return static_cast<Slot*>(nghttp2_session_get_stream_user_data(session(), stream));
  }
  void OnHeader(int32_t stream, std::string_view name, std::string_view value) override {
    Slot* slot = SlotOf(stream);
    if (slot == nullptr) return;
    if (name == "grpc-status")
      std::from_chars(value.data(), value.data() + value.size(), slot->code);
    if (name == "grpc-message") slot->message = value;
    if (name == ":status" && value != "200") slot->message = "HTTP " + std::string(value);
  }
  void OnData(int32_t stream, std::string_view bytes) override {
    Slot* slot = SlotOf(stream);
    if (slot == nullptr) return;
    slot->received += bytes.size();
    if (client_.capture_ != nullptr) client_.capture_->append(bytes);
  }
  void OnClose(int32_t stream, uint32_t error) override {
    if (Slot* slot = SlotOf(stream)) client_.Finished(*slot, error);
  }

 private:
  Client& client_;
};

double RunResult::LatencyMs(double q) {
  if (latencies_us.empty()) return 0;
  auto at = latencies_us.begin() +
            static_cast<ptrdiff_t>(q * static_cast<double>(latencies_us.size() - 1));
  std::nth_element(latencies_us.begin(), at, latencies_us.end());
  return *at / 1e3;
}

Result<std::unique_ptr<Client>> Client::Connect(const std::string& target, int connections) {
  std::unique_ptr<Client> client(new Client(target));
  client->epoll_ = UniqueFd(epoll_create1(EPOLL_CLOEXEC));
  for (int i = 0; i < connections; ++i) {
    TRY_ASSIGN(UniqueFd fd, ConnectTcp(target));
    auto connection = std::make_unique<Connection>(*client, std::move(fd));
    epoll_event event{.events = EPOLLIN, .data = {.ptr = connection.get()}};
    if (epoll_ctl(client->epoll_.get(), EPOLL_CTL_ADD, connection->fd(), &event) != 0)
      return ErrnoError(errno, "epoll_ctl");
    // Servers drop who says nothing for long, and on a busy machine the first call may be far.
    if (!connection->Flush()) return Error(Code::kUnavailable, "{} closed", target);
    client->connections_.push_back(std::move(connection));
  }
  return client;
}

Client::Client(std::string target) : target_(std::move(target)) {}
Client::~Client() = default;

void Client::StartNext(Slot& slot) {
  slot.received = 0;
  slot.code = -1;
  slot.message.clear();
  (*make_)(started_++, slot.request);
  slot.begin = steady_clock::now();
  ++open_;
  slot.connection->Submit(slot);
}

void Client::Finished(Slot& slot, uint32_t http2_error) {
  --open_;
  const Request& request = slot.request;
  bool right = slot.code == request.code && slot.received >= request.answer_bytes;
  if (!right && result_.errors++ == 0) {
    result_.first_error = fmt::format(
        "{}: status {} {}, {} bytes, HTTP/2 error {}; wanted status {}, {} bytes", request.path,
        slot.code, slot.message, slot.received, http2_error, request.code, request.answer_bytes);
  }
  if (right && measuring_) {
    ++result_.calls;
    result_.items += request.items;
    result_.payload_bytes += request.payload_bytes;
    auto took =
        std::chrono::duration_cast<std::chrono::microseconds>(steady_clock::now() - slot.begin);
    result_.latencies_us.push_back(static_cast<uint32_t>(took.count()));
  }
  done_.push_back(&slot);
}

// Begins and ends the measured time.
void Client::Watch(TimePoint now) {
  if (!measuring_ && !stopping_ && now - begin_ >= options_->warm_up) {
    measuring_ = true;
    measured_begin_ = now;
    if (options_->on_begin) options_->on_begin();
  }
  bool over = started_ >= options_->calls_max ||
              now - begin_ >= options_->warm_up + options_->duration || result_.errors > 1000;
  if (stopping_ || !over) return;
  stopping_ = true;
  if (!measuring_) return;
  measuring_ = false;
  result_.seconds = std::chrono::duration<double>(now - measured_begin_).count();
  if (options_->on_end) options_->on_end();
}

bool Client::MayStart() const {
  if (stopping_ || started_ >= options_->calls_max) return false;
  if (options_->calls_per_second <= 0) return true;
  std::chrono::duration<double> since = steady_clock::now() - begin_;
  return static_cast<double>(started_) < options_->calls_per_second * since.count();
}

Status Client::Poll(int timeout_ms) {
  epoll_event events[64];
  int count = epoll_wait(epoll_.get(), events, std::size(events), timeout_ms);
  for (int i = 0; i < count; ++i) {
    auto& connection = *static_cast<Connection*>(events[i].data.ptr);
    bool readable = (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0;
    if (readable && !connection.Receive())
      return ErrorStatus(Code::kUnavailable, "{} closed the connection", target_);
  }
  // In the order of completion, so that a slot's next call goes out with this round's flush.
  while (!done_.empty() && MayStart()) {
    Slot* slot = done_.front();
    done_.pop_front();
    StartNext(*slot);
  }
  return Flush();
}

Status Client::Flush() {
  for (auto& connection : connections_) {
    if (!connection->Flush())
      return ErrorStatus(Code::kUnavailable, "{} closed the connection", target_);
    if (connection->blocked() == connection->watched_for_write) continue;
    connection->watched_for_write = connection->blocked();
    epoll_event event{};
    event.events = connection->blocked() ? EPOLLIN | EPOLLOUT : EPOLLIN;
    event.data.ptr = connection.get();
    epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, connection->fd(), &event);
  }
  return {};
}

Result<RunResult> Client::Run(const Maker& make, const RunOptions& options) {
  make_ = &make;
  options_ = &options;
  result_ = {};
  result_.latencies_us.reserve(1 << 20);
  measuring_ = stopping_ = false;
  started_ = open_ = 0;
  done_.clear();
  slots_.clear();
  begin_ = steady_clock::now();
  Watch(begin_);
  for (int i = 0; i < options.in_flight && started_ < options.calls_max; ++i) {
    auto slot = std::make_unique<Slot>();
    slot->connection = connections_[static_cast<size_t>(i) % connections_.size()].get();
    slots_.push_back(std::move(slot));
    StartNext(*slots_.back());
  }
  TRY(Flush());  // before the first wait
  std::optional<TimePoint> drain_until;
  while (open_ > 0 || (!stopping_ && !done_.empty())) {
    TRY(Poll(options.calls_per_second > 0 ? 1 : 100));
    TimePoint now = steady_clock::now();
    Watch(now);
    if (!stopping_) continue;
    if (!drain_until) drain_until = now + std::chrono::seconds(60);
    if (now > *drain_until)
      return Error(Code::kDeadlineExceeded, "{} calls without an answer after 60 s", open_);
  }
  return std::move(result_);
}

Result<std::string> Client::Call(const Request& request) {
  std::string answer;
  capture_ = &answer;
  RunOptions options{.duration = std::chrono::seconds(60), .calls_max = 1};
  auto result = Run([&](uint64_t, Request& out) { out = request; }, options);
  capture_ = nullptr;
  TRY(result);
  if (result->errors > 0) return Error(Code::kInternal, "{}", result->first_error);
  return answer;
}

Status Client::Stall(const Request& request) {
  for (auto& connection : connections_) {
    epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, connection->fd(), nullptr);
    slots_.push_back(std::make_unique<Slot>());
    Slot& slot = *slots_.back();
    slot.request = request;
    connection->Submit(slot);
    if (!connection->Flush()) return ErrorStatus(Code::kUnavailable, "{} closed", target_);
  }
  return {};
}

}  // namespace lre::bench

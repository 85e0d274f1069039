#include "rpc/connector.h"

#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace lre::rpc {

void ResolverThreads::Resolve(Address address,
                              std::function<void(Result<std::vector<SocketAddress>>)> done) {
  // Those that have ended are joined without waiting, so that what is kept is what still runs.
  std::erase_if(threads_, [](const Lookup& lookup) { return lookup.ended->load(); });
  auto ended = std::make_shared<std::atomic<bool>>(false);
  std::jthread thread([loop = loop_, ended, address = std::move(address), done = std::move(done)] {
    auto found = rpc::Resolve(address);
    loop->Post([done, found = std::move(found)]() mutable { done(std::move(found)); });
    ended->store(true);
  });
  threads_.push_back({std::move(ended), std::move(thread)});
}

Connector::Connector(ResolverThreads& resolver, Address address, Duration timeout, Done done)
    : loop_(resolver.loop()),
      resolver_(resolver),
      address_(std::move(address)),
      timeout_(timeout),
      done_(std::move(done)),
      last_error_(Code::kUnavailable, "no address to connect to"),
      timer_([this] {
        Finish(Error(Code::kUnavailable, "connect to {}{}:{}: timed out", address_.unix_path,
                     address_.host, address_.port));
      }) {}

void Connector::Start() {
  timer_.Set(*loop_, loop_->now() + timeout_);
  auto resolved = [weak = weak_from_this()](Result<std::vector<SocketAddress>> found) {
    auto self = weak.lock();
    if (self == nullptr || !self->done_) return;
    if (!found) return self->Finish(std::unexpected(std::move(found).error()));
    self->left_ = std::move(*found);
    std::ranges::reverse(self->left_);
    self->Next();
  };
  if (IsNumeric(address_)) return resolved(Resolve(address_));
  resolver_.Resolve(address_, resolved);
}

void Connector::Next() {
  while (!left_.empty()) {
    SocketAddress address = left_.back();
    left_.pop_back();
    fd_ = UniqueFd(socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!fd_) {
      last_error_ = ErrnoStatus(errno, "socket");
      continue;
    }
    if (connect(fd_.get(), reinterpret_cast<sockaddr*>(&address.storage), address.size) == 0) {
      return Finish(std::move(fd_));
    }
    if (errno == EINPROGRESS) {
      loop_->Watch(fd_.get(), EPOLLOUT, *this);
      return;
    }
    last_error_ = ErrorStatus(Code::kUnavailable, "connect: {}", std::strerror(errno));
  }
  Finish(std::unexpected(last_error_));
}

void Connector::OnEvents(uint32_t) {
  if (!fd_ || !done_) return;
  auto self = shared_from_this();
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  loop_->Unwatch(fd_.get());
  if (error == 0) return Finish(std::move(fd_));
  last_error_ = ErrorStatus(Code::kUnavailable, "connect: {}", std::strerror(error));
  fd_.Reset();
  Next();
}

void Connector::Finish(Result<UniqueFd> result) {
  auto self = shared_from_this();
  auto done = std::exchange(done_, nullptr);
  Abandon();
  if (done) done(std::move(result));
}

void Connector::Abandon() {
  timer_.Cancel();
  done_ = nullptr;
  if (fd_) loop_->Unwatch(fd_.get());
  fd_.Reset();
  loop_->Dispose(shared_from_this());  // events of this iteration may still name it
}

}  // namespace lre::rpc

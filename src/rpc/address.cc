#include "rpc/address.h"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>

namespace lre::rpc {

Result<Address> ParseAddress(std::string_view text) {
  constexpr std::string_view kUnix = "unix:";
  if (text.starts_with(kUnix)) {
    std::string_view path = text.substr(kUnix.size());
    if (path.empty() || path.size() >= sizeof(sockaddr_un::sun_path)) {
      return Error(Code::kInvalidArgument, "address \"{}\": a unix socket path has 1 to {} bytes",
                   text, sizeof(sockaddr_un::sun_path) - 1);
    }
    return Address{.host = {}, .port = {}, .unix_path = std::string(path)};
  }
  size_t colon = text.rfind(':');
  std::string_view host = text.substr(0, colon == std::string_view::npos ? 0 : colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  std::string_view port = colon == std::string_view::npos ? "" : text.substr(colon + 1);
  uint16_t number = 0;
  auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (host.empty() || port.empty() || error != std::errc() || end != port.data() + port.size()) {
    return Error(Code::kInvalidArgument,
                 "address \"{}\" is not host:port, [IPv6]:port or unix:/path", text);
  }
  return Address{.host = std::string(host), .port = std::string(port), .unix_path = {}};
}

static SocketAddress UnixAddress(const std::string& path) {
  SocketAddress result;
  auto* local = reinterpret_cast<sockaddr_un*>(&result.storage);
  local->sun_family = AF_UNIX;
  std::memcpy(local->sun_path, path.data(), path.size());
  result.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1);
  return result;
}

static int Lookup(const Address& address, int flags, addrinfo** found) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags;
  return getaddrinfo(address.host.c_str(), address.port.c_str(), &hints, found);
}

bool IsNumeric(const Address& address) {
  if (!address.unix_path.empty()) return true;
  addrinfo* found = nullptr;
  bool numeric = Lookup(address, AI_NUMERICHOST | AI_NUMERICSERV, &found) == 0;
  if (found != nullptr) freeaddrinfo(found);
  return numeric;
}

Result<std::vector<SocketAddress>> Resolve(const Address& address) {
  if (!address.unix_path.empty()) return std::vector<SocketAddress>{UnixAddress(address.unix_path)};
  addrinfo* found = nullptr;
  if (int error = Lookup(address, AI_NUMERICSERV, &found); error != 0) {
    return Error(Code::kUnavailable, "host {}: {}", address.host, gai_strerror(error));
  }
  std::vector<SocketAddress> result;
  for (addrinfo* item = found; item != nullptr; item = item->ai_next) {
    SocketAddress socket_address;
    std::memcpy(&socket_address.storage, item->ai_addr, item->ai_addrlen);
    socket_address.size = item->ai_addrlen;
    result.push_back(socket_address);
  }
  freeaddrinfo(found);
  if (result.empty()) return Error(Code::kUnavailable, "host {} has no address", address.host);
  return result;
}

// A socket file whose server is gone refuses connections; it may be replaced.
static void RemoveStale(const std::string& path) {
  UniqueFd probe(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  SocketAddress address = UnixAddress(path);
  if (connect(probe.get(), reinterpret_cast<sockaddr*>(&address.storage), address.size) != 0 &&
      errno == ECONNREFUSED) {
    unlink(path.c_str());
  }
}

Result<UniqueFd> Listen(const std::string& text, std::string& bound) {
  TRY_ASSIGN(Address address, ParseAddress(text));
  if (!address.unix_path.empty()) RemoveStale(address.unix_path);
  TRY_ASSIGN(std::vector<SocketAddress> found, Resolve(address));
  SocketAddress& first = found.front();
  UniqueFd fd(socket(first.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return ErrnoError(errno, "socket for " + text);
  int one = 1;
  setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&first.storage), first.size) != 0 ||
      listen(fd.get(), 1024) != 0) {
    return Error(Code::kUnavailable, "listen on {}: {}", text, std::strerror(errno));
  }
  bound = text;
  if (address.unix_path.empty()) {
    sockaddr_storage local{};
    socklen_t size = sizeof local;
    getsockname(fd.get(), reinterpret_cast<sockaddr*>(&local), &size);
    uint16_t port = local.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6*>(&local)->sin6_port
                                                : reinterpret_cast<sockaddr_in*>(&local)->sin_port;
    bound = text.substr(0, text.rfind(':') + 1) + std::to_string(ntohs(port));
  }
  return fd;
}

}  // namespace lre::rpc

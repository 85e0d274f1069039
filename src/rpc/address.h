// Addresses as options write them: "127.0.0.1:50051", "[::1]:0", "localhost:80", "unix:/path".
// Listening and connecting sockets for them. Pure functions over the system; thread-safe.
#pragma once

#include <sys/socket.h>

#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/status.h"

namespace lre::rpc {

struct Address {
  std::string host;       // without brackets
  std::string port;       // decimal
  std::string unix_path;  // set for unix sockets, then the others are empty
};
// kInvalidArgument when `text` is none of the forms above.
Result<Address> ParseAddress(std::string_view text);

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
  int family() const { return storage.ss_family; }
};
// Looks the host up; may block on DNS unless it is numeric.
Result<std::vector<SocketAddress>> Resolve(const Address& address);
// True when Resolve does not block.
bool IsNumeric(const Address& address);

// A listening, non-blocking socket; the stale file of a dead unix socket is replaced. `bound`
// becomes the address with the port that the kernel chose.
Result<UniqueFd> Listen(const std::string& text, std::string& bound);

}  // namespace lre::rpc

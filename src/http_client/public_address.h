// Which addresses belong to the public internet: not this machine, not the networks around it. What
// fetches on behalf of others must not become their way into those. Thread-safe.
// Source: the IANA special-purpose address registries (RFC 6890 and later).
#pragma once

#include <sys/socket.h>

namespace lre {

// False for loopback, private, link-local, shared, documentation, multicast and reserved addresses,
// for IPv6 forms that carry such an IPv4 address, and for what is not IP. REQUIRES: all bytes of a
// sockaddr_in6 are there when the family says so.
bool IsPublicAddress(const sockaddr* address);

}  // namespace lre

#include "http_client/public_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace lre {
namespace {

struct Network {
  uint32_t address;
  int bits;
};
constexpr uint32_t Four(int a, int b, int c, int d) {
  return static_cast<uint32_t>(a) << 24 | static_cast<uint32_t>(b) << 16 |
         static_cast<uint32_t>(c) << 8 | static_cast<uint32_t>(d);
}
constexpr Network kNotPublic[] = {
    {Four(0, 0, 0, 0), 8},      {Four(10, 0, 0, 0), 8},     {Four(100, 64, 0, 0), 10},
    {Four(127, 0, 0, 0), 8},    {Four(169, 254, 0, 0), 16}, {Four(172, 16, 0, 0), 12},
    {Four(192, 0, 0, 0), 24},   {Four(192, 0, 2, 0), 24},   {Four(192, 88, 99, 0), 24},
    {Four(192, 168, 0, 0), 16}, {Four(198, 18, 0, 0), 15},  {Four(198, 51, 100, 0), 24},
    {Four(203, 0, 113, 0), 24}, {Four(224, 0, 0, 0), 3},  // multicast and reserved
};

bool IsPublic4(uint32_t address) {
  return std::none_of(std::begin(kNotPublic), std::end(kNotPublic), [&](const Network& network) {
    return (address ^ network.address) >> (32 - network.bits) == 0;
  });
}

uint32_t Read4(const uint8_t* bytes) { return Four(bytes[0], bytes[1], bytes[2], bytes[3]); }

bool IsPublic6(const in6_addr& address) {
  const uint8_t* bytes = address.s6_addr;
  if (IN6_IS_ADDR_V4MAPPED(&address)) return IsPublic4(Read4(bytes + 12));
  // Translated (64:ff9b::/96) and 6to4 (2002::/16) addresses lead to the IPv4 address inside.
  constexpr uint8_t kTranslated[12] = {0, 0x64, 0xff, 0x9b};
  if (std::memcmp(bytes, kTranslated, sizeof kTranslated) == 0) return IsPublic4(Read4(bytes + 12));
  if (bytes[0] == 0x20 && bytes[1] == 0x02) return IsPublic4(Read4(bytes + 2));
  if (bytes[0] >> 5 != 1) return false;  // 2000::/3 is all that is given out
  const bool documentation = Read4(bytes) == 0x20010db8;
  const bool protocols = bytes[0] == 0x20 && bytes[1] == 0x01 && bytes[2] < 2;  // Teredo, ...
  return !documentation && !protocols;
}

}  // namespace

bool IsPublicAddress(const sockaddr* address) {
  if (address->sa_family == AF_INET) {
    sockaddr_in four;
    std::memcpy(&four, address, sizeof four);
    return IsPublic4(ntohl(four.sin_addr.s_addr));
  }
  if (address->sa_family == AF_INET6) {
    sockaddr_in6 six;
    std::memcpy(&six, address, sizeof six);
    return IsPublic6(six.sin6_addr);
  }
  return false;
}

}  // namespace lre

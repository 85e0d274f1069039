// The HTTP/1.1 parser reads the same requests, and finds the same error, however the bytes arrive.
#include <fmt/format.h>

#include <tuple>

#include "base/check.h"
#include "fuzz.h"
#include "rpc/http1_parser.h"

namespace lre::fuzz {
namespace {

constexpr rpc::Http1Parser::Limits kLimits = {.header_bytes_max = 300, .body_bytes_max = 200};

struct Read {
  std::vector<rpc::HttpRequest> requests;
  int error = 0;
};

Read ReadAll(std::string_view text, uint8_t pattern) {
  using State = rpc::Http1Parser::State;
  Read read;
  rpc::Http1Parser parser(kLimits);
  InParts(text, pattern, [&](std::string_view part) {
    while (!part.empty()) {
      State state = parser.Feed(part);
      if (state == State::kError) {
        read.error = parser.error_status();
        return false;
      }
      if (state != State::kComplete) continue;
      CHECK(parser.body_bytes() <= kLimits.body_bytes_max);
      read.requests.push_back(parser.Take());
    }
    return true;
  });
  return read;
}

}  // namespace

std::vector<std::string> Seeds() {
  return {
      "\1GET /a?b=c HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
      "\3PUT /cas/abc HTTP/1.1\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello",
      "\7POST /up HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
      "3\r\nabc\r\n0a;e=1\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n"};
}

}  // namespace lre::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lre::fuzz;
  if (size == 0) return 0;
  Read parts = ReadAll(Text(data + 1, size - 1), data[0]);
  Read whole = ReadAll(Text(data + 1, size - 1), 0);
  CHECK(parts.error == whole.error, fmt::format("{} and {}", parts.error, whole.error));
  CHECK(parts.requests.size() == whole.requests.size());
  auto facts = [](const lre::rpc::HttpRequest& r) {
    return std::tie(r.method, r.path, r.query, r.body, r.headers);
  };
  for (size_t i = 0; i < whole.requests.size(); ++i) {
    CHECK(facts(parts.requests[i]) == facts(whole.requests[i]));
  }
  return 0;
}

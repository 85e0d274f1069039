// gRPC's framing: the same messages and the same end, however the bytes arrive, within the bound.
#include "base/check.h"
#include "fuzz.h"
#include "rpc/message_reader.h"

namespace lre::fuzz {
namespace {

constexpr size_t kBytesMax = 10'000;

struct Read {
  std::vector<std::string> messages;
  Status end;
  bool at_boundary = false;
};

Read ReadAll(std::string_view text, uint8_t pattern, rpc::Encoding encoding) {
  Read read;
  rpc::MessageReader reader;
  reader.Configure(kBytesMax, encoding);
  InParts(text, pattern, [&](std::string_view part) {
    while (!part.empty()) {
      rpc::MessageReader::Message message;
      Result<bool> complete = reader.Next(part, message);
      if (!complete) {
        read.end = complete.error();
        return false;
      }
      if (!*complete) continue;
      CHECK(message.bytes.size() <= kBytesMax);
      read.messages.emplace_back(message.bytes.view());
    }
    return true;
  });
  read.at_boundary = reader.at_boundary();
  return read;
}

std::string Framed(char flags, const std::string& message) {
  std::string out(1, flags);
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(message.size() >> shift);
  return out + message;
}

}  // namespace

std::vector<std::string> Seeds() {
  std::string gzip = rpc::Gzip(std::string(3000, 'z') + "end");
  return {std::string("\0\1", 2) + Framed(0, "hello") + Framed(0, "") + Framed(0, "world"),
          std::string("\1\5", 2) + Framed(1, gzip) + Framed(0, "plain"),
          std::string("\1\2", 2) + Framed(1, rpc::Gzip(std::string(100'000, 'b')))};
}

}  // namespace lre::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lre::fuzz;
  if (size < 2) return 0;
  auto encoding = data[0] & 1 ? lre::rpc::Encoding::kGzip : lre::rpc::Encoding::kIdentity;
  Read parts = ReadAll(Text(data + 2, size - 2), data[1], encoding);
  Read whole = ReadAll(Text(data + 2, size - 2), 0, encoding);
  CHECK(parts.messages == whole.messages);
  CHECK(parts.end.code() == whole.end.code());
  CHECK(parts.at_boundary == whole.at_boundary);
  return 0;
}

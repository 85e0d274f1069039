// Resource names: what is parsed is printed and parsed again to the same.
#include <fmt/format.h>

#include "base/check.h"
#include "fuzz.h"
#include "reapi/resource_name.h"

namespace lre::fuzz {

std::vector<std::string> Seeds() {
  const std::string hash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
  return {"blobs/" + hash + "/0",
          "an/instance/blobs/" + hash + "/12",
          "blobs/blake3/" + hash + "/12",
          "i/compressed-blobs/zstd/" + hash + "/9223372036854775807",
          "i/uploads/aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee/blobs/" + hash + "/1/name/of/file",
          "uploads/u/compressed-blobs/deflate/blake3/" + hash + "/1",
          "blobs/da39a3ee5e6b4b0d3255bfef95601890afd80709/1"};
}

}  // namespace lre::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace reapi = lre::reapi;
  std::string_view text = lre::fuzz::Text(data, size);
  for (auto* parse : {reapi::ParseReadName, reapi::ParseWriteName}) {
    auto name = parse(text);
    if (!name) {
      CHECK(name.error().code() == lre::Code::kInvalidArgument);
      continue;
    }
    std::string printed = reapi::PrintResourceName(*name);
    auto again = parse(printed);
    CHECK(again.has_value(), fmt::format("{} was printed as {}", text, printed));
    CHECK(*again == *name, fmt::format("{} was printed as {}", text, printed));
  }
  (void)reapi::CheckInstanceName(text);
  return 0;
}

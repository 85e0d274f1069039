// Headers between nghttp2's form and ours.
#include "rpc/http2_connection.h"
#include "rpc/text.h"

namespace lre::rpc {
namespace {

nghttp2_nv Header(std::string_view name, std::string_view value, uint8_t flags) {
  auto bytes = [](std::string_view text) {
    return reinterpret_cast<uint8_t*>(const_cast<char*>(text.data()));
  };
  return {bytes(name), bytes(value), name.size(), value.size(), flags};
}

}  // namespace

nghttp2_nv StaticHeader(std::string_view name, std::string_view value) {
  return Header(name, value, NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE);
}

nghttp2_nv CopiedHeader(std::string_view name, std::string_view value) {
  return Header(name, value, NGHTTP2_NV_FLAG_NONE);
}

nghttp2_nv UnindexedHeader(std::string_view name, std::string_view value) {
  return Header(name, value, NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_INDEX);
}

void AppendMetadata(const Metadata& metadata, std::vector<nghttp2_nv>& headers,
                    std::vector<std::string>& storage) {
  storage.reserve(storage.size() + metadata.size());  // views into it must not move
  for (const auto& [name, value] : metadata) {
    if (name.ends_with("-bin")) {
      storage.push_back(Base64Encode(value));
      headers.push_back(CopiedHeader(name, storage.back()));
    } else {
      headers.push_back(CopiedHeader(name, value));
    }
  }
}

void TakeMetadata(std::string_view name, std::string_view value, Metadata& metadata) {
  if (!name.ends_with("-bin")) {
    metadata.emplace_back(name, value);
    return;
  }
  for (;;) {
    size_t comma = value.find(',');
    std::string_view item = value.substr(0, comma);
    while (item.starts_with(' ')) item.remove_prefix(1);
    if (auto bytes = Base64Decode(item)) metadata.emplace_back(name, std::move(*bytes));
    if (comma == std::string_view::npos) return;
    value.remove_prefix(comma + 1);
  }
}

}  // namespace lre::rpc

// Text of JSON strings, for the few places that print JSON without a document (logs, metrics).
#pragma once

#include <string>
#include <string_view>

namespace lre {

// `text` as a JSON string with its quotes; bytes that are not UTF-8 become U+FFFD.
std::string JsonQuote(std::string_view text);

}  // namespace lre

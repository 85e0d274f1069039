// Lower-case hexadecimal text of bytes, as digests are written everywhere in the REAPI.
#pragma once

#include <string>
#include <string_view>

namespace lre {

std::string HexEncode(std::string_view bytes);
// Writes 2 * bytes.size() characters to `out`.
void HexEncodeTo(std::string_view bytes, char* out);
// Decodes lower-case hex into `out` (hex.size() / 2 bytes); false if any character is not [0-9a-f]
// or the length is odd. Upper case is refused: the REAPI asks for lower case.
bool HexDecodeTo(std::string_view hex, char* out);

}  // namespace lre

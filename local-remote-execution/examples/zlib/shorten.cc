// Compresses a text with zlib, uncompresses it, and says what became of it.
#include <zlib.h>

#include <iostream>
#include <string>

int main() {
  const std::string text(1000, 'z');
  std::string packed(compressBound(text.size()), '\0'), unpacked(text.size(), '\0');
  uLongf packed_size = packed.size(), size = unpacked.size();
  auto bytes = [](std::string& buffer) { return reinterpret_cast<Bytef*>(buffer.data()); };
  if (compress(bytes(packed), &packed_size, reinterpret_cast<const Bytef*>(text.data()), text.size()) != Z_OK ||
      uncompress(bytes(unpacked), &size, bytes(packed), packed_size) != Z_OK || unpacked != text) {
    std::cerr << "zlib " << zlibVersion() << " does not give back what it got\n";
    return 1;
  }
  std::cout << "zlib " << zlibVersion() << ": " << text.size() << " bytes in " << packed_size << "\n";
}

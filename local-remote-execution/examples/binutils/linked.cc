// Exceptions go through what the link editor made of the unwinder's tables.
#include <iostream>
#include <stdexcept>

int main() {
  try {
    throw std::runtime_error("linked, thrown and caught");
  } catch (const std::exception& e) {
    std::cout << e.what() << "\n";
  }
}

#include "text.h"

#include <iostream>
#include <stdexcept>

int main() {
  try {
    SumText(-1, 1);
    return 1;
  } catch (const std::range_error& e) {
    std::cout << e.what() << "\n";
  }
  return SumText(3, 4) == "7" ? 0 : 1;
}

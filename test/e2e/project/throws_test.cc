// Fails unless an exception thrown in another object, or shared library, is caught here by its
// type.
#include <iostream>
#include <stdexcept>

#include "salt.h"
#include "thrower.h"

int main() {
  try {
    Throw("thrown");
  } catch (const std::runtime_error& e) {
    std::cout << "caught: " << e.what() << ", salt " << e2e_salt << "\n";
    return std::string(e.what()) == "thrown" ? 0 : 1;
  } catch (...) {
    std::cout << "caught something else\n";
    return 2;
  }
}

// Says which compiler and libc made this program, and which libc runs it.
// Written by `lre generate`.
#include <gnu/libc-version.h>

#include <iostream>
#include <stdexcept>

int main() {
  try {
    throw std::runtime_error("Hello, Local Remote Execution!");
  } catch (const std::exception& e) {
    std::cout << e.what() << "\nCompiler: " << __VERSION__ << ", headers of glibc " << __GLIBC__ << "."
              << __GLIBC_MINOR__ << ", running on glibc " << gnu_get_libc_version() << "\n";
  }
}

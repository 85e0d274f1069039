#include "thrower.h"

#include <stdexcept>

#include "salt.h"

void Throw(const std::string& what) {
  e2e_salt = e2e_salt + 1;
  throw std::runtime_error(what);
}

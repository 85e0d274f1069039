// A test must run on the C library it was linked against, not on that of the machine.
#include <gnu/libc-version.h>

#include <cstdio>
#include <string>

#include "salt.h"

int main() {
  std::string linked = std::to_string(__GLIBC__) + "." + std::to_string(__GLIBC_MINOR__);
  std::printf("linked against %s, running on %s, salt %d\n", linked.c_str(), gnu_get_libc_version(),
              e2e_salt);
  return linked == gnu_get_libc_version() ? 0 : 1;
}

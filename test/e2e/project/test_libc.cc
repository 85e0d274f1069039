// A test must run on the C library it was linked against, not on that of the machine.
#include <gnu/libc-version.h>

#include <cstdio>
#include <string>

#include "libc_path.h"
#include "salt.h"

int main() {
  std::string linked = std::to_string(__GLIBC__) + "." + std::to_string(__GLIBC_MINOR__);
  std::string path = LibcPath();
  std::printf("linked against %s, running on %s, salt %d, %s\n", linked.c_str(),
              gnu_get_libc_version(), e2e_salt, path.c_str());
  return linked == gnu_get_libc_version() && path.rfind("/lre/store/", 0) == 0 ? 0 : 1;
}

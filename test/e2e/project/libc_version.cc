// Prints the C library that it was compiled against, the one that runs it, and where that lies.
#include <gnu/libc-version.h>

#include <cstdio>

#include "libc_path.h"
#include "salt.h"

int main() {
  std::printf("%d.%d %s %d %s\n", __GLIBC__, __GLIBC_MINOR__, gnu_get_libc_version(), e2e_salt,
              LibcPath().c_str());
}

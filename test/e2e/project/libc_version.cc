// Prints the C library that it was compiled against and the one that runs it.
#include <gnu/libc-version.h>

#include <cstdio>

#include "salt.h"

int main() {
  std::printf("%d.%d %s %d\n", __GLIBC__, __GLIBC_MINOR__, gnu_get_libc_version(), e2e_salt);
}

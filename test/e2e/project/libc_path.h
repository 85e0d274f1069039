// Where the C library lies that runs this program.
#ifndef LIBC_PATH_H_
#define LIBC_PATH_H_

#include <fstream>
#include <string>

inline std::string LibcPath() {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    if (line.size() > 10 && line.compare(line.size() - 10, 10, "/libc.so.6") == 0)
      return line.substr(line.find('/'));
  }
  return "none";
}

#endif  // LIBC_PATH_H_

// Floors: what this machine needs at the very least for what a server does, measured in the same
// run as the servers. Each floor is a process of its own (forked, ended at the end), as bare as it
// can be: a canned answer from nghttp2 without parsing; write() of cached bytes to a socket; read()
// of a socket, SHA-256 and pwrite(). Confined to one thread; bounded by the seconds given.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"

namespace lre::bench {

struct Floor {
  std::string name;
  double calls_per_second = 0, cpu_us_per_call = 0;  // of the canned answers
  double gb_per_second = 0, cpu_s_per_gb = 0;        // where bytes flow
};

// `directory` is where pwrite() goes; the file is removed.
Result<std::vector<Floor>> MeasureFloors(const std::string& directory, double seconds);

}  // namespace lre::bench

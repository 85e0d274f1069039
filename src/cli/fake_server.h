// What tests of commands start: a small server on a port of loopback that the system chooses. Test
// support, not part of the library.
#pragma once

#include <string>

#include "server/server.h"

namespace lre::cli {

inline server::Config SmallServer(const std::string& data_dir) {
  server::Config config;
  config.listen = {"127.0.0.1:0"};
  config.loops = 1;
  config.io_threads = 2;
  config.data_dir = data_dir;
  config.store_size_bytes_max = 64 << 20;
  return config;
}

}  // namespace lre::cli

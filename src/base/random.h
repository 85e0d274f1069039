// Random: a seeded generator for tests and simulation, and the system's entropy for names and
// secrets. Random is confined to one thread; the free functions are thread-safe.
#pragma once

#include <cstdint>
#include <random>
#include <string>

namespace lre {

class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}
  uint64_t Next() { return engine_(); }
  // Uniform in [0, bound). REQUIRES: bound > 0.
  uint64_t Below(uint64_t bound) { return engine_() % bound; }
  bool OneIn(uint64_t n) { return Below(n) == 0; }
  std::string NextBytes(size_t size);

 private:
  std::mt19937_64 engine_;
};

// `bytes` bytes from the kernel, as lower-case hex.
std::string RandomHex(size_t bytes);
// A random UUID (RFC 9562 version 4), for operation and upload names.
std::string RandomUuid();

}  // namespace lre

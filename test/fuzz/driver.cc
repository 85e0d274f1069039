// Runs a fuzz target without libFuzzer: every seed as it is, then mutations of them. The random
// seed is printed; LRE_FUZZ_SEED repeats it, LRE_FUZZ_RUNS makes it longer (20000 runs otherwise).
// With files as arguments, runs those: what libFuzzer found.
#include <cstdio>
#include <cstdlib>
#include <random>

#include "base/file.h"
#include "base/random.h"
#include "fuzz.h"

namespace lre::fuzz {
namespace {

void Run(const std::string& input) {
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input.data()), input.size());
}

void Edit(Random& random, const std::vector<std::string>& seeds, std::string& bytes) {
  const size_t at = random.Below(bytes.size() + 1);
  const size_t length = std::min<size_t>(1 + random.Below(8), bytes.size() - at);
  switch (random.Below(7)) {
    case 0:
      if (at < bytes.size()) bytes[at] = static_cast<char>(random.Next());
      break;
    case 1:
      if (at < bytes.size()) bytes[at] = static_cast<char>(bytes[at] ^ 1 << random.Below(8));
      break;
    case 2:
      bytes.erase(at, length);
      break;
    case 3:
      bytes.insert(at, random.NextBytes(1 + random.Below(8)));
      break;
    case 4:
      bytes.insert(at, bytes.substr(at, length));
      break;
    case 5: {  // lengths and numbers at their edges
      static constexpr std::string_view kEdges[] = {
          {"\0", 1},         "\x7f", "\x80", "\xff", {"\0\0\0\0", 4}, "\xff\xff\xff\xff",
          "\x7f\xff\xff\xff"};
      std::string_view edge = kEdges[random.Below(std::size(kEdges))];
      bytes.replace(at, std::min(edge.size(), bytes.size() - at), edge);
      break;
    }
    default: {
      const std::string& other = seeds[random.Below(seeds.size())];
      bytes = bytes.substr(0, at) + other.substr(random.Below(other.size() + 1));
    }
  }
}

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

int Main(int count, char** arguments) {
  for (int i = 1; i < count; ++i) {
    auto input = ReadFile(arguments[i]);
    if (!input) {
      std::fprintf(stderr, "%s\n", input.error().ToString().c_str());
      return 1;
    }
    Run(*input);
  }
  if (count > 1) return 0;
  const uint64_t seed = FromEnvironment("LRE_FUZZ_SEED", std::random_device()());
  const uint64_t runs = FromEnvironment("LRE_FUZZ_RUNS", 20'000);
  std::printf("LRE_FUZZ_SEED=%llu LRE_FUZZ_RUNS=%llu\n", static_cast<unsigned long long>(seed),
              static_cast<unsigned long long>(runs));
  std::fflush(stdout);
  Random random(seed);
  const std::vector<std::string> seeds = Seeds();
  for (const std::string& input : seeds) Run(input);
  for (uint64_t i = 0; i < runs; ++i) {
    std::string input = seeds[random.Below(seeds.size())];
    for (uint64_t edits = 1 + random.Below(6); edits > 0; --edits) Edit(random, seeds, input);
    Run(input);
  }
  return 0;
}

}  // namespace
}  // namespace lre::fuzz

int main(int count, char** arguments) { return lre::fuzz::Main(count, arguments); }

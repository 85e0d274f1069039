#include "scheduler/sizes.h"

#include <algorithm>
#include <cmath>

namespace lre::scheduler {
namespace {

constexpr double kMargin = 1.25;
constexpr double kForget = 0.125;  // of the way down to a smaller run
// What is below runs beside anything.
constexpr double kMemoryMin = 64 << 20;
constexpr double kCoresMin = 1.5;
// A worker's figures are not to be trusted with arithmetic.
constexpr double kMemoryMax = 1e15, kCoresMax = 1e6;

double Follow(double known, double seen) {
  return seen >= known ? seen : known - (known - seen) * kForget;
}

int64_t PowerOfTwo(double value) {
  return int64_t{1} << static_cast<int>(std::ceil(std::log2(value)));
}

}  // namespace

Sizes::Entry* Sizes::Ensure(uint64_t kind) {
  if (kind == 0 || entries_max_ == 0) return nullptr;
  if (entries_.empty()) entries_.resize(entries_max_);
  Entry& entry = entries_[kind % entries_.size()];
  if (entry.kind != kind) entry = {kind, 0, 0};
  return &entry;
}

void Sizes::Learn(uint64_t kind, const Usage& usage) {
  if (usage.memory_peak_bytes <= 0 && usage.wall <= Duration(0)) return;
  Entry* entry = Ensure(kind);
  if (entry == nullptr) return;
  const double memory = static_cast<double>(std::max<int64_t>(usage.memory_peak_bytes, 0));
  entry->memory_bytes = Follow(entry->memory_bytes, std::min(memory, kMemoryMax));
  // What is over at once says nothing about cores.
  if (usage.wall < std::chrono::milliseconds(100)) return;
  const double cores =
      static_cast<double>(usage.cpu.count()) / static_cast<double>(usage.wall.count());
  entry->cores = Follow(entry->cores, std::clamp(cores, 0.0, kCoresMax));
}

void Sizes::LearnMemory(uint64_t kind, int64_t memory_bytes) {
  Entry* entry = Ensure(kind);
  if (entry == nullptr) return;
  entry->memory_bytes = std::max(entry->memory_bytes, static_cast<double>(memory_bytes) / kMargin);
}

Size Sizes::Of(uint64_t kind) const {
  if (kind == 0 || entries_.empty()) return {};
  const Entry& entry = entries_[kind % entries_.size()];
  if (entry.kind != kind) return {};
  Size size;
  if (entry.memory_bytes * kMargin > kMemoryMin)
    size.memory_bytes = PowerOfTwo(entry.memory_bytes * kMargin);
  if (entry.cores > kCoresMin) size.cores = PowerOfTwo(entry.cores);
  return size;
}

}  // namespace lre::scheduler

// Metrics: counters, gauges and histograms, printed in the Prometheus text format. A registry is
// made by whoever composes the program and passed to constructors: there is no global one, so two
// servers in one process do not collide. Names end in _total, _bytes or _seconds. Updating is
// lock-free and thread-safe; Add* and Print are thread-safe; metric objects live as long as their
// registry.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/guarded.h"

namespace lre {

class Counter {
 public:
  void Add(uint64_t n = 1) { value_.fetch_add(n, std::memory_order_relaxed); }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

class Gauge {
 public:
  void Set(int64_t value) { value_.store(value, std::memory_order_relaxed); }
  void Add(int64_t n) { value_.fetch_add(n, std::memory_order_relaxed); }
  int64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<int64_t> value_{0};
};

// Buckets at powers of four from 1 microsecond, in seconds.
class Histogram {
 public:
  static constexpr int kBuckets = 14;
  void Observe(double seconds);
  uint64_t count() const { return count_.load(std::memory_order_relaxed); }

 private:
  friend class Metrics;
  std::atomic<uint64_t> buckets_[kBuckets + 1]{};
  std::atomic<uint64_t> count_{0};
  std::atomic<uint64_t> sum_nanos_{0};
};

class Metrics {
 public:
  // `labels` is "" or the text inside the braces: `method="Read",code="OK"`. Asking again for the
  // same name and labels gives the same object.
  Counter& AddCounter(std::string_view name, std::string_view help, std::string_view labels = "");
  Gauge& AddGauge(std::string_view name, std::string_view help, std::string_view labels = "");
  Histogram& AddHistogram(std::string_view name, std::string_view help,
                          std::string_view labels = "");
  // The Prometheus text exposition format, version 0.0.4, sorted by name and labels.
  std::string Print() const;

 private:
  struct Family {
    std::string type, help;
    std::map<std::string, Counter> counters;
    std::map<std::string, Gauge> gauges;
    std::map<std::string, Histogram> histograms;
  };
  mutable Guarded<std::map<std::string, Family>> families_;
};

}  // namespace lre

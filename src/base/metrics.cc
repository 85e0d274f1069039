#include "base/metrics.h"

#include <fmt/format.h>

namespace lre {

void Histogram::Observe(double seconds) {
  double bound = 1e-6;
  int bucket = 0;
  while (bucket < kBuckets && seconds > bound) {
    bound *= 4;
    ++bucket;
  }
  buckets_[bucket].fetch_add(1, std::memory_order_relaxed);
  count_.fetch_add(1, std::memory_order_relaxed);
  sum_nanos_.fetch_add(static_cast<uint64_t>(seconds * 1e9), std::memory_order_relaxed);
}

Counter& Metrics::AddCounter(std::string_view name, std::string_view help,
                             std::string_view labels) {
  return families_.With([&](auto& families) -> Counter& {
    Family& family = families[std::string(name)];
    family.type = "counter";
    family.help = help;
    return family.counters[std::string(labels)];
  });
}

Gauge& Metrics::AddGauge(std::string_view name, std::string_view help, std::string_view labels) {
  return families_.With([&](auto& families) -> Gauge& {
    Family& family = families[std::string(name)];
    family.type = "gauge";
    family.help = help;
    return family.gauges[std::string(labels)];
  });
}

Histogram& Metrics::AddHistogram(std::string_view name, std::string_view help,
                                 std::string_view labels) {
  return families_.With([&](auto& families) -> Histogram& {
    Family& family = families[std::string(name)];
    family.type = "histogram";
    family.help = help;
    return family.histograms[std::string(labels)];
  });
}

std::string Metrics::Print() const {
  return families_.With([](const auto& families) {
    std::string out;
    auto braces = [](const std::string& labels) {
      return labels.empty() ? std::string() : "{" + labels + "}";
    };
    for (const auto& [name, family] : families) {
      out += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, family.help, name, family.type);
      for (const auto& [labels, counter] : family.counters)
        out += fmt::format("{}{} {}\n", name, braces(labels), counter.value());
      for (const auto& [labels, gauge] : family.gauges)
        out += fmt::format("{}{} {}\n", name, braces(labels), gauge.value());
      for (const auto& [labels, histogram] : family.histograms) {
        std::string prefix = labels.empty() ? "" : labels + ",";
        uint64_t cumulative = 0;
        double bound = 1e-6;
        for (int i = 0; i < Histogram::kBuckets; ++i, bound *= 4) {
          cumulative += histogram.buckets_[i].load(std::memory_order_relaxed);
          out += fmt::format("{}_bucket{{{}le=\"{:.9g}\"}} {}\n", name, prefix, bound, cumulative);
        }
        out += fmt::format("{}_bucket{{{}le=\"+Inf\"}} {}\n", name, prefix, histogram.count());
        out += fmt::format("{}_sum{} {:.9f}\n", name, braces(labels),
                           static_cast<double>(histogram.sum_nanos_.load()) / 1e9);
        out += fmt::format("{}_count{} {}\n", name, braces(labels), histogram.count());
      }
    }
    return out;
  });
}

}  // namespace lre

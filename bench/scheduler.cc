// The scheduler alone, on one core, without I/O:
//   actions_per_second     workers that answer at once; every action goes the whole way: enqueue,
//                          assign, report, publish, answer, retention
// Then with many actions queued, in microseconds of CPU:
//   event_<farm>           one event: an action more, a report, a result made durable
//   dispatch_<farm>        a slot that became free (report, publish), until the next action is on
//   it join_<farm>            a worker that comes idle_<farm>            an action from beginning
//   to end while most workers are free
// <farm>: how many actions are queued, how many workers there are, and whether these are alike or
// all differ (each offers a property of its own, two cores and two slots); actions ask for one of
// 100 pools, or all for the same one ("one_pool"). One line per figure: name, value. Run a Release
// build.
#include "scheduler/scheduler.h"

#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "base/check.h"

namespace lre::scheduler {
namespace {

// CPU seconds of this one-threaded process: what else the machine does does not count.
double CpuSeconds() {
  timespec time;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

// Digests are uniform, so the number itself will do.
Digest NumberedDigest(uint64_t n) {
  Digest digest;
  digest.function = DigestFunction::kSha256;
  n *= 0x9e3779b97f4a7c15;
  for (size_t i = 0; i < sizeof n; i++) digest.hash[i] = static_cast<char>(n >> (8 * i));
  digest.size_bytes = 142;
  return digest;
}

SchedulerOptions Limits() {
  SchedulerOptions options;
  options.clients_max = 1000000;
  options.worker_silence_max = std::chrono::hours(10);
  return options;
}

struct Bench {
  Scheduler scheduler{Limits()};
  Instant now{std::chrono::hours(1)};
  uint64_t next = 1;
  uint64_t answers = 0, events = 0;
  std::deque<Assign> assigned;

  void Carry(const std::vector<Effect>& effects) {
    for (const Effect& effect : effects) {
      if (const auto* assign = std::get_if<Assign>(&effect)) assigned.push_back(*assign);
      if (const auto* answer = std::get_if<Answer>(&effect)) {
        CHECK(answer->status.ok(), answer->status.message());
        answers++;
      }
    }
  }
  void Step(const Event& event) {
    events++;
    now += std::chrono::microseconds(5);
    Carry(scheduler.Step(now, event));
  }
  void Enqueue(const std::string& invocation, Properties properties) {
    const uint64_t n = next++;
    scheduler::Enqueue event;
    event.name =
        fmt::format("operations/{:016x}-0000-4000-8000-{:012x}", n * 0x9e3779b97f4a7c15, n);
    event.client = n;
    auto request = std::make_shared<ActionRequest>();
    request->action = NumberedDigest(n);
    request->instance_name = "main";
    request->invocation = invocation;
    request->properties = std::move(properties);
    event.request = std::move(request);
    Step(event);
  }
  void FinishOldest() {
    const Assign assign = std::move(assigned.front());
    assigned.pop_front();
    Step(WorkerReported{assign.worker, assign.attempt, Status(), false, nullptr});
    Step(Published{assign.attempt, Status(), false, nullptr});
  }
};

Properties Pool(uint64_t n) { return {{"OSFamily", "linux"}, {"Pool", fmt::format("pool-{}", n)}}; }

void MeasureThroughput() {
  constexpr int kActions = 500000;
  Bench bench;
  for (int i = 0; i < 64; i++) {
    bench.Step(WorkerJoined{fmt::format("worker-{}", i), "w", Pool(0), 8, {}});
  }
  const double start = CpuSeconds();
  for (int i = 0; i < kActions; i++) {
    bench.Enqueue(fmt::format("1b671a64-40d5-491e-99b0-da01ff1f33{:02x}", i % 4), Pool(0));
    // 256 in flight, then each new one follows one that ended.
    if (bench.assigned.size() > 256) bench.FinishOldest();
  }
  while (!bench.assigned.empty()) bench.FinishOldest();
  const double seconds = CpuSeconds() - start;
  fmt::print("actions_per_second {:.0f}\n", static_cast<double>(bench.answers) / seconds);
}

struct Farm {
  std::string name;
  int queued, workers;
  bool distinct;
  int pools = 100;
};

Properties Asked(const Farm& farm, int i) {
  Properties properties = Pool(static_cast<uint64_t>(i % farm.pools));
  if (farm.distinct) properties.emplace_back("cores", i % 3 == 0 ? "2" : "1");
  return properties;
}

std::unique_ptr<Bench> Start(const Farm& farm, bool print) {
  auto bench = std::make_unique<Bench>();
  const double start = CpuSeconds();
  for (int i = 0; i < farm.workers; i++) {
    Properties offered = Pool(static_cast<uint64_t>(i % farm.pools));
    if (farm.distinct) {
      offered.emplace_back("host", fmt::format("{}", i));
      offered.emplace_back("cores", "2");
    }
    bench->Step(WorkerJoined{fmt::format("worker-{}", i), "w", offered, farm.distinct ? 2 : 1, {}});
  }
  if (print) fmt::print("join_{} {:.2f}\n", farm.name, (CpuSeconds() - start) / farm.workers * 1e6);
  return bench;
}

// What is measured is between this and the next call of it.
class Meter {
 public:
  explicit Meter(const Bench& bench) : bench_(bench) {}
  double PerEvent() const {
    return (CpuSeconds() - start_) * 1e6 / static_cast<double>(bench_.events - events_);
  }
  double Per(int count) const { return (CpuSeconds() - start_) * 1e6 / count; }

 private:
  const Bench& bench_;
  const double start_ = CpuSeconds();
  const uint64_t events_ = bench_.events;
};

void MeasureBusy(const Farm& farm) {
  constexpr int kProbes = 20000;
  const auto bench = Start(farm, true);
  const int slots = farm.workers * (farm.distinct ? 2 : 1);
  int asked = 0;
  auto enqueue = [&] {
    bench->Enqueue(fmt::format("invocation-{}", asked % 50), Asked(farm, asked));
    asked++;
  };
  while (asked < farm.queued + slots) enqueue();
  // As many come as go.
  const Meter both(*bench);
  for (int i = 0; i < kProbes; i++) {
    enqueue();
    bench->FinishOldest();
  }
  fmt::print("event_{} {:.2f}\n", farm.name, both.PerEvent());
  const Meter dispatch(*bench);
  const int probes = std::min(kProbes, farm.queued / 2);
  for (int i = 0; i < probes; i++) bench->FinishOldest();
  fmt::print("dispatch_{} {:.2f}\n", farm.name, dispatch.Per(probes));
}

void MeasureIdle(const Farm& farm) {
  constexpr int kProbes = 20000;
  const auto bench = Start(farm, false);
  const Meter meter(*bench);
  for (int i = 0; i < kProbes; i++) {
    bench->Enqueue("one", Asked(farm, i));
    // A tenth of the workers are busy.
    if (bench->assigned.size() > static_cast<size_t>(farm.workers) / 10) bench->FinishOldest();
  }
  fmt::print("idle_{} {:.2f}\n", farm.name, meter.Per(kProbes));
}

}  // namespace
}  // namespace lre::scheduler

int main() {
  using lre::scheduler::Farm;
  lre::scheduler::MeasureThroughput();
  const Farm farms[] = {{"1k_100_alike", 1000, 100, false},
                        {"100k_10k_alike", 100000, 10000, false},
                        {"1k_100_differ", 1000, 100, true},
                        {"100k_10k_differ", 100000, 10000, true},
                        {"100k_10k_differ_one_pool", 100000, 10000, true, 1}};
  for (const Farm& farm : farms) {
    lre::scheduler::MeasureBusy(farm);
    lre::scheduler::MeasureIdle(farm);
  }
}

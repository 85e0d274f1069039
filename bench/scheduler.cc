// The scheduler alone, on one core, without I/O:
//   actions_per_second     workers that answer at once; every action goes the whole way: enqueue,
//                          assign, report, publish, answer, retention
//   enqueue_us, place_us   with 100,000 actions queued and 10,000 workers: one more action; one
//                          slot that became free, until the next action is on it
//   ..._distinct_us        the same where no two workers offer the same and actions ask for cores
// Per second and microsecond of CPU. One line per figure: name, value. Run a Release build.
#include "scheduler/scheduler.h"

#include <fmt/format.h>
#include <time.h>

#include <chrono>
#include <deque>
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
  Scheduler scheduler;
  Instant now{std::chrono::hours(1)};
  uint64_t next = 1;
  uint64_t answers = 0;
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
    now += std::chrono::microseconds(5);
    Carry(scheduler.Step(now, event));
  }
  void Enqueue(const std::string& invocation, Properties properties) {
    const uint64_t n = next++;
    scheduler::Enqueue event;
    event.name =
        fmt::format("operations/{:016x}-0000-4000-8000-{:012x}", n * 0x9e3779b97f4a7c15, n);
    event.client = n;
    event.request.action = NumberedDigest(n);
    event.request.instance_name = "main";
    event.request.invocation = invocation;
    event.request.properties = std::move(properties);
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
  Bench bench{Scheduler(Limits())};
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

constexpr int kPools = 100;

Properties Counted(uint64_t n) {
  Properties properties = Pool(n % kPools);
  properties.emplace_back("cores", n % 3 == 0 ? "2" : "1");
  return properties;
}

// `distinct`: each worker offers something of its own, and more than one action at once.
void MeasureMatching(bool distinct) {
  constexpr int kQueued = 100000, kWorkers = 10000, kProbes = 20000;
  const char* suffix = distinct ? "_distinct" : "";
  auto asked = [&](uint64_t n) { return distinct ? Counted(n) : Pool(n % kPools); };
  Bench bench{Scheduler(Limits())};
  const double join_start = CpuSeconds();
  for (int i = 0; i < kWorkers; i++) {
    Properties offered = Pool(i % kPools);
    if (distinct) {
      offered.emplace_back("host", fmt::format("{}", i));
      offered.emplace_back("cores", "2");
    }
    bench.Step(WorkerJoined{fmt::format("worker-{}", i), "w", offered, distinct ? 2 : 1, {}});
  }
  fmt::print("join{}_us {:.2f}\n", suffix, (CpuSeconds() - join_start) / kWorkers * 1e6);
  for (int i = 0; i < kQueued + (distinct ? 2 : 1) * kWorkers; i++) {
    bench.Enqueue(fmt::format("invocation-{}", i % 50), asked(static_cast<uint64_t>(i)));
  }
  const double enqueue_start = CpuSeconds();
  for (int i = 0; i < kProbes; i++) {
    bench.Enqueue(fmt::format("invocation-{}", i % 50), asked(static_cast<uint64_t>(i)));
  }
  fmt::print("enqueue{}_us {:.2f}\n", suffix, (CpuSeconds() - enqueue_start) / kProbes * 1e6);
  const double place_start = CpuSeconds();
  for (int i = 0; i < kProbes; i++) bench.FinishOldest();
  fmt::print("place{}_us {:.2f}\n", suffix, (CpuSeconds() - place_start) / kProbes * 1e6);
}

}  // namespace
}  // namespace lre::scheduler

int main() {
  lre::scheduler::MeasureThroughput();
  lre::scheduler::MeasureMatching(false);
  lre::scheduler::MeasureMatching(true);
}

// What a spawn costs on this machine, bare and in the sandbox, in the same run and interleaved, so
// that a noisy machine is noisy for both: /bin/true by posix_spawn from this small process; by the
// launcher without isolation; in the sandbox with the userland bound; the same with an overlay on
// disk and with one in memory. Processor time is that of all processes, "after" included. Then how
// many per second with both cores busy.
//
//   bench_spawn_floor [rounds [part of a name]]     only what has that in its name, beside the bare
//   one
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <functional>
#include <thread>

#include "base/check.h"
#include "cpu_time.h"
#include "spawn_stage.h"

extern char** environ;

namespace {

using lre::bench::RunOnce;
using lre::bench::Stage;
using lre::sandbox::Launcher;

void SpawnBare() {
  char program[] = "/bin/true";
  char* arguments[] = {program, nullptr};
  pid_t pid;
  CHECK(posix_spawn(&pid, program, nullptr, nullptr, arguments, environ) == 0);
  int status;
  waitpid(pid, &status, 0);
}

struct Series {
  const char* name;
  std::function<void(int stage)> run;
  std::function<void(int stage)> after = [](int) {};
  std::vector<double> micros, after_micros;
  double cpu_seconds = 0;
};

double Time(const std::function<void()>& run) {
  auto start = lre::SystemClock().Now();
  run();
  return std::chrono::duration<double, std::micro>(lre::SystemClock().Now() - start).count();
}

double PerSecond(const Series& series, int threads, int rounds) {
  double micros = Time([&] {
    std::vector<std::jthread> workers;
    for (int t = 0; t < threads; ++t) {
      workers.emplace_back([&, t] {
        for (int i = 0; i < rounds; ++i) {
          series.run(t);
          series.after(t);
        }
      });
    }
  });
  return threads * rounds / (micros / 1e6);
}

}  // namespace

int main(int argc, char** argv) {
  int rounds = argc > 1 ? std::atoi(argv[1]) : 500;
  constexpr int kThreads = 4;
  auto launcher = Launcher::Start({.slots = 3 * kThreads});
  CHECK(launcher.has_value(), lre::ToStatus(launcher).ToString());
  std::vector<std::unique_ptr<Stage>> stages;
  for (int t = 0; t < kThreads; ++t) stages.push_back(std::make_unique<Stage>(**launcher, t));
  std::vector<Series> all;
  all.push_back({"bare posix_spawn", [](int) { SpawnBare(); }});
  all.push_back({"launcher, no isolation", [&](int t) { RunOnce(**launcher, stages[t]->bare); }});
  all.push_back({"sandbox", [&](int t) { RunOnce(**launcher, stages[t]->command); }});
  if ((*launcher)->overlay_allowed())
    all.push_back({"sandbox and overlay", [&](int t) {
                     stages[t]->MakeUpper();
                     RunOnce(**launcher, stages[t]->overlaid);
                   }});
  if ((*launcher)->overlay_allowed()) all.back().after = [&](int t) { stages[t]->RemoveUpper(); };
  if ((*launcher)->memory_overlay_allowed())
    all.push_back(
        {"sandbox, overlay in memory", [&](int t) { RunOnce(**launcher, stages[t]->in_memory); }});
  if (argc > 2) {
    std::erase_if(all, [&](const Series& series) {
      return &series != &all[0] && std::string_view(series.name).find(argv[2]) == std::string::npos;
    });
  }
  for (Series& series : all) {
    for (int t = 0; t < kThreads; ++t) {  // starts the slot processes
      series.run(t);
      series.after(t);
    }
  }
  // Runs between two looks at the processor time, each of which is wrong by up to a tick (10 ms).
  const int block = std::max(20, rounds / 10);
  rounds = (rounds + block - 1) / block * block;
  for (int i = 0; i < rounds; i += block) {
    for (Series& series : all) {
      double before = lre::bench::CpuSecondsOfTree(getpid());
      for (int j = 0; j < block; ++j) {
        series.micros.push_back(Time([&] { series.run(0); }));
        series.after_micros.push_back(Time([&] { series.after(0); }));
      }
      series.cpu_seconds += lre::bench::CpuSecondsOfTree(getpid()) - before;
    }
  }
  for (Series& series : all) {
    std::sort(series.micros.begin(), series.micros.end());
    std::sort(series.after_micros.begin(), series.after_micros.end());
    fmt::print(
        "{:26} p50 {:6.0f} us  p90 {:6.0f} us  x{:.2f}  CPU {:5.0f} us  x{:.2f}  after {:4.0f} us "
        " {:5.0f}/s with {} at once\n",
        series.name, series.micros[rounds / 2], series.micros[rounds * 9 / 10],
        series.micros[rounds / 2] / all[0].micros[rounds / 2], series.cpu_seconds * 1e6 / rounds,
        series.cpu_seconds / all[0].cpu_seconds, series.after_micros[rounds / 2],
        PerSecond(series, kThreads, rounds / 4), kThreads);
  }
}

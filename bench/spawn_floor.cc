// What a spawn costs on this machine, bare and in the sandbox, in the same run and interleaved, so
// that a noisy machine is noisy for both: /bin/true by posix_spawn from this small process; by the
// launcher without isolation; in the sandbox with the userland bound; the same with an overlay on
// disk and with one in memory. Then how many per second with both cores busy.
//
//   bench_spawn_floor [rounds]
#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <functional>
#include <thread>

#include "base/check.h"
#include "base/file.h"
#include "sandbox/sandbox.h"

extern char** environ;

namespace {

using lre::Duration;
using lre::sandbox::Command;
using lre::sandbox::Launcher;
using lre::sandbox::MountKind;

void SpawnBare() {
  char program[] = "/bin/true";
  char* arguments[] = {program, nullptr};
  pid_t pid;
  CHECK(posix_spawn(&pid, program, nullptr, nullptr, arguments, environ) == 0);
  int status;
  waitpid(pid, &status, 0);
}

struct Stage {
  // Slots 3n to 3n + 2: a slot expects the next command to want the root of the last.
  explicit Stage(const Launcher& launcher, int n) : owner(launcher.file_owner()) {
    Make("lower");
    command.arguments = {"/bin/true"};
    command.working_directory = "/";
    command.stdout_path = directory / "stdout";
    command.stderr_path = directory / "stderr";
    command.slot = 3 * n;
    bare = command;
    bare.isolation = lre::sandbox::Isolation::kNone;
    command.mounts = {{MountKind::kReadOnlyBind, "/usr", "/usr"},
                      {MountKind::kSymlink, "/bin", "usr/bin"},
                      {MountKind::kSymlink, "/lib", "usr/lib"},
                      {MountKind::kSymlink, "/lib64", "usr/lib64"},
                      {MountKind::kFile, "/etc/passwd", "user:x:1000:1000::/:/bin/sh\n"}};
    overlaid = command;
    overlaid.slot = 3 * n + 1;
    overlaid.overlays = {
        {directory / "lower", directory / "upper", directory / "work", "/build", {}}};
    in_memory = command;
    in_memory.slot = 3 * n + 2;
    in_memory.output_kept_bytes_max = 4096;
    in_memory.overlays = {{.lower = directory / "lower", .target = "/build"}};
  }
  void Make(const char* name) {
    std::string path = directory / name;
    CHECK(mkdir(path.c_str(), 0755) == 0);
    if (geteuid() == 0) CHECK(chown(path.c_str(), owner, owner) == 0);
  }
  // Every action has an upper layer of its own: making it belongs to the price. A worker removes
  // the last one after its report was sent: that is measured by itself.
  void MakeUpper() {
    Make("upper");
    Make("work");
  }
  void RemoveUpper() {
    CHECK(lre::RemoveTree(directory / "upper").ok());
    CHECK(lre::RemoveTree(directory / "work").ok());
  }
  uint32_t owner;
  lre::TempDir directory;
  Command bare, command, overlaid, in_memory;
};

void RunOnce(Launcher& launcher, const Command& command) {
  auto outcome = launcher.Run(command, {});
  CHECK(outcome && outcome->exit_code == 0, lre::ToStatus(outcome).ToString());
}

struct Series {
  const char* name;
  std::function<void(int stage)> run;
  std::function<void(int stage)> after = [](int) {};
  std::vector<double> micros, after_micros;
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
  for (Series& series : all) {
    for (int t = 0; t < kThreads; ++t) {  // starts the slot processes
      series.run(t);
      series.after(t);
    }
  }
  for (int i = 0; i < rounds; ++i) {
    for (Series& series : all) {
      series.micros.push_back(Time([&] { series.run(0); }));
      series.after_micros.push_back(Time([&] { series.after(0); }));
    }
  }
  for (Series& series : all) {
    std::sort(series.micros.begin(), series.micros.end());
    std::sort(series.after_micros.begin(), series.after_micros.end());
    fmt::print(
        "{:24} p50 {:7.0f} us  p90 {:7.0f} us  x{:.2f}  after {:4.0f} us  {:6.0f}/s with {} at "
        "once\n",
        series.name, series.micros[rounds / 2], series.micros[rounds * 9 / 10],
        series.micros[rounds / 2] / all[0].micros[rounds / 2], series.after_micros[rounds / 2],
        PerSecond(series, kThreads, rounds / 4), kThreads);
  }
}

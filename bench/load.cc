// bench_load: measures any REAPI server over the wire: calls per second, latency, and, given its
// process ids, server CPU per call, per item and per gigabyte, and memory. See bench/README.md.
//
//   bench_load --target 127.0.0.1:9092 --pid 1234 [--instance main] [--only read] [--json]
#include <fmt/core.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <regex>
#include <thread>

#include "load_floors.h"
#include "load_server.h"
#include "load_workloads.h"

namespace {

using namespace lre;         // NOLINT: the program's own file
using namespace lre::bench;  // NOLINT

struct Options {
  std::string target, instance, only = ".*", floors_directory;
  std::vector<int> pids;
  int connections = 4, in_flight = 0, stalled = 0;
  double seconds = 2, warm_up = 0.5, idle = 0, calls_per_second = 0;
  WorkloadOptions workloads;
  bool stalled_start = false, json = false, fill = true, fill_only = false, list = false;
};

double OwnCpuSeconds() { return static_cast<double>(ProcessCpuNanos(getpid())) / 1e9; }

struct Row {
  std::string name;
  RunResult run;
  double cpu_s = 0, client_busy = 0;
  int64_t rss_bytes = 0;
};

void Print(const Options& options, Row& row) {
  RunResult& run = row.run;
  auto calls = static_cast<double>(std::max<uint64_t>(run.calls, 1));
  auto items = static_cast<double>(std::max<uint64_t>(run.items, 1));
  double bytes = static_cast<double>(run.payload_bytes);
  double us = row.cpu_s * 1e6, per_gb = bytes > 0 ? row.cpu_s / (bytes / 1e9) : 0;
  double rate = calls / run.seconds, gb_rate = bytes / 1e9 / run.seconds;
  if (options.json) {
    fmt::print(
        R"({{"name":"{}","calls":{},"calls_per_s":{:.1f},"cpu_us_per_call":{:.3f},)"
        R"("cpu_us_per_item":{:.4f},)"
        R"("gb_per_s":{:.4f},"cpu_s_per_gb":{:.4f},"p50_ms":{:.3f},"p99_ms":{:.3f},"errors":{},)"
        R"("client_busy":{:.2f},"rss_anon_bytes":{}}})"
        "\n",
        row.name, run.calls, rate, us / calls, us / items, gb_rate, per_gb, run.LatencyMs(0.5),
        run.LatencyMs(0.99), run.errors, row.client_busy, row.rss_bytes);
  } else {
    fmt::print("{:<25}{:>10.0f}/s {:>10.2f} us", row.name, rate, us / calls);
    fmt::print("{:>17}", run.items > run.calls ? fmt::format("{:.3f} us/item", us / items) : "");
    fmt::print("  p50 {:>7.2f} p99 {:>7.2f} ms  client {:>3.0f} %", run.LatencyMs(0.5),
               run.LatencyMs(0.99), row.client_busy * 100);
    if (bytes / run.seconds > 1e7) fmt::print("  {:.3f} GB/s {:.3f} CPU-s/GB", gb_rate, per_gb);
    fmt::print("\n");
  }
  if (run.errors > 0)
    fmt::print(stderr, "{}: {} errors; the first: {}\n", row.name, run.errors, run.first_error);
  std::fflush(stdout);
}

// The first answer is judged, then calls flow.
Status Measure(Client& client, const Options& options, const Workload& workload) {
  ServerMeter meter({options.pids.begin(), options.pids.end()});
  Request first;
  workload.make(0, first);
  TRY_ASSIGN(std::string answer, client.Call(first));
  if (workload.judge) {
    if (std::string problem = workload.judge(Unframed(answer)); !problem.empty())
      return ErrorStatus(Code::kInternal, "{}: wrong answer: {}", workload.name, problem);
  }
  Row row{.name = workload.name};
  int64_t server = 0;
  double own = 0;
  RunOptions run{.in_flight = options.in_flight > 0 ? options.in_flight : workload.in_flight,
                 .warm_up = std::chrono::duration<double>(options.warm_up),
                 .duration = std::chrono::duration<double>(options.seconds),
                 .calls_max = workload.calls_max,
                 .calls_per_second = options.calls_per_second};
  run.on_begin = [&] {
    server = meter.CpuNanos();
    own = OwnCpuSeconds();
  };
  run.on_end = [&] {
    row.cpu_s = static_cast<double>(meter.CpuNanos() - server) / 1e9;
    own = OwnCpuSeconds() - own;
  };
  TRY_ASSIGN(row.run, client.Run(workload.make, run));
  row.client_busy = own / row.run.seconds;
  row.rss_bytes = meter.RssAnonBytes();
  Print(options, row);
  if (row.run.errors == 0) return {};
  return ErrorStatus(Code::kInternal, "{}: {}", workload.name, row.run.first_error);
}

// Readers that stopped have been served when what the kernel holds for them is full and the server
// rests; what it costs until then is measured with --stalled-start.
void WaitUntilIdle(const ServerMeter& meter) {
  constexpr int64_t kRestNanos = 2'000'000;  // of CPU in 200 ms
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  for (int64_t before = -1, now = 0; std::chrono::steady_clock::now() < until; before = now) {
    now = meter.CpuNanos();
    if (before >= 0 && now - before < kRestNanos) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
}

Status MeasureIdle(const Options& options) {
  ServerMeter meter({options.pids.begin(), options.pids.end()});
  int64_t before = meter.CpuNanos();
  std::this_thread::sleep_for(std::chrono::duration<double>(options.idle));
  double share = static_cast<double>(meter.CpuNanos() - before) / 1e9 / options.idle;
  const char* format = options.json ? R"({{"name":"idle","cpu_share":{:.6f},"rss_anon_bytes":{}}})"
                                    : "idle: {:.5f} of a core, RssAnon {} B";
  fmt::print(fmt::runtime(format), share, meter.RssAnonBytes());
  fmt::print("\n");
  return {};
}

Status PrintFloors(const Options& options) {
  TRY_ASSIGN(auto floors, MeasureFloors(options.floors_directory, options.seconds));
  for (const Floor& floor : floors) {
    const char* format =
        options.json ? R"({{"name":"floor: {}","calls_per_s":{:.1f},"cpu_us_per_call":{:.3f},)"
                       R"("gb_per_s":{:.3f},"cpu_s_per_gb":{:.4f}}})"
                     : "{:<32}{:>9.0f}/s {:>8.2f} us {:>8.3f} GB/s {:.3f} CPU-s/GB";
    fmt::print(fmt::runtime(format), floor.name, floor.calls_per_second, floor.cpu_us_per_call,
               floor.gb_per_second, floor.cpu_s_per_gb);
    fmt::print("\n");
    std::fflush(stdout);
  }
  return {};
}

Status MeasureAll(const Options& options) {
  std::vector<std::string> names;
  for (const std::string& name : Workloads::Names())
    if (std::regex_search(name, std::regex(options.only))) names.push_back(name);
  TRY_ASSIGN(auto client, Client::Connect(options.target, options.connections));
  Workloads workloads(options.workloads);
  ServerMeter meter({options.pids.begin(), options.pids.end()});
  if (options.fill) {
    int64_t before = meter.RssAnonBytes(), cpu = meter.CpuNanos();
    std::vector<std::string> stored = names;
    if (options.stalled > 0) stored.emplace_back("stalled");
    TRY(workloads.Prepare(*client, stored));
    const char* format =
        options.json ? R"({{"name":"fill","index_blobs":{},"rss_anon_bytes":{},)"
                       R"("rss_anon_grown":{},"cpu_s":{:.3f}}})"
                     : "filled: {} blobs of 1 kB; RssAnon {} B, {} B of it new; {:.2f} s of CPU";
    fmt::print(fmt::runtime(format), options.workloads.index_blobs, meter.RssAnonBytes(),
               meter.RssAnonBytes() - before, static_cast<double>(meter.CpuNanos() - cpu) / 1e9);
    fmt::print("\n");
  }
  if (options.fill_only) return {};
  std::vector<std::unique_ptr<Client>> stalled;
  for (int i = 0; i < options.stalled; ++i) {
    TRY_ASSIGN(auto reader, Client::Connect(options.target, 1));
    TRY(reader->Stall(workloads.LargeRead()));
    stalled.push_back(std::move(reader));
  }
  if (options.stalled > 0 && !options.stalled_start) WaitUntilIdle(meter);
  for (const std::string& name : names) {
    Workload workload = workloads.Make(name);
    TRY(Measure(*client, options, workload));
  }
  if (options.idle > 0) TRY(MeasureIdle(options));
  return {};
}

void Declare(CLI::App& app, Options& options) {
  app.add_option("--target", options.target, "host:port of a plaintext REAPI server");
  app.add_option("--instance", options.instance, "instance name");
  app.add_option("--pid", options.pids, "processes of the server, for CPU and memory");
  app.add_option("--only", options.only, "workloads whose name matches this regular expression");
  app.add_option("--index", options.workloads.index_blobs, "blobs of 1 kB stored first");
  app.add_option("--set-bytes", options.workloads.set_bytes, "what one read workload goes over");
  app.add_option("--chunk-bytes", options.workloads.chunk_bytes, "of one WriteRequest");
  app.add_option("--write-bytes", options.workloads.write_bytes, "most that one write stores");
  app.add_option("--connections", options.connections, "connections");
  app.add_option("--in-flight", options.in_flight, "calls in flight; 0: as the workload says");
  app.add_option("--seconds", options.seconds, "measured time of a workload, at most 600")
      ->check(CLI::Range(0.01, 600.0));
  app.add_option("--calls-per-second", options.calls_per_second,
                 "at most so many; 0: as fast as answers come");
  app.add_option("--warm-up", options.warm_up, "seconds before that");
  app.add_option("--idle", options.idle, "then watch the idle server for so many seconds");
  app.add_option("--stalled", options.stalled, "readers of 16 MiB that never read");
  app.add_flag("--stalled-start", options.stalled_start,
               "measure while the server still serves them");
  app.add_option("--floors", options.floors_directory,
                 "measure the machine's floors, writing in this directory");
  app.add_flag("!--no-fill", options.fill, "what is read is there from an earlier run");
  app.add_flag("--fill-only", options.fill_only, "store what the workloads read, and end");
  app.add_flag("--json", options.json, "one JSON object a line");
  app.add_flag("--list", options.list, "name the workloads");
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("Measures a REAPI server over the wire");
  Declare(app, options);
  CLI11_PARSE(app, argc, argv);
  if (options.list) {
    for (const std::string& name : Workloads::Names()) fmt::print("{}\n", name);
    return 0;
  }
  Status status;
  if (!options.floors_directory.empty()) status = PrintFloors(options);
  if (status.ok() && !options.target.empty()) status = MeasureAll(options);
  if (status.ok()) return 0;
  fmt::print(stderr, "{}\n", status.ToString());
  return 1;
}

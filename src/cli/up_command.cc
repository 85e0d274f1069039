// lre up: the whole farm in this process.
#include <filesystem>

#include "base/log.h"
#include "cli/commands.h"
#include "cli/config_flags.h"
#include "cli/farm.h"
#include "cli/signals.h"
#include "cli/terminal.h"
#include "server/options.h"

namespace lre::cli {
namespace {

Status Run(server::Config config, const std::string& ready_file, bool with_worker) {
  SetLogLevel(server::LogLevelOf(config));
  if (!config.data_dir.empty()) {
    config.data_dir = std::filesystem::absolute(config.data_dir).lexically_normal().string();
  }
  with_worker = with_worker && config.execution;

  // The process that spawns actions, forked while this one has no threads.
  std::unique_ptr<sandbox::Launcher> launcher;
  if (with_worker) {
    TRY_ASSIGN(launcher, StartLauncher(config));
  }
  RaiseFileLimit();
  // SIGHUP means: read the certificates again. Without any it ends the process, as a terminal that
  // is closed should.
  const bool tls = !config.tls_certificate.empty();
  BlockEndSignals(tls);

  // Stores, scheduler and services; from here on clients are answered.
  TRY_ASSIGN(auto server, server::Server::Start(config, SystemClock()));

  // The worker, linked in process.
  WorkerHandle worker;
  if (with_worker) {
    auto read_result = [&server, &config](const Digest& action) {
      return server->action_cache().Get({action, config.instance_name});
    };
    auto read_tenant_result = [&server](const worker::StorePathTenant& tenant,
                                        const Digest& action) {
      return server->action_cache().Get({action, tenant.instance_name, tenant.partition});
    };
    TRY_ASSIGN(worker, StartWorker(config,
                                   {server->cas(), *launcher, server->metrics(), read_result,
                                    read_tenant_result},
                                   NewLocalLinkConnector(*server)));
    // No worker but this one is expected: what it cannot serve fails at once instead of waiting.
    server->scheduler()->DeclarePool({.name = "up",
                                      .properties = config.worker_properties.empty()
                                                        ? worker::DefaultProperties()
                                                        : config.worker_properties});
    server->scheduler()->ClosePools();
  }
  PrintServing(config, server->addresses());
  if (with_worker) {
    PrintLine(fmt::format("  worker    {} slots, {}; userland: {}", WorkerSlots(config),
                          config.worker_sandbox == "none"
                              ? Coloured("no sandbox: actions see this machine", Colour::kYellow)
                              : std::string("sandboxed"),
                          DescribeUserland(config)));
  }
  TRY(WriteReadyFile(ready_file, config, server->addresses()));

  std::function<void()> reload;
  if (tls) reload = [&] { server->ReloadCertificates(); };
  WaitForEndSignal(reload);
  PrintLine("ending: open calls may finish; once more ends at once");
  server->Drain();
  worker.worker.reset();
  return Status();
}

// What `up` and `serve` share: the flags, without the sections that mean nothing to the command.
void Serve(App& app, CLI::App& command, std::vector<std::string> left_out, bool with_worker) {
  auto flags = std::make_shared<std::optional<ConfigFlags>>();
  auto ready_file = std::make_shared<std::string>();
  command.add_option("--ready-file", *ready_file, "Write a JSON file here once it serves")
      ->type_name("FILE");
  DeclareLate(app, command, [&command, flags, left_out = std::move(left_out)] {
    flags->emplace(command, left_out);
  });
  command.callback([&app, flags, ready_file, with_worker] {
    app.action = [flags, ready_file, with_worker]() -> Status {
      TRY_ASSIGN(server::Config config, (*flags)->Read());
      return Run(std::move(config), *ready_file, with_worker);
    };
  });
}

}  // namespace

void AddUpCommand(App& app) {
  CLI::App* command = app.cli.add_subcommand("up", "Run a whole build farm in this process");
  command->footer(
      "Examples:\n"
      "  lre up --data-dir ~/.cache/lre/farm\n"
      "  lre up --data-dir /tmp/farm --listen 127.0.0.1:0 --ready-file /tmp/farm/ready.json\n"
      "It prints the flags that make Bazel use it. Ctrl-C ends it.");
  Serve(app, *command, {"worker.server"}, true);
}

void AddServeCommand(App& app) {
  CLI::App* command =
      app.cli.add_subcommand("serve", "Run cache and scheduler; workers connect from elsewhere");
  command->footer(
      "Examples:\n"
      "  lre serve --data-dir /var/lib/lre\n"
      "  lre serve --data-dir /var/lib/lre --execution-enabled=false     (a cache only)\n"
      "  lre serve --config /etc/lre.toml --listen unix:/run/lre.sock");
  Serve(app, *command, {"worker."}, false);
}

}  // namespace lre::cli

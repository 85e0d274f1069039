// lre revoke: forgets what a bad toolchain produced.
#include "cli/commands.h"
#include "cli/remote_server.h"
#include "cli/terminal.h"
#include "toolchain/root/toolchain_store.h"

namespace lre::cli {
namespace {

struct RevokeFlags {
  std::string what;
  bool dry_run = false;
  ServerFlags server;
};

// "<32 hex>" or "<32 hex>-<role>", also as a path, as it stands in commands and attestations.
Result<std::string> HashOf(const std::string& what) {
  std::string name = what.substr(what.rfind('/') + 1);
  if (toolchain::IsStoreName(name)) return name;
  if (toolchain::IsStoreName(name + "-x")) return name;
  return Error(Code::kInvalidArgument,
               "'{}' is neither a store path nor the 32 hex digits of one: `lre store list`", what);
}

Status Run(const RevokeFlags& flags) {
  TRY_ASSIGN(std::string text, HashOf(flags.what));
  TRY_ASSIGN(auto server, RemoteServer::Connect(flags.server));
  TRY_ASSIGN(uint64_t found, server->FindResults(text, !flags.dry_run));
  PrintLine(fmt::format("{} results mention {}{}", found, text,
                        flags.dry_run ? "" : ": dropped, in every instance"));
  if (!flags.dry_run && found > 0)
    PrintLine(
        "The path is no longer in the index: workers that have it keep it until it is "
        "removed there (`lre store gc`)");
  return Status();
}

}  // namespace

void AddRevokeCommand(App& app) {
  CLI::App* command =
      app.cli.add_subcommand("revoke", "Drop every result that a bad toolchain produced");
  command->footer(
      "A result is found by its command (arguments, environment), as long as the CAS has it, and "
      "by "
      "what\nthe worker attests: every store path that was in the action's root, named by inputs "
      "too. "
      "Results\nthat clients uploaded are found by their command. Also drops the path from the "
      "index "
      "and from pins.\n"
      "Examples:\n"
      "  lre revoke 07523aeb40870c5a8059968c622b5263 --dry-run\n"
      "  lre revoke /lre/store/07523aeb40870c5a8059968c622b5263-gcc --server cache.example:50051");
  auto flags = std::make_shared<RevokeFlags>();
  command->add_option("HASH", flags->what, "The store path, or its 32 hex digits")->required();
  command->add_flag("--dry-run", flags->dry_run, "Only count");
  ServerFlags::Add(*command, flags->server);
  command->callback([&app, flags] { app.action = [flags] { return Run(*flags); }; });
}

}  // namespace lre::cli

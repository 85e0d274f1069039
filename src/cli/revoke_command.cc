// lre revoke: forgets what a bad toolchain produced.
#include <algorithm>

#include "cli/commands.h"
#include "cli/remote_server.h"
#include "cli/terminal.h"
#include "toolchain/root/toolchain_store.h"

namespace lre::cli {
namespace {

struct RevokeFlags {
  std::string what;
  bool dry_run = false;
  bool without_referrers = false;
  ServerFlags server;
};

// "<32 hex>" or "<32 hex>-<role>", also as a path, as it stands in commands and attestations.
Result<std::string> HashOf(const std::string& what) {
  std::string name = what.substr(what.rfind('/') + 1);
  if (toolchain::IsStoreName(name) || toolchain::IsNixName(name)) return name;
  if (toolchain::IsStoreName(name + "-x")) return name;
  return Error(Code::kInvalidArgument,
               "'{}' is neither a store path nor the 32 hex digits of one: `lre store list`", what);
}

// The names of the paths in this machine's store that reference one whose name begins with `text`,
// directly or not. A compiler that was made against a bad sysroot is bad too; and of a link that a
// client ran itself, the cache knows a command that names the compiler and a file of parameters.
std::vector<std::string> Referrers(const std::string& text) {
  std::vector<std::string> names;
  auto store = toolchain::ToolchainStore::Open();
  if (!store) return names;
  for (const toolchain::StorePath& path :
       (*store)->List().value_or(std::vector<toolchain::StorePath>())) {
    const auto closure = (*store)->Closure(std::vector<std::string>{path.path});
    if (!closure) continue;
    const std::string name = path.path.substr(path.path.rfind('/') + 1);
    const bool references =
        std::any_of(closure->begin(), closure->end(), [&](const toolchain::StorePath& each) {
          return each.path != path.path &&
                 each.path.substr(each.path.rfind('/') + 1).starts_with(text);
        });
    if (references) names.push_back(name);
  }
  return names;
}

Status Run(const RevokeFlags& flags) {
  TRY_ASSIGN(const std::string text, HashOf(flags.what));
  std::vector<std::string> texts = {text};
  if (!flags.without_referrers) {
    for (const std::string& name : Referrers(text)) texts.push_back(name);
  }
  TRY_ASSIGN(auto server, RemoteServer::Connect(flags.server));
  TRY_ASSIGN(uint64_t found, server->FindResults(texts, !flags.dry_run));
  for (size_t i = 1; i < texts.size(); ++i) PrintLine(texts[i] + " references it");
  PrintLine(fmt::format("{} results mention {}{}{}", found, text,
                        texts.size() > 1 ? " or what references it" : "",
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
      "Results\nthat clients uploaded are found by their command. Looked for are the path and, as "
      "far as this\nmachine's store knows them, those that reference it: what a compiler made that "
      "has a bad sysroot\nis bad too. Also drops these paths from the index and from pins.\n"
      "Examples:\n"
      "  lre revoke 07523aeb40870c5a8059968c622b5263 --dry-run\n"
      "  lre revoke /lre/store/07523aeb40870c5a8059968c622b5263-gcc --server cache.example:50051");
  auto flags = std::make_shared<RevokeFlags>();
  command->add_option("HASH", flags->what, "The store path, or its 32 hex digits")->required();
  command->add_flag("--without-referrers", flags->without_referrers,
                    "Only the path itself, not what this machine's store has that references it");
  command->add_flag("--dry-run", flags->dry_run, "Only count");
  ServerFlags::Add(*command, flags->server);
  command->callback([&app, flags] { app.action = [flags] { return Run(*flags); }; });
}

}  // namespace lre::cli

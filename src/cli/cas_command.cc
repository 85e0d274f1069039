// lre cas: looks into the blobs and results of a server, and moves them. Everything but stat
// without arguments, verify without arguments, evict and drop is plain Remote Execution API and
// works with any server; those four need one of ours (lre.admin.v1.Cache), and say so of others.
#include <algorithm>
#include <cstdio>
#include <map>

#include "base/file.h"
#include "base/quantity.h"
#include "cli/cas_blobs.h"
#include "cli/commands.h"
#include "cli/remote_server.h"
#include "cli/terminal.h"
#include "service/admin_client.h"

namespace lre::cli {
namespace {

struct CasFlags {
  ServerFlags server;
  std::vector<std::string> items;  // digests or paths
  std::string output;
  bool recursive = false;
  bool tree = false;
  bool action = false;
  std::string partition;
};

Result<std::vector<Digest>> ParseDigests(const std::vector<std::string>& texts) {
  std::vector<Digest> digests;
  for (const std::string& text : texts) {
    TRY_ASSIGN(const Digest digest, ParseDigestArgument(text));
    digests.push_back(digest);
  }
  return digests;
}

// As a command line takes it back.
std::string Show(const Digest& digest) {
  const bool inferred = InferDigestFunction(digest.Hex().size()) == digest.function;
  return inferred ? digest.ToString()
                  : fmt::format("{}:{}", DigestFunctionName(digest.function), digest);
}

Status StatServer(RemoteServer& server) {
  TRY_ASSIGN(const service::CacheStat stat, service::AdminClient(server.channel()).Stat());
  PrintLine(fmt::format("{} blobs and results", stat.entries));
  PrintLine(
      fmt::format("{} of {} used", FormatSize(stat.used_bytes), FormatSize(stat.size_bytes_max)));
  PrintLine(fmt::format("{} pins of {}", stat.pins, FormatSize(stat.pinned_bytes)));
  PrintLine(fmt::format("{} damaged since the start", stat.damaged));
  return Status();
}

Status Stat(RemoteServer& server, const CasFlags& flags) {
  if (flags.items.empty()) return StatServer(server);
  TRY_ASSIGN(const std::vector<Digest> digests, ParseDigests(flags.items));
  TRY_ASSIGN(const std::vector<uint32_t> missing, server.cas().FindMissing(0, digests));
  for (uint32_t i = 0; i < digests.size(); i++) {
    const bool absent = std::binary_search(missing.begin(), missing.end(), i);
    PrintLine(fmt::format("{}  {}", absent ? "absent " : "present", Show(digests[i])));
  }
  if (missing.empty()) return Status();
  return ErrorStatus(Code::kNotFound, "{} of {} are absent", missing.size(), digests.size());
}

Status Get(RemoteServer& server, const CasFlags& flags) {
  TRY_ASSIGN(const Digest digest, ParseDigestArgument(flags.items[0]));
  if (flags.output.empty()) {
    return StreamBlob(server.cas(), digest, [](std::string_view bytes) {
      Print(bytes);
      return Status();
    });
  }
  return GetFile(server.cas(), digest, flags.output);
}

Status PutAll(RemoteServer& server, const CasFlags& flags) {
  for (const std::string& path : flags.items) {
    TRY_ASSIGN(const Digest digest, PutPath(server.cas(), path));
    PrintLine(fmt::format("{}  {}", Show(digest), path));
  }
  return Status();
}

Status Ls(RemoteServer& server, const CasFlags& flags) {
  TRY_ASSIGN(const Digest root, ParseDigestArgument(flags.items[0]));
  return WalkDirectory(server.cas(), root, flags.recursive, [](const TreeEntry& entry) {
    if (entry.file) {
      PrintLine(fmt::format("{} {:>12}  {}  {}", entry.file->is_executable ? "x" : "-",
                            entry.file->digest.size_bytes, Show(entry.file->digest), entry.path));
    } else if (entry.symlink) {
      PrintLine(fmt::format("l {:>12}  {} -> {}", "", entry.path, entry.symlink->target));
    } else {
      PrintLine(fmt::format("d {:>12}  {}  {}/", "", Show(entry.directory->digest), entry.path));
    }
    return Status();
  });
}

Status Verify(RemoteServer& server, const CasFlags& flags) {
  if (flags.items.empty()) {
    TRY_ASSIGN(const uint64_t damaged, service::AdminClient(server.channel()).Verify());
    if (damaged > 0) {
      return ErrorStatus(Code::kDataLoss, "{} were damaged and are now absent", damaged);
    }
    PrintLine("everything that is stored is sound");
    return Status();
  }
  TRY_ASSIGN(std::vector<Digest> digests, ParseDigests(flags.items));
  if (flags.tree) {
    std::vector<Digest> all;
    for (const Digest& root : digests) {
      TRY_ASSIGN(const std::vector<Digest> below, BlobsOfTree(server.cas(), root));
      all.insert(all.end(), below.begin(), below.end());
    }
    digests = std::move(all);
  }
  size_t bad = 0;
  for (const Digest& digest : digests) {
    Status status = StreamBlob(server.cas(), digest, [](std::string_view) { return Status(); });
    if (status.ok()) continue;
    if (status.code() != Code::kNotFound && status.code() != Code::kDataLoss) return status;
    PrintLine(fmt::format("{}  {}", status.code() == Code::kNotFound ? "absent " : "damaged",
                          Show(digest)));
    bad++;
  }
  if (bad > 0) return ErrorStatus(Code::kDataLoss, "{} of {} blobs are bad", bad, digests.size());
  PrintLine(fmt::format("{} blobs are sound", digests.size()));
  return Status();
}

Status Evict(RemoteServer& server, const CasFlags& flags) {
  TRY_ASSIGN(const std::vector<Digest> digests, ParseDigests(flags.items));
  TRY_ASSIGN(const uint64_t evicted,
             service::AdminClient(server.channel()).Evict(digests, flags.partition));
  PrintLine(fmt::format("{} of {} were there", evicted, digests.size()));
  return Status();
}

Status Drop(RemoteServer& server, const CasFlags& flags) {
  TRY_ASSIGN(const std::vector<Digest> actions, ParseDigests(flags.items));
  service::AdminClient admin(server.channel());
  for (const Digest& action : actions) {
    TRY(admin.DropActionResult(server.instance_name(), action, flags.partition));
  }
  PrintLine(fmt::format("{} results are forgotten", actions.size()));
  return Status();
}

Status Export(RemoteServer& server, const CasFlags& flags) {
  TRY_ASSIGN(const std::vector<Digest> roots, ParseDigests(flags.items));
  std::vector<Digest> blobs;
  std::vector<ArchivedResult> results;
  for (const Digest& root : roots) {
    std::vector<Digest> of_root = {root};
    std::string result;
    if (flags.action) {
      TRY_ASSIGN(of_root, BlobsOfAction(server, root, &result));
    } else if (flags.tree) {
      TRY_ASSIGN(of_root, BlobsOfTree(server.cas(), root));
    }
    blobs.insert(blobs.end(), of_root.begin(), of_root.end());
    if (!result.empty()) results.push_back({root, std::move(result)});
  }
  TRY_ASSIGN(const size_t written, ExportBlobs(server.cas(), blobs, results, flags.output));
  PrintLine(fmt::format("{}: {} blobs, {} results", flags.output, written, results.size()));
  return Status();
}

Status Import(RemoteServer& server, const CasFlags& flags) {
  for (const std::string& path : flags.items) {
    TRY_ASSIGN(const ImportReport report, ImportBlobs(server, path));
    PrintLine(fmt::format("{}: {} blobs, {} of them new; {} results", path, report.blobs,
                          report.uploaded, report.results));
  }
  return Status();
}

using Run = Status (*)(RemoteServer&, const CasFlags&);

std::shared_ptr<CasFlags> Add(App& app, CLI::App& command, Run run) {
  auto flags = std::make_shared<CasFlags>();
  ServerFlags::Add(command, flags->server);
  command.callback([&app, flags, run] {
    app.action = [flags, run]() -> Status {
      TRY_ASSIGN(auto server, RemoteServer::Reach(flags->server));
      return run(*server, *flags);
    };
  });
  return flags;
}

// In place of those of all subcommands, which each would show.
void AddExamples(CLI::App& command) {
  const std::string digest = "A digest is [FUNCTION:]HASH/SIZE.\n";
  const std::string operators =
      "only with servers of this program, from their machine or with a TLS client certificate.\n";
  for (const auto& [name, text] : std::map<std::string, std::string>{
           {"stat", digest + "Without digests it works " + operators +
                        "Examples:\n  lre cas stat HASH/SIZE HASH/SIZE\n"
                        "  lre cas stat --server cache.example:50051"},
           {"get", digest + "Examples:\n  lre cas get HASH/SIZE -o FILE\n"
                            "  lre cas get blake3:HASH/SIZE | head"},
           {"put", "Example:\n  lre cas put src/ README.md     (of a folder, its Directory)"},
           {"ls", digest + "Example:\n  lre cas ls -r HASH/SIZE"},
           {"verify", digest + "Without digests it works " + operators +
                          "Examples:\n  lre cas verify --tree HASH/SIZE\n  lre cas verify"},
           {"evict", digest + "It works " + operators +
                         "Examples:\n  lre cas evict HASH/SIZE\n"
                         "  lre cas evict --partition red HASH/SIZE"},
           {"drop", digest + "It works " + operators + "Example:\n  lre cas drop HASH/SIZE"},
           {"export", digest + "Examples:\n  lre cas export --action HASH/SIZE -o action.tar\n"
                               "  lre cas export --tree HASH/SIZE -o inputs.tar"},
           {"import", "Example:\n  lre cas import action.tar --server other:50051"}}) {
    command.get_subcommand(name)->footer(text);
  }
}

}  // namespace

void AddCasCommand(App& app) {
  CLI::App* command =
      app.cli.add_subcommand("cas", "Look into the blobs of a server, and move them");
  command->require_subcommand(1);
  command->footer(
      "A digest is [FUNCTION:]HASH/SIZE.\n"
      "Examples:\n  lre cas put src/          (prints the digest of its Directory)\n"
      "  lre cas ls -r HASH/SIZE\n  lre cas get HASH/SIZE -o FILE\n"
      "  lre cas export --action HASH/SIZE -o action.tar\n"
      "  lre cas import action.tar --server other:50051\n"
      "A tenant's partition is that of the instance name, or of the certificate.\n"
      "stat and verify without digests, evict and drop work with servers of this program only, "
      "from their machine or with a TLS client certificate.");
  auto add = [&](const char* name, const char* help, Run run) {
    return std::pair(command->add_subcommand(name, help), run);
  };
  auto declare = [&](auto sub_and_run, const char* what, bool required) {
    auto [sub, run] = sub_and_run;
    auto flags = Add(app, *sub, run);
    const bool digests = std::string_view(what).ends_with("DIGEST");
    auto* option =
        sub->add_option(what, flags->items, digests ? "[FUNCTION:]HASH/SIZE" : "Of this machine");
    if (required) option->required();
    return std::pair(sub, flags);
  };
  declare(add("stat", "Whether blobs are there; without digests: how full the server is", Stat),
          "DIGEST", false);
  auto [get, get_flags] =
      declare(add("get", "Download a blob, to standard output or a file", Get), "DIGEST", true);
  get->get_option("DIGEST")->expected(1);
  get->add_option("-o,--output", get_flags->output, "Where to")->type_name("FILE");
  declare(add("put", "Upload files and folders; prints their digests", PutAll), "PATH", true);
  auto [ls, ls_flags] = declare(add("ls", "List a Directory", Ls), "DIGEST", true);
  ls->get_option("DIGEST")->expected(1);
  ls->add_flag("-r,--recursive", ls_flags->recursive, "And everything below it");
  auto [verify, verify_flags] = declare(
      add("verify", "Read blobs and check their digests; without digests: all that is stored",
          Verify),
      "DIGEST", false);
  verify->add_flag("--tree", verify_flags->tree, "The digests are Directories: all below them too");
  for (auto [sub, flags] :
       {declare(add("evict", "Make blobs absent", Evict), "DIGEST", true),
        declare(add("drop", "Forget the results of actions", Drop), "ACTION_DIGEST", true)}) {
    sub->add_option("--partition", flags->partition,
                    "Of the tenant of this name (partitions.*) instead of one's own")
        ->type_name("NAME");
  }
  auto [out, out_flags] =
      declare(add("export", "Write blobs into an archive", Export), "DIGEST", true);
  out->add_option("-o,--output", out_flags->output, "The archive (tar)")
      ->type_name("FILE")
      ->required();
  out->add_flag("--tree", out_flags->tree, "The digests are Directories: all below them too");
  out->add_flag("--action", out_flags->action,
                "The digests are Actions: their commands, inputs, results and outputs too");
  declare(add("import", "Upload what an archive holds", Import), "FILE", true);
  AddExamples(*command);
}

}  // namespace lre::cli

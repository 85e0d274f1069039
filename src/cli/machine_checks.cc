#include "cli/machine_checks.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <optional>

#include "base/file.h"
#include "base/subprocess.h"
#include "cli/imported_module.h"
#include "cli/toolchain_files.h"
#include "reapi/store_index.h"
#include "toolchain/fetch/resolve.h"
#include "toolchain/root/relocate_tree.h"

namespace lre::cli {
namespace {

namespace fs = std::filesystem;

constexpr Duration kProgramTimeout = std::chrono::seconds(20);
constexpr int kBazelFirst = 7, kBazelLast = 9;

// Names of /etc that no file of the store's clang may have: see clang_recipe.cc.
constexpr std::string_view kDistributionFile = "/etc/os-release";
constexpr uint64_t kClangFileBytesMax = 1ull << 30;

bool IsBelow(std::string_view path, const std::string& folder) {
  return path.starts_with(folder + "/");
}

// Programs and libraries of clang's that have the name in them.
std::vector<std::string> FilesThatSniff(const toolchain::Manifest& manifest) {
  std::vector<std::string> files;
  const toolchain::StorePath* clang = manifest.Find("clang");
  if (clang == nullptr) return files;
  std::error_code error;
  for (auto at = fs::recursive_directory_iterator(clang->path, error);
       !error && at != fs::recursive_directory_iterator(); at.increment(error)) {
    const std::string name = at->path().filename().string();
    if (!at->is_regular_file(error) || at->is_symlink(error)) continue;
    if (!name.starts_with("clang") && !name.starts_with("libclang")) continue;
    const Result<std::string> bytes = ReadFile(at->path().string(), kClangFileBytesMax);
    if (bytes && bytes->find(kDistributionFile) != bytes->npos) files.push_back(at->path());
  }
  return files;
}

Finding CheckCompiler(const toolchain::Manifest& manifest, const std::string& compiler) {
  const std::string check = "compiler " + manifest.name;
  const auto said = RunSubprocess(
      {.arguments = {compiler, "-v", "-E", "-x", "c++", "/dev/null", "-o", "/dev/null"},
       .timeout = kProgramTimeout});
  if (!said || said->exit_code != 0) {
    return {check, Verdict::kBad,
            fmt::format("{} does not run: {}", compiler,
                        said ? said->error_output.substr(0, 300) : said.error().message()),
            "lre store verify, then lre sync " + manifest.name};
  }
  std::vector<std::string> leaks = FindLeaks(said->error_output, manifest.prefix);
  for (const std::string& file : FilesThatSniff(manifest)) {
    leaks.push_back(fmt::format("{} reads {}", file, kDistributionFile));
  }
  if (leaks.empty()) {
    return {check, Verdict::kGood, "reads no headers, specs or distribution's name of this machine",
            ""};
  }
  return {check, Verdict::kBad,
          fmt::format("{} takes in what is not in the store: {}", compiler, fmt::join(leaks, ", ")),
          "unset the variables that name it (see environment), or remove the file"};
}

std::string FindOnPath(const std::string& name) {
  const char* path = std::getenv("PATH");
  std::string_view rest = path != nullptr ? path : "";
  while (!rest.empty()) {
    const size_t end = std::min(rest.find(':'), rest.size());
    const std::string file = std::string(rest.substr(0, end)) + "/" + name;
    if (access(file.c_str(), X_OK) == 0) return file;
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return "";
}

// What the server's index says of a path: its tree, nothing when it has none.
Result<std::optional<std::string>> TreeAt(RemoteServer& server, const std::string& path) {
  Result<Bytes> bytes = server.GetResult(reapi::StorePathKey(path).action);
  if (!bytes && bytes.error().code() == Code::kNotFound) return std::optional<std::string>();
  TRY(ToStatus(bytes));
  TRY_ASSIGN(const reapi::StoreIndexEntry entry, reapi::ParseStoreIndexEntry(bytes->view()));
  const auto record = toolchain::ParseManifest(entry.record);
  if (!record || record->paths.empty()) {
    return std::optional<std::string>("a record that does not parse");
  }
  return std::optional(record->paths[0].tree);
}

Result<Finding> CompareWithServer(RemoteServer& server, const std::string& address,
                                  const toolchain::Manifest& manifest) {
  const std::string check = "server " + manifest.name;
  size_t missing = 0;
  for (const toolchain::StorePath& path : manifest.paths) {
    TRY_ASSIGN(const std::optional<std::string> tree, TreeAt(server, path.path));
    if (!tree) {
      ++missing;
    } else if (*tree != path.tree) {
      return Finding{
          check, Verdict::kBad,
          fmt::format("{} is {} there and {} in the manifest", path.path, *tree, path.tree),
          fmt::format("lre store verify {} && lre push {} --server {}", path.path, manifest.name,
                      address)};
    }
  }
  if (missing == 0) {
    return Finding{check, Verdict::kGood, "the server holds every store path, with these bytes",
                   ""};
  }
  return Finding{
      check, Verdict::kWarning,
      fmt::format("the server lacks {} of {} store paths: workers that have not made them "
                  "cannot run its actions",
                  missing, manifest.paths.size()),
      fmt::format("lre push {} --server {}", manifest.name, address)};
}

}  // namespace

std::vector<toolchain::Manifest> ProjectManifests() {
  std::string file = kManifestFile;
  if (!FileExists(file)) {
    const Result<std::string> cache = toolchain::DefaultCacheDirectory();
    if (!cache) return {};
    const auto module = FindImportedModule(*cache, /*may_download=*/false);
    if (!module || !*module) return {};
    file = (*module)->folder + "/toolchain.json";
  }
  std::vector<toolchain::Manifest> manifests;
  if (auto manifest = ReadManifest(file)) manifests.push_back(std::move(*manifest));
  if (auto further = ReadFurtherManifests(file)) {
    for (toolchain::Manifest& manifest : *further) manifests.push_back(std::move(manifest));
  }
  return manifests;
}

Finding CheckHostSpecs(const std::string& root) {
  std::vector<std::string> found;
  for (const char* folder : {"/usr/lib/gcc", "/usr/local/lib/gcc"}) {
    std::error_code error;
    auto at = fs::recursive_directory_iterator(root + folder, error);
    for (; !error && at != fs::recursive_directory_iterator(); at.increment(error)) {
      if (at.depth() >= 2) at.disable_recursion_pending();  // <target>/<version>/specs
      if (at->path().filename() == "specs") found.push_back(at->path().string());
    }
  }
  std::sort(found.begin(), found.end());
  if (found.empty()) {
    return {"host specs", Verdict::kGood, "no specs file changes what GCC of this machine does",
            ""};
  }
  return {"host specs", Verdict::kWarning,
          fmt::format("{} changes what GCC of this machine does, and no key says so; the store's "
                      "compilers do not read it",
                      fmt::join(found, ", ")),
          "remove it, or build nothing with the machine's GCC"};
}

std::vector<std::string> FindLeaks(std::string_view verbose, const std::string& prefix) {
  constexpr std::string_view kSpecs = "Reading specs from ";
  std::vector<std::string> leaks;
  bool in_search = false;
  while (!verbose.empty()) {
    const size_t end = std::min(verbose.find('\n'), verbose.size());
    std::string_view line = verbose.substr(0, end);
    verbose.remove_prefix(std::min(end + 1, verbose.size()));
    if (line.starts_with(kSpecs)) {
      const std::string_view file = line.substr(kSpecs.size());
      if (!IsBelow(file, prefix)) leaks.push_back("specs " + std::string(file));
    } else if (line.ends_with("search starts here:")) {
      in_search = true;
    } else if (line == "End of search list.") {
      in_search = false;
    } else if (in_search) {
      while (line.starts_with(' ')) line.remove_prefix(1);
      if (!IsBelow(line, prefix)) leaks.push_back("headers of " + std::string(line));
    }
  }
  return leaks;
}

std::vector<Finding> CheckCompilers(const std::vector<toolchain::Manifest>& manifests) {
  std::vector<Finding> findings;
  for (const toolchain::Manifest& manifest : manifests) {
    if (!manifest.cc || manifest.system != toolchain::ThisSystem()) continue;
    const auto compiler = manifest.cc->tools.find(manifest.cc->compiler);
    // That it is not there is said elsewhere.
    if (compiler == manifest.cc->tools.end() || !FileExists(compiler->second)) continue;
    findings.push_back(CheckCompiler(manifest, compiler->second));
  }
  return findings;
}

Finding JudgeBazelVersion(const std::string& said) {
  std::string_view text = said;
  if (!text.starts_with("bazel ")) {
    return {"bazel version", Verdict::kWarning, fmt::format("bazel --version says \"{}\"", text),
            ""};
  }
  text.remove_prefix(6);
  int major = 0;
  std::from_chars(text.data(), text.data() + text.size(), major);
  if (major >= kBazelFirst && major <= kBazelLast) {
    return {"bazel version", Verdict::kGood, said, ""};
  }
  return {"bazel version", Verdict::kBad,
          fmt::format("{}: the module is for Bazel {} to {}", said, kBazelFirst, kBazelLast),
          fmt::format("use Bazel {} to {}; tools/bazel/provision of LRE provides one on Debian",
                      kBazelFirst, kBazelLast)};
}

Finding CheckBazelVersion() {
  const std::string bazel = FindOnPath("bazel");
  if (bazel.empty()) return {"bazel version", Verdict::kGood, "there is none on PATH", ""};
  std::error_code error;
  if (fs::canonical(bazel, error).filename().string().find("bazelisk") != std::string::npos) {
    return {"bazel version", Verdict::kGood, bazel + " is bazelisk: .bazelversion says which", ""};
  }
  // In a folder of no workspace, so that no rc file and no server has a part in it.
  const auto said = RunSubprocess(
      {.arguments = {bazel, "--version"}, .directory = "/", .timeout = kProgramTimeout});
  if (!said) return {"bazel version", Verdict::kWarning, said.error().message(), ""};
  return JudgeBazelVersion(said->output.substr(0, said->output.find('\n')));
}

std::vector<Finding> CheckServer(const ServerFlags& flags, bool asked_for,
                                 const std::vector<toolchain::Manifest>& manifests) {
  const auto bad = [&](const Status& status) {
    return Finding{"server", Verdict::kBad, status.message(),
                   "lre up, or name another with --server and --instance-name"};
  };
  auto server = RemoteServer::Connect(flags);
  if (!server) return {bad(server.error())};
  const Status answers = (*server)->CheckAnswers();
  if (!answers.ok() && !asked_for) {
    return {{"server", Verdict::kGood,
             fmt::format("none answers at {}; --server names another", flags.address), ""}};
  }
  if (!answers.ok()) return {bad(answers)};
  std::vector<Finding> findings = {
      {"server", Verdict::kGood, fmt::format("{} answers", flags.address), ""}};
  for (const toolchain::Manifest& manifest : manifests) {
    Result<Finding> finding = CompareWithServer(**server, flags.address, manifest);
    findings.push_back(finding ? std::move(*finding) : bad(finding.error()));
  }
  return findings;
}

}  // namespace lre::cli

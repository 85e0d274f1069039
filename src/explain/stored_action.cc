#include "explain/stored_action.h"

#include <algorithm>

#include "reapi/action.h"

namespace lre::explain {
namespace {

struct Stored {
  ActionFacts facts;
  Digest input_root;
};

class Comparer {
 public:
  Comparer(store::BlobStore& cas, const StoredActionOptions& options)
      : cas_(cas), options_(options) {}

  Result<Stored> Load(const Digest& digest) {
    TRY_ASSIGN(std::string bytes, Read(digest, "Action"));
    TRY_ASSIGN(reapi::Action action, reapi::ParseAction(bytes, digest.function));
    TRY_ASSIGN(bytes, Read(action.command, "Command"));
    TRY_ASSIGN(reapi::Command command, reapi::ParseCommand(bytes));
    Stored stored{.facts = {}, .input_root = action.input_root};
    ActionFacts& facts = stored.facts;
    for (const auto& [name, value] : reapi::PlatformOf(action, command)) {
      std::string& values = facts.platform[name];
      values += (values.empty() ? "" : ",") + value;
    }
    facts.environment.insert(command.environment.begin(), command.environment.end());
    for (auto* list : {&command.output_paths, &command.output_files, &command.output_directories})
      facts.outputs.insert(facts.outputs.end(), list->begin(), list->end());
    facts.arguments = std::move(command.arguments);
    facts.working_directory = std::move(command.working_directory);
    facts.salt = std::move(action.salt);
    facts.do_not_cache = action.do_not_cache;
    if (action.timeout) facts.timeout_ms = action.timeout->count() / 1'000'000;
    return stored;
  }

  // Adds to both what is below `path` and is not the same on both sides.
  Status CompareFolders(const std::optional<Digest>& a, const std::optional<Digest>& b,
                        const std::string& path, ActionFacts& facts_a, ActionFacts& facts_b) {
    if (a == b) return {};
    TRY_ASSIGN(const reapi::Directory left, LoadEntries(a, path, facts_a));
    TRY_ASSIGN(const reapi::Directory right, LoadEntries(b, path, facts_b));
    std::map<std::string, std::pair<std::optional<Digest>, std::optional<Digest>>> folders;
    for (const auto& folder : left.directories) folders[folder.name].first = folder.digest;
    for (const auto& folder : right.directories) folders[folder.name].second = folder.digest;
    for (const auto& [name, digests] : folders)
      TRY(CompareFolders(digests.first, digests.second, path + name + "/", facts_a, facts_b));
    return {};
  }

 private:
  Result<std::string> Read(const Digest& digest, std::string_view what) {
    auto bytes = store::ReadAll(cas_, {digest, options_.partition});
    if (!bytes && bytes.error().code() == Code::kNotFound)
      return Error(Code::kNotFound, "{} {} is not in the CAS", what, digest);
    return bytes;
  }

  // What is directly in a folder, added to the facts as well.
  Result<reapi::Directory> LoadEntries(const std::optional<Digest>& digest, const std::string& path,
                                       ActionFacts& facts) {
    if (!digest) return reapi::Directory();
    if (++directories_ > options_.directories_max)
      return Error(Code::kResourceExhausted, "more than {} folders differ",
                   options_.directories_max);
    Result<std::string> bytes = Read(*digest, "input directory");
    if (!bytes && bytes.error().code() == Code::kNotFound) {
      facts.inputs[path.empty() ? "." : path] = fmt::format("a folder {}{}", *digest, kNotInTheCas);
      return reapi::Directory();
    }
    TRY(bytes);
    TRY_ASSIGN(reapi::Directory directory, reapi::ParseDirectory(*bytes, digest->function));
    AddEntries(directory, path, facts);
    return directory;
  }

  static void AddEntries(const reapi::Directory& directory, const std::string& path,
                         ActionFacts& facts) {
    for (const auto& file : directory.files)
      facts.inputs[path + file.name] =
          fmt::format("{}{}", file.digest, file.is_executable ? " executable" : "");
    for (const auto& link : directory.symlinks)
      facts.inputs[path + link.name] = "-> " + link.target;
    if (directory.files.empty() && directory.symlinks.empty() && directory.directories.empty())
      facts.inputs[path] = "an empty directory";
  }

  store::BlobStore& cas_;
  const StoredActionOptions& options_;
  size_t directories_ = 0;
};

}  // namespace

Result<ActionFacts> StoredFacts(store::BlobStore& cas, const Digest& action,
                                const StoredActionOptions& options) {
  Comparer comparer(cas, options);
  TRY_ASSIGN(Stored stored, comparer.Load(action));
  ActionFacts nothing;
  TRY(comparer.CompareFolders(stored.input_root, std::nullopt, "", stored.facts, nothing));
  return std::move(stored.facts);
}

Result<std::vector<std::string>> StoredOutputs(store::BlobStore& cas, const Digest& action,
                                               const StoredActionOptions& options) {
  TRY_ASSIGN(Stored stored, Comparer(cas, options).Load(action));
  return std::move(stored.facts.outputs);
}

Result<std::vector<Difference>> CompareStoredActions(store::BlobStore& cas, const Digest& a,
                                                     const Digest& b,
                                                     const StoredActionOptions& options) {
  Comparer comparer(cas, options);
  TRY_ASSIGN(Stored left, comparer.Load(a));
  TRY_ASSIGN(Stored right, comparer.Load(b));
  TRY(comparer.CompareFolders(left.input_root, right.input_root, "", left.facts, right.facts));
  return Compare(left.facts, right.facts, options.differences_max);
}

}  // namespace lre::explain
